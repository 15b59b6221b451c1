//! Which identities a peer selects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ciliumc_abi::identity::IdentityIndex;
use ipnet::IpNet;

use super::places::is_host;
use super::{Identity, PeerSet, Variant, VariantIndex, addresses};
use crate::ir::labels::{LabelSet, Selector};
use crate::ir::options::Options;
use crate::ir::{CidrPeer, CidrSource, Cluster, Entity, Peer, Peers, fqdn};

/// Answers, kept for each variant: most policies of a cluster name the same few peers.
pub struct Resolver<'a> {
    options: &'a Options,
    identities: &'a BTreeMap<IdentityIndex, Identity>,
    variants: &'a [Variant],
    hosts: Arc<[IdentityIndex]>,
    /// Identities by their `cidr` labels: thousands of prefixes must not be compared with one another.
    prefixes: BTreeMap<IpNet, Vec<IdentityIndex>>,
    cache: HashMap<(VariantIndex, &'a Peer), Arc<[IdentityIndex]>>,
    /// The same for conjunctions of `requires`.
    required: HashMap<(VariantIndex, Selector), Arc<[IdentityIndex]>>,
}

impl<'a> Resolver<'a> {
    pub fn new(
        cluster: &'a Cluster,
        identities: &'a BTreeMap<IdentityIndex, Identity>,
        variants: &'a [Variant],
    ) -> Self {
        let hosts = identities.iter().filter(|(_, identity)| is_host(identity.numeric)).map(|(index, _)| *index);
        let mut prefixes: BTreeMap<IpNet, Vec<IdentityIndex>> = BTreeMap::new();
        for (index, identity) in identities {
            for net in identity.labels.cidrs() {
                prefixes.entry(net).or_default().push(*index);
            }
        }
        Self {
            options: &cluster.options,
            identities,
            variants,
            hosts: hosts.collect(),
            prefixes,
            cache: HashMap::new(),
            required: HashMap::new(),
        }
    }

    /// The identities that the peers of a rule select on a node of the variant. Label selectors select `required` ones
    /// only, where there is such a list: no selector is a wildcard then (spec §2.6).
    pub fn select(&mut self, peers: &'a Peers, variant: VariantIndex, required: Option<&[IdentityIndex]>) -> PeerSet {
        let list = match peers {
            Peers::Everyone => return PeerSet::Everyone,
            Peers::Nobody => return PeerSet::These(Arc::new([])),
            Peers::AnyOf(list) => list,
        };
        let is_narrowed = |peer: &Peer| required.is_some() && matches!(peer, Peer::Labels(_));
        if list.iter().any(|peer| is_wildcard(peer) && !is_narrowed(peer)) {
            return PeerSet::Everyone;
        }
        let sets: Vec<Arc<[IdentityIndex]>> = list
            .iter()
            .map(|peer| {
                let selected = self.one(peer, variant);
                match (peer, required) {
                    (Peer::Labels(_), Some(required)) => {
                        selected.iter().copied().filter(|i| required.binary_search(i).is_ok()).collect()
                    }
                    (Peer::Labels(_), None)
                    | (Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) | Peer::Entity(_), _) => {
                        selected
                    }
                }
            })
            .collect();
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

    /// The identities that one peer selects by labels.
    pub fn one(&mut self, peer: &'a Peer, variant: VariantIndex) -> Arc<[IdentityIndex]> {
        if let Some(known) = self.cache.get(&(variant, peer)) {
            return known.clone();
        }
        let is_selected = |labels: &LabelSet| selects(peer, labels, self.options);
        let selected = match peer {
            // A /0 selects by the label of the world too.
            Peer::Cidr(CidrPeer { source: CidrSource::Net(net), .. }) if net.prefix_len() > 0 => {
                let inside = self.inside(net);
                let known = inside.iter().filter_map(|index| self.identities.get_key_value(index));
                self.filter(known, variant, is_selected)
            }
            Peer::Cidr(_) | Peer::Labels(_) | Peer::Entity(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) => {
                self.filter(self.identities.iter(), variant, is_selected)
            }
        };
        self.cache.insert((variant, peer), selected.clone());
        selected
    }

    /// The identities whose labels match, sorted.
    pub fn matching(&mut self, selector: Selector, variant: VariantIndex) -> Arc<[IdentityIndex]> {
        let key = (variant, selector);
        if let Some(known) = self.required.get(&key) {
            return known.clone();
        }
        let matching = self.filter(self.identities.iter(), variant, |labels| key.1.matches(labels));
        self.required.insert(key, matching.clone());
        matching
    }

    /// The local host: every index of it.
    pub fn hosts(&self) -> Arc<[IdentityIndex]> {
        self.hosts.clone()
    }

