//! The policy of one class: which rules select it, and what they say with numbers in place of names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ciliumc_abi::identity::{IdentityIndex, reserved};

use super::label_filter::LabelFilter;
use super::peers::Resolver;
use super::{Class, DirectionPolicy, Enforcement, L4Filter, L4Match, PeerSet, VariantIndex};
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

/// Policies of each namespace, and those of the whole cluster under `None`: a class looks at few of many.
pub type ByNamespace<'a> = BTreeMap<Option<&'a str>, Vec<PolicyIndex>>;

/// Finds the policies of each namespace.
pub fn by_namespace(cluster: &Cluster) -> ByNamespace<'_> {
    let mut out = ByNamespace::new();
    for (policy, index) in cluster.policies.iter().zip(0..) {
        out.entry(policy.namespace.as_deref()).or_default().push(PolicyIndex(index));
    }
    out
}

/// Builds a class.
pub fn class<'a>(
    cluster: &'a Cluster,
    policies: &ByNamespace<'_>,
    key: ClassKey,
    labels: &LabelSet,
    all_ports: &AllNamedPorts,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> Class {
    let near = [None, Some(key.namespace.as_str())].into_iter().filter_map(|namespace| policies.get(&namespace));
    let mut selecting: Vec<PolicyIndex> =
        near.flatten().copied().filter(|index| applies(&cluster.policies[index.0 as usize], labels)).collect();
    selecting.sort_unstable();
    let own_ports = {
        let mut out = AllNamedPorts::new();
        for port in &key.named_ports {
            out.entry((port.name.clone(), port.protocol)).or_default().insert(port.port);
        }
        out
    };
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
        direction_policy(cluster, direction, &rules, &key, labels, ports, peers, unresolved)
    };
    let (ingress, egress) = (direction(Direction::Ingress), direction(Direction::Egress));
    Class {
        identity: key.identity,
        namespace: key.namespace,
        named_ports: key.named_ports,
        variant: key.variant,
        ingress,
        egress,
    }
}

/// Spec §0.7, for an endpoint in the policy's namespace.
fn applies(policy: &Policy, labels: &LabelSet) -> bool {
    match &policy.subject {
        Subject::Endpoints(selector) => selector.matches(labels),
        Subject::Nodes(_) => false,
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
        return DirectionPolicy { enforcement, filters: Vec::new(), audit };
    }
    let mut filters = Vec::new();
    // Spec §3.4: an ordinary allow for the local host, towards the endpoint only.
    if direction == Direction::Ingress && cluster.options.allow_localhost {
        filters.push(L4Filter {
            rule: None,
            action: RuleAction::Allow,
            peers: PeerSet::These([IdentityIndex(reserved::HOST)].into()),
            l4: L4Match::All,
        });
    }
    for &(id, rule) in rules {
        let selected = peers.select(&rule.peers, key.variant);
        if matches!(&selected, PeerSet::These(list) if list.is_empty()) {
            continue;
        }
        for l4 in l4_matches(id, rule, ports, unresolved) {
            filters.push(L4Filter { rule: Some(id), action: rule.action, peers: selected.clone(), l4 });
        }
    }
    DirectionPolicy { enforcement, filters, audit }
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

fn l4_matches(id: RuleId, rule: &Rule, ports: &AllNamedPorts, unresolved: &mut Unresolved) -> Vec<L4Match> {
    let list = match &rule.ports {
        Ports::All => return vec![L4Match::All],
        Ports::AnyOf(list) => list,
    };
    let mut out = Vec::new();
    for port in list {
        match port {
            Port::Range { protocol, first, last } => {
                out.push(L4Match::Ports { protocol: *protocol, first: *first, last: *last });
            }
            Port::Icmp(icmp_type) => out.push(L4Match::Icmp(*icmp_type)),
            Port::Icmp6(icmp_type) => out.push(L4Match::Icmp6(*icmp_type)),
            Port::Named { protocol, name, span } => {
                let numbers = ports.get(&(name.clone(), *protocol));
                match numbers.and_then(|n| if n.len() == 1 { n.first() } else { None }) {
                    Some(&port) => out.push(L4Match::Ports { protocol: *protocol, first: port, last: port }),
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
        };
        let message =
            format!("port name `{name}` is unknown, ambiguous or of another protocol for a selected endpoint");
        let hint = format!("there the rule {effect} nothing; write the number, or name the container port");
        let object = cluster.policy_of(id).object.clone();
        diagnostics.push(Diagnostic::warning(Code("W-209"), span, message).hint(hint).object(object));
    }
}

/// W-501: a selector key that is no part of any identity.
pub fn warn_filtered_keys<'c>(cluster: &'c Cluster, filter: &LabelFilter, diagnostics: &mut Vec<Diagnostic>) {
    // Thousands of selectors use the same few keys, and the filter is a list of regular expressions.
    let mut known: HashMap<&str, bool> = HashMap::new();
    let mut warn = |policy: &Policy, selector: &'c Selector| {
        for requirement in &selector.requirements {
            let Some(span) = requirement.span.filter(|_| requirement.is_k8s_or_any()) else { continue };
            if !*known.entry(&requirement.key).or_insert_with(|| filter.keeps("k8s", &requirement.key)) {
                let message =
                    format!("label `{}` is not part of identities, so it can never be selected", requirement.key);
                let hint = "select by another label, or keep this one with the option `labels`";
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
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        for peer in peers {
            if let Peer::Labels(selector) = peer {
                warn(&cluster.policies[rule.policy.0 as usize], selector);
            }
        }
    }
}
