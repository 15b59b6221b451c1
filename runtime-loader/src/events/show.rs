//! An event as a line or as a JSON object.

use std::net::IpAddr;

use ciliumc_abi::provenance::Rule;
use ciliumc_abi::{action, drop_reason};
use serde_json::{Value, json};

use super::{Book, End, Event, What};

/// One line, without its end: what, direction, from, to, protocol, reason, rules.
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

/// The same as an object. `rules` is null when the generation or the cause is unknown.
pub fn json(event: &Event, book: &Book) -> Value {
    let (word, reason) = words(event.what);
    let side = |end: &End, local| {
        json!({
            "name": book.name(event, end, local),
            "identity": book.identity(event, end),
            "address": end.address,
            "port": (end.port != 0).then_some(end.port),
            "labels": book.labels(event, end),
        })
    };
    json!({
        "type": match event.what { What::Drop { .. } => "drop", What::Verdict { .. } => "verdict" },
        "verdict": word,
        "direction": direction(event),
        "endpoint": event.endpoint,
        "source": side(&event.source, !event.ingress),
        "destination": side(&event.destination, event.ingress),
        "protocol": protocol_name(event.proto),
        "icmp_type": event.icmp_type,
        "length": event.length,
        "policy_match_type": match event.what {
            What::Drop { .. } => None,
            What::Verdict { match_type, .. } => Some(match_type),
        },
        "reason": reason,
        "reason_text": reason.map(drop_reason::text),
        "generation": event.generation,
        "cause": event.cause,
        "rules": book.rules(event),
    })
}

/// The verdict word, and the reason of a drop.
fn words(what: What) -> (&'static str, Option<u8>) {
    match what {
        What::Drop { reason } => ("drop", Some(reason)),
        What::Verdict { audited: true, .. } => ("audited", None),
        What::Verdict { verdict: 0, .. } => ("allow", None),
        What::Verdict { verdict: 1.., .. } => ("redirect", None),
        What::Verdict { verdict, .. } => ("deny", u8::try_from(verdict.unsigned_abs()).ok()),
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
