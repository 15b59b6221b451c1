//! Addresses of ends: those that the input tells, else some that nobody has.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ipnet::IpNet;

use super::image::Image;
use super::{Flow, Input, node_of};
use crate::eval::L4;
use crate::eval::flow::{End, Side};
use crate::exec::frames::Addresses;
use crate::ir::{EndpointIndex, NodeIndex};

/// Of these networks, which are for measurements (RFC 2544, RFC 5180), come the addresses that the input does not tell.
const FIRST4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FIRST6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);

/// At most one address of each family.
type Found = Vec<IpAddr>;

/// Finds addresses, and remembers those that it made up.
pub(super) struct Addressing<'a> {
    input: Input<'a>,
    image: &'a Image<'a>,
    nets: BTreeMap<IdentityIndex, Vec<IpNet>>,
    /// By identity and node: a search costs a look at the whole table.
    known: BTreeMap<(IdentityIndex, Option<NodeIndex>), Found>,
    made: BTreeMap<(End, IdentityIndex), Found>,
    learnt: BTreeMap<IpAddr, IdentityIndex>,
    next: u32,
}

impl<'a> Addressing<'a> {
    /// Looks at the table of addresses once.
    pub fn new(input: Input<'a>, image: &'a Image<'a>) -> Self {
        let mut nets: BTreeMap<IdentityIndex, Vec<IpNet>> = BTreeMap::new();
        for (net, index) in input.resolved.addresses.rows() {
            nets.entry(index).or_default().push(net);
        }
        let (known, made, learnt) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { input, image, nets, known, made, learnt, next: 0 }
    }

    /// What the node has to be told of the addresses that were made up.
    pub fn learnt(&self) -> &BTreeMap<IpAddr, IdentityIndex> {
        &self.learnt
    }

    /// Source and destination of each frame of a flow: one for each family that both ends have.
    pub fn pairs(&mut self, flow: &Flow<'_>) -> Vec<Addresses> {
        let judgement = flow.judgement;
        let sources = self.of(flow.source, judgement.ingress.as_ref());
        let destinations = self.of(flow.destination, judgement.egress.as_ref());
        let fits = |addresses: &Addresses| match (flow.l4, addresses) {
            (L4::Icmp(_), Addresses::V6(..)) | (L4::Icmp6(_), Addresses::V4(..)) => false,
            (L4::Icmp(_), Addresses::V4(..)) | (L4::Icmp6(_), Addresses::V6(..)) | (L4::Port(..), _) => true,
        };
        let pairs = sources
            .iter()
            .flat_map(|source| destinations.iter().filter_map(|destination| Addresses::new(*source, *destination)));
        let options = &self.input.cluster.options;
        let is_used = |addresses: &Addresses| match addresses {
            Addresses::V4(..) => options.ipv4,
            Addresses::V6(..) => options.ipv6,
        };
        pairs.filter(fits).filter(is_used).collect()
    }

    /// Addresses of an end; `seen` is the other end, which knows it by an identity.
    fn of(&mut self, end: End, seen: Option<&Side>) -> Found {
        let cluster = self.input.cluster;
        let index = seen.map(|side| side.peer);
        match end {
            End::Address(address) => vec![address],
            End::Endpoint(EndpointIndex(place)) => {
                let Some(endpoint) = cluster.endpoints.get(place as usize) else { return Vec::new() };
                let known = one_of_each(endpoint.addresses.iter().copied());
                if !known.is_empty() {
                    return known;
                }
                let own = self.image.identity_of(&endpoint.name).unwrap_or(IdentityIndex(0));
                self.make(end, IdentityIndex(0), own)
            }
            End::HostPod(_) | End::Node(_) => {
                let node = match end {
                    End::HostPod(place) => cluster.host_pods.get(place).and_then(|pod| pod.node),
                    End::Node(node) => Some(node),
                    End::Endpoint(_) | End::Entity(_) | End::Address(_) => None,
                };
                let node = node.and_then(|node| cluster.nodes.get(node.0 as usize));
                let known = one_of_each(node.into_iter().flat_map(|node| node.addresses.iter().copied()));
                if known.is_empty() { self.make_for(end, index) } else { known }
            }
            End::Entity(entity) => {
                let node = seen.and_then(|side| node_of(self.input, side));
                let known = match self.known.get(&(entity, node)) {
                    Some(known) => known.clone(),
                    None => self.outside(entity, node),
                };
                self.known.insert((entity, node), known.clone());
                if known.is_empty() { self.make_for(end, index) } else { known }
            }
        }
    }

