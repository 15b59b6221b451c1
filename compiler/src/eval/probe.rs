//! Questions about flows, one a line: `endpoint direction peer proto dport`, separated by tabs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ciliumc_abi::identity::{IdentityIndex, reserved};

use super::{Decision, Flow, L4, decide_at, host};
use crate::ir::{Cluster, Direction, EndpointIndex, NodeIndex, Protocol};
use crate::resolve::{ClassIndex, Holder, Resolved};

/// One question, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Endpoint whose policy is asked, or `node:NAME` for the host of a node.
    pub endpoint: String,
    /// Direction, seen from it.
    pub direction: Direction,
    /// The other end, as written.
    pub peer: String,
    /// Protocol, as written.
    pub protocol: String,
    /// Port or ICMP type.
    pub port: u16,
}

/// An answered question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Verdict and reason.
    pub decision: Decision,
    /// Whose policy decided.
    pub class: Holder,
    /// Identity of the peer.
    pub peer: IdentityIndex,
    /// Protocol and port.
    pub l4: L4,
    /// The peer as reports show it: `pod:ns/name`, or the labels of its identity.
    pub peer_text: String,
}

/// Reads a file of probes. Every bad line is named.
pub fn parse(text: &str) -> Result<Vec<Probe>, Vec<String>> {
    let mut probes = Vec::new();
    let mut problems = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Ok(probe) => probes.push(probe),
            Err(problem) => problems.push(format!("line {}: {problem}", n + 1)),
        }
    }
    if problems.is_empty() { Ok(probes) } else { Err(problems) }
}

fn parse_line(line: &str) -> Result<Probe, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [endpoint, direction, peer, protocol, port] = fields.as_slice() else {
        return Err(format!("{} fields separated by tabs, not 5 (endpoint direction peer proto dport)", fields.len()));
    };
    let direction = match *direction {
        "ingress" => Direction::Ingress,
        "egress" => Direction::Egress,
        other => return Err(format!("direction `{other}` is neither ingress nor egress")),
    };
    let port = port.parse().map_err(|_| format!("port `{port}` is not a number from 0 to 65535"))?;
    l4(protocol, port)?;
    Ok(Probe { endpoint: (*endpoint).into(), direction, peer: (*peer).into(), protocol: (*protocol).into(), port })
}

/// Protocol word and port (or ICMP type) as a flow.
fn l4(protocol: &str, port: u16) -> Result<L4, String> {
    let icmp_type = || u8::try_from(port).map_err(|_| format!("ICMP type {port} is above 255"));
    match protocol {
        "TCP" => Ok(L4::Port(Protocol::Tcp, port)),
        "UDP" => Ok(L4::Port(Protocol::Udp, port)),
        "SCTP" => Ok(L4::Port(Protocol::Sctp, port)),
        "ICMP" => Ok(L4::Icmp(icmp_type()?)),
        "ICMPv6" => Ok(L4::Icmp6(icmp_type()?)),
        other => Err(format!("protocol `{other}` is none of TCP, UDP, SCTP, ICMP, ICMPv6")),
    }
}

/// Answers one probe.
pub fn answer(cluster: &Cluster, resolved: &Resolved, probe: &Probe) -> Result<Answer, String> {
    let (class, node) = match probe.endpoint.strip_prefix("node:") {
        Some(name) => {
            let node = node(cluster, name).ok_or_else(|| format!("node `{name}` is not in the input"))?;
            (host::holder(cluster, resolved, Some(node)).map_err(|unknown| unknown.to_string())?, Some(node))
        }
        None => of_endpoint(cluster, resolved, &probe.endpoint)?,
    };
    let l4 = l4(&probe.protocol, probe.port)?;
    let (peer, peer_text) = peer(cluster, resolved, node, &probe.peer, l4)?;
    let decision = decide_at(cluster, resolved, class, probe.direction, Flow { peer, l4 });
    Ok(Answer { decision, class, peer, l4, peer_text })
}

/// Class of an endpoint on its node, or on the first.
fn of_endpoint(cluster: &Cluster, resolved: &Resolved, name: &str) -> Result<(Holder, Option<NodeIndex>), String> {
    let endpoint = endpoint(cluster, name).ok_or_else(|| format!("endpoint `{name}` is not in the input"))?;
    let node = cluster.endpoints[endpoint.0 as usize].node.or((!cluster.nodes.is_empty()).then_some(NodeIndex(0)));
    let numbers = &resolved.endpoints[endpoint.0 as usize];
    let class = match node {
        Some(node) => numbers.classes.get(&resolved.node_variants[node.0 as usize]),
        None => numbers.classes.values().next(),
    };
    let class = *class.ok_or_else(|| format!("endpoint `{name}` has no class on its node"))?;
    Ok((Holder::Class(class), node))
}

/// A node by its name.
pub(super) fn node(cluster: &Cluster, name: &str) -> Option<NodeIndex> {
    let place = cluster.nodes.binary_search_by(|node| node.name.as_str().cmp(name)).ok()?;
    Some(NodeIndex(place as u32))
}

