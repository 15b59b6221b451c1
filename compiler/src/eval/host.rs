//! The host of a node as an end of a flow, under the host firewall (spec §2.3): which node it is, and what its policy says.
//!
//! Each end is judged on its own node: the local host beside a pod on that pod's, another node on its own. Where several
//! nodes may be meant, all of them have to let the same pass. What is forwarded between a pod and the outside has no host
//! as an end, and nothing here is asked about it.

use std::collections::BTreeSet;

use ciliumc_abi::identity::{IdentityIndex, reserved};

use super::flow::{self, Asked, End, Side, Unknown};
use super::{Decision, Flow, L4, Verdict, decide_at, probe};
use crate::ir::{Cluster, Direction, NodeIndex};
use crate::resolve::{Holder, Resolved, VariantIndex};

/// Nodes that an end may be; `None` is one that the input does not have.
type Nodes = Vec<Option<NodeIndex>>;

/// Whether an end is the host of some node: the node itself, or a pod on its network.
pub fn is_host(cluster: &Cluster, resolved: &Resolved, end: End) -> bool {
    match end {
        End::Endpoint(_) => false,
        End::HostPod(_) | End::Node(_) => true,
        End::Entity(index) => is_local(resolved, index) || is_remote(resolved, index),
        End::Address(address) => cluster.nodes.iter().any(|node| node.addresses.contains(&address)),
    }
}

/// The host of a node as a holder of a policy. Of a node that no document describes nobody knows which host policies
/// select it, unless none of them asks for a label.
pub(super) fn holder(cluster: &Cluster, resolved: &Resolved, node: Option<NodeIndex>) -> Result<Holder, Unknown> {
    let of_node = node.and_then(|node| Some((cluster.nodes.get(node.0 as usize)?, node)));
    let is_described = of_node.is_some_and(|(node, _)| node.described);
    if !is_described && cluster.options.host_firewall && resolved.host_labels_matter {
        return Err(Unknown::NoLabels(Asked::Host(node).name(cluster)));
    }
    let variant = of_node.and_then(|(_, node)| resolved.node_variants.get(node.0 as usize).copied());
    Ok(Holder::Host(variant.unwrap_or(VariantIndex(0))))
}

/// What the host at one end says; `None` where no host policy is asked: the end is no host, or both are the same one.
pub(super) fn side(
    cluster: &Cluster,
    resolved: &Resolved,
    at: End,
    direction: Direction,
    other: End,
    l4: L4,
) -> Result<Option<Side>, Unknown> {
    let Some(nodes) = nodes(cluster, resolved, at, other) else { return Ok(None) };
    let mut out: Option<Side> = None;
    for node in nodes {
        let class = holder(cluster, resolved, node)?;
        for peer in peers(cluster, resolved, node, other, l4) {
            let decision = decide_at(cluster, resolved, class, direction, Flow { peer, l4 });
            match &out {
                Some(first) if !is_alike(&first.decision, &decision) => return Err(depends(cluster, at, other)),
                Some(_) => {}
                None => out = Some(Side { asked: Asked::Host(node), direction, class, peer, decision }),
            }
        }
    }
    // Both may be one host after all, and what stays on it passes.
    let may_stay = match (at, other) {
        (End::HostPod(_) | End::Node(_) | End::Address(_), End::HostPod(_) | End::Node(_) | End::Address(_)) => {
            is_anywhere(cluster, at) && is_host(cluster, resolved, other) || is_anywhere(cluster, other)
        }
        (End::Endpoint(_) | End::Entity(_), _) | (_, End::Endpoint(_) | End::Entity(_)) => false,
    };
    if may_stay && out.as_ref().is_some_and(|side| side.decision.verdict != Verdict::Allow) {
        return Err(depends(cluster, at, other));
    }
    Ok(out)
}

/// Whether two hosts let the same pass, by whatever rules.
fn is_alike(one: &Decision, other: &Decision) -> bool {
    let said = |decision: &Decision| (decision.verdict, decision.audited, decision.ruleset.clone(), decision.auth);
    said(one) == said(other)
}

/// Who the other end is to the host of a node: another node, where it is one.
fn peers(
    cluster: &Cluster,
    resolved: &Resolved,
    node: Option<NodeIndex>,
    other: End,
    l4: L4,
) -> BTreeSet<IdentityIndex> {
    let identity = |other: End| flow::identity(cluster, resolved, node, other, l4);
    if !is_anywhere(cluster, other) {
        return [identity(other)].into();
    }
    if cluster.nodes.is_empty() {
        return [IdentityIndex(reserved::REMOTE_NODE)].into();
    }
    let others = (0..cluster.nodes.len() as u32).map(NodeIndex).filter(|other| Some(*other) != node);
    others.map(|other| identity(End::Node(other))).collect()
}

/// Whether it is on the network of a node that the input does not tell.
fn is_anywhere(cluster: &Cluster, end: End) -> bool {
    match end {
        End::HostPod(place) => cluster.host_pods.get(place).is_some_and(|pod| pod.node.is_none()),
        End::Endpoint(_) | End::Node(_) | End::Entity(_) | End::Address(_) => false,
    }
}