    /// Addresses of an identity, seen from a node: its own ones are the host, others are as prefixes have them, or as
    /// nobody has them.
    fn outside(&self, index: IdentityIndex, node: Option<NodeIndex>) -> Found {
        let Input { cluster, resolved, .. } = self.input;
        let own = node.and_then(|node| cluster.nodes.get(node.0 as usize)).map(|node| &node.addresses);
        if let (IdentityIndex(reserved::HOST), Some(own)) = (index, own) {
            return one_of_each(own.iter().copied().filter(|address| !resolved.host_indices.contains_key(address)));
        }
        let table = &resolved.addresses;
        let is_it = |address: &IpAddr| table.lookup(*address) == index && !own.is_some_and(|own| own.contains(address));
        let nets = self.nets.get(&index).map(Vec::as_slice).unwrap_or_default();
        let inside = nets.iter().flat_map(|net| {
            let inner = table.rows().map(|(row, _)| row).filter(|row| net.contains(row) && row != net);
            let borders = inner.flat_map(|row| [after(row.broadcast()), Some(row.network())]);
            let own = [after(net.network()), Some(net.network()), Some(net.broadcast())];
            let all = own.into_iter().chain(borders).flatten();
            all.filter(|address| net.contains(address)).collect::<Vec<_>>()
        });
        let options = &cluster.options;
        let nobodys4 = (options.ipv4 && table.world_ipv4 == index).then(|| table.unused_ipv4().next()).flatten();
        let nobodys6 = (options.ipv6 && table.world_ipv6 == index).then(|| table.unused_ipv6().next()).flatten();
        one_of_each(inside.filter(is_it).chain(nobodys4).chain(nobodys6))
    }

    fn make_for(&mut self, end: End, index: Option<IdentityIndex>) -> Found {
        let Some(index) = index else { return Vec::new() };
        let there = self.image.index_of(self.input.resolved, index);
        self.make(end, index, there)
    }

    /// Addresses that the node is told to be of an identity, the same whenever the end is asked for.
    fn make(&mut self, end: End, seen: IdentityIndex, index: IdentityIndex) -> Found {
        if let Some(known) = self.made.get(&(end, seen)) {
            return known.clone();
        }
        let Input { cluster, resolved, .. } = self.input;
        let is_free = |address: &IpAddr| {
            resolved.addresses.at(*address).is_none()
                && !cluster.nodes.iter().any(|node| node.addresses.contains(address))
        };
        let mut found = Vec::new();
        while found.is_empty() && self.next < u32::from(u16::MAX) {
            let v4 = IpAddr::from(Ipv4Addr::from_bits(FIRST4.to_bits() + self.next));
            let v6 = IpAddr::from(Ipv6Addr::from_bits(FIRST6.to_bits() + u128::from(self.next)));
            self.next += 1;
            if is_free(&v4) && is_free(&v6) {
                found.extend(cluster.options.ipv4.then_some(v4));
                found.extend(cluster.options.ipv6.then_some(v6));
            }
        }
        self.learnt.extend(found.iter().map(|address| (*address, index)));
        self.made.insert((end, seen), found.clone());
        found
    }
}

fn one_of_each(addresses: impl Iterator<Item = IpAddr>) -> Found {
    let mut found: Found = Vec::new();
    for address in addresses {
        if !found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            found.push(address);
        }
        if found.len() == 2 {
            break;
        }
    }
    found
}

/// The next address.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}
