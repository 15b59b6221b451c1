//! CL030: a rule that opens endpoints to the whole world, or the metadata address of the cloud to them.

use std::net::{IpAddr, Ipv4Addr};

use crate::ir::{CidrPeer, CidrSource, Direction, Entity, Peer, Peers, Rule, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Where clouds hand out credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    // Whoever denies the address somewhere has thought of it.
    let denied = facts.cluster.rules.iter().any(|rule| {
        rule.action == RuleAction::Deny
            && rule.direction == Direction::Egress
            && prefixes(rule).filter_map(|cidr| cidr.source.net()).any(|net| net.contains(&METADATA))
    });
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules().filter(|(_, rule)| rule.action == RuleAction::Allow) {
        if facts.cluster.policy_of(id).tier.is_some() {
            continue;
        }
        match rule.direction {
            Direction::Ingress => {
                if let Some(what) = open_to(rule) {
                    let message = format!("`{what}` lets the whole world in");
                    let hint = "name the addresses or pods that need it, if they can be named";
                    out.push(Finding::at_rule(facts, id, message).hint(hint));
                }
            }
            Direction::Egress => {
                if !denied && let Some(cidr) = prefixes(rule).find(|cidr| holds_metadata(cidr)) {
                    let net = cidr.source.net().map(ToString::to_string).unwrap_or_default();
                    let message = format!("{net} holds {METADATA}, where clouds hand out credentials");
                    let hint = format!("add `except: [{METADATA}/32]`, or deny it");
                    out.push(Finding::at_rule(facts, id, message).hint(hint));
                }
            }
        }
    }
    out
}

fn open_to(rule: &Rule) -> Option<String> {
    let Peers::AnyOf(list) = &rule.peers else { return None };
    list.iter().find_map(|peer| match peer {
        Peer::Entity(Entity::World) => Some("world".to_owned()),
        Peer::Cidr(CidrPeer { source: CidrSource::Net(net), except, .. }) if net.prefix_len() == 0 => {
            except.is_empty().then(|| net.to_string())
        }
        Peer::Entity(_) | Peer::Cidr(_) | Peer::Labels(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) => None,
    })
}

fn prefixes(rule: &Rule) -> impl Iterator<Item = &CidrPeer> {
    let list = match &rule.peers {
        Peers::AnyOf(list) => list.as_slice(),
        Peers::Nobody | Peers::Everyone => &[],
    };
    list.iter().filter_map(|peer| match peer {
        Peer::Cidr(cidr) => Some(cidr),
        Peer::Labels(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) | Peer::Entity(_) => None,
    })
}

fn holds_metadata(cidr: &CidrPeer) -> bool {
    // Whoever writes just this address means it.
    let inside =
        cidr.source.net().is_some_and(|net| net.contains(&METADATA) && net.prefix_len() < net.max_prefix_len());
    inside && !cidr.except.iter().any(|except| except.contains(&METADATA))
}