/// Where an endpoint may run: its node, or one of each kind of node, with its class there.
pub(super) fn placements(
    cluster: &Cluster,
    resolved: &Resolved,
    endpoint: EndpointIndex,
) -> Vec<(Option<NodeIndex>, Option<ClassIndex>)> {
    let numbers = &resolved.endpoints[endpoint.0 as usize];
    let class_on = |node: NodeIndex| numbers.classes.get(resolved.node_variants.get(node.0 as usize)?).copied();
    if let Some(node) = cluster.endpoints[endpoint.0 as usize].node {
        return vec![(Some(node), class_on(node))];
    }
    if cluster.nodes.is_empty() {
        return vec![(None, numbers.classes.values().next().copied())];
    }
    let first_of = |variant| resolved.node_variants.iter().position(|of| of == variant);
    let nodes = numbers.classes.keys().filter_map(first_of).map(|node| NodeIndex(node as u32));
    nodes.map(|node| (Some(node), class_on(node))).collect()
}

fn endpoint(cluster: &Cluster, name: &str) -> Option<EndpointIndex> {
    let place = cluster.endpoints.binary_search_by(|e| e.name.as_str().cmp(name)).ok()?;
    Some(EndpointIndex(place as u32))
}

/// `pod:ns/name`, `node:NAME`, `entity:NAME` or `ip:ADDR`, seen from a node.
fn peer(
    cluster: &Cluster,
    resolved: &Resolved,
    from: Option<NodeIndex>,
    text: &str,
    l4: L4,
) -> Result<(IdentityIndex, String), String> {
    let labels = |index: IdentityIndex| resolved.identities.get(&index).map_or("-".into(), |i| i.labels.to_string());
    let (kind, name) =
        text.split_once(':').ok_or_else(|| format!("peer `{text}` is none of pod:, node:, entity:, ip:"))?;
    match kind {
        "pod" => {
            if let Some(found) = endpoint(cluster, name) {
                return Ok((pod_identity(cluster, resolved, found, l4), text.to_string()));
            }
            let host_pod = cluster.host_pods.iter().find(|p| p.name == name);
            let host_pod = host_pod.ok_or_else(|| format!("pod `{name}` is not in the input"))?;
            let index = host_pod_identity(cluster, resolved, from, host_pod.node.or(Some(NodeIndex(0))));
            Ok((index, labels(index)))
        }
        "node" => {
            let its = node(cluster, name).ok_or_else(|| format!("node `{name}` is not in the input"))?;
            let index = host_pod_identity(cluster, resolved, from, Some(its));
            Ok((index, labels(index)))
        }
        "entity" => {
            let index = IdentityIndex(entity(name).ok_or_else(|| format!("entity `{name}` is not known"))?);
            Ok((index, labels(index)))
        }
        "ip" => {
            let address: IpAddr = name.parse().map_err(|_| format!("`{name}` is not an address"))?;
            let own = from.map(|n| &cluster.nodes[n.0 as usize].addresses);
            let index = resolved.identity_of(address, own.unwrap_or(&BTreeSet::new()));
            Ok((index, labels(index)))
        }
        other => Err(format!("peer kind `{other}` is none of pod, node, entity, ip")),
    }
}

/// The identity of a pod at an address of the flow's family: rules of tiers may tell its addresses apart (spec §6.4).
pub(super) fn pod_identity(cluster: &Cluster, resolved: &Resolved, pod: EndpointIndex, l4: L4) -> IdentityIndex {
    let addresses = &cluster.endpoints[pod.0 as usize].addresses;
    let of_family = |address: &&IpAddr| match l4 {
        L4::Icmp(_) => address.is_ipv4(),
        L4::Icmp6(_) => address.is_ipv6(),
        // IPv4 comes first.
        L4::Port(..) => true,
    };
    let known = addresses.iter().filter(of_family).find_map(|address| resolved.addresses.at(*address));
    known.unwrap_or(resolved.endpoints[pod.0 as usize].identity)
}

/// A pod on the host network is its node: the local host to the endpoints beside it, else what its address says.
pub(super) fn host_pod_identity(
    cluster: &Cluster,
    resolved: &Resolved,
    node: Option<NodeIndex>,
    its: Option<NodeIndex>,
) -> IdentityIndex {
    let its_node = its.and_then(|n| cluster.nodes.get(n.0 as usize));
    let address = its_node.and_then(|n| n.addresses.first());
    if node == its {
        let own = address.and_then(|address| resolved.host_indices.get(address));
        return own.copied().unwrap_or(IdentityIndex(reserved::HOST));
    }
    address.map_or(IdentityIndex(reserved::REMOTE_NODE), |address| resolved.addresses.lookup(*address))
}

/// The reserved number of an entity that is one identity.
pub(super) fn entity(name: &str) -> Option<u32> {
    Some(match name {
        "host" => reserved::HOST,
        "world" => reserved::WORLD,
        "unmanaged" => reserved::UNMANAGED,
        "health" => reserved::HEALTH,
        "init" => reserved::INIT,
        "remote-node" => reserved::REMOTE_NODE,
        "kube-apiserver" => reserved::KUBE_APISERVER,
        "ingress" => reserved::INGRESS,
        "world-ipv4" => reserved::WORLD_IPV4,
        "world-ipv6" => reserved::WORLD_IPV6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_line_is_named() {
        let good = "ns/a\tingress\tpod:ns/b\tTCP\t80\n";
        assert_eq!(parse(good).unwrap().len(), 1);
        let bad = "ns/a\tup\tpod:ns/b\tTCP\t80\nns/a\tegress\tip:1.1.1.1\tICMP\t256\nx\n";
        let problems = parse(bad).unwrap_err();
        assert_eq!(problems.len(), 3);
        assert!(problems[2].starts_with("line 3: 1 fields"));
    }
}
