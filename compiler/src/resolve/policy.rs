//! The policy of one class: which rules select it, and what they say with numbers in place of names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ciliumc_abi::identity::{IdentityIndex, reserved};

use super::label_filter::LabelFilter;
use super::merge::{self, Conflict};
use super::peers::Resolver;
use super::requires::Requires;
use super::tiers::Tiers;
use super::{Attributes, Class, DirectionPolicy, Enforcement, L4Filter, L4Match, PeerSet, Resolved, VariantIndex};
use crate::diag::{Code, Diagnostic, Span};
use crate::ir::labels::{LabelSet, Selector};
use crate::ir::options::EnablePolicy;
use crate::ir::{
    Cluster, Direction, NamedPort, Peer, Peers, Policy, PolicyIndex, Port, Ports, Protocol, Rule, RuleAction, RuleId,
    Subject,
};

/// What makes a class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassKey {
    pub identity: IdentityIndex,
    pub namespace: String,
    pub named_ports: BTreeSet<NamedPort>,
    pub variant: VariantIndex,
}

/// Numbers behind each port name, over all endpoints.
pub type AllNamedPorts = BTreeMap<(String, Protocol), BTreeSet<u16>>;

/// A named port that no endpoint it matters for can resolve: (rule, name).
pub type Unresolved = BTreeSet<(RuleId, String, Span)>;

/// Egress looks a name up among the ports of all pods (spec §2.11).
pub fn all_named_ports(cluster: &Cluster) -> AllNamedPorts {
    let mut out = AllNamedPorts::new();
    for port in cluster.endpoints.iter().flat_map(|e| &e.named_ports) {
        out.entry((port.name.clone(), port.protocol)).or_default().insert(port.port);
    }
    out
}

/// Policies of the regular tier of each namespace, and those of the whole cluster under `None`: a class looks at few of
/// many.
pub type ByNamespace<'a> = BTreeMap<Option<&'a str>, Vec<PolicyIndex>>;

/// Finds the policies of each namespace.
pub fn by_namespace(cluster: &Cluster) -> ByNamespace<'_> {
    let mut out = ByNamespace::new();
    for (policy, index) in cluster.policies.iter().zip(0..).filter(|(policy, _)| policy.tier.is_none()) {
        out.entry(policy.namespace.as_deref()).or_default().push(PolicyIndex(index));
    }
    out
}

/// Builds a class, without its tiers. With a conflict in either direction neither has a policy.
pub fn class<'a>(
    cluster: &'a Cluster,
    policies: &ByNamespace<'_>,
    key: ClassKey,
    labels: &LabelSet,
    all_ports: &AllNamedPorts,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> (Class, Vec<Conflict>) {
    let is_host = key.identity.0 == reserved::HOST;
    let near = [None, Some(key.namespace.as_str())].into_iter().filter_map(|namespace| policies.get(&namespace));
    let mut selecting: Vec<PolicyIndex> =
        near.flatten().copied().filter(|index| applies(&cluster.policies[index.0 as usize], is_host, labels)).collect();
    selecting.sort_unstable();
    let own_ports = {
        let mut out = AllNamedPorts::new();
        for port in &key.named_ports {
            out.entry((port.name.clone(), port.protocol)).or_default().insert(port.port);
        }
        out
    };
    let mut conflicts = Vec::new();
    let mut direction = |direction: Direction| {
        let ports = match direction {
            Direction::Ingress => &own_ports,
            Direction::Egress => all_ports,
        };
        let rules: Vec<(RuleId, &Rule)> = selecting
            .iter()
            .flat_map(|policy| cluster.rules_of(*policy))
            .filter(|(_, rule)| rule.direction == direction)
            .collect();
        let policy = direction_policy(cluster, direction, &rules, &key, labels, ports, peers, unresolved);
        if policy.enforcement != Enforcement::Open {
            conflicts.extend(merge::conflicts(&rules));
        }
        policy
    };
    let (mut ingress, mut egress) = (direction(Direction::Ingress), direction(Direction::Egress));
    if !conflicts.is_empty() {
        let none = || DirectionPolicy {
            enforcement: Enforcement::Conflict,
            filters: Vec::new(),
            tiers: Tiers::default(),
            audit: false,
        };
        (ingress, egress) = (none(), none());
    }
    let class = Class {
        identity: key.identity,
        namespace: key.namespace,
        named_ports: key.named_ports,
        variant: key.variant,
        ingress,
        egress,
    };
    (class, conflicts)
}

