//! Identities with a place: rules of tiers compare addresses (spec §6.4), tables know identities alone.
//!
//! An identity may have addresses inside and outside of what such a rule names; a dual-stack pod has, wherever a rule
//! names prefixes of one family. So that one index means one answer, an identity has an index for each *place*: the set
//! of areas that an address lies in. All of them have the labels and the number of the identity, so that nothing but
//! those rules can tell them apart. The first place keeps the identity's own index.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ipnet::IpNet;

use super::addresses::{enabled, world_label};
use super::lock::{Lock, LockError};
use crate::ir::labels::{Label, LabelSet};
use crate::ir::{Cluster, Direction, EndpointIndex, Peer, Peers, Port, Ports, Protocol, Rule, RuleId};

/// What a rule names by address: prefixes of the enabled families, sorted.
pub type Area = Arc<[IpNet]>;

/// Position in [`Resolved::areas`](super::Resolved::areas).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AreaIndex(pub u32);

/// Where an address lies: in these of the areas that the rules name.
pub type Place = BTreeSet<AreaIndex>;

/// What rules of tiers name by address.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Distinct areas, sorted.
    pub areas: Vec<Area>,
    /// What the `networks` and `nodes` of a rule are.
    pub by_rule: BTreeMap<RuleId, Where>,
    /// Where a name of a port leads: for each protocol and number the pods that have it there.
    pub by_port: BTreeMap<String, BTreeMap<(Protocol, u16), AreaIndex>>,
}

/// Which addresses a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// All that there are.
    Everywhere,
    /// These.
    Inside(AreaIndex),
}

impl Named {
    /// Looks through all rules; ingress compares no addresses, and of names of ports it asks the pod itself.
    pub fn new(cluster: &Cluster) -> Self {
        let mut areas: BTreeSet<Area> = BTreeSet::new();
        let mut rules = BTreeMap::new();
        let mut ports = BTreeMap::new();
        let egress = |rule: &Rule| {
            rule.direction == Direction::Egress && cluster.policies[rule.policy.0 as usize].tier.is_some()
        };
        for (id, rule) in cluster.rules().filter(|(_, rule)| egress(rule)) {
            if let Some(area) = area_of_rule(cluster, rule) {
                areas.insert(area.clone());
                rules.insert(id, area);
            }
            let Ports::AnyOf(list) = &rule.ports else { continue };
            for matched in list {
                if let Port::NamedAtPeer { name, .. } = &matched.port {
                    let of_name: &mut BTreeMap<_, _> =
                        ports.entry(name.clone()).or_insert_with(|| port_areas(cluster, name));
                    areas.extend(of_name.values().cloned());
                }
            }
        }
        areas.retain(|area| !is_everywhere(cluster, area));
        let areas: Vec<Area> = areas.into_iter().collect();
        let index = |area: &Area| areas.binary_search(area).ok().map(|place| AreaIndex(place as u32));
        let by_rule = rules.iter().map(|(id, area)| (*id, index(area).map_or(Where::Everywhere, Where::Inside)));
        let by_port = ports.iter().map(|(name, of_name): (&String, &BTreeMap<_, _>)| {
            (name.clone(), of_name.iter().filter_map(|(port, area)| Some((*port, index(area)?))).collect())
        });
        Self { by_rule: by_rule.collect(), by_port: by_port.collect(), areas }
    }

    /// The place of a prefix: no area but a larger one may hold a part of it alone.
    fn place(&self, net: IpNet) -> Place {
        let holds = |area: &Area| {
            let mut around = Some(net);
            while let Some(outer) = around {
                if area.binary_search(&outer).is_ok() {
                    return true;
                }
                around = outer.supernet();
            }
            false
        };
        (0..).map(AreaIndex).zip(&self.areas).filter(|(_, area)| holds(area)).map(|(index, _)| index).collect()
    }

    /// The place as the lock writes it: numbers of areas change with the rules, the areas do not.
    fn text(&self, place: &Place) -> Vec<String> {
        place.iter().map(|index| area_text(&self.areas[index.0 as usize])).collect()
    }
}

/// `networks` and `nodes`; nodes are their addresses.
fn area_of_rule(cluster: &Cluster, rule: &Rule) -> Option<Area> {
    let Peers::AnyOf(peers) = &rule.peers else { return None };
    let mut nets: BTreeSet<IpNet> = BTreeSet::new();
    let mut named = false;
    for peer in peers {
        match peer {
            Peer::Network(net) => {
                named = true;
                nets.insert(*net);
            }
            Peer::Nodes(selector) => {
                named = true;
                let labels = |node: &crate::ir::Node| node.labels.iter().map(|(k, v)| Label::k8s(k, v)).collect();
                let nodes = cluster.nodes.iter().filter(|node| selector.matches(&labels(node)));
                nets.extend(nodes.flat_map(|node| &node.addresses).map(|address| IpNet::from(*address)));
            }
            Peer::Labels(_) | Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Entity(_) => {}
        }
    }
    named.then(|| nets.into_iter().filter(|net| enabled(&cluster.options, net.addr())).collect())
}

fn port_areas(cluster: &Cluster, name: &str) -> BTreeMap<(Protocol, u16), Area> {
    let mut out: BTreeMap<(Protocol, u16), BTreeSet<IpNet>> = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        for port in endpoint.named_ports.iter().filter(|port| port.name == name) {
            let addresses = endpoint.addresses.iter().filter(|a| enabled(&cluster.options, **a));
            out.entry((port.protocol, port.port)).or_default().extend(addresses.map(|a| IpNet::from(*a)));
        }
    }
    out.into_iter().map(|(port, nets)| (port, nets.into_iter().collect())).collect()
}

