//! Which identities a peer selects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ciliumc_abi::identity::{FIRST_DYNAMIC_INDEX, IdentityIndex, reserved};
use ipnet::IpNet;

use super::{Identity, PeerSet, Variant, VariantIndex};
use crate::ir::labels::LabelSet;
use crate::ir::options::Options;
use crate::ir::{CidrPeer, Cluster, Entity, Peer, Peers};

/// Answers, kept for each variant: most policies of a cluster name the same few peers.
pub struct Resolver<'a> {
    options: &'a Options,
    identities: &'a BTreeMap<IdentityIndex, Identity>,
    variants: &'a [Variant],
    /// Identities by their `cidr` labels: thousands of prefixes must not be compared with one another.
    prefixes: BTreeMap<IpNet, Vec<IdentityIndex>>,
    cache: HashMap<(VariantIndex, &'a Peer), Arc<[IdentityIndex]>>,
}

impl<'a> Resolver<'a> {
    pub fn new(
        cluster: &'a Cluster,
        identities: &'a BTreeMap<IdentityIndex, Identity>,
        variants: &'a [Variant],
    ) -> Self {
        let mut prefixes: BTreeMap<IpNet, Vec<IdentityIndex>> = BTreeMap::new();
        for (index, identity) in identities {
            for net in identity.labels.cidrs() {
                prefixes.entry(net).or_default().push(*index);
            }
        }
        Self { options: &cluster.options, identities, variants, prefixes, cache: HashMap::new() }
    }

    /// The identities that the peers of a rule select on a node of the variant.
    pub fn select(&mut self, peers: &'a Peers, variant: VariantIndex) -> PeerSet {
        let list = match peers {
            Peers::Everyone => return PeerSet::Everyone,
            Peers::Nobody => return PeerSet::These(Arc::new([])),
            Peers::AnyOf(list) => list,
        };
        if list.iter().any(is_wildcard) {
            return PeerSet::Everyone;
        }
        let sets: Vec<_> = list.iter().map(|peer| self.one(peer, variant)).collect();
        match sets.as_slice() {
            [one] => PeerSet::These(one.clone()),
            many => {
                let mut union: Vec<IdentityIndex> = many.iter().flat_map(|s| s.iter().copied()).collect();
                union.sort_unstable();
                union.dedup();
                PeerSet::These(union.into())
            }
        }
    }

    fn one(&mut self, peer: &'a Peer, variant: VariantIndex) -> Arc<[IdentityIndex]> {
        if let Some(known) = self.cache.get(&(variant, peer)) {
            return known.clone();
        }
        let host = &self.variants[variant.0 as usize].host_labels;
        let selected = |(index, identity): &(&IdentityIndex, &Identity)| {
            let labels = if index.0 == reserved::HOST { host } else { &identity.labels };
            selects(peer, labels, self.options)
        };
        let selected: Arc<[IdentityIndex]> = match peer {
            Peer::Cidr(cidr) => {
                let candidates = self.inside(&cidr.net);
                let known = candidates.iter().filter_map(|index| self.identities.get_key_value(index));
                known.filter(selected).map(|(index, _)| *index).collect()
            }
            Peer::Labels(_) | Peer::Entity(_) => {
                self.identities.iter().filter(selected).map(|(index, _)| *index).collect()
            }
        };
        self.cache.insert((variant, peer), selected.clone());
        selected
    }

    /// Every identity that a prefix may select: those of prefixes inside of it, and the reserved ones, whose labels can
    /// differ from node to node.
    fn inside(&self, net: &IpNet) -> BTreeSet<IdentityIndex> {
        let reserved = self.identities.range(..IdentityIndex(FIRST_DYNAMIC_INDEX)).map(|(index, _)| *index);
        let first = IpNet::new(net.network(), 0);
        let last = IpNet::new(net.broadcast(), net.max_prefix_len());
        let bounds = first.and_then(|first| Ok(first..=last?)).ok();
        let inside = bounds.into_iter().flat_map(|bounds| self.prefixes.range(bounds));
        reserved.chain(inside.flat_map(|(_, indices)| indices.iter().copied())).collect()
    }
}

/// An empty selector matches every identity, known or not: it is the wildcard (spec §4.2).
fn is_wildcard(peer: &Peer) -> bool {
    match peer {
        Peer::Labels(selector) => selector.requirements.is_empty(),
        Peer::Entity(entity) => *entity == Entity::All,
        Peer::Cidr(_) => false,
    }
}

fn selects(peer: &Peer, labels: &LabelSet, options: &Options) -> bool {
    match peer {
        Peer::Labels(selector) => selector.matches(labels),
        Peer::Cidr(cidr) => cidr_selects(cidr, labels, options),
        Peer::Entity(entity) => entity_selects(*entity, labels, options),
    }
}

/// Spec §2.8.
fn cidr_selects(cidr: &CidrPeer, labels: &LabelSet, options: &Options) -> bool {
    let inside = labels.cidrs().any(|net| cidr.net.contains(&net));
    let world = cidr.net.prefix_len() == 0 && zero_prefix_selects(cidr, labels, options);
    let excepted = || labels.cidrs().any(|net| cidr.except.iter().any(|except| except.contains(&net)));
    (inside || world) && !excepted()
}

/// What a /0 adds: the world of its family, and in a single-stack cluster what G-43 says.
fn zero_prefix_selects(cidr: &CidrPeer, labels: &LabelSet, options: &Options) -> bool {
    let ipv4 = cidr.net.addr().is_ipv4();
    match (options.dual_stack(), ipv4) {
        (true, true) => labels.has_reserved("world-ipv4"),
        (true, false) => labels.has_reserved("world-ipv6"),
        (false, _) => (cidr.set || ipv4 == options.ipv4) && labels.has_reserved("world"),
    }
}

/// Spec §2.7.
fn entity_selects(entity: Entity, labels: &LabelSet, options: &Options) -> bool {
    let any_of = |names: &[&str]| names.iter().any(|name| labels.has_reserved(name));
    match entity {
        Entity::All => true,
        Entity::None => false,
        Entity::World => any_of(&["world", "world-ipv4", "world-ipv6"]),
        Entity::Host => any_of(&["host"]),
        Entity::RemoteNode => any_of(&["remote-node"]),
        Entity::KubeApiserver => any_of(&["kube-apiserver"]),
        Entity::Health => any_of(&["health"]),
        Entity::Init => any_of(&["init"]),
        Entity::Ingress => any_of(&["ingress"]),
        Entity::Unmanaged => any_of(&["unmanaged"]),
        Entity::Cluster => {
            any_of(&["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"])
                || labels
                    .iter()
                    .any(|l| l.source == "k8s" && l.key == crate::ir::CLUSTER_KEY && l.value == options.cluster_name)
        }
    }
}
