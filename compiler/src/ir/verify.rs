//! What every later stage relies on. A failure is our bug, not the user's.

use ipnet::IpNet;

use super::{Cluster, Peer, Peers, Port, Ports};

/// Checks the cluster; the text names what does not hold.
pub fn verify(cluster: &Cluster) -> Result<(), String> {
    let sorted = |names: Vec<&str>| names.windows(2).all(|w| w[0] < w[1]);
    if !sorted(cluster.endpoints.iter().map(|e| e.name.as_str()).collect()) {
        return Err("endpoints are not sorted by a unique name".into());
    }
    if !sorted(cluster.nodes.iter().map(|n| n.name.as_str()).collect()) {
        return Err("nodes are not sorted by a unique name".into());
    }
    for endpoint in &cluster.endpoints {
        if endpoint.node.is_some_and(|n| n.0 as usize >= cluster.nodes.len()) {
            return Err(format!("endpoint {} is on a node that is not there", endpoint.name));
        }
        if !cluster.namespaces.contains_key(&endpoint.namespace) {
            return Err(format!("endpoint {} is in a namespace that is not there", endpoint.name));
        }
    }
    if !cluster.policies.windows(2).all(|w| (&w[0].object, w[0].spec_index) < (&w[1].object, w[1].spec_index)) {
        return Err("policies are not sorted by object and spec".into());
    }
    if !cluster.rules.windows(2).all(|w| (w[0].policy, w[0].direction) <= (w[1].policy, w[1].direction)) {
        return Err("rules are not sorted by policy and direction".into());
    }
    for (id, rule) in cluster.rules() {
        if rule.policy.0 as usize >= cluster.policies.len() {
            return Err(format!("rule {} belongs to no policy", id.0));
        }
        if let Peers::AnyOf(peers) = &rule.peers {
            for peer in peers {
                if prefixes(peer).any(|net| net.trunc() != *net) {
                    return Err(format!("rule {} has a prefix with host bits", id.0));
                }
            }
        }
        if let Ports::AnyOf(ports) = &rule.ports
            && ports.iter().any(|p| matches!(p.port, Port::Range { first, last, .. } if first > last))
        {
            return Err(format!("rule {} has an empty port range", id.0));
        }
    }
    Ok(())
}

fn prefixes(peer: &Peer) -> impl Iterator<Item = &IpNet> {
    let (net, except): (Option<&IpNet>, &[IpNet]) = match peer {
        Peer::Cidr(cidr) => (cidr.source.net(), &cidr.except),
        Peer::Network(net) => (Some(net), &[]),
        Peer::Labels(_) | Peer::Entity(_) | Peer::Fqdn(_) | Peer::Nodes(_) => (None, &[]),
    };
    net.into_iter().chain(except)
}
