//! Everyone that can be an end of a flow, and whom a description means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ipnet::IpNet;

use super::Input;
use crate::diag::Span;
use crate::eval::flow::{End, find};
use crate::ir::{EndName, EndpointIndex, Ends, fqdn};

/// Endpoints, and each identity that is of no endpoint: of the outside, of nodes.
pub struct Universe<'a> {
    input: Input<'a>,
    everyone: Vec<End>,
    nets: BTreeMap<IdentityIndex, Vec<IpNet>>,
    /// Addresses with a name.
    named: Vec<(IpAddr, &'a str)>,
}

/// An end that stands for those that nothing tells apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// The end.
    pub end: End,
    /// How many there are, with this one.
    pub alike: usize,
    /// Whether it has, or will have, replicas that talk to each other.
    pub has_replicas: bool,
}

/// A description with its names looked up.
enum Meant<'t> {
    Any,
    These(BTreeSet<End>),
    Net(IpNet),
    /// Names, by addresses.
    Names(BTreeSet<IpAddr>),
    Pods(&'t [String], &'t BTreeMap<String, Vec<String>>),
    AnyOf(Vec<Meant<'t>>),
    Not(Box<Meant<'t>>),
}

/// An identity has many addresses: whether some of them are meant, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Some,
    All,
}

impl Part {
    fn other(self) -> Self {
        match self {
            Self::Some => Self::All,
            Self::All => Self::Some,
        }
    }
}

