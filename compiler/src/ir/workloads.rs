//! Pods, workloads and nodes to endpoints (design: what is an endpoint, what only a peer).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::labels::{Label, LabelSet};
use super::{Endpoint, HostPod, NamedPort, Node, NodeIndex, scope};
use crate::diag::{Code, Diagnostic, FileId, Span, Spanned};
use crate::front::objects::{AssumedPod, Objects, Workload};

/// What workloads became.
pub struct Workloads {
    /// Endpoints, by name.
    pub endpoints: Vec<Endpoint>,
    /// Pods on the host network.
    pub host_pods: Vec<HostPod>,
}

/// Nodes by name; a Node and a CiliumNode of one name are one node. A node that only a pod names is one too, without
/// labels or addresses.
pub fn nodes(objects: &Objects) -> Vec<Node> {
    let mut out: BTreeMap<String, Node> = BTreeMap::new();
    let empty = |name: &str| Node {
        name: name.to_string(),
        described: false,
        labels: BTreeMap::new(),
        addresses: BTreeSet::new(),
        health: BTreeSet::new(),
        ingress: BTreeSet::new(),
    };
    for written in &objects.nodes {
        let name = &written.meta.object.name;
        let node = out.entry(name.clone()).or_insert_with(|| empty(name));
        node.described = true;
        node.labels.extend(written.meta.labels.iter().cloned());
        node.addresses.extend(written.addresses.iter().map(|a| a.value));
        node.health.extend(&written.health);
        node.ingress.extend(&written.ingress);
    }
    for workload in &objects.workloads {
        if let Some(name) = &workload.node_name {
            out.entry(name.value.clone()).or_insert_with(|| empty(&name.value));
        }
    }
    out.into_values().collect()
}

/// Endpoints and host pods.
pub fn collect(objects: &Objects, nodes: &[Node], diagnostics: &mut Vec<Diagnostic>) -> Workloads {
    let node_of = |workload: &Workload| {
        let name = &workload.node_name.as_ref()?.value;
        let place = nodes.binary_search_by(|n| n.name.cmp(name)).ok()?;
        Some(NodeIndex(place as u32))
    };
    let live: Vec<&Workload> = objects.workloads.iter().filter(|w| is_live(w, &objects.workloads)).collect();
    let mut owners: BTreeMap<IpAddr, (&Workload, Span)> = BTreeMap::new();
    let mut out = Workloads { endpoints: Vec::new(), host_pods: Vec::new() };
    for workload in live {
        let node = node_of(workload);
        if workload.host_network {
            out.host_pods.push(HostPod { name: name(workload), node });
            continue;
        }
        let named_ports = workload.ports.iter().filter_map(|port| {
            let name = port.name.as_ref()?.to_ascii_lowercase();
            Some(NamedPort { name, protocol: port.protocol, port: port.port })
        });
        out.endpoints.push(Endpoint {
            name: name(workload),
            kind: workload.meta.object.kind.clone(),
            owner: workload.meta.owner.clone(),
            namespace: workload.meta.object.namespace.clone(),
            labels: workload.pod_labels.iter().cloned().collect(),
            service_account: workload.service_account.clone().unwrap_or_else(|| "default".into()),
            named_ports: named_ports.collect(),
            node,
            addresses: workload.addresses.iter().map(|a| a.value).collect(),
            span: workload.meta.span,
        });
        for address in &workload.addresses {
            if let Some((first, span)) = owners.insert(address.value, (workload, address.span)) {
                diagnostics.push(shared_address(workload, address, first, span));
            }
        }
    }
    out.endpoints.extend(objects.assumed.iter().map(assumed));
    out.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    out.host_pods.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// A pod of which no document tells: it has an identity and nothing else.
fn assumed(pod: &AssumedPod) -> Endpoint {
    Endpoint {
        name: format!("{}/{}", pod.namespace, pod.name),
        kind: "Pod".into(),
        owner: None,
        namespace: pod.namespace.clone(),
        labels: pod.labels.clone(),
        service_account: "default".into(),
        named_ports: BTreeSet::new(),
        node: None,
        addresses: BTreeSet::new(),
        span: Span { file: FileId(u32::MAX), start: 0, end: 0 },
    }
}

/// `namespace/name` of a pod, `kind/namespace/name` of what makes pods.
fn name(workload: &Workload) -> String {
    let object = &workload.meta.object;
    match object.kind.as_str() {
        "Pod" => format!("{}/{}", object.namespace, object.name),
        kind => format!("{}/{}/{}", kind.to_ascii_lowercase(), object.namespace, object.name),
    }
}

fn is_live(workload: &Workload, all: &[Workload]) -> bool {
    if workload.meta.object.kind == "Pod" {
        return !workload.finished;
    }
    workload.meta.owner.is_none() && !workload.zero_replicas && !is_represented(workload, all)
}

/// Whether pods of the workload are in the input: then they stand for it.
fn is_represented(workload: &Workload, all: &[Workload]) -> bool {
    let selector = workload.selector.as_ref().map(scope::selector);
    all.iter().any(|pod| {
        pod.meta.object.kind == "Pod"
            && pod.meta.object.namespace == workload.meta.object.namespace
            && match &selector {
                Some(selector) => {
                    let labels: LabelSet = pod.pod_labels.iter().map(|(k, v)| Label::k8s(k, v)).collect();
                    selector.matches(&labels)
                }
                None => {
                    !workload.pod_labels.is_empty() && workload.pod_labels.iter().all(|l| pod.pod_labels.contains(l))
                }
            }
    })
}

/// One address on two live pods: their identities cannot be told apart.
fn shared_address(workload: &Workload, address: &Spanned<IpAddr>, first: &Workload, span: Span) -> Diagnostic {
    let message = format!("address {} is also the address of {}", address.value, first.meta.object);
    Diagnostic::error(Code("F-203"), address.span, message)
        .related(span, "the other pod's address")
        .hint("a live pod has an address of its own; leave the stale object out")
        .object(workload.meta.object.clone())
}
