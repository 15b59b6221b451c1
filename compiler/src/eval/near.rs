//! Why a rule is not about a flow: what it wants and what the flow has, in the words of a manifest.

use std::collections::BTreeSet;

use super::flow::Side;
use super::precedence::covers;
use super::{Considered, Flow, L4, considered};
use crate::ir::labels::{LabelSet, Requirement, Selector, Test};
use crate::ir::{
    CidrPeer, CidrSource, Cluster, NAMESPACE_LABELS, Peer, Peers, Port, Ports, Protocol, Rule, RuleAction, RuleId,
    fqdn, nearest,
};
use crate::resolve::{DirectionPolicy, L4Match, Resolved, selecting};

/// One rule that selects the endpoint, beside a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The rule; none is the local host's implicit allow.
    pub rule: Option<RuleId>,
    /// What it does.
    pub action: RuleAction,
    /// Why it is not about the peer, unless it is.
    pub peer: Option<String>,
    /// Why it is not about the protocol and port, unless it is.
    pub l4: Option<String>,
    /// It stands in the way of an equal flow by one thing alone: one label, or the port.
    pub near: bool,
}

impl Examined {
    /// Whether the rule is about the flow.
    pub fn matches(&self) -> bool {
        self.peer.is_none() && self.l4.is_none()
    }
}

/// Every rule that selects the endpoint, also those whose peers nobody is.
pub fn examine(cluster: &Cluster, resolved: &Resolved, side: &Side, l4: L4) -> Vec<Examined> {
    let class = resolved.class(side.class);
    let policy = class.policy(side.direction);
    let considered = considered(policy, Flow { peer: side.peer, l4 });
    let empty = LabelSet::default();
    let labels = match resolved.identities.get(&side.peer) {
        Some(identity) if identity.labels.has_reserved("host") => {
            &resolved.variants[class.variant.0 as usize].host_labels
        }
        Some(identity) => &identity.labels,
        None => &empty,
    };
    let known: BTreeSet<RuleId> = considered.iter().filter_map(|one| one.rule).collect();
    let of_policies = selecting(cluster, resolved, class).flat_map(|policy| cluster.rules_of(policy));
    let idle = of_policies.filter(|(id, rule)| rule.direction == side.direction && !known.contains(id));
    let nobody = idle.map(|(id, rule)| Considered {
        rule: Some(id),
        action: rule.action,
        peer: has_unknown_port(rule) && may_be(rule, labels),
        l4: written(rule).iter().any(|wanted| covers(*wanted, l4)),
    });
    let all: Vec<Considered> = considered.iter().copied().chain(nobody).collect();
    all.into_iter().map(|one| examined(cluster, policy, labels, one, l4)).collect()
}

fn examined(cluster: &Cluster, policy: &DirectionPolicy, labels: &LabelSet, one: Considered, l4: L4) -> Examined {
    let rule = one.rule.map(|id| cluster.rule(id));
    let (peer, near_peer) = match rule {
        Some(rule) if !one.peer => peer_miss(rule, labels),
        None if !one.peer => ("the peer is not the local host".into(), false),
        Some(_) | None => (String::new(), false),
    };
    let mut wanted = one.rule.map(|id| wanted(policy, id)).unwrap_or_default();
    if wanted.is_empty() {
        wanted = rule.map(written).unwrap_or_default();
    }
    let port = if one.l4 { None } else { Some(port_miss(&wanted, rule, l4)) };
    Examined {
        rule: one.rule,
        action: one.action,
        near: if one.peer { !one.l4 } else { near_peer && one.l4 },
        peer: (!one.peer).then_some(peer),
        l4: port,
    }
}

/// What the filters of a rule are about, port names resolved.
fn wanted(policy: &DirectionPolicy, id: RuleId) -> Vec<L4Match> {
    let tiers = policy.tiers.admin.iter().chain(&policy.tiers.baseline).filter(|rule| rule.rule == id);
    let filters = policy.filters.iter().filter(|filter| filter.rule == Some(id)).map(|filter| filter.l4);
    let mut out: Vec<L4Match> = filters.chain(tiers.flat_map(|rule| rule.l4.iter().copied())).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// What a rule without filters is about, but for port names.
fn written(rule: &Rule) -> Vec<L4Match> {
    let ports = match &rule.ports {
        Ports::All => return vec![L4Match::All],
        Ports::AnyOf(ports) => ports,
    };
    let plain = ports.iter().filter_map(|matched| match &matched.port {
        Port::Range { protocol, first, last } => {
            Some(L4Match::Ports { protocol: *protocol, first: *first, last: *last })
        }
        Port::Icmp(kind) => Some(L4Match::Icmp(*kind)),
        Port::Icmp6(kind) => Some(L4Match::Icmp6(*kind)),
        Port::Named { .. } | Port::NamedAtPeer { .. } => None,
    });
    plain.collect()
}

/// Whether a rule names ports by names alone, which are unknown where it has no filter.
fn has_unknown_port(rule: &Rule) -> bool {
    written(rule).is_empty() && rule.ports != Ports::AnyOf(Vec::new())
}

/// Whether nothing tells that the rule is not about the peer.
fn may_be(rule: &Rule, labels: &LabelSet) -> bool {
    match &rule.peers {
        Peers::Everyone => true,
        Peers::Nobody => false,
        Peers::AnyOf(peers) => peers.iter().any(|peer| match peer {
            Peer::Labels(selector) | Peer::Nodes(selector) => selector.matches(labels),
            Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Network(_) | Peer::Entity(_) => true,
        }),
    }
}

fn port_miss(wanted: &[L4Match], rule: Option<&Rule>, l4: L4) -> String {
    let list = wanted.iter().copied().map(l4_words).collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        return match rule.is_some_and(has_unknown_port) {
            true => "port: its port name is unknown here, or ambiguous".into(),
            false => "port: it names none".into(),
        };
    }
    let same_number = |m: &L4Match| match (*m, l4) {
        (L4Match::Ports { protocol, first, last }, L4::Port(other, port)) => {
            protocol != other && (first..=last).contains(&port)
        }
        _ => false,
    };
    match l4 {
        L4::Port(protocol, port) if wanted.iter().any(same_number) => {
            format!("protocol: wants {list}, the flow is {} {port}", protocol.name())
        }
        L4::Port(..) | L4::Icmp(_) | L4::Icmp6(_) => format!("port: wants {list}"),
    }
}