impl<'a> Universe<'a> {
    /// Looks at everyone once.
    pub fn new(input: Input<'a>) -> Self {
        let Input { cluster, resolved, .. } = input;
        let mut nets: BTreeMap<IdentityIndex, Vec<IpNet>> = BTreeMap::new();
        for (net, index) in resolved.addresses.rows() {
            nets.entry(index).or_default().push(net);
        }
        let own: BTreeSet<IdentityIndex> = resolved.endpoints.iter().map(|endpoint| endpoint.identity).collect();
        let addresses = cluster.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let own: BTreeSet<IdentityIndex> =
            own.into_iter().chain(addresses.filter_map(|address| resolved.addresses.at(*address))).collect();
        // A world without addresses is that of a cluster with one family or with two.
        let worlds = [reserved::WORLD, reserved::WORLD_IPV4, reserved::WORLD_IPV6].map(IdentityIndex);
        let used = |index: &IdentityIndex| {
            let table = &resolved.addresses;
            !worlds.contains(index)
                || (cluster.options.ipv4 && table.world_ipv4 == *index)
                || (cluster.options.ipv6 && table.world_ipv6 == *index)
        };
        let others = resolved.identities.keys().filter(|index| !own.contains(index) && used(index));
        let endpoints = (0..cluster.endpoints.len() as u32).map(|index| End::Endpoint(EndpointIndex(index)));
        let everyone = endpoints.chain(others.map(|index| End::Entity(*index))).collect();
        let of_name = |(name, addresses): &'a (String, Vec<IpAddr>)| {
            addresses.iter().map(move |address| (*address, name.as_str()))
        };
        let named = input.names.iter().flat_map(of_name).collect();
        Self { input, everyone, nets, named }
    }

    /// Prefixes of an identity.
    pub fn nets(&self, index: IdentityIndex) -> &[IpNet] {
        self.nets.get(&index).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those that are meant, one for all that nothing tells apart; or the place and reason why a name means nobody.
    pub fn select(&self, ends: &Ends) -> Result<Vec<Selected>, (Span, String)> {
        let meant = self.meant(ends)?;
        let mut out = BTreeSet::new();
        self.collect(&meant, &mut out);
        Ok(self.alike(out))
    }

    /// Those of everyone that are meant, whole identities alone.
    pub fn whole(&self, ends: &Ends) -> Result<BTreeSet<End>, (Span, String)> {
        let meant = self.meant(ends)?;
        Ok(self.everyone.iter().copied().filter(|end| self.holds(&meant, *end, Part::All)).collect())
    }

    fn meant<'t>(&self, ends: &'t Ends) -> Result<Meant<'t>, (Span, String)> {
        Ok(match ends {
            Ends::Any => Meant::Any,
            Ends::One(name) => {
                let found = find(self.input.cluster, self.input.names, &name.value);
                let found = found.map_err(|message| (name.span, message))?;
                let found: BTreeSet<End> = found.into_iter().collect();
                let address = |end: &End| match end {
                    End::Address(address) => Some(*address),
                    End::Endpoint(_) | End::HostPod(_) | End::Node(_) | End::Entity(_) => None,
                };
                if let EndName::Fqdn(_) = &name.value {
                    return Ok(Meant::Names(found.iter().filter_map(address).collect()));
                }
                Meant::These(found)
            }
            Ends::Net(net) => Meant::Net(net.value),
            Ends::Names(names) => {
                let matching = self.named.iter().filter(|(_, name)| fqdn::matches(&names.value, name));
                Meant::Names(matching.map(|(address, _)| *address).collect())
            }
            Ends::Pods { namespaces, labels } => Meant::Pods(namespaces, labels),
            Ends::AnyOf(list) => Meant::AnyOf(list.iter().map(|ends| self.meant(ends)).collect::<Result<_, _>>()?),
            Ends::Not(ends) => Meant::Not(Box::new(self.meant(ends)?)),
        })
    }

    fn collect(&self, meant: &Meant<'_>, out: &mut BTreeSet<End>) {
        match meant {
            // What is named is meant, also an address that is only a part of an identity.
            Meant::These(ends) => out.extend(ends),
            // Names of which selectors know no others are an identity, the rest are some addresses of one.
            Meant::Names(addresses) => out.extend(addresses.iter().map(|&address| {
                let end = End::Entity(self.input.resolved.addresses.lookup(address));
                if self.holds(meant, end, Part::All) { end } else { End::Address(address) }
            })),
            Meant::AnyOf(list) => list.iter().for_each(|meant| self.collect(meant, out)),
            Meant::Any | Meant::Net(_) | Meant::Pods(..) | Meant::Not(_) => {
                out.extend(self.everyone.iter().copied().filter(|end| self.holds(meant, *end, Part::Some)));
            }
        }
    }

    fn holds(&self, meant: &Meant<'_>, end: End, part: Part) -> bool {
        match meant {
            Meant::Any => true,
            Meant::These(ends) => ends.contains(&end) || ends.iter().any(|named| self.is_only_address(*named, end)),
            Meant::Net(net) => self.is_in(*net, end, part),
            Meant::Names(addresses) => self.are_of(addresses, end, part),
            Meant::Pods(namespaces, labels) => self.has(namespaces, labels, end),
            Meant::AnyOf(list) => list.iter().any(|meant| self.holds(meant, end, part)),
            Meant::Not(meant) => !self.holds(meant, end, part.other()),
        }
    }

    /// Whether an address is all that an identity has.
    fn is_only_address(&self, named: End, end: End) -> bool {
        match (named, end) {
            (End::Address(address), End::Entity(index)) => self.nets(index) == [IpNet::from(address)],
            _ => false,
        }
    }

    /// Whether some or all addresses of an identity are among these.
    fn are_of(&self, addresses: &BTreeSet<IpAddr>, end: End, part: Part) -> bool {
        let End::Entity(index) = end else { return false };
        match part {
            Part::All => {
                let is_one = |net: &IpNet| addresses.iter().any(|address| IpNet::from(*address) == *net);
                let nets = self.nets(index);
                !nets.is_empty() && nets.iter().all(is_one)
            }
            Part::Some => addresses.iter().any(|address| self.input.resolved.addresses.lookup(*address) == index),
        }
    }

    fn is_in(&self, net: IpNet, end: End, part: Part) -> bool {
        let End::Entity(index) = end else { return false };
        let nets = self.nets(index);
        let table = &self.input.resolved.addresses;
        let world = if net.addr().is_ipv4() { table.world_ipv4 } else { table.world_ipv6 };
        if index == world {
            // The world is what no row covers.
            return match part {
                Part::All => net.prefix_len() == 0,
                Part::Some => !table.rows().any(|(row, _)| row.contains(&net)),
            };
        }
        match part {
            Part::All => !nets.is_empty() && nets.iter().all(|own| net.contains(own)),
            // Of the rows around a prefix only the nearest is about its addresses.
            Part::Some => {
                let nearest =
                    table.rows().filter(|(row, _)| row.contains(&net)).max_by_key(|(row, _)| row.prefix_len());
                nets.iter().any(|own| net.contains(own)) || nearest.is_some_and(|(_, of)| of == index)
            }
        }
    }

    fn has(&self, namespaces: &[String], labels: &BTreeMap<String, Vec<String>>, end: End) -> bool {
        let End::Endpoint(EndpointIndex(place)) = end else { return false };
        let Some(endpoint) = self.input.cluster.endpoints.get(place as usize) else { return false };
        (namespaces.is_empty() || namespaces.contains(&endpoint.namespace))
            && labels.iter().all(|(key, values)| endpoint.labels.get(key).is_some_and(|value| values.contains(value)))
    }

    /// One of all that have identity, classes and node in common.
    fn alike(&self, ends: BTreeSet<End>) -> Vec<Selected> {
        let Input { cluster, resolved, .. } = self.input;
        let mut places = BTreeMap::new();
        let mut out: Vec<Selected> = Vec::new();
        for end in ends {
            let End::Endpoint(EndpointIndex(place)) = end else {
                out.push(Selected { end, alike: 1, has_replicas: false });
                continue;
            };
            let (endpoint, numbers) = (&cluster.endpoints[place as usize], &resolved.endpoints[place as usize]);
            let addresses: Vec<_> = endpoint.addresses.iter().map(|address| resolved.addresses.at(*address)).collect();
            let key = (numbers.identity, &numbers.classes, endpoint.node, addresses);
            let at = *places.entry(key).or_insert_with(|| {
                out.push(Selected { end, alike: 0, has_replicas: endpoint.kind != "Pod" });
                out.len() - 1
            });
            out[at].alike += 1;
            out[at].has_replicas |= out[at].alike > 1;
        }
        out
    }
}
