//! One flow between two ends, asked at both: from the source on its way out, and at the destination on its way in.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ciliumc_abi::identity::IdentityIndex;

use super::l7::{Admission, admission};
use super::probe::{self, entity};
use super::{Decision, Flow, L4, Reason, Verdict, decide, decide_at, host};
use crate::ir::{Cluster, Direction, EndName, Endpoint, EndpointIndex, NodeIndex, Requests, nearest};
use crate::resolve::{AuthType, Holder, Resolved};

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// An endpoint, whose policy is asked.
    Endpoint(EndpointIndex),
    /// A pod on the host network: position in [`Cluster::host_pods`].
    HostPod(usize),
    /// A node.
    Node(NodeIndex),
    /// A reserved identity.
    Entity(IdentityIndex),
    /// An address of nobody in the input.
    Address(IpAddr),
}

/// Whose policy is asked at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// That of an endpoint.
    Endpoint(EndpointIndex),
    /// That of the host of a node; `None` is a node that no document describes.
    Host(Option<NodeIndex>),
}

impl Asked {
    /// `namespace/pod`, `kind/namespace/name` or `node:NAME`.
    pub fn name(self, cluster: &Cluster) -> String {
        match self {
            Self::Endpoint(EndpointIndex(place)) => {
                cluster.endpoints.get(place as usize).map(|endpoint| endpoint.name.clone()).unwrap_or_default()
            }
            Self::Host(node) => match node.and_then(|node| cluster.nodes.get(node.0 as usize)) {
                Some(node) => format!("node:{}", node.name),
                None => "the host of a node that the input does not describe".into(),
            },
        }
    }

    /// The endpoint, unless it is a host.
    pub fn endpoint(self) -> Option<EndpointIndex> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            Self::Host(_) => None,
        }
    }
}

/// What one end says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Whose policy is asked.
    pub asked: Asked,
    /// Direction, seen from it.
    pub direction: Direction,
    /// Whose policy decided, by number.
    pub class: Holder,
    /// Identity of the other end.
    pub peer: IdentityIndex,
    /// What it decided.
    pub decision: Decision,
}

/// What both ends say. An end that is no endpoint, nor a host under the host firewall, has no say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Protocol and port.
    pub l4: L4,
    /// At the source.
    pub egress: Option<Side>,
    /// At the destination.
    pub ingress: Option<Side>,
}

impl Judgement {
    /// The ends that have a say, in the order in which a packet meets them.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        self.egress.iter().chain(&self.ingress)
    }

    /// What becomes of the flow: the first end that drops it decides, else any proxy.
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| self.sides().any(|side| side.decision.verdict == verdict);
        [Verdict::Error, Verdict::Deny, Verdict::Redirect]
            .into_iter()
            .find(|verdict| has(*verdict))
            .unwrap_or(Verdict::Allow)
    }

    /// Authentication that comes first, at either end.
    pub fn auth(&self) -> AuthType {
        self.sides().map(|side| side.decision.auth).max().unwrap_or_default()
    }

    /// The verdict on requests of the flow, or why there is none. Without requests, what needs a proxy is a redirect.
    pub fn outcome(&self, requests: Option<&Requests>) -> Result<Verdict, String> {
        match (self.verdict(), requests) {
            (Verdict::Redirect, Some(requests)) => match self.admission(requests) {
                Admission::All => Ok(Verdict::Allow),
                Admission::None => Ok(Verdict::Deny),
                Admission::Some { passes, refused } => Err(format!("`{passes}` passes, and `{refused}` does not")),
                Admission::Unknown(why) => Err(why),
            },
            (verdict, _) => Ok(verdict),
        }
    }

    /// What becomes of requests, where a proxy is on the way.
    pub fn admission(&self, requests: &Requests) -> Admission {
        let mut out = Admission::All;
        for ruleset in self.sides().filter_map(|side| side.decision.ruleset.as_ref()) {
            out = match (out, admission(ruleset, requests)) {
                (Admission::None, _) | (_, Admission::None) => Admission::None,
                (Admission::All, other) | (other, Admission::All) => other,
                (Admission::Unknown(why), _) | (_, Admission::Unknown(why)) => Admission::Unknown(why),
                // An example of one proxy says nothing about the other.
                (Admission::Some { .. }, Admission::Some { .. }) => {
                    Admission::Unknown("two proxies let different requests pass".into())
                }
            };
        }
        out
    }
}

