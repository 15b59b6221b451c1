//! CL018: a prefix that covers addresses which it never selects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::prefixes;
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let owners = owners(facts);
    let mut out = Vec::new();
    for prefix in prefixes(facts.objects) {
        let net = prefix.cidr.value;
        let inside = owners.range(net.network()..=net.broadcast());
        let is_excepted = |address: &IpAddr| prefix.except.iter().any(|except| except.value.contains(address));
        // A /0 means the world, and nobody takes it for the cluster.
        let found = inside.filter(|_| net.prefix_len() > 0).find(|(address, _)| !is_excepted(address));
        if let Some((address, owner)) = found {
            let message = format!("{net} covers {owner} ({address}), which a prefix never selects");
            let hint = "prefixes are for addresses outside of the cluster; select pods by labels, nodes by entities";
            out.push(Finding::new(prefix.cidr.span, prefix.object, message).hint(hint));
        }
    }
    out
}

/// Addresses of pods, and of nodes unless an option lets prefixes select them.
fn owners(facts: &Facts<'_>) -> BTreeMap<IpAddr, String> {
    let pods = facts.cluster.endpoints.iter();
    let mut out: BTreeMap<IpAddr, String> =
        pods.flat_map(|pod| pod.addresses.iter().map(|address| (*address, format!("pod {}", pod.name)))).collect();
    if !facts.cluster.options.cidr_match_nodes {
        let nodes = facts.cluster.nodes.iter();
        out.extend(nodes.flat_map(|node| node.addresses.iter().map(|a| (*a, format!("node {}", node.name)))));
    }
    out
}
