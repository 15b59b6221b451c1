//! AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy to rules (spec §6).
//!
//! They are policies like others but for their tier: they never isolate, and of their rules the first one counts.

use super::build::Ctx;
use super::labels::{Requirement, Selector};
use super::scope::{self, NAMESPACE_KEY};
use super::{
    DefaultDeny, Direction, FqdnSelector, Peer, Peers, Policy, Port, PortMatch, Ports, Rule, RuleAction, Subject,
    TierPlace,
};
use crate::front::objects::{AdminAction, AdminPeer, AdminPolicy, AdminPort, AdminRule, PodSelector};

/// Adds one object.
pub fn add(ctx: &mut Ctx<'_>, object: &AdminPolicy) {
    let policy = ctx.policy(Policy {
        object: object.meta.object.clone(),
        spec_index: 0,
        path: "spec".into(),
        subject: Subject::Endpoints(pods(&object.subject)),
        namespace: None,
        tier: Some(TierPlace { tier: object.tier, priority: object.priority }),
        default_deny: DefaultDeny { ingress: false, egress: false },
        log: None,
        span: object.meta.span,
    });
    for (direction, rules) in [(Direction::Ingress, &object.ingress), (Direction::Egress, &object.egress)] {
        for (n, rule) in rules.iter().enumerate() {
            let (action, peers) = action_and_peers(rule);
            ctx.rule(Rule {
                policy,
                direction,
                action,
                path: format!("spec.{}[{n}]", direction.word()),
                span: rule.span,
                peers,
                requires: Vec::new(),
                ports: ports(rule),
                auth: None,
            });
        }
    }
}

/// A peer of a kind that we do not know could be anybody: a rule that allows it matches nobody, any other denies
/// everybody (§6.1).
fn action_and_peers(rule: &AdminRule) -> (RuleAction, Peers) {
    let action = match rule.action {
        AdminAction::Allow => RuleAction::Allow,
        AdminAction::Deny => RuleAction::Deny,
        AdminAction::Pass => RuleAction::Pass,
    };
    let unknown = rule.peers.iter().any(|peer| matches!(peer, AdminPeer::Unknown(_)));
    match (unknown, action) {
        (false, action) => (action, Peers::AnyOf(rule.peers.iter().flat_map(peer).collect())),
        (true, RuleAction::Allow) => (RuleAction::Allow, Peers::Nobody),
        (true, RuleAction::Deny | RuleAction::Pass) => (RuleAction::Deny, Peers::Everyone),
    }
}

fn peer(written: &AdminPeer) -> Vec<Peer> {
    match written {
        AdminPeer::Pods(selector) => vec![Peer::Labels(pods(selector))],
        AdminPeer::Networks(nets) => nets.iter().map(|net| Peer::Network(net.value)).collect(),
        AdminPeer::Nodes(selector) => vec![Peer::Nodes(scope::selector(selector))],
        AdminPeer::DomainNames(names) => names.iter().map(|name| Peer::Fqdn(domain_name(&name.value))).collect(),
        AdminPeer::Unknown(_) => Vec::new(),
    }
}

/// In a tier a leading `*.` is one or more labels, unlike in `toFQDNs`.
fn domain_name(name: &str) -> FqdnSelector {
    match name.strip_prefix("*.") {
        Some(rest) => FqdnSelector::Pattern(format!("**.{rest}")),
        None => FqdnSelector::Name(name.into()),
    }
}

/// Pods of matching namespaces. Only pods have a namespace, so a selector of negative requirements alone, or of none,
/// does not reach nodes and the world.
fn pods(written: &PodSelector) -> Selector {
    let mut out = Selector { requirements: vec![Requirement::k8s_exists(NAMESPACE_KEY)] };
    out.requirements.extend(scope::namespace_labels(&written.namespaces).requirements);
    if let Some(pods) = &written.pods {
        out.requirements.extend(scope::selector(pods).requirements);
    }
    out
}

fn ports(rule: &AdminRule) -> Ports {
    let Some(list) = &rule.ports else { return Ports::All };
    let port = |port: &AdminPort| match port {
        AdminPort::Range { protocol, first, last } => Port::Range { protocol: *protocol, first: *first, last: *last },
        AdminPort::Named { name, span } => Port::NamedAtPeer { name: name.clone(), span: *span },
    };
    Ports::AnyOf(list.iter().map(|written| PortMatch { port: port(written), proxy: None }).collect())
}
