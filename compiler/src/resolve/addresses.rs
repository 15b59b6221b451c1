//! Address → identity (spec §4.7): which prefixes have a row, and with which labels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ciliumc_abi::ipcache::Record;
use ipnet::IpNet;

use super::label_filter::LabelFilter;
use crate::ir::labels::{Label, LabelSet};
use crate::ir::options::Options;
use crate::ir::{Cluster, Node, Peer, Peers, fqdn};

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

    /// Public IPv4 addresses that no row covers: they stand for those that nobody knows.
    pub fn unused_ipv4(&self) -> impl Iterator<Item = IpAddr> {
        let is_private = |first: &u8| matches!(first, 10 | 100 | 127 | 169 | 172 | 192 | 198 | 203);
        let firsts = (1..=223).filter(move |first| !is_private(first));
        let all =
            (0..=255).flat_map(move |second| firsts.clone().map(move |first| IpAddr::from([first, second, 0, 1])));
        all.filter(|address| self.lookup(*address) == self.world_ipv4)
    }

    /// The same of IPv6.
    pub fn unused_ipv6(&self) -> impl Iterator<Item = IpAddr> {
        let all = (0..=0xff)
            .flat_map(|second| (0x2a00..=0x2aff).map(move |first| IpAddr::from([first, second, 0, 0, 0, 0, 0, 1])));
        all.filter(|address| self.lookup(*address) == self.world_ipv6)
    }

    /// The row of one address, if it has one of its own.
    pub fn at(&self, address: IpAddr) -> Option<IdentityIndex> {
        self.rows.get(&IpNet::from(address)).copied()
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

/// Whether addresses of its family are in use.
pub(super) fn enabled(options: &Options, address: IpAddr) -> bool {
    if address.is_ipv4() { options.ipv4 } else { options.ipv6 }
}

/// Beginning of the label key, source `cidrgroup`, that ends with the name of a prefix's group.
const GROUP_NAME: &str = "io.cilium.policy.cidrgroupname/";

/// Whether a prefix with this label is of the CIDR group.
pub(super) fn is_of_group(label: &Label, name: &str) -> bool {
    label.source == "cidrgroup" && label.key.strip_prefix(GROUP_NAME) == Some(name)
}

/// What is said of prefixes outside of the cluster (spec §4.7, items 4 to 6): labels, but for the world's.
pub(super) struct Outside {
    /// What each prefix has of its own.
    own: BTreeMap<IpNet, LabelSet>,
}

impl Outside {
    /// Prefixes that policies name, `except` and deny rules included (spec §4.8), members of CIDR groups, addresses of
    /// names, and API servers. A policy's /0 is world and has no row.
    pub fn new(cluster: &Cluster) -> Self {
        let options = &cluster.options;
        let mut own: BTreeMap<IpNet, LabelSet> = BTreeMap::new();
        let mut add = |net: IpNet, label: Label| {
            if enabled(options, net.addr()) {
                own.entry(net).or_default().insert(label);
            }
        };
        for rule in &cluster.rules {
            let Peers::AnyOf(peers) = &rule.peers else { continue };
            for peer in peers {
                let Peer::Cidr(cidr) = peer else { continue };
                for net in cidr.except.iter().chain(cidr.source.net()).filter(|net| net.prefix_len() > 0) {
                    add(*net, Label::cidr(*net));
                }
            }
        }
        for (name, group) in &cluster.cidr_groups {
            for net in &group.prefixes {
                add(*net, Label::new("cidrgroup", format!("{GROUP_NAME}{name}"), ""));
                group.labels.iter().for_each(|(key, value)| add(*net, Label::new("cidrgroup", key, value)));
            }
        }
        for (selector, addresses) in &cluster.fqdn_addresses {
            for address in addresses {
                add(IpNet::from(*address), Label::new("fqdn", fqdn::text(selector), ""));
            }
        }
        for address in &cluster.api_servers {
            add(IpNet::from(*address), Label::reserved("kube-apiserver"));
        }
        Self { own }
    }

    /// Adds what a prefix has of its own, and what it inherits from those around it: all labels, but of `cidr` labels
    /// only the nearest, and only where there is none yet.
    fn describe(&self, net: IpNet, labels: &mut LabelSet) {
        let mut around = Some(net);
        while let Some(net) = around {
            if let Some(own) = self.own.get(&net) {
                let has_cidr = labels.iter().any(|label| label.source == "cidr");
                let inherited = own.iter().filter(|label| label.source != "cidr" || !has_cidr);
                inherited.cloned().for_each(|label| labels.insert(label));
            }
            around = net.supernet();
        }
    }
}

/// Labels of identity 1 on a node.
pub(super) fn host_labels(cluster: &Cluster, outside: &Outside, node: &Node, filter: &LabelFilter) -> LabelSet {
    let mut labels = filter.filter(node.labels.iter().map(|(key, value)| Label::k8s(key, value)));
    labels.insert(Label::reserved("host"));
    for &address in node.addresses.iter().filter(|a| enabled(&cluster.options, **a)) {
        of_node_address(cluster, outside, address).iter().cloned().for_each(|label| labels.insert(label));
    }
    labels
}

/// What an address adds to the labels of its node.
fn of_node_address(cluster: &Cluster, outside: &Outside, address: IpAddr) -> LabelSet {
    let mut labels = LabelSet::default();
    if cluster.api_servers.contains(&address) {
        labels.insert(Label::reserved("kube-apiserver"));
    }
    if cluster.options.cidr_match_nodes {
        let host = IpNet::from(address);
        labels.insert(Label::cidr(host));
        outside.describe(host, &mut labels);
    }
    labels
}

/// Every prefix that has a row, with its labels. Node addresses are shown as other nodes see them.
pub(super) fn rows(
    cluster: &Cluster,
    outside: &Outside,
    node_filter: &LabelFilter,
    endpoint_labels: &[LabelSet],
) -> BTreeMap<IpNet, LabelSet> {
    let options = &cluster.options;
    let mut out: BTreeMap<IpNet, LabelSet> = BTreeMap::new();

    // Weakest first; what is stronger overwrites.
    for &net in outside.own.keys() {
        let mut labels = LabelSet::from_iter([world_label(options, net.addr().is_ipv4())]);
        outside.describe(net, &mut labels);
        out.insert(net, labels);
    }
    for node in &cluster.nodes {
        let special = [(&node.health, "health"), (&node.ingress, "ingress")];
        for (addresses, name) in special {
            for &address in addresses.iter().filter(|a| enabled(options, **a)) {
                out.insert(IpNet::from(address), LabelSet::from_iter([Label::reserved(name)]));
            }
        }
        for &address in node.addresses.iter().filter(|a| enabled(options, **a)) {
            let mut labels = of_node_address(cluster, outside, address);
            labels.insert(Label::reserved("remote-node"));
            if options.node_selector_labels {
                let written = node.labels.iter().map(|(key, value)| Label::new("node", key, value));
                node_filter.filter(written).iter().cloned().for_each(|label| labels.insert(label));
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