fn depends(cluster: &Cluster, at: End, other: End) -> Unknown {
    match (at, other) {
        (End::Entity(index), End::Endpoint(pod)) if index.0 == reserved::HOST => {
            Unknown::DependsOnNode(Asked::Endpoint(pod).name(cluster))
        }
        (End::HostPod(place), _) => {
            Unknown::DependsOnNode(cluster.host_pods.get(place).map(|pod| pod.name.clone()).unwrap_or_default())
        }
        (End::Entity(index), _) => Unknown::WhichNode(word(index)),
        (End::Endpoint(_) | End::Node(_) | End::Address(_), _) => Unknown::WhichNode("the host".into()),
    }
}

fn word(index: IdentityIndex) -> String {
    match index.0 {
        reserved::HOST => "host".into(),
        reserved::REMOTE_NODE => "remote-node".into(),
        reserved::KUBE_APISERVER => "kube-apiserver".into(),
        other => format!("identity {other}"),
    }
}

/// The nodes that a host may be beside another end, one of each kind; `None` where it is no host.
fn nodes(cluster: &Cluster, resolved: &Resolved, at: End, other: End) -> Option<Nodes> {
    if !is_host(cluster, resolved, at) {
        return None;
    }
    let of_entity = match at {
        End::Entity(index) => Some(index),
        End::Endpoint(_) | End::HostPod(_) | End::Node(_) | End::Address(_) => None,
    };
    // The local host of a node is itself.
    if matches!(other, End::Entity(other) if is_local(resolved, other))
        && of_entity.is_none_or(|index| is_local(resolved, index))
    {
        return None;
    }
    let around = fixed(cluster, resolved, other);
    let own = match around.as_deref() {
        Some([Some(own)]) => Some(*own),
        Some(_) | None => None,
    };
    // What stays on one host passes no device of it.
    let is_same = |node: NodeIndex| Some(node) == own && is_host(cluster, resolved, other);
    if let Some(mut fixed) = fixed(cluster, resolved, at) {
        fixed.retain(|node| !node.is_some_and(is_same));
        return Some(fixed);
    }
    let Some(index) = of_entity else { return Some(kinds(cluster, resolved, |node| !is_same(node))) };
    if is_local(resolved, index) {
        // That of a pod is the node below it.
        return match other {
            End::Endpoint(_) => around,
            End::HostPod(_) | End::Node(_) => None,
            End::Address(_) if around.is_some() => None,
            End::Address(_) | End::Entity(_) => Some(kinds(cluster, resolved, |_| true)),
        };
    }
    let numeric = |index: IdentityIndex| resolved.identities.get(&index).map(|identity| identity.numeric);
    let found = kinds(cluster, resolved, |node| {
        let addresses = &cluster.nodes[node.0 as usize].addresses;
        let has = addresses.iter().any(|address| numeric(resolved.addresses.lookup(*address)) == numeric(index));
        Some(node) != own && (has || addresses.is_empty() && index.0 == reserved::REMOTE_NODE)
    });
    Some(if found.is_empty() { vec![None] } else { found })
}

/// The nodes of an end that the input places: the one that it is or runs on, or all kinds that a pod may run on.
fn fixed(cluster: &Cluster, resolved: &Resolved, end: End) -> Option<Nodes> {
    match end {
        End::Endpoint(pod) => {
            Some(probe::placements(cluster, resolved, pod).into_iter().map(|(node, _)| node).collect())
        }
        End::HostPod(place) => cluster.host_pods.get(place)?.node.map(|node| vec![Some(node)]),
        End::Node(node) => Some(vec![Some(node)]),
        End::Address(address) => {
            let place = cluster.nodes.iter().position(|node| node.addresses.contains(&address))?;
            Some(vec![Some(NodeIndex(place as u32))])
        }
        End::Entity(_) => None,
    }
}

/// One node of each variant, described ones apart from others; of an input without nodes the one that it does not have.
fn kinds(cluster: &Cluster, resolved: &Resolved, is_meant: impl Fn(NodeIndex) -> bool) -> Nodes {
    if cluster.nodes.is_empty() {
        return vec![None];
    }
    let mut known = BTreeSet::new();
    let mut out = Nodes::new();
    for ((index, node), variant) in (0..).map(NodeIndex).zip(&cluster.nodes).zip(&resolved.node_variants) {
        let kind = (node.described, *variant);
        if !known.contains(&kind) && is_meant(index) {
            known.insert(kind);
            out.push(Some(index));
        }
    }
    out
}

fn is_local(resolved: &Resolved, index: IdentityIndex) -> bool {
    resolved.identities.get(&index).is_some_and(|identity| identity.numeric.0 == reserved::HOST)
}

fn is_remote(resolved: &Resolved, index: IdentityIndex) -> bool {
    resolved.identities.get(&index).is_some_and(|identity| identity.labels.has_reserved("remote-node"))
}
