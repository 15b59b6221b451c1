//! Selectors to identities, rules to each endpoint's policy.
//!
//! In: an [`ir::Cluster`](crate::ir::Cluster) that passed `ir::verify`. Out: a [`Resolved`].
//!
//! **Invariant:** this is the last module to see a label. What comes after knows identity indices only.

mod addresses;
mod attributes;
mod crossing;
mod label_filter;
pub mod lock;
mod merge;
mod peers;
mod places;
mod policy;
mod requires;
pub mod text;
mod tiers;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc_abi::identity::{IdentityIndex, NumericIdentity, reserved};
use ipnet::IpNet;

pub use addresses::AddressTable;
pub use attributes::{Attributes, AuthType, Items, Parser, Redirect, Ruleset, TlsTerms};
pub use lock::{Lock, LockError};
pub use places::{Area, AreaIndex, Place, area_text};
pub use policy::selecting;
pub use tiers::{TierRule, Tiers};

use crate::diag::Diagnostic;
use crate::ir::labels::{Label, LabelSet};
use crate::ir::{
    CLUSTER_KEY, Cluster, Direction, EndpointIndex, NAMESPACE_KEY, NAMESPACE_LABELS, NamedPort, Protocol, RuleAction,
    RuleId,
};
use label_filter::LabelFilter;
use places::{Named, Places};

/// Position in [`Resolved::classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassIndex(pub u32);

/// Whose policy: a class of endpoints, or the host of a node variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Endpoints of a class.
    Class(ClassIndex),
    /// The host of nodes of a variant.
    Host(VariantIndex),
}

/// Position in [`Resolved::variants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariantIndex(pub u32);

/// Everything with numbers.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Identities, by index: the reserved ones, then those in use.
    pub identities: BTreeMap<IdentityIndex, Identity>,
    /// The lock with every identity of this input in it.
    pub lock: Lock,
    /// Address → identity, as every node sees it but for its own addresses.
    pub addresses: AddressTable,
    /// What rules of tiers name by address.
    pub areas: Vec<Area>,
    /// Own addresses of nodes that are not index 1 to themselves, but another index of the host.
    pub host_indices: BTreeMap<IpAddr, IdentityIndex>,
    /// Distinct label sets of the host, sorted.
    pub variants: Vec<Variant>,
    /// Variant of each node, in the order of [`Cluster::nodes`].
    pub node_variants: Vec<VariantIndex>,
    /// Classes, sorted.
    pub classes: Vec<Class>,
    /// Policy of the host of each variant, in the order of `variants`: open without the host firewall (spec §3.1).
    pub hosts: Vec<Class>,
    /// Whether some host policy selects nodes by their labels: of a node without known labels nobody knows its policy then.
    pub host_labels_matter: bool,
    /// By [`EndpointIndex`]: identity and classes.
    pub endpoints: Vec<ResolvedEndpoint>,
}

/// One identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Number in Cilium's encoding.
    pub numeric: NumericIdentity,
    /// Labels. Those of the host differ from node to node: see [`Variant::host_labels`].
    pub labels: LabelSet,
    /// Where its addresses lie, for rules of tiers: several indices of one number differ in this alone.
    pub place: Place,
}

/// What a kind of node sees in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Labels of identity 1.
    pub host_labels: LabelSet,
}

/// What endpoints share: identity, namespace, own named ports, and node variant. The host of a variant has one too,
/// without namespace and ports.
#[derive(Debug, Clone)]
pub struct Class {
    /// Identity.
    pub identity: IdentityIndex,
    /// Namespace: namespaced policies of others never apply.
    pub namespace: String,
    /// Own ports that have a name.
    pub named_ports: BTreeSet<NamedPort>,
    /// Node variant.
    pub variant: VariantIndex,
    /// Policy towards the endpoint.
    pub ingress: DirectionPolicy,
    /// Policy from the endpoint.
    pub egress: DirectionPolicy,
}

impl Class {
    /// Whether it is the host of its variant.
    pub fn is_host(&self) -> bool {
        self.identity.0 == reserved::HOST
    }

    /// One direction.
    pub fn policy(&self, direction: Direction) -> &DirectionPolicy {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// An endpoint with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedEndpoint {
    /// Identity.
    pub identity: IdentityIndex,
    /// Class for each variant it can run on.
    pub classes: BTreeMap<VariantIndex, ClassIndex>,
}

/// Whether a direction is enforced (spec §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// No: everything passes, denies included.
    Open,
    /// Yes, but what nothing matches passes (`enableDefaultDeny: false` in every rule).
    DefaultAllow,
    /// Yes, and what nothing matches is dropped: because of the first rule of each of these policies.
    DefaultDeny(Vec<RuleId>),
    /// Rules of the endpoint exclude each other, so neither direction has a policy (spec §2.14). Nothing passes.
    Conflict,
}

