//! Addresses and prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nom::Parser;
use nom::bytes::complete::take_while;
use nom::character::complete::char;
use nom::combinator::cut;
use nom::sequence::preceded;

use super::{At, Step, Wrong, decimal, expect, whole};

/// A prefix as written: the address with its host bits, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address before the slash.
    pub address: IpAddr,
    /// The prefix, host bits masked off.
    pub net: IpNet,
}

/// `address/len`. Leading zeros are refused, so are zones and IPv4 addresses mapped into IPv6.
pub fn cidr(text: &str) -> Result<Cidr, Wrong> {
    let address = take_while(|c| c != '/');
    let length =
        preceded(expect("`/` and a prefix length are missing", char('/')), expect("not a prefix length", cut(decimal)));
    let (address_text, length) = whole(text, "not a prefix length", (address, length))?;
    let address = ip_address(address_text)?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let too_long = || {
        let offset = address_text.len() + 1;
        Wrong::new(offset, text.len() - offset, format!("the prefix length is above {max}"))
    };
    let length = u8::try_from(length).map_err(|_| too_long())?;
    let net = IpNet::new(address, length).map_err(|_| too_long())?;
    Ok(Cidr { address, net: net.trunc() })
}

/// An IPv4 or IPv6 address, without zone, without leading zeros, not mapped.
pub fn ip_address(text: &str) -> Result<IpAddr, Wrong> {
    if text.is_empty() {
        return Err(Wrong::whole(text, "the address is missing"));
    }
    if !text.contains(':') {
        return whole(text, "not an IPv4 address", ipv4).map(IpAddr::V4);
    }
    if let Some(zone) = text.find('%') {
        return Err(Wrong::new(zone, text.len() - zone, "an address has no zone here"));
    }
    let address: Ipv6Addr = text.parse().map_err(|_| Wrong::whole(text, "not an IPv6 address"))?;
    match address.to_ipv4_mapped() {
        Some(mapped) => Err(Wrong::whole(text, format!("an IPv4 address mapped into IPv6; write {mapped}"))),
        None => Ok(IpAddr::V6(address)),
    }
}

fn ipv4(input: &str) -> Step<'_, Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut input = input;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            input = expect("an IPv4 address has four numbers with dots between", char('.')).parse(input)?.0;
        }
        let (after, number) = expect("an IPv4 address has four numbers with dots between", decimal).parse(input)?;
        *octet = u8::try_from(number).map_err(|_| {
            nom::Err::Failure(At { rest: input, message: Some("a number of an IPv4 address is above 255") })
        })?;
        input = after;
    }
    Ok((input, Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cidrs_are_masked() {
        let net = |text: &str| cidr(text).unwrap().net.to_string();
        assert_eq!(net("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(net("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(net("fd00::1/8"), "fd00::/8");
        assert_eq!(net("::/0"), "::/0");
        assert_eq!(cidr("10.1.2.3/8").unwrap().address.to_string(), "10.1.2.3");
    }

    #[test]
    fn bad_cidrs_point_at_the_part() {
        let wrong = |text: &str| {
            let wrong = cidr(text).unwrap_err();
            (wrong.offset, wrong.message)
        };
        assert_eq!(wrong("10.0.0.0/33"), (9, "the prefix length is above 32".into()));
        assert_eq!(wrong("fd00::/129"), (7, "the prefix length is above 128".into()));
        assert_eq!(wrong("10.0.0.1"), (8, "`/` and a prefix length are missing".into()));
        assert_eq!(wrong("010.0.0.0/8"), (0, "a number has no leading zeros here".into()));
        assert_eq!(wrong("10.0.0.0/08"), (9, "a number has no leading zeros here".into()));
        assert_eq!(wrong("10.0.0.300/32"), (7, "a number of an IPv4 address is above 255".into()));
        assert_eq!(wrong("10.0.0/8").0, 6);
        assert_eq!(wrong("10.0.0.0.1/8").0, 8);
        assert_eq!(wrong("ten/8").0, 0);
        assert_eq!(wrong("/8"), (0, "the address is missing".into()));
        assert_eq!(wrong("10.0.0.0/").0, 9);
        assert_eq!(wrong("10.0.0.0/-1").0, 9);
        assert_eq!(wrong("10.0.0.0/8x").0, 10);
        assert!(wrong("::ffff:10.0.0.0/104").1.contains("mapped"));
        assert!(wrong("fe80::1%eth0/64").1.contains("zone"));
        assert!(cidr("10.0.0.0/99999999999999").is_err());
        assert!(cidr(" 10.0.0.0/8").is_err());
    }

    proptest! {
        #[test]
        fn every_prefix_is_read_back(bits in any::<u32>(), len in 0u8..=32) {
            let written = format!("{}/{len}", Ipv4Addr::from(bits));
            let net = cidr(&written).unwrap().net;
            prop_assert_eq!(cidr(&net.to_string()).unwrap().net, net);
            prop_assert_eq!(net.prefix_len(), len);
        }
    }
}
