//! Ranges of IPv4 addresses, cut by the prefixes of rules.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

/// The IPv4 prefix; `None` for IPv6.
pub fn v4(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

/// Cuts all addresses where a range begins or ends, so that each piece lies inside or outside of each range.
pub fn cut(ranges: impl IntoIterator<Item = (Ipv4Addr, Ipv4Addr)>) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut starts = BTreeSet::from([0u32]);
    for (first, last) in ranges {
        starts.insert(first.into());
        starts.extend(u32::from(last).checked_add(1));
    }
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
    starts.iter().zip(ends).map(|(&first, last)| (first.into(), last.into())).collect()
}

/// Whether two ranges leave no address between them.
pub fn touch(before: Ipv4Addr, after: Ipv4Addr) -> bool {
    u32::from(before).checked_add(1) == Some(after.into())
}