/// One direction of a class: all that a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectionPolicy {
    /// Whether it is enforced.
    pub enforcement: Enforcement,
    /// Filters of the regular tier, by rule.
    pub filters: Vec<L4Filter>,
    /// The tiers around it.
    pub tiers: Tiers,
    /// `policy-audit-mode`: what policy would drop passes and is reported.
    pub audit: bool,
}

impl DirectionPolicy {
    /// Nothing is enforced.
    pub fn open(audit: bool) -> Self {
        Self { enforcement: Enforcement::Open, filters: Vec::new(), tiers: Tiers::default(), audit }
    }

    /// Whether everything passes: nothing is looked up then, and what is unknown passes too. A rule of a tier that
    /// denies ends that for everyone who is unknown, since nobody can tell that it is not about them.
    pub fn is_open(&self) -> bool {
        self.enforcement == Enforcement::Open && !self.tiers.deny()
    }
}

/// Peers and ports with an action. Any matching deny wins; otherwise the matching allows decide by their attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct L4Filter {
    /// The rule it comes from; none for the local host's implicit allow (spec §3.4).
    pub rule: Option<RuleId>,
    /// Allow or deny.
    pub action: RuleAction,
    /// Who.
    pub peers: PeerSet,
    /// Where to.
    pub l4: L4Match,
    /// What an allow asks for; `None` for a deny and for a plain allow.
    pub attributes: Option<Arc<Attributes>>,
}

/// Who a filter is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerSet {
    /// Every known identity.
    Everyone,
    /// These, sorted.
    These(Arc<[IdentityIndex]>),
}

impl PeerSet {
    /// Whether an identity is among them.
    pub fn contains(&self, index: IdentityIndex) -> bool {
        match self {
            Self::Everyone => true,
            Self::These(list) => list.binary_search(&index).is_ok(),
        }
    }
}

/// Where a filter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4Match {
    /// Every protocol and port, ICMP included.
    All,
    /// Destination ports, inclusive.
    Ports {
        /// Protocol.
        protocol: Protocol,
        /// First.
        first: u16,
        /// Last.
        last: u16,
    },
    /// ICMP type; 0 is every type (G-40).
    Icmp(u8),
    /// ICMPv6 type; 0 is every type (G-40).
    Icmp6(u8),
}

