//! CL014: endpoints may send, but may ask no DNS server.

use std::collections::BTreeMap;

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Direction, Peer, Peers, Port, Ports, Protocol, Rule, RuleAction, RuleId};
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::Enforcement;

/// UDP port of DNS.
const DNS: u16 = 53;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut cut_off: BTreeMap<RuleId, Vec<IdentityIndex>> = BTreeMap::new();
    for identity in facts.identities() {
        let Some(class) = facts.class(identity) else { continue };
        let Enforcement::DefaultDeny(isolating) = &class.egress.enforcement else { continue };
        let allows = || {
            let rules = facts.rules_of(identity, Direction::Egress).map(|(_, rule)| rule);
            rules.filter(|rule| rule.action == RuleAction::Allow && rule.peers != Peers::Nobody)
        };
        // What may send nothing at all is meant to; what sends to addresses alone may not need names.
        let names_somebody = allows().any(|rule| !is_by_address(rule));
        if let Some(first) = isolating.first().filter(|_| names_somebody && !allows().any(reaches_dns)) {
            cut_off.entry(*first).or_default().push(identity);
        }
    }
    let finding = |(rule, identities): (RuleId, Vec<IdentityIndex>)| {
        let message = format!("no rule allows a DNS server (UDP 53) to {}", facts.names(identities));
        let hint = "allow UDP and TCP port 53 to kube-dns, or names cannot be resolved";
        Finding::at_rule(facts, rule, message).hint(hint)
    };
    cut_off.into_iter().map(finding).collect()
}

fn is_by_address(rule: &Rule) -> bool {
    all_peers(rule, |peer| matches!(peer, Peer::Cidr(_) | Peer::Network(_)))
}

fn all_peers(rule: &Rule, is: impl Fn(&Peer) -> bool) -> bool {
    matches!(&rule.peers, Peers::AnyOf(list) if list.iter().all(is))
}

/// Whoever the server is: it may be no part of the input. A port with a name may be its port.
fn reaches_dns(rule: &Rule) -> bool {
    // A server that is known by name alone cannot be found.
    if all_peers(rule, |peer| matches!(peer, Peer::Fqdn(_))) {
        return false;
    }
    let Ports::AnyOf(ports) = &rule.ports else { return true };
    ports.iter().any(|matched| match &matched.port {
        Port::Range { protocol, first, last } => *protocol == Protocol::Udp && (*first..=*last).contains(&DNS),
        Port::Named { .. } | Port::NamedAtPeer { .. } => true,
        Port::Icmp(_) | Port::Icmp6(_) => false,
    })
}
