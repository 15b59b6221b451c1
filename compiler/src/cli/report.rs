//! Words for decisions and places.

use serde_json::json;

use crate::eval::{Decision, Reason};
use crate::ir::{Cluster, Direction, RuleId};
use crate::source::SourceMap;

/// Why, in one clause, with every rule's object, path, file and line.
pub fn why(sources: &SourceMap, cluster: &Cluster, decision: &Decision) -> String {
    let places: Vec<String> = decision
        .rules
        .iter()
        .map(|&id| {
            let rule = cluster.rule(id);
            let line = sources.line_col(rule.span).line;
            format!("{} {} ({}:{line})", cluster.policy_of(id).object, rule.path, sources.name(rule.span.file))
        })
        .collect();
    let audited = if decision.audited { ", audited: would be dropped" } else { "" };
    match places.as_slice() {
        [] => format!("{}{audited}", reason(decision.reason)),
        places => format!("{} by {}{audited}", reason(decision.reason), places.join(", ")),
    }
}

/// The reason as words.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NotEnforced => "no policy selects this direction",
        Reason::DenyRule => "denied",
        Reason::AllowRule => "allowed",
        Reason::LocalHost => "the local host may always reach its endpoints",
        Reason::DefaultAllow => "nothing matches, and default deny is switched off",
        Reason::DefaultDeny => "nothing allows it, and the direction is isolated",
        Reason::UnknownPeer => "the peer's identity is unknown",
        Reason::ProtocolDisabled => "SCTP is dropped while enable-sctp is off",
    }
}

/// `<-` towards the endpoint, `->` from it.
pub fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "<-",
        Direction::Egress => "->",
    }
}

/// One rule as JSON.
pub fn rule(sources: &SourceMap, cluster: &Cluster, id: RuleId) -> serde_json::Value {
    let rule = cluster.rule(id);
    let object = &cluster.policy_of(id).object;
    let place = sources.line_col(rule.span);
    json!({
        "kind": object.kind, "namespace": object.namespace, "name": object.name, "path": rule.path,
        "file": sources.name(rule.span.file), "line": place.line, "column": place.column,
    })
}