/// Resolves a cluster. `lock` holds the numbers given before; diagnostics get what only shows here.
pub fn resolve(cluster: &Cluster, mut lock: Lock, diagnostics: &mut Vec<Diagnostic>) -> Result<Resolved, ResolveError> {
    let filter = LabelFilter::new(&cluster.options.labels)?;
    let node_filter = LabelFilter::nodes(&cluster.options.node_labels)?;
    let outside = addresses::Outside::new(cluster);
    let host_labels: Vec<LabelSet> =
        cluster.nodes.iter().map(|n| addresses::host_labels(cluster, &outside, n, &filter)).collect();
    let mut variants: BTreeSet<LabelSet> = host_labels.iter().cloned().collect();
    if variants.is_empty() {
        variants.insert(LabelSet::from_iter([Label::reserved("host")]));
    }
    let variants: Vec<Variant> = variants.into_iter().map(|host_labels| Variant { host_labels }).collect();
    let variant_of = |labels: &LabelSet| variants.iter().position(|v| v.host_labels == *labels).unwrap_or(0) as u32;
    let node_variants: Vec<VariantIndex> = host_labels.iter().map(|l| VariantIndex(variant_of(l))).collect();

    let endpoint_labels: Vec<LabelSet> =
        cluster.endpoints.iter().map(|e| endpoint_labels(cluster, e, &filter)).collect();
    let named = Named::new(cluster);
    let mut rows = addresses::rows(cluster, &outside, &node_filter, &endpoint_labels);

    let mut wanted: BTreeMap<String, LabelSet> = BTreeMap::new();
    for labels in endpoint_labels.iter().chain(rows.values()) {
        if fixed_number(labels).is_none() {
            wanted.insert(labels.canonical(), labels.clone());
        }
    }
    let numbers = lock.allocate(&wanted, cluster.options.cluster_id)?;
    let places = Places::new(cluster, &named, &mut rows, &mut lock)?;
    let index_of = |labels: &LabelSet| match fixed_number(labels) {
        Some(number) => IdentityIndex(number),
        None => numbers[&labels.canonical()].0,
    };
    let index_at = |net: IpNet, labels: &LabelSet| places.index_at(labels, net).unwrap_or_else(|| index_of(labels));

    let mut identities = reserved_identities();
    for (text, labels) in &wanted {
        let (index, numeric) = numbers[text];
        identities.insert(index, Identity { numeric, labels: labels.clone(), place: Place::new() });
    }
    for identity in identities.values_mut() {
        identity.place = places.first(&identity.labels);
    }
    for (index, labels, place) in places.others() {
        let Some(numeric) = identities.get(&index_of(labels)).map(|identity| identity.numeric) else { continue };
        identities.insert(index, Identity { numeric, labels: labels.clone(), place: place.clone() });
    }
    let addresses =
        AddressTable::new(&cluster.options, rows.iter().map(|(net, labels)| (*net, index_at(*net, labels))));

    let located: BTreeSet<IdentityIndex> = addresses.rows().map(|(_, index)| index).collect();
    let unlocated = places::unlocated(cluster, endpoint_labels.iter().map(index_of), &located);
    let mut peers = peers::Resolver::new(cluster, &identities, &variants);
    let mut tiers = tiers::Resolver::new(cluster, &named, &identities, unlocated);
    let mut plan: BTreeMap<policy::ClassKey, Vec<(EndpointIndex, VariantIndex)>> = BTreeMap::new();
    for (n, endpoint) in cluster.endpoints.iter().enumerate() {
        let runs_on: Vec<VariantIndex> = match endpoint.node {
            Some(node) => vec![node_variants[node.0 as usize]],
            None => (0..variants.len() as u32).map(VariantIndex).collect(),
        };
        for variant in runs_on {
            let key = policy::ClassKey {
                identity: index_of(&endpoint_labels[n]),
                namespace: endpoint.namespace.clone(),
                named_ports: endpoint.named_ports.clone(),
                variant,
            };
            plan.entry(key).or_default().push((EndpointIndex(n as u32), variant));
        }
    }
    let mut endpoints: Vec<ResolvedEndpoint> = endpoint_labels
        .iter()
        .map(|labels| ResolvedEndpoint { identity: index_of(labels), classes: BTreeMap::new() })
        .collect();
    let policies = policy::by_namespace(cluster);
    let all_ports = policy::all_named_ports(cluster);
    let mut classes = Vec::new();
    // By endpoint: its classes differ in the node's variant alone, which no conflict depends on.
    let mut conflicting: BTreeMap<EndpointIndex, Vec<merge::Conflict>> = BTreeMap::new();
    let mut unresolved = BTreeSet::new();
    for (key, members) in plan {
        let class = ClassIndex(classes.len() as u32);
        let labels = &identities[&key.identity].labels;
        let (mut policy, conflicts) =
            policy::class(cluster, &policies, key, labels, &all_ports, &mut peers, &mut unresolved);
        tiers.add_to(&mut policy, labels, &mut peers, &mut unresolved);
        classes.push(policy);
        for (endpoint, variant) in members {
            endpoints[endpoint.0 as usize].classes.insert(variant, class);
            conflicting.entry(endpoint).or_insert_with(|| conflicts.clone());
        }
    }
    for (endpoint, conflicts) in conflicting {
        let endpoint = &cluster.endpoints[endpoint.0 as usize];
        merge::report(cluster, &merge::endpoint_object(endpoint), Some(endpoint.span), &conflicts, diagnostics);
    }
    let mut hosts = Vec::new();
    for (variant, of_host) in (0..).map(VariantIndex).zip(&variants) {
        let (host, conflicts) =
            policy::host(cluster, &policies, variant, &of_host.host_labels, &all_ports, &mut peers, &mut unresolved);
        hosts.push(host);
        if conflicts.is_empty() {
            continue;
        }
        for (node, _) in cluster.nodes.iter().zip(&node_variants).filter(|(_, of)| **of == variant) {
            merge::report(cluster, &merge::node_object(&node.name), None, &conflicts, diagnostics);
        }
        if cluster.nodes.is_empty() {
            merge::report(cluster, &merge::node_object("host"), None, &conflicts, diagnostics);
        }
    }
    tiers::warn_ties(cluster, &classes, diagnostics);
    crossing::warn(cluster, classes.iter().chain(&hosts), diagnostics);
    policy::warn_unresolved(cluster, &unresolved, diagnostics);
    policy::warn_filtered_keys(cluster, &filter, &node_filter, diagnostics);

    let host_indices = places.host_indices(cluster);
    let areas = named.areas.clone();
    let host_labels_matter = policy::asks_node_labels(cluster);
    Ok(Resolved {
        host_labels_matter,
        identities,
        lock,
        addresses,
        areas,
        host_indices,
        variants,
        node_variants,
        classes,
        hosts,
        endpoints,
    })
}

