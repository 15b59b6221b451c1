//! Address → identity (spec §4.7): which prefixes have a row, and with which labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ciliumc_abi::ipcache::Record;
use ipnet::IpNet;

use super::label_filter::LabelFilter;
use crate::ir::labels::{Label, LabelSet};
use crate::ir::options::Options;
use crate::ir::{Cluster, Node, Peer, Peers};

/// Prefix → identity index; what no prefix covers is world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressTable {
    rows: BTreeMap<IpNet, IdentityIndex>,
    /// Identity of an IPv4 address that no prefix covers.
    pub world_ipv4: IdentityIndex,
    /// Identity of an IPv6 address that no prefix covers.
    pub world_ipv6: IdentityIndex,
}

impl AddressTable {
    /// A table of these rows.
    pub fn new(options: &Options, rows: impl Iterator<Item = (IpNet, IdentityIndex)>) -> Self {
        let dual = options.dual_stack();
        let world = |number| IdentityIndex(if dual { number } else { reserved::WORLD });
        Self { rows: rows.collect(), world_ipv4: world(reserved::WORLD_IPV4), world_ipv6: world(reserved::WORLD_IPV6) }
    }

    /// Rows, sorted by prefix.
    pub fn rows(&self) -> impl Iterator<Item = (IpNet, IdentityIndex)> {
        self.rows.iter().map(|(net, index)| (*net, *index))
    }

    /// The same, as the bundle holds them.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.rows().map(|(net, IdentityIndex(index))| match net {
            IpNet::V4(net) => Record::V4 { address: net.network(), len: net.prefix_len(), index },
            IpNet::V6(net) => Record::V6 { address: net.network(), len: net.prefix_len(), index },
        })
    }

    /// Longest prefix match.
    pub fn lookup(&self, address: IpAddr) -> IdentityIndex {
        let host = IpNet::from(address);
        let found = (0..=host.max_prefix_len()).rev().find_map(|len| {
            let net = IpNet::new(address, len).ok()?.trunc();
            self.rows.get(&net).copied()
        });
        found.unwrap_or(match address {
            IpAddr::V4(_) => self.world_ipv4,
            IpAddr::V6(_) => self.world_ipv6,
        })
    }
}

/// The world label of a family.
pub(super) fn world_label(options: &Options, ipv4: bool) -> Label {
    match (options.dual_stack(), ipv4) {
        (false, _) => Label::reserved("world"),
        (true, true) => Label::reserved("world-ipv4"),
        (true, false) => Label::reserved("world-ipv6"),
    }
}

fn enabled(options: &Options, address: IpAddr) -> bool {
    if address.is_ipv4() { options.ipv4 } else { options.ipv6 }
}

/// Labels of identity 1 on a node.
pub(super) fn host_labels(cluster: &Cluster, node: &Node, filter: &LabelFilter) -> LabelSet {
    let mut labels = filter.filter(node.labels.iter().map(|(key, value)| Label::k8s(key, value)));
    labels.insert(Label::reserved("host"));
    if node.addresses.iter().any(|a| cluster.api_servers.contains(a)) {
        labels.insert(Label::reserved("kube-apiserver"));
    }
    if cluster.options.cidr_match_nodes {
        for address in node.addresses.iter().filter(|a| enabled(&cluster.options, **a)) {
            labels.insert(Label::cidr(IpNet::from(*address)));
        }
    }
    labels
}

/// Every prefix that has a row, with its labels. Node addresses are shown as other nodes see them.
pub(super) fn rows(cluster: &Cluster, endpoint_labels: &[LabelSet]) -> BTreeMap<IpNet, LabelSet> {
    let options = &cluster.options;
    let prefixes = policy_prefixes(cluster);
    let mut out: BTreeMap<IpNet, LabelSet> = BTreeMap::new();

    // Weakest first; what is stronger overwrites.
    for &net in &prefixes {
        let world = world_label(options, net.addr().is_ipv4());
        out.insert(net, LabelSet::from_iter([Label::cidr(net), world]));
    }
    for &address in cluster.api_servers.iter().filter(|a| enabled(options, **a)) {
        let host = IpNet::from(address);
        let mut labels =
            LabelSet::from_iter([Label::reserved("kube-apiserver"), world_label(options, address.is_ipv4())]);
        // Labels of enclosing prefixes are inherited; of `cidr` labels only the nearest.
        if let Some(nearest) = prefixes.iter().filter(|p| p.contains(&host)).max_by_key(|p| p.prefix_len()) {
            labels.insert(Label::cidr(*nearest));
        }
        out.insert(host, labels);
    }
    for node in &cluster.nodes {
        let special = [(&node.health, "health"), (&node.ingress, "ingress")];
        for (addresses, name) in special {
            for &address in addresses.iter().filter(|a| enabled(options, **a)) {
                out.insert(IpNet::from(address), LabelSet::from_iter([Label::reserved(name)]));
            }
        }
        let api_server = node.addresses.iter().any(|a| cluster.api_servers.contains(a));
        for &address in node.addresses.iter().filter(|a| enabled(options, **a)) {
            let mut labels = LabelSet::from_iter([Label::reserved("remote-node")]);
            if api_server {
                labels.insert(Label::reserved("kube-apiserver"));
            }
            if options.cidr_match_nodes {
                labels.insert(Label::cidr(IpNet::from(address)));
            }
            out.insert(IpNet::from(address), labels);
        }
    }
    for (endpoint, labels) in cluster.endpoints.iter().zip(endpoint_labels) {
        for &address in endpoint.addresses.iter().filter(|a| enabled(options, **a)) {
            out.insert(IpNet::from(address), labels.clone());
        }
    }
    out
}

/// Prefixes that policies name, `except` and deny rules included (spec §4.8); a /0 is world and has no row.
fn policy_prefixes(cluster: &Cluster) -> BTreeSet<IpNet> {
    let mut out = BTreeSet::new();
    for rule in &cluster.rules {
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        for peer in peers {
            let Peer::Cidr(cidr) = peer else { continue };
            let nets = cidr.except.iter().chain(cidr.source.net());
            out.extend(nets.filter(|n| n.prefix_len() > 0 && enabled(&cluster.options, n.addr())).copied());
        }
    }
    out
}
