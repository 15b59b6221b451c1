//! Cilium's reading: what a resolved cluster lets pass, from the exact verdict functions that tables are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc_abi::identity::IdentityIndex;

use super::outside::{self, World};
use super::pairs::{self, End, Rows};
use super::ports::Transport;
use super::{Connectivity, Party, RuleRef, factored};
use crate::ir::labels::LabelSet;
use crate::ir::options::EnablePolicy;
use crate::ir::{Cluster, Direction, Endpoint, Subject};
use crate::lower::factor::factor;
use crate::resolve::{ClassIndex, DirectionPolicy, Enforcement, Resolved};

/// Addresses that stand for DNS names of which none is known, with the parties of these.
pub type Names = BTreeMap<IpAddr, Party>;

/// Who may talk to whom. Pods of one workload are one party unless labels or names of ports tell them
/// apart; on whatever node they run. `names` are addresses that stand for DNS names.
pub fn connect(cluster: &Cluster, resolved: &Resolved, names: &Names) -> Connectivity {
    let passes = |transport: &Transport| cluster.options.sctp || *transport != Transport::Sctp;
    let transports: Vec<Transport> = Transport::ALL.into_iter().filter(passes).collect();
    let known: Vec<IdentityIndex> = resolved.identities.keys().copied().collect();
    let rows = rows(resolved, &known, &transports);
    let workloads: BTreeMap<Party, Pods> = workloads(cluster, resolved);
    let labels = workloads.iter().filter_map(|(party, pods)| Some((party.clone(), labels(resolved, pods)?)));
    let labels = labels.collect();
    let ends = workloads.into_iter().map(|(party, pods)| {
        let of = |direction| pods.classes.iter().filter_map(|class| rows.get(&(*class, direction)).cloned()).collect();
        // The replicas of a workload talk to each other; one pod alone has nobody to talk to.
        let has_replicas = pods.pods > 1 || !is_pod(&party);
        let (ingress, egress) = (of(Direction::Ingress), of(Direction::Egress));
        (party, End { identity: pods.identity, ingress, egress, has_replicas })
    });
    let ends: BTreeMap<Party, End> = ends.collect();
    let others = outside::parties(&world(cluster, resolved, names));
    let open = factored::constant(&transports, true, BTreeSet::new());
    let pairs = pairs::connect(&ends, &others, &known, &open);
    let others: Vec<Party> = others.into_iter().map(|(party, _)| party).collect();
    Connectivity {
        rules: rules(cluster),
        workloads: ends.into_keys().collect(),
        labels,
        others: Direction::ALL.map(|direction| (direction, others.clone())).into(),
        pairs,
    }
}

fn world<'a>(cluster: &Cluster, resolved: &'a Resolved, names: &'a Names) -> World<'a> {
    let by_name = resolved.endpoints.iter().map(|endpoint| endpoint.identity);
    let addresses = cluster.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let by_address = addresses.filter_map(|address| resolved.addresses.at(*address));
    World {
        ipv4: cluster.options.ipv4.then_some(resolved.addresses.world_ipv4),
        ipv6: cluster.options.ipv6.then_some(resolved.addresses.world_ipv6),
        addresses: resolved.addresses.rows().collect(),
        identities: &resolved.identities,
        endpoints: by_name.chain(by_address).collect(),
        areas: &resolved.areas,
        names,
    }
}

/// Rules by their ids.
fn rules(cluster: &Cluster) -> Vec<RuleRef> {
    let hosts_act = cluster.options.host_firewall && cluster.options.enable_policy != EnablePolicy::Never;
    let reference = |(id, rule): (_, &crate::ir::Rule)| RuleRef {
        object: cluster.policy_of(id).object.clone(),
        path: rule.path.clone(),
        action: Some(rule.action),
        span: rule.span,
        policy: cluster.policy_of(id).span,
        of_hosts: hosts_act && matches!(cluster.policy_of(id).subject, Subject::Nodes(_)),
    };
    cluster.rules().map(reference).collect()
}