/// `TCP 80-90`.
pub fn l4_words(l4: L4Match) -> String {
    let icmp = |name: &str, kind: u8| if kind == 0 { name.to_owned() } else { format!("{name} type {kind}") };
    match l4 {
        L4Match::All => "any port".into(),
        L4Match::Ports { protocol, first: 0, last: u16::MAX } => Protocol::name(protocol).into(),
        L4Match::Ports { protocol, first, last } if first == last => format!("{} {first}", protocol.name()),
        L4Match::Ports { protocol, first, last } => format!("{} {first}-{last}", protocol.name()),
        L4Match::Icmp(kind) => icmp("ICMP", kind),
        L4Match::Icmp6(kind) => icmp("ICMPv6", kind),
    }
}

/// Why nobody of the rule's peers has these labels, and whether one label alone is in the way.
fn peer_miss(rule: &Rule, labels: &LabelSet) -> (String, bool) {
    let peers = match &rule.peers {
        Peers::Everyone => return ("peer: a `requires` leaves it out".into(), false),
        Peers::Nobody => return ("peer: it names nobody".into(), false),
        Peers::AnyOf(peers) => peers,
    };
    let misses = peers.iter().map(|peer| (miss(peer, labels), is_spelt_alike(peer, labels)));
    let nearest = misses.min_by_key(|((count, _), alike)| (*count, !alike));
    match nearest.map(|(miss, _)| miss) {
        Some((0, _)) => ("peer: a `requires` leaves it out".into(), false),
        Some((count, text)) => (format!("peer: {text}"), count == 1 && !text.starts_with("wants addresses")),
        None => ("peer: it names nobody".into(), false),
    }
}

/// How many things are in the way of a peer, and which.
fn miss(peer: &Peer, labels: &LabelSet) -> (usize, String) {
    match peer {
        Peer::Labels(selector) | Peer::Nodes(selector) => selector_miss(selector, labels),
        Peer::Cidr(cidr) => cidr_miss(cidr, labels),
        Peer::Fqdn(name) => (2, format!("wants addresses of {}", fqdn::text(name))),
        Peer::Network(net) => (2, format!("wants addresses in {net}")),
        Peer::Entity(entity) => (2, format!("wants entity {}", entity.word())),
    }
}

fn selector_miss(selector: &Selector, labels: &LabelSet) -> (usize, String) {
    let failing: Vec<&Requirement> = selector.requirements.iter().filter(|r| !r.matches(labels)).collect();
    let text = failing.iter().map(|requirement| requirement_miss(requirement, labels)).collect::<Vec<_>>();
    (failing.len(), text.join("; "))
}

/// Whether all that is in the way of a peer looks like typing errors.
fn is_spelt_alike(peer: &Peer, labels: &LabelSet) -> bool {
    let (Peer::Labels(selector) | Peer::Nodes(selector)) = peer else { return false };
    let alike = |requirement: &Requirement| match &requirement.test {
        Test::In(values) => labels.iter().any(|label| {
            label.key == requirement.key && nearest(&label.value, values.iter().map(String::as_str)).is_some()
        }),
        Test::NotIn(_) | Test::Exists | Test::DoesNotExist => false,
    };
    selector.requirements.iter().filter(|requirement| !requirement.matches(labels)).all(alike)
}

/// `wants app=web, has app=wbe`.
fn requirement_miss(requirement: &Requirement, labels: &LabelSet) -> String {
    let key = requirement.key.strip_prefix(NAMESPACE_LABELS).unwrap_or(&requirement.key);
    let wants = match &requirement.test {
        Test::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
        Test::In(values) => format!("{key} in ({})", values.join(", ")),
        Test::NotIn(values) => format!("{key} not in ({})", values.join(", ")),
        Test::Exists => key.to_owned(),
        Test::DoesNotExist => format!("no {key}"),
    };
    match labels.iter().find(|label| label.key == requirement.key) {
        Some(label) => format!("wants {wants}, has {key}={}", label.value),
        None => format!("wants {wants}, has no {key}"),
    }
}

fn cidr_miss(cidr: &CidrPeer, labels: &LabelSet) -> (usize, String) {
    let except = labels.cidrs().find_map(|net| cidr.except.iter().find(|except| except.contains(&net)));
    match (&cidr.source, except) {
        (_, Some(except)) => (2, format!("wants addresses outside of {except}")),
        (CidrSource::Net(net), None) => (2, format!("wants addresses in {net}, of nobody in the cluster")),
        (CidrSource::Group(name), None) => (2, format!("wants addresses of CIDR group {name}")),
        (CidrSource::Groups(selector), None) => {
            let (count, text) = selector_miss(selector, labels);
            (count.max(2), text)
        }
    }
}