/// Why a cluster cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The lock is full.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A label filter pattern that `ir` should have refused.
    #[error("label filter: {0}")]
    LabelFilter(#[from] regex::Error),
}

impl Resolved {
    /// Whoever has a policy, with it.
    pub fn class(&self, holder: Holder) -> &Class {
        match holder {
            Holder::Class(class) => &self.classes[class.0 as usize],
            Holder::Host(variant) => &self.hosts[variant.0 as usize],
        }
    }

    /// The labels that selectors of subjects are held against.
    pub fn subject_labels(&self, class: &Class) -> Option<&LabelSet> {
        match class.is_host() {
            true => self.variants.get(class.variant.0 as usize).map(|variant| &variant.host_labels),
            false => self.identities.get(&class.identity).map(|identity| &identity.labels),
        }
    }

    /// Identity of an address, seen from a node whose own addresses are given.
    pub fn identity_of(&self, address: IpAddr, own: &BTreeSet<IpAddr>) -> IdentityIndex {
        if own.contains(&address) {
            return self.host_indices.get(&address).copied().unwrap_or(IdentityIndex(reserved::HOST));
        }
        self.addresses.lookup(address)
    }
}

/// Spec §5.1: labels of a pod, then the filter.
fn endpoint_labels(cluster: &Cluster, endpoint: &crate::ir::Endpoint, filter: &LabelFilter) -> LabelSet {
    let mut derived: BTreeMap<String, String> = BTreeMap::from([
        (NAMESPACE_KEY.into(), endpoint.namespace.clone()),
        (CLUSTER_KEY.into(), cluster.options.cluster_name.clone()),
    ]);
    if !endpoint.service_account.is_empty() {
        derived.insert("io.cilium.k8s.policy.serviceaccount".into(), endpoint.service_account.clone());
    }
    for (key, value) in &cluster.namespaces[&endpoint.namespace] {
        derived.insert(format!("{NAMESPACE_LABELS}{key}"), value.clone());
    }
    let own = endpoint
        .labels
        .iter()
        .filter(|(key, _)| !key.starts_with("io.cilium.k8s") && !derived.contains_key(*key))
        .map(|(key, value)| Label::k8s(key, value));
    let derived = derived.iter().map(|(key, value)| Label::k8s(key, value));
    let labels = filter.filter(own.chain(derived));
    // An endpoint of which nothing is known is initialising (spec §5.4).
    if labels.is_empty() { LabelSet::from_iter([Label::reserved("init")]) } else { labels }
}

/// The reserved identities of spec §4.6, by number.
fn reserved_identities() -> BTreeMap<IdentityIndex, Identity> {
    let table: [(u32, &[&str]); 10] = [
        (reserved::HOST, &["host"]),
        (reserved::WORLD, &["world"]),
        (reserved::UNMANAGED, &["unmanaged"]),
        (reserved::HEALTH, &["health"]),
        (reserved::INIT, &["init"]),
        (reserved::REMOTE_NODE, &["remote-node"]),
        (reserved::KUBE_APISERVER, &["kube-apiserver", "remote-node"]),
        (reserved::INGRESS, &["ingress"]),
        (reserved::WORLD_IPV4, &["world-ipv4"]),
        (reserved::WORLD_IPV6, &["world-ipv6"]),
    ];
    let identity = |(number, names): (u32, &[&str])| {
        let labels = names.iter().map(|name| Label::reserved(name)).collect();
        (IdentityIndex(number), Identity { numeric: NumericIdentity(number), labels, place: Place::new() })
    };
    table.into_iter().map(identity).collect()
}

/// The reserved number of a label set that has one.
fn fixed_number(labels: &LabelSet) -> Option<u32> {
    if !labels.iter().all(|label| label.source == "reserved") {
        return None;
    }
    reserved_identities().into_iter().find(|(_, identity)| identity.labels == *labels).map(|(index, _)| index.0)
}
