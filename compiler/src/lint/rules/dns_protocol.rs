//! CL025: DNS over TCP alone.

use crate::ir::{Direction, Port, Ports, Protocol, Rule, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let egress = facts.cluster.rules().filter(|(_, rule)| rule.direction == Direction::Egress);
    let message = "port 53 is allowed over TCP alone, and DNS asks over UDP first";
    let hint = "add `protocol: UDP`; a port without protocol is TCP in a NetworkPolicy";
    egress
        .filter(|(_, rule)| rule.action == RuleAction::Allow && names(rule, Protocol::Tcp))
        .filter(|(_, rule)| {
            let mut beside = facts.cluster.rules_of(rule.policy).filter(|(_, other)| other.direction == rule.direction);
            !beside.any(|(_, other)| other.ports == Ports::All || has(other, Protocol::Udp))
        })
        .map(|(id, _)| Finding::at_rule(facts, id, message).hint(hint))
        .collect()
}

/// Whether the rule names port 53 by itself.
fn names(rule: &Rule, protocol: Protocol) -> bool {
    ports(rule, protocol).any(|(first, last)| (first, last) == (53, 53))
}

/// Whether port 53 is among those of the rule.
fn has(rule: &Rule, protocol: Protocol) -> bool {
    ports(rule, protocol).any(|(first, last)| (first..=last).contains(&53))
}

fn ports(rule: &Rule, wanted: Protocol) -> impl Iterator<Item = (u16, u16)> {
    let list = match &rule.ports {
        Ports::AnyOf(list) => list.as_slice(),
        Ports::All => &[],
    };
    list.iter().filter_map(move |matched| match &matched.port {
        Port::Range { protocol, first, last } if *protocol == wanted => Some((*first, *last)),
        Port::Range { .. } | Port::Named { .. } | Port::NamedAtPeer { .. } | Port::Icmp(_) | Port::Icmp6(_) => None,
    })
}