    fn filter<'i>(
        &self,
        identities: impl Iterator<Item = (&'i IdentityIndex, &'i Identity)>,
        variant: VariantIndex,
        is_selected: impl Fn(&LabelSet) -> bool,
    ) -> Arc<[IdentityIndex]> {
        let host = &self.variants[variant.0 as usize].host_labels;
        identities
            .filter(|(_, identity)| is_selected(if is_host(identity.numeric) { host } else { &identity.labels }))
            .map(|(index, _)| *index)
            .collect()
    }

    /// Every identity that a prefix longer than /0 may select, sorted: those of prefixes inside of it, and the host, whose
    /// labels differ from node to node.
    fn inside(&self, net: &IpNet) -> BTreeSet<IdentityIndex> {
        let first = IpNet::new(net.network(), 0);
        let last = IpNet::new(net.broadcast(), net.max_prefix_len());
        let bounds = first.and_then(|first| Ok(first..=last?)).ok();
        let inside = bounds.into_iter().flat_map(|bounds| self.prefixes.range(bounds));
        self.hosts.iter().chain(inside.flat_map(|(_, indices)| indices)).copied().collect()
    }
}

/// An empty selector matches every identity, known or not: it is the wildcard (spec §4.2).
pub fn is_wildcard(peer: &Peer) -> bool {
    match peer {
        Peer::Labels(selector) => selector.requirements.is_empty(),
        Peer::Entity(entity) => *entity == Entity::All,
        Peer::Cidr(CidrPeer { source: CidrSource::Groups(selector), except, .. }) => {
            selector.requirements.is_empty() && except.is_empty()
        }
        Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) => false,
    }
}

fn selects(peer: &Peer, labels: &LabelSet, options: &Options) -> bool {
    match peer {
        Peer::Labels(selector) => selector.matches(labels),
        Peer::Cidr(cidr) => cidr_selects(cidr, labels, options),
        Peer::Entity(entity) => entity_selects(*entity, labels, options),
        Peer::Nodes(selector) => labels.has_reserved("remote-node") && selector.matches(labels),
        Peer::Fqdn(selector) => labels.iter().any(|l| l.source == "fqdn" && l.key == fqdn::text(selector)),
        Peer::Network(_) => false,
    }
}

/// Spec §2.8.
fn cidr_selects(cidr: &CidrPeer, labels: &LabelSet, options: &Options) -> bool {
    let selected = match &cidr.source {
        CidrSource::Net(net) => {
            let world = net.prefix_len() == 0 && zero_prefix_selects(net, cidr.set, labels, options);
            world || labels.cidrs().any(|inner| net.contains(&inner))
        }
        CidrSource::Group(name) => labels.iter().any(|label| addresses::is_of_group(label, name)),
        CidrSource::Groups(selector) => selector.matches(labels),
    };
    let excepted = || labels.cidrs().any(|net| cidr.except.iter().any(|except| except.contains(&net)));
    selected && !excepted()
}

/// What a /0 adds: the world of its family, and in a single-stack cluster what G-43 says.
fn zero_prefix_selects(net: &IpNet, set: bool, labels: &LabelSet, options: &Options) -> bool {
    let ipv4 = net.addr().is_ipv4();
    match (options.dual_stack(), ipv4) {
        (true, true) => labels.has_reserved("world-ipv4"),
        (true, false) => labels.has_reserved("world-ipv6"),
        (false, _) => (set || ipv4 == options.ipv4) && labels.has_reserved("world"),
    }
}

/// Spec §2.7.
fn entity_selects(entity: Entity, labels: &LabelSet, options: &Options) -> bool {
    let in_cluster = || {
        labels.iter().any(|l| l.source == "k8s" && l.key == crate::ir::CLUSTER_KEY && l.value == options.cluster_name)
    };
    entity == Entity::All
        || reserved_names(entity).iter().any(|name| labels.has_reserved(name))
        || entity == Entity::Cluster && in_cluster()
}

/// Reserved labels that an entity stands for; `cluster` is also the pods of the local cluster, `all` everyone.
pub fn reserved_names(entity: Entity) -> &'static [&'static str] {
    match entity {
        Entity::All | Entity::None => &[],
        Entity::WorldIpv4 => &["world-ipv4"],
        Entity::WorldIpv6 => &["world-ipv6"],
        Entity::World => &["world", "world-ipv4", "world-ipv6"],
        Entity::Host => &["host"],
        Entity::RemoteNode => &["remote-node"],
        Entity::KubeApiserver => &["kube-apiserver"],
        Entity::Health => &["health"],
        Entity::Init => &["init"],
        Entity::Ingress => &["ingress"],
        Entity::Unmanaged => &["unmanaged"],
        Entity::Cluster => &["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"],
    }
}