/// Builds the class of the host of a node variant. Without the host firewall everything passes there (spec §3.1), and
/// tiers are never about it (spec §6.1).
pub fn host<'a>(
    cluster: &'a Cluster,
    policies: &ByNamespace<'_>,
    variant: VariantIndex,
    labels: &LabelSet,
    all_ports: &AllNamedPorts,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> (Class, Vec<Conflict>) {
    let identity = IdentityIndex(reserved::HOST);
    // The host is in no namespace and has no container ports, so it resolves no name on ingress.
    let key = ClassKey { identity, namespace: String::new(), named_ports: BTreeSet::new(), variant };
    if cluster.options.host_firewall {
        return class(cluster, policies, key, labels, all_ports, peers, unresolved);
    }
    let ClassKey { identity, namespace, named_ports, variant } = key;
    let open = || DirectionPolicy::open(cluster.options.audit);
    (Class { identity, namespace, named_ports, variant, ingress: open(), egress: open() }, Vec::new())
}

/// Whether a host policy selects some nodes and not all, by what they have besides `reserved:host`.
pub fn asks_node_labels(cluster: &Cluster) -> bool {
    let asks = |selector: &Selector| selector.requirements.iter().any(|r| r.source.as_deref() != Some("reserved"));
    cluster.policies.iter().any(|policy| match &policy.subject {
        Subject::Nodes(selector) => asks(selector),
        Subject::Endpoints(_) => false,
    })
}

/// The policies that select the endpoints of a class, or the host, of every tier.
pub fn selecting<'c>(
    cluster: &'c Cluster,
    resolved: &'c Resolved,
    class: &'c Class,
) -> impl Iterator<Item = PolicyIndex> + 'c {
    let (labels, is_host) = (resolved.subject_labels(class), class.is_host());
    let is_near = |policy: &Policy| policy.namespace.as_ref().is_none_or(|namespace| *namespace == class.namespace);
    let policies = cluster.policies.iter().zip(0..);
    policies
        .filter(move |(policy, _)| is_near(policy) && labels.is_some_and(|labels| applies(policy, is_host, labels)))
        .map(|(_, index)| PolicyIndex(index))
}

/// Spec §0.7, for an endpoint in the policy's namespace, or for a host.
pub(super) fn applies(policy: &Policy, is_host: bool, labels: &LabelSet) -> bool {
    match (&policy.subject, is_host) {
        (Subject::Endpoints(selector), false) | (Subject::Nodes(selector), true) => selector.matches(labels),
        (Subject::Endpoints(_), true) | (Subject::Nodes(_), false) => false,
    }
}

