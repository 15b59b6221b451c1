//! An event as a line for people.

use std::net::IpAddr;

use ciliumc_abi::provenance::Rule;
use ciliumc_abi::{action, drop_reason, event as abi};

use super::{Book, End, Event, What};

/// One line, without its end: what, direction, from, to, protocol, reason or state, rules.
pub fn line(event: &Event, book: &Book, with_labels: bool) -> String {
    let (word, reason) = words(event.what);
    let source = end(event, book, &event.source, !event.ingress, with_labels);
    let destination = end(event, book, &event.destination, event.ingress, with_labels);
    let mut line = format!("{word}  {}  {source} -> {destination} {}", direction(event), protocol(event));
    if let Some(reason) = reason {
        line.push_str(&format!("  {} ({reason})", drop_reason::text(reason)));
    }
    if let What::Verdict { match_type, .. } = event.what {
        line.push_str(&format!("  match {}", action::match_word(match_type)));
    }
    if let What::Trace { point, reason } = event.what {
        line.push_str(&format!("  {} state {}", point_word(point), reason_word(reason)));
    }
    match book.rules(event) {
        Some(rules) if rules.is_empty() => {}
        Some(rules) => {
            let rules: Vec<_> = rules.into_iter().map(rule_text).collect();
            line.push_str(&format!("  by {}", rules.join(", ")));
        }
        None => line.push_str(&format!("  by unknown cause {} of generation {}", event.cause, event.generation)),
    }
    line
}

/// The verdict word, and the reason of a drop.
pub(super) fn words(what: What) -> (&'static str, Option<u8>) {
    match what {
        What::Drop { reason } => ("drop", Some(reason)),
        What::Trace { .. } => ("trace", None),
        What::Verdict { audited: true, .. } => ("audited", None),
        What::Verdict { verdict: 0, .. } => ("allow", None),
        What::Verdict { verdict: 1.., .. } => ("redirect", None),
        What::Verdict { verdict, .. } => ("deny", u8::try_from(verdict.unsigned_abs()).ok()),
    }
}

/// Cilium's word for an observation point.
fn point_word(point: u8) -> String {
    match point {
        abi::TRACE_TO_LXC => "to-endpoint".to_owned(),
        abi::TRACE_TO_STACK => "to-stack".to_owned(),
        abi::TRACE_FROM_LXC => "from-endpoint".to_owned(),
        other => format!("point {other}"),
    }
}

/// Cilium's word for what conntrack says.
fn reason_word(reason: u8) -> String {
    match reason {
        abi::TRACE_REASON_NEW => "new".to_owned(),
        abi::TRACE_REASON_ESTABLISHED => "established".to_owned(),
        abi::TRACE_REASON_REPLY => "reply".to_owned(),
        abi::TRACE_REASON_RELATED => "related".to_owned(),
        abi::TRACE_REASON_UNKNOWN => "unknown".to_owned(),
        other => format!("unknown ({other})"),
    }
}

fn direction(event: &Event) -> &'static str {
    if event.ingress { "ingress" } else { "egress" }
}

fn end(event: &Event, book: &Book, end: &End, local: bool, with_labels: bool) -> String {
    let name = book.name(event, end, local).unwrap_or_else(|| "unknown".to_owned());
    let mut facts = Vec::new();
    if let Some(identity) = book.identity(event, end) {
        facts.push(format!("id {identity}"));
    }
    match (end.address, end.port) {
        (None, _) => {}
        (Some(address), 0) => facts.push(address.to_string()),
        (Some(IpAddr::V4(address)), port) => facts.push(format!("{address}:{port}")),
        (Some(IpAddr::V6(address)), port) => facts.push(format!("[{address}]:{port}")),
    }
    if with_labels {
        facts.extend(book.labels(event, end).iter().cloned());
    }
    if facts.is_empty() { name } else { format!("{name} ({})", facts.join(", ")) }
}

fn protocol(event: &Event) -> String {
    let name = protocol_name(event.proto);
    match event.icmp_type {
        Some(icmp_type) => format!("{name} type {icmp_type}"),
        None => name,
    }
}

/// Name of an IP protocol.
pub fn protocol_name(proto: u8) -> String {
    match proto {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => format!("protocol {other}"),
    }
}

/// A rule with its place.
pub fn rule_text(rule: &Rule) -> String {
    let Rule { kind, namespace, name, path, file, line, log } = rule;
    let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let mut text = format!("{kind} {namespace}{name}");
    for part in [path.clone(), format!("{file}:{line}")] {
        text.push_str(&format!(" {part}"));
    }
    if let Some(log) = log {
        text.push_str(&format!(" ({log})"));
    }
    text
}
