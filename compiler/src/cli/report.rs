//! Words for decisions and places.

use serde_json::json;

use crate::diag::{ObjectRef, Span};
use crate::eval::flow::{Asked, End};
use crate::eval::{Considered, Decision, L4, Reason, Verdict};
use crate::ir::options::Options;
use crate::ir::{Cluster, Direction, EndName, RuleId, Transport};
use crate::resolve::AuthType;
use crate::source::SourceMap;
use crate::validate::node;

/// Why, in one clause, with every rule's object, path, file and line.
pub fn why(sources: &SourceMap, cluster: &Cluster, decision: &Decision) -> String {
    let places: Vec<String> = decision.rules.iter().map(|&id| place(sources, cluster, id)).collect();
    let mut out = reason(decision.reason).to_string();
    if !places.is_empty() {
        out += &format!(" by {}", places.join(", "));
    }
    if let Some(ruleset) = &decision.ruleset {
        out += &format!(", through the proxy ({})", ruleset.parser);
    }
    if let Some(word) = decision.auth.word() {
        out += &format!(", after authentication ({word})");
    }
    if decision.audited {
        out += ", audited: would be dropped";
    }
    if matches!(decision.verdict, Verdict::Allow | Verdict::Redirect) {
        let what = if decision.auth == AuthType::None { "no proxy" } else { "no authentication" };
        match node::passes(&cluster.options, decision) {
            Err(reason) => out += &format!("; the node has {what} yet and drops it ({reason})"),
            Ok(()) if decision.auth != AuthType::None => {
                out += &format!("; the node has {what} yet, and audit mode passes it");
            }
            Ok(()) => {}
        }
    }
    out
}

/// An end as `trace` takes it; what is no endpoint as it was written.
pub fn end(cluster: &Cluster, end: End, written: Option<&EndName>) -> String {
    match (end, written) {
        (End::Endpoint(index), _) => cluster.endpoints[index.0 as usize].name.clone(),
        (End::HostPod(place), _) => cluster.host_pods.get(place).map(|pod| pod.name.clone()).unwrap_or_default(),
        (End::Node(node), _) => Asked::Host(Some(node)).name(cluster),
        (End::Address(_) | End::Entity(_), Some(EndName::Fqdn(name))) => format!("fqdn:{name}"),
        (End::Entity(_), Some(EndName::Entity(word))) => format!("entity:{word}"),
        (End::Entity(index), _) => format!("identity:{index}"),
        (End::Address(address), _) => format!("ip:{address}"),
    }
}

/// `80/TCP`, as `trace` writes a flow.
pub fn l4(l4: L4) -> String {
    match l4 {
        L4::Port(protocol, port) => format!("{port}/{}", Transport::from(protocol).name()),
        L4::Icmp(kind) => format!("{kind}/{}", Transport::Icmp.name()),
        L4::Icmp6(kind) => format!("{kind}/{}", Transport::Icmp6.name()),
    }
}

/// What the node does, as JSON.
pub fn node_json(options: &Options, decision: &Decision) -> serde_json::Value {
    match node::passes(options, decision) {
        Ok(()) => json!({ "passes": true, "dropReason": null }),
        Err(reason) => json!({ "passes": false, "dropReason": reason }),
    }
}

/// A rule's object, path, file and line.
pub fn place(sources: &SourceMap, cluster: &Cluster, id: RuleId) -> String {
    let rule = cluster.rule(id);
    format!("{} {} ({})", cluster.policy_of(id).object, rule.path, file_line(sources, rule.span))
}

/// `file:line`.
pub fn file_line(sources: &SourceMap, span: Span) -> String {
    format!("{}:{}", sources.name(span.file), sources.line_col(span).line)
}

/// One rule beside a flow, with a mark where it decides.
pub fn considered(sources: &SourceMap, cluster: &Cluster, decision: &Decision, considered: Considered) -> String {
    let decides = considered.rule.is_some_and(|rule| decision.rules.binary_search(&rule).is_ok());
    let mark = if decides { '*' } else { ' ' };
    let rule = considered.rule.map_or("the local host's allow".into(), |rule| place(sources, cluster, rule));
    let about = match (considered.peer, considered.l4) {
        (true, true) => "matches",
        (true, false) => "other ports",
        (false, true) => "other peers",
        (false, false) => "other peers and ports",
    };
    format!("{mark} {:5} {about}: {rule}", considered.action.word())
}

/// The same as JSON.
pub fn considered_json(sources: &SourceMap, cluster: &Cluster, considered: Considered) -> serde_json::Value {
    json!({
        "rule": considered.rule.map(|id| rule(sources, cluster, id)),
        "action": considered.action.word(), "peer": considered.peer, "l4": considered.l4,
    })
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
        Reason::Conflict => "its rules conflict, so its policy cannot be computed",
        Reason::ProtocolDisabled => "SCTP is dropped while enable-sctp is off",
        Reason::HostIcmp6 => "the host firewall decides by the type of ICMPv6, before any policy",
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
    place_json(sources, &cluster.policy_of(id).object, &rule.path, rule.span)
}

/// A part of an object as JSON.
pub fn place_json(sources: &SourceMap, object: &ObjectRef, path: &str, span: Span) -> serde_json::Value {
    let place = sources.line_col(span);
    json!({
        "kind": object.kind, "namespace": object.namespace, "name": object.name, "path": path,
        "file": sources.name(span.file), "line": place.line, "column": place.column,
    })
}