#[expect(clippy::too_many_arguments, reason = "the inputs of one formula; a struct would only rename them")]
fn direction_policy<'a>(
    cluster: &'a Cluster,
    direction: Direction,
    rules: &[(RuleId, &'a Rule)],
    key: &ClassKey,
    labels: &LabelSet,
    ports: &AllNamedPorts,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> DirectionPolicy {
    let audit = cluster.options.audit;
    let enforcement = enforcement(cluster, direction, rules, labels);
    if enforcement == Enforcement::Open {
        return DirectionPolicy::open(audit);
    }
    let mut filters = Vec::new();
    // Spec §3.4: an ordinary allow for the local host, towards the endpoint only, and none in the host's own map (§2.3).
    let is_host = key.identity.0 == reserved::HOST;
    if direction == Direction::Ingress && cluster.options.allow_localhost && !is_host {
        filters.push(L4Filter {
            rule: None,
            action: RuleAction::Allow,
            peers: PeerSet::These(peers.hosts()),
            l4: L4Match::All,
            attributes: None,
        });
    }
    let requires = Requires::new(cluster, rules, peers, key.variant);
    for &(id, rule) in rules {
        let selected = peers.select(&rule.peers, key.variant, requires.of(cluster, id));
        if matches!(&selected, PeerSet::These(list) if list.is_empty()) {
            continue;
        }
        for (l4, attributes) in l4_matches(id, rule, ports, unresolved) {
            filters.push(L4Filter { rule: Some(id), action: rule.action, peers: selected.clone(), l4, attributes });
        }
    }
    DirectionPolicy { enforcement, filters, tiers: Tiers::default(), audit }
}

/// Spec §3.1, §3.2.
fn enforcement(cluster: &Cluster, direction: Direction, rules: &[(RuleId, &Rule)], labels: &LabelSet) -> Enforcement {
    let policy_of = |rule: &Rule| &cluster.policies[rule.policy.0 as usize];
    let mut isolating: Vec<RuleId> = Vec::new();
    let mut last = None;
    for (id, rule) in rules {
        // The first rule of each isolating policy stands for it.
        if policy_of(rule).default_deny.of(direction) && last != Some(rule.policy) {
            isolating.push(*id);
            last = Some(rule.policy);
        }
    }
    match cluster.options.enable_policy {
        EnablePolicy::Never => Enforcement::Open,
        EnablePolicy::Always => Enforcement::DefaultDeny(isolating),
        EnablePolicy::Default if labels.has_reserved("init") => Enforcement::DefaultDeny(isolating),
        EnablePolicy::Default if rules.is_empty() => Enforcement::Open,
        EnablePolicy::Default if isolating.is_empty() => Enforcement::DefaultAllow,
        EnablePolicy::Default => Enforcement::DefaultDeny(isolating),
    }
}

/// Ports with what their allow asks for.
type Attributed = (L4Match, Option<Arc<Attributes>>);

fn l4_matches(id: RuleId, rule: &Rule, ports: &AllNamedPorts, unresolved: &mut Unresolved) -> Vec<Attributed> {
    // A deny has no attributes (spec §4.4).
    let auth = rule.auth.filter(|_| rule.action == RuleAction::Allow);
    let list = match &rule.ports {
        Ports::All => return vec![(L4Match::All, Attributes::new(None, auth))],
        Ports::AnyOf(list) => list,
    };
    let mut out = Vec::new();
    for matched in list {
        let mut push = |l4| {
            let attributes = Attributes::of(matched, auth).filter(|_| rule.action == RuleAction::Allow);
            out.push((l4, attributes));
        };
        match &matched.port {
            Port::Range { protocol, first, last } => {
                push(L4Match::Ports { protocol: *protocol, first: *first, last: *last });
            }
            Port::Icmp(icmp_type) => push(L4Match::Icmp(*icmp_type)),
            Port::Icmp6(icmp_type) => push(L4Match::Icmp6(*icmp_type)),
            // Of the other tiers.
            Port::NamedAtPeer { .. } => {}
            Port::Named { protocol, name, span } => {
                let numbers = ports.get(&(name.clone(), *protocol));
                match numbers.and_then(|n| if n.len() == 1 { n.first() } else { None }) {
                    Some(&port) => push(L4Match::Ports { protocol: *protocol, first: port, last: port }),
                    // Unknown or ambiguous: no entry at all, whether it allows or denies.
                    None => {
                        unresolved.insert((id, name.clone(), *span));
                    }
                }
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// W-209, once for each place.
pub fn warn_unresolved(cluster: &Cluster, unresolved: &Unresolved, diagnostics: &mut Vec<Diagnostic>) {
    let places: BTreeSet<_> = unresolved.iter().map(|(id, name, span)| (*span, name, *id)).collect();
    let mut last = None;
    for (span, name, id) in places {
        if last.replace(span) == Some(span) {
            continue;
        }
        let effect = match cluster.rule(id).action {
            RuleAction::Allow => "allows",
            RuleAction::Deny => "denies",
            RuleAction::Pass => "passes",
        };
        let message =
            format!("port name `{name}` is unknown, ambiguous or of another protocol for a selected endpoint");
        let hint = format!("there the rule {effect} nothing; write the number, or name the container port");
        let object = cluster.policy_of(id).object.clone();
        diagnostics.push(Diagnostic::warning(Code("W-209"), span, message).hint(hint).object(object));
    }
}

/// W-501: a selector key that is no part of any identity.
pub fn warn_filtered_keys<'c>(
    cluster: &'c Cluster,
    filter: &LabelFilter,
    node_filter: &LabelFilter,
    diagnostics: &mut Vec<Diagnostic>,
) {
    // Thousands of selectors use the same few keys, and the filters are lists of regular expressions.
    let mut known: HashMap<(bool, &str), bool> = HashMap::new();
    let mut warn = |policy: &Policy, selector: &'c Selector| {
        for requirement in &selector.requirements {
            let Some(span) = requirement.span else { continue };
            let of_node = requirement.source.as_deref() == Some("node");
            if !of_node && !requirement.is_k8s_or_any() {
                continue;
            }
            let kept = known.entry((of_node, &requirement.key)).or_insert_with(|| match of_node {
                true => node_filter.keeps("node", &requirement.key),
                false => filter.keeps("k8s", &requirement.key),
            });
            if !*kept {
                let option = if of_node { "node-labels" } else { "labels" };
                let message =
                    format!("label `{}` is not part of identities, so it can never be selected", requirement.key);
                let hint = format!("select by another label, or keep this one with the option `{option}`");
                let object = policy.object.clone();
                diagnostics.push(Diagnostic::warning(Code("W-501"), span, message).hint(hint).object(object));
            }
        }
    };
    for policy in &cluster.policies {
        match &policy.subject {
            Subject::Endpoints(selector) | Subject::Nodes(selector) => warn(policy, selector),
        }
    }
    for rule in &cluster.rules {
        let policy = &cluster.policies[rule.policy.0 as usize];
        rule.requires.iter().for_each(|selector| warn(policy, selector));
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        for peer in peers {
            match peer {
                Peer::Labels(selector) => warn(policy, selector),
                // A tier asks the labels of Node objects, which are no identities.
                Peer::Nodes(selector) if policy.tier.is_none() => warn(policy, selector),
                Peer::Nodes(_) | Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Network(_) | Peer::Entity(_) => {}
            }
        }
    }
}