/// Why a flow has no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// Both ends are outside of what policies of the input decide.
    NoEndpoint,
    /// The endpoint may run on nodes that differ.
    DependsOnNode(String),
    /// Rules of tiers tell the addresses of the other end apart (spec §6.4).
    DependsOnFamily(String),
    /// The endpoint has no class.
    NoClass(String),
    /// Several nodes may be meant, and their host policies differ.
    WhichNode(String),
    /// Host policies select by labels of nodes, and nobody knows those of this one.
    NoLabels(String),
    /// Both ends are one host.
    OneHost,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("neither end is an endpoint, so no policy of the input decides"),
            Self::DependsOnNode(name) => write!(f, "it depends on the node that {name} runs on"),
            Self::DependsOnFamily(name) => {
                write!(f, "it depends on which address of {name} the flow has, of IPv4 or of IPv6")
            }
            Self::NoClass(name) => write!(f, "{name} has no class on its node"),
            Self::WhichNode(name) => write!(f, "it depends on which node {name} is; name it: node:NAME"),
            Self::NoLabels(name) => {
                write!(f, "which host policies select {name} is unknown: no Node of the input tells its labels")
            }
            Self::OneHost => f.write_str("both ends are one host, and what stays on it meets no policy"),
        }
    }
}

/// Asks both ends.
pub fn judge(
    cluster: &Cluster,
    resolved: &Resolved,
    source: End,
    destination: End,
    l4: L4,
) -> Result<Judgement, Unknown> {
    let firewall = cluster.options.host_firewall;
    let ask = |at: End, direction, other: End| match at {
        End::Endpoint(endpoint) => side(cluster, resolved, endpoint, direction, other, l4).map(Some),
        End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) if firewall => {
            host::side(cluster, resolved, at, direction, other, l4)
        }
        End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) => Ok(None),
    };
    let (egress, ingress) = (ask(source, Direction::Egress, destination), ask(destination, Direction::Ingress, source));
    // What an endpoint drops is dropped, whoever the host at the other end is.
    let drops = |side: &Result<Option<Side>, Unknown>| matches!(side, Ok(Some(Side { decision, .. })) if matches!(decision.verdict, Verdict::Deny | Verdict::Error));
    let is_pod = |end: End| matches!(end, End::Endpoint(_));
    let (egress, ingress) = match (egress, ingress) {
        (egress, Err(_)) if drops(&egress) && !is_pod(destination) => (egress?, None),
        (Err(_), ingress) if drops(&ingress) && !is_pod(source) => (None, ingress?),
        (egress, ingress) => (egress?, ingress?),
    };
    if egress.is_none() && ingress.is_none() {
        let both = firewall && [source, destination].iter().all(|end| host::is_host(cluster, resolved, *end));
        return Err(if both { Unknown::OneHost } else { Unknown::NoEndpoint });
    }
    Ok(Judgement { l4, egress, ingress })
}

/// Whether a policy of the input is asked at an end.
pub fn is_asked(cluster: &Cluster, resolved: &Resolved, end: End) -> bool {
    matches!(end, End::Endpoint(_)) || cluster.options.host_firewall && host::is_host(cluster, resolved, end)
}

/// Asks one end, on every kind of node that it may run on.
fn side(
    cluster: &Cluster,
    resolved: &Resolved,
    endpoint: EndpointIndex,
    direction: Direction,
    other: End,
    l4: L4,
) -> Result<Side, Unknown> {
    let name = || cluster.endpoints[endpoint.0 as usize].name.clone();
    let mut out: Option<Side> = None;
    for (node, class) in probe::placements(cluster, resolved, endpoint) {
        let class = class.ok_or_else(|| Unknown::NoClass(name()))?;
        let peer = identity(cluster, resolved, node, other, l4);
        let elsewhere = identities(cluster, resolved, other, l4);
        let class = Holder::Class(class);
        let policy = resolved.class(class).policy(direction);
        let decision = decide_at(cluster, resolved, class, direction, Flow { peer, l4 });
        if elsewhere.iter().any(|peer| decide(resolved, policy, Flow { peer: *peer, l4 }).verdict != decision.verdict)
            && decision.reason != Reason::ProtocolDisabled
        {
            return Err(Unknown::DependsOnFamily(other_name(cluster, other)));
        }
        match &out {
            Some(first) if first.decision != decision => return Err(Unknown::DependsOnNode(name())),
            Some(_) => {}
            None => out = Some(Side { asked: Asked::Endpoint(endpoint), direction, class, peer, decision }),
        }
    }
    out.ok_or_else(|| Unknown::NoClass(name()))
}

/// Identities of the addresses of a pod, of the family of ICMP where that is the protocol.
fn identities(cluster: &Cluster, resolved: &Resolved, end: End, l4: L4) -> Vec<IdentityIndex> {
    let End::Endpoint(EndpointIndex(place)) = end else { return Vec::new() };
    let addresses = cluster.endpoints.get(place as usize).into_iter().flat_map(|endpoint| &endpoint.addresses);
    let of_family = addresses.filter(|address| match l4 {
        L4::Icmp(_) => address.is_ipv4(),
        L4::Icmp6(_) => address.is_ipv6(),
        L4::Port(..) => true,
    });
    of_family.filter_map(|address| resolved.addresses.at(*address)).collect()
}

fn other_name(cluster: &Cluster, end: End) -> String {
    match end {
        End::Endpoint(EndpointIndex(place)) => {
            cluster.endpoints.get(place as usize).map(|endpoint| endpoint.name.clone()).unwrap_or_default()
        }
        End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) => String::new(),
    }
}

