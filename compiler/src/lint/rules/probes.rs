//! CL035: a deny that cuts off the probes of the kubelet.

use crate::ir::{Direction, Entity, Peer, Peers, Ports, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules() {
        let policy = facts.cluster.policy_of(id);
        let denies = rule.action == RuleAction::Deny && rule.direction == Direction::Ingress;
        let of_endpoints = matches!(policy.subject, crate::ir::Subject::Endpoints(_));
        if !denies || !of_endpoints || policy.tier.is_some() || rule.ports != Ports::All {
            continue;
        }
        let Some(word) = host_word(&rule.peers) else { continue };
        let message = format!("`{word}` holds the local host: the deny cuts off the probes of the kubelet");
        let hint = "pods with probes are restarted or never ready; deny `remote-node` or pods in its place";
        out.push(Finding::at_rule(facts, id, message).hint(hint));
    }
    out
}

fn host_word(peers: &Peers) -> Option<&'static str> {
    let list = match peers {
        Peers::Everyone => return Some("all"),
        Peers::Nobody => return None,
        Peers::AnyOf(list) => list,
    };
    list.iter().find_map(|peer| match peer {
        Peer::Entity(Entity::Host) => Some("host"),
        Peer::Entity(Entity::Cluster) => Some("cluster"),
        Peer::Entity(Entity::All) => Some("all"),
        Peer::Entity(_) | Peer::Labels(_) | Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) => None,
    })
}
