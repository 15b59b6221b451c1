//! CL020: a prefix that means other addresses than it seems to: host bits, or the world of one family alone.

use std::net::IpAddr;

use super::prefixes;
use crate::diag::{ObjectRef, Spanned};
use crate::front::parse;
use crate::ir::{CidrPeer, CidrSource, Direction, Entity, Peer, Peers, RuleAction};
use crate::lint::facts::Facts;
use crate::lint::{Finding, edits};

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for prefix in prefixes(facts.objects) {
        out.extend([prefix.cidr].iter().chain(prefix.except).filter_map(|cidr| host_bits(facts, prefix.object, cidr)));
    }
    for group in &facts.objects.cidr_groups {
        out.extend(group.prefixes.iter().filter_map(|cidr| host_bits(facts, &group.meta.object, cidr)));
    }
    out.extend(one_family(facts));
    out
}

fn host_bits(facts: &Facts<'_>, object: &ObjectRef, cidr: &Spanned<ipnet::IpNet>) -> Option<Finding> {
    let written = facts.sources.text(cidr.span).trim_matches(['"', '\'']);
    let address = parse::cidr(written).ok()?.address;
    if address == cidr.value.network() {
        return None;
    }
    let message = format!("{written} has bits set behind its length: it means {}", cidr.value);
    let hint = format!("write {}, or {address}/{} for the one address", cidr.value, cidr.value.max_prefix_len());
    let edit = edits::scalar(facts.sources, cidr.span, written, &cidr.value.to_string());
    Some(Finding::new(cidr.span, object, message).hint(hint).edit(edit))
}

/// A rule for 0.0.0.0/0 where endpoints have IPv6 addresses too, or the other way round.
fn one_family(facts: &Facts<'_>) -> Vec<Finding> {
    let addresses = || facts.cluster.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    if !(addresses().any(IpAddr::is_ipv4) && addresses().any(IpAddr::is_ipv6)) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules().filter(|(_, rule)| rule.action == RuleAction::Allow) {
        let Some(is_v4) = worlds(&rule.peers).next() else { continue };
        let mut beside = facts.cluster.rules_of(rule.policy).filter(|(_, other)| other.direction == rule.direction);
        if beside.any(|(_, other)| has_other(&other.peers, is_v4)) {
            continue;
        }
        let (own, other) = if is_v4 { ("0.0.0.0/0", "::/0") } else { ("::/0", "0.0.0.0/0") };
        let word = match rule.direction {
            Direction::Ingress => "may be reached over",
            Direction::Egress => "may send over",
        };
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        let message = format!("{own} without {other}: endpoints with addresses of both families {word} {family} alone");
        let hint = format!("add {other}, or name the entity `world`, which is both");
        out.push(Finding::at_rule(facts, id, message).hint(hint));
    }
    out
}

/// For each peer that is the whole world of one family: whether that is IPv4.
fn worlds(peers: &Peers) -> impl Iterator<Item = bool> {
    let list = match peers {
        Peers::AnyOf(list) => list.as_slice(),
        Peers::Nobody | Peers::Everyone => &[],
    };
    list.iter().filter_map(|peer| match peer {
        Peer::Cidr(CidrPeer { source: CidrSource::Net(net), .. }) if net.prefix_len() == 0 => {
            Some(net.addr().is_ipv4())
        }
        Peer::Cidr(_) | Peer::Labels(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) | Peer::Entity(_) => None,
    })
}

fn has_other(peers: &Peers, is_v4: bool) -> bool {
    let is_world = |peer: &Peer| matches!(peer, Peer::Entity(Entity::World | Entity::All));
    let any_world = match peers {
        Peers::AnyOf(list) => list.iter().any(is_world),
        Peers::Everyone => true,
        Peers::Nobody => false,
    };
    any_world || worlds(peers).any(|v4| v4 != is_v4)
}
