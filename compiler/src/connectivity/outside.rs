//! Everyone who is no endpoint: prefixes outside of the cluster, and what has a word.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc_abi::identity::IdentityIndex;
use ipnet::IpNet;

use super::Party;
use crate::resolve::{Area, Identity, area_text};

/// Who lives where, as every node sees it.
pub struct World<'a> {
    /// Identity of IPv4 addresses that no row knows; none where the family is off.
    pub ipv4: Option<IdentityIndex>,
    /// Likewise of IPv6.
    pub ipv6: Option<IdentityIndex>,
    /// Identity of every other prefix.
    pub addresses: Vec<(IpNet, IdentityIndex)>,
    /// Every identity.
    pub identities: &'a BTreeMap<IdentityIndex, Identity>,
    /// Identities of endpoints, wherever their addresses lie.
    pub endpoints: BTreeSet<IdentityIndex>,
    /// What rules of tiers name by address.
    pub areas: &'a [Area],
    /// Addresses that stand for names of which none is known.
    pub names: &'a BTreeMap<IpAddr, Party>,
}

/// Parties that are no workloads, sorted.
pub fn parties(world: &World<'_>) -> Vec<(Party, IdentityIndex)> {
    let mut out: BTreeMap<Party, IdentityIndex> = BTreeMap::new();
    for (address, index) in
        [(IpAddr::V4(Ipv4Addr::UNSPECIFIED), world.ipv4), (IpAddr::V6(Ipv6Addr::UNSPECIFIED), world.ipv6)]
    {
        if let (Some(index), Ok(net)) = (index, IpNet::new(address, 0)) {
            out.insert(Party::Net(net), index);
        }
    }
    for &(net, index) in &world.addresses {
        if world.identities.get(&index).is_some_and(is_outside) {
            let name = world.names.get(&net.addr()).filter(|_| net == IpNet::from(net.addr()));
            out.insert(name.cloned().unwrap_or(Party::Net(net)), index);
        }
    }
    // Where no selector tells a name from others, its addresses are as any.
    for (address, party) in world.names {
        let index = if address.is_ipv4() { world.ipv4 } else { world.ipv6 };
        out.extend(index.filter(|_| !out.contains_key(party)).map(|index| (party.clone(), index)));
    }
    let by_address: BTreeSet<IdentityIndex> = out.values().copied().collect();
    for (&index, identity) in world.identities {
        // A world without addresses is the other one, of a cluster with one family or with two.
        if by_address.contains(&index) || world.endpoints.contains(&index) || is_outside(identity) {
            continue;
        }
        let word = word(world.areas, identity);
        // A bundle does not say what tells several indices of one identity apart.
        let names = std::iter::once(word.clone()).chain((2..).map(|n| format!("{word} ({n})")));
        if let Some(party) = names.map(Party::Entity).find(|party| !out.contains_key(party)) {
            out.insert(party, index);
        }
    }
    out.into_iter().collect()
}

fn is_outside(identity: &Identity) -> bool {
    let worlds = ["world", "world-ipv4", "world-ipv6"];
    worlds.iter().any(|world| identity.labels.has_reserved(world))
}

/// `remote-node`, or all labels where there are others; and where it lies, if rules ask for that.
fn word(areas: &[Area], identity: &Identity) -> String {
    let reserved = identity.labels.iter().all(|label| label.source == "reserved");
    let labels = identity.labels.iter().map(|label| if reserved { label.key.clone() } else { label.to_string() });
    let labels = labels.collect::<Vec<_>>().join("+");
    let areas = identity.place.iter().filter_map(|area| areas.get(area.0 as usize));
    areas.fold(labels, |text, area| format!("{text} inside {}", area_text(area)))
}