/// Identity of an end, seen from a node.
pub(super) fn identity(
    cluster: &Cluster,
    resolved: &Resolved,
    node: Option<NodeIndex>,
    end: End,
    l4: L4,
) -> IdentityIndex {
    match end {
        End::Endpoint(pod) => probe::pod_identity(cluster, resolved, pod, l4),
        End::HostPod(place) => {
            let its = cluster.host_pods.get(place).and_then(|pod| pod.node);
            probe::host_pod_identity(cluster, resolved, node, its.or(Some(NodeIndex(0))))
        }
        End::Node(its) => probe::host_pod_identity(cluster, resolved, node, Some(its)),
        End::Entity(index) => index,
        End::Address(address) => {
            let own = node.and_then(|node| cluster.nodes.get(node.0 as usize)).map(|node| &node.addresses);
            resolved.identity_of(address, own.unwrap_or(&BTreeSet::new()))
        }
    }
}

/// The ends that a name means; at least one. `names` are DNS names with addresses.
pub fn find(cluster: &Cluster, names: &[(String, Vec<IpAddr>)], name: &EndName) -> Result<Vec<End>, String> {
    let found = match name {
        EndName::Object { kind, namespace, name } => object(cluster, kind.as_deref(), namespace, name)?,
        EndName::Labels(pod) => {
            let has = |endpoint: &Endpoint| {
                endpoint.namespace == pod.namespace && pod.labels.iter().all(|(k, v)| endpoint.labels.get(k) == Some(v))
            };
            endpoints(cluster, has)
        }
        EndName::Address(address) => {
            let pods = endpoints(cluster, |endpoint| endpoint.addresses.contains(address));
            if pods.is_empty() { vec![End::Address(*address)] } else { pods }
        }
        EndName::Node(name) => {
            let names = || cluster.nodes.iter().map(|node| node.name.as_str());
            let near = || nearest(name, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let node =
                probe::node(cluster, name).ok_or_else(|| format!("no node `{name}` is in the input{}", near()))?;
            vec![End::Node(node)]
        }
        EndName::Entity(word) => vec![End::Entity(IdentityIndex(
            entity(word).ok_or_else(|| format!("entity `{word}` is not one identity; an end is one of {ENTITIES}"))?,
        ))],
        EndName::Fqdn(name) => {
            let known = names.iter().filter(|(known, _)| known == name);
            known.flat_map(|(_, addresses)| addresses.iter().map(|address| End::Address(*address))).collect()
        }
    };
    if found.is_empty() { Err("nothing in the input is meant by it".into()) } else { Ok(found) }
}

/// Words that are one identity each.
const ENTITIES: &str =
    "host, world, unmanaged, health, init, remote-node, kube-apiserver, ingress, world-ipv4, world-ipv6";

fn endpoints(cluster: &Cluster, is_meant: impl Fn(&Endpoint) -> bool) -> Vec<End> {
    let all = cluster.endpoints.iter().zip(0..);
    all.filter(|(endpoint, _)| is_meant(endpoint)).map(|(_, index)| End::Endpoint(EndpointIndex(index))).collect()
}

/// A pod, what makes pods, or the pods that it made.
fn object(cluster: &Cluster, kind: Option<&str>, namespace: &str, name: &str) -> Result<Vec<End>, String> {
    let full = format!("{namespace}/{name}");
    let is_kind = |of: &str| kind.is_none_or(|kind| of.eq_ignore_ascii_case(kind));
    let itself = endpoints(cluster, |e| e.name == full && is_kind("Pod"));
    if !itself.is_empty() {
        return Ok(itself);
    }
    let maker = endpoints(cluster, |e| e.name.split_once('/').is_some_and(|(of, rest)| rest == full && is_kind(of)));
    if !maker.is_empty() {
        return Ok(maker);
    }
    // A Deployment makes ReplicaSets, whose names end with a hash.
    let is_owner = |e: &Endpoint| {
        e.owner.as_ref().is_some_and(|owner| {
            let of_deployment =
                || owner.kind == "ReplicaSet" && owner.name.rsplit_once('-').map(|(n, _)| n) == Some(name);
            owner.name == name && is_kind(&owner.kind) || is_kind("Deployment") && of_deployment()
        })
    };
    let made = endpoints(cluster, |e| e.namespace == namespace && is_owner(e));
    if !made.is_empty() {
        return Ok(made);
    }
    let is_host_pod = |name: &str| {
        name == full && is_kind("Pod") || name.split_once('/').is_some_and(|(of, rest)| rest == full && is_kind(of))
    };
    if let Some(place) = cluster.host_pods.iter().position(|pod| is_host_pod(&pod.name)) {
        return Ok(vec![End::HostPod(place)]);
    }
    let written = kind.map_or(full.clone(), |kind| format!("{kind}/{full}"));
    let known = cluster.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let near = nearest(&written, known.clone()).or_else(|| {
        let tail = |known: &str| known.split_once('/').is_some_and(|(_, rest)| rest == full);
        known.clone().find(|known| tail(known))
    });
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("no endpoint `{written}` is in the input{near}"))
}