fn is_everywhere(cluster: &Cluster, area: &Area) -> bool {
    let has = |ipv4: bool| area.iter().any(|net| net.prefix_len() == 0 && net.addr().is_ipv4() == ipv4);
    (!cluster.options.ipv4 || has(true)) && (!cluster.options.ipv6 || has(false))
}

/// The index of an address of an identity.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    named: &'a Named,
    /// The place that an identity's own index means.
    first: BTreeMap<LabelSet, Place>,
    /// Indices of the other places.
    others: BTreeMap<(LabelSet, Place), IdentityIndex>,
}

/// Identities of endpoints whose addresses nobody knows, with these endpoints.
pub type Unlocated = BTreeMap<IdentityIndex, Vec<EndpointIndex>>;

impl<'a> Places<'a> {
    /// Finds the places of all addresses, adds the rows that tell them apart, and numbers them.
    pub fn new(
        cluster: &Cluster,
        named: &'a Named,
        rows: &mut BTreeMap<IpNet, LabelSet>,
        lock: &mut Lock,
    ) -> Result<Self, LockError> {
        add_rows(cluster, &named.areas, rows);
        let mut out = Self { named, first: BTreeMap::new(), others: BTreeMap::new() };
        if named.areas.is_empty() {
            return Ok(out);
        }
        let mut all: BTreeMap<LabelSet, BTreeSet<Place>> = BTreeMap::new();
        for (net, labels) in rows.iter() {
            all.entry(labels.clone()).or_default().insert(named.place(*net));
        }
        let host = host_labels();
        for address in own_addresses(cluster) {
            all.entry(host.clone()).or_default().insert(named.place(IpNet::from(address)));
        }
        // What no row covers has an index of its own already: the world's.
        for family in [IpNet::V4(Default::default()), IpNet::V6(Default::default())] {
            if enabled(&cluster.options, family.addr()) {
                let world = LabelSet::from_iter([world_label(&cluster.options, family.addr().is_ipv4())]);
                out.first.insert(world, named.place(family));
            }
        }
        let mut wanted = BTreeMap::new();
        for (labels, places) in all {
            let mut places = places.into_iter();
            if !out.first.contains_key(&labels)
                && let Some(least) = places.next()
            {
                out.first.insert(labels.clone(), least);
            }
            let first = out.first.get(&labels);
            for place in places.filter(|place| Some(place) != first) {
                wanted.insert((labels.canonical(), named.text(&place)), (labels.clone(), place));
            }
        }
        let numbers = lock.allocate_places(wanted.keys())?;
        for (key, place) in wanted {
            out.others.insert(place, numbers[&key]);
        }
        Ok(out)
    }

    /// The place that an identity's own index means.
    pub fn first(&self, labels: &LabelSet) -> Place {
        self.first.get(labels).cloned().unwrap_or_default()
    }

    /// Indices besides the identities' own, with their labels and places.
    pub fn others(&self) -> impl Iterator<Item = (IdentityIndex, &LabelSet, &Place)> {
        self.others.iter().map(|((labels, place), index)| (*index, labels, place))
    }

    /// The index of a prefix of an identity, unless it is the identity's own.
    pub fn index_at(&self, labels: &LabelSet, net: IpNet) -> Option<IdentityIndex> {
        if self.others.is_empty() {
            return None;
        }
        self.others.get(&(labels.clone(), self.named.place(net))).copied()
    }

    /// Addresses of nodes that are not index 1 to themselves.
    pub fn host_indices(&self, cluster: &Cluster) -> BTreeMap<IpAddr, IdentityIndex> {
        let host = host_labels();
        own_addresses(cluster).filter_map(|a| Some((a, self.index_at(&host, IpNet::from(a))?))).collect()
    }
}

/// The labels that stand for the local host here: what else it has differs from node to node.
fn host_labels() -> LabelSet {
    LabelSet::from_iter([Label::reserved("host")])
}

fn own_addresses(cluster: &Cluster) -> impl Iterator<Item = IpAddr> {
    let addresses = cluster.nodes.iter().flat_map(|node| &node.addresses).copied();
    addresses.filter(|address| enabled(&cluster.options, *address))
}

/// A row for every prefix of an area, with the labels that its addresses have anyway. A /0 is world and has no row.
fn add_rows(cluster: &Cluster, areas: &[Area], rows: &mut BTreeMap<IpNet, LabelSet>) {
    for &net in areas.iter().flat_map(|area| area.iter()).filter(|net| net.prefix_len() > 0) {
        let mut around = Some(net);
        let labels = loop {
            match around {
                Some(outer) => match rows.get(&outer) {
                    Some(labels) => break labels.clone(),
                    None => around = outer.supernet(),
                },
                None => break LabelSet::from_iter([world_label(&cluster.options, net.addr().is_ipv4())]),
            }
        };
        rows.insert(net, labels);
    }
}

/// An area as reports and the lock show it.
pub fn area_text(area: &Area) -> String {
    area.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Identities of endpoints that no address is known of.
pub fn unlocated(
    cluster: &Cluster,
    identities: impl Iterator<Item = IdentityIndex>,
    located: &BTreeSet<IdentityIndex>,
) -> Unlocated {
    let mut out = Unlocated::new();
    for (n, (index, endpoint)) in identities.zip(&cluster.endpoints).enumerate() {
        if !located.contains(&index) && !endpoint.addresses.iter().any(|a| enabled(&cluster.options, *a)) {
            out.entry(index).or_default().push(EndpointIndex(n as u32));
        }
    }
    out
}

/// Whether an index is the local host.
pub fn is_host(numeric: ciliumc_abi::identity::NumericIdentity) -> bool {
    numeric.0 == reserved::HOST
}