/// Pods that nothing but their node tells apart.
#[derive(Debug, Clone)]
struct Pods {
    identity: IdentityIndex,
    /// One for each kind of node that they run on, or may.
    classes: BTreeSet<ClassIndex>,
    pods: usize,
}

impl Pods {
    /// Whether others differ from them in their nodes at most.
    fn are_like(&self, other: &Self, resolved: &Resolved) -> bool {
        let ports = |pods: &Self| {
            let class = pods.classes.first().and_then(|class| resolved.classes.get(class.0 as usize));
            class.map(|class| &class.named_ports)
        };
        self.identity == other.identity && ports(self) == ports(other)
    }
}

fn workloads(cluster: &Cluster, resolved: &Resolved) -> BTreeMap<Party, Pods> {
    let mut by_owner: BTreeMap<Party, Vec<(&Endpoint, Pods)>> = BTreeMap::new();
    for (endpoint, numbers) in cluster.endpoints.iter().zip(&resolved.endpoints) {
        let classes = numbers.classes.values().copied().collect();
        // Rules of tiers may tell its addresses apart (spec §6.4); the first speaks for it, as in a trace.
        let located = endpoint.addresses.iter().find_map(|address| resolved.addresses.at(*address));
        let pods = Pods { identity: located.unwrap_or(numbers.identity), classes, pods: 1 };
        by_owner.entry(party(endpoint, true)).or_default().push((endpoint, pods));
    }
    let mut out: BTreeMap<Party, Pods> = BTreeMap::new();
    for (owner, members) in by_owner {
        match members.as_slice() {
            [(_, first), rest @ ..] if rest.iter().all(|(_, pods)| pods.are_like(first, resolved)) => {
                let classes = members.iter().flat_map(|(_, pods)| &pods.classes).copied().collect();
                out.insert(owner, Pods { pods: members.len(), classes, ..first.clone() });
            }
            // Replicas that differ in what policies see are each their own.
            _ => out.extend(members.into_iter().map(|(endpoint, pods)| (party(endpoint, false), pods))),
        }
    }
    out
}

fn party(endpoint: &Endpoint, owned: bool) -> Party {
    let name = endpoint.name.rsplit('/').next().unwrap_or(&endpoint.name);
    let owner = endpoint.owner.as_ref().filter(|_| owned);
    Party::workload(&endpoint.namespace, name, &endpoint.kind, owner)
}

fn is_pod(party: &Party) -> bool {
    matches!(party, Party::Workload { kind, .. } if kind == "Pod")
}

fn labels(resolved: &Resolved, pods: &Pods) -> Option<LabelSet> {
    resolved.identities.get(&pods.identity).map(|identity| identity.labels.clone())
}

/// By class and direction; classes of one policy share theirs.
type AllRows = BTreeMap<(ClassIndex, Direction), Arc<Rows>>;

fn rows(resolved: &Resolved, known: &[IdentityIndex], transports: &[Transport]) -> AllRows {
    let mut out = AllRows::new();
    let mut by_policy: HashMap<&DirectionPolicy, Arc<Rows>> = HashMap::new();
    for (class, index) in resolved.classes.iter().zip((0..).map(ClassIndex)) {
        for direction in Direction::ALL {
            let policy = class.policy(direction);
            let rows = by_policy.entry(policy).or_insert_with(|| Arc::new(policy_rows(policy, known, transports)));
            out.insert((index, direction), rows.clone());
        }
    }
    out
}

fn policy_rows(policy: &DirectionPolicy, known: &[IdentityIndex], transports: &[Transport]) -> Rows {
    // What is open or in conflict looks nothing up.
    let constant = match (&policy.enforcement, policy.is_open()) {
        (_, true) => Some(true),
        (Enforcement::Conflict, false) => Some(policy.audit),
        (Enforcement::Open | Enforcement::DefaultAllow | Enforcement::DefaultDeny(_), false) => None,
    };
    match constant {
        Some(passes) => Rows::constant(factored::constant(transports, passes, BTreeSet::new())),
        None => factored::rows(&factor(policy, known), known, transports, policy.audit),
    }
}
