//! An event as a line of Hubble: a `GetFlowsResponse` of observer.proto in protobuf's JSON form, with proto's field
//! names, as `hubble observe --input-file` reads it.
//!
//! A field that the record does not tell is left out: addresses of the link, flags of TCP, the code of ICMP. What flow.proto
//! has no field for is a label of the policy: `ciliumc:path` and `ciliumc:file`, where the rule stands.

use ciliumc_abi::drop_reason;
use ciliumc_abi::event::{EVENT_DROP, EVENT_POLICY_VERDICT};
use ciliumc_abi::provenance::Rule;
use serde_json::{Value, json};

use super::{Book, End, Event, What};

/// What is not about the packet: when and where it was heard of.
#[derive(Debug, Clone)]
pub struct Heard {
    /// RFC 3339, in UTC.
    pub time: String,
    /// A number of its own for each flow, as Hubble writes it.
    pub uuid: String,
    /// Name of the host, for a generation that names no node.
    pub host: String,
}

/// The event as a flow.
pub fn flow(event: &Event, book: &Book, heard: &Heard) -> Value {
    let node = book.node(event.generation).unwrap_or(&heard.host);
    let (verdict, reason) = verdict(event.what);
    let (kind, match_type, proxy_port) = match event.what {
        What::Drop { .. } => (EVENT_DROP, None, None),
        What::Verdict { verdict, match_type, .. } => {
            (EVENT_POLICY_VERDICT, Some(match_type), u16::try_from(verdict).ok())
        }
    };
    // Hubble has the name of a reason where it knows one, and its number for others.
    let description = reason.map(|reason| drop_reason::flow_name(reason).map_or_else(|| json!(reason), Value::from));
    let policies = |fits: bool| fits.then(|| policies(event, book)).filter(|policies| !policies.is_empty());
    let refused = reason.is_some();
    let logs: Vec<_> = book.rules(event).unwrap_or_default().into_iter().filter_map(|rule| rule.log.as_ref()).collect();
    let (address, other) = (event.source.address, event.destination.address);
    let flow = json!({
        "time": heard.time,
        "uuid": heard.uuid,
        "verdict": verdict,
        "drop_reason": reason,
        "drop_reason_desc": description,
        "IP": address.zip(other).map(|(source, destination)| json!({
            "source": source, "destination": destination, "ipVersion": if source.is_ipv4() { "IPv4" } else { "IPv6" },
        })),
        "l4": l4(event),
        "source": end(event, book, &event.source, !event.ingress),
        "destination": end(event, book, &event.destination, event.ingress),
        "Type": "L3_L4",
        "node_name": node,
        // First packets are judged, so they are no replies; of a dropped one nobody knows.
        "is_reply": match_type.map(|_| false),
        "event_type": { "type": kind, "sub_type": reason.filter(|_| kind == EVENT_DROP) },
        "traffic_direction": if event.ingress { "INGRESS" } else { "EGRESS" },
        "policy_match_type": match_type,
        "interface": { "index": event.ifindex, "name": book.endpoint(event.endpoint).map(|known| &known.interface) },
        "proxy_port": proxy_port.filter(|port| *port != 0),
        "Summary": summary(event),
        "egress_allowed_by": policies(!event.ingress && !refused),
        "ingress_allowed_by": policies(event.ingress && !refused),
        "egress_denied_by": policies(!event.ingress && refused),
        "ingress_denied_by": policies(event.ingress && refused),
        "policy_log": if logs.is_empty() { Value::Null } else { json!(logs) },
    });
    response("flow", flow, heard, node)
}

/// Events that nobody will hear of, as Hubble says it of its own.
pub fn lost(count: u64, heard: &Heard) -> Value {
    // 64-bit numbers are strings in protobuf's JSON.
    let lost = json!({ "source": "PERF_EVENT_RING_BUFFER", "num_events_lost": count.to_string() });
    response("lost_events", lost, heard, &heard.host)
}

fn response(kind: &str, what: Value, heard: &Heard, node: &str) -> Value {
    let mut response = json!({ kind: what, "node_name": node, "time": heard.time });
    prune(&mut response);
    response
}

/// Takes away what is null: a field that is not set is not there.
fn prune(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(prune);
    }
}

/// The verdict's name, and the reason of a drop.
fn verdict(what: What) -> (&'static str, Option<u8>) {
    match what {
        What::Drop { reason } => ("DROPPED", Some(reason)),
        What::Verdict { verdict: ..=-1, .. } => ("DROPPED", super::show::words(what).1),
        What::Verdict { verdict: 1.., .. } => ("REDIRECTED", None),
        What::Verdict { audited: true, .. } => ("AUDIT", None),
        What::Verdict { verdict: 0, .. } => ("FORWARDED", None),
    }
}

fn l4(event: &Event) -> Value {
    let ports = || json!({ "source_port": event.source.port, "destination_port": event.destination.port });
    match (event.proto, event.icmp_type) {
        (1, Some(kind)) => json!({ "ICMPv4": { "type": kind } }),
        (58, Some(kind)) => json!({ "ICMPv6": { "type": kind } }),
        (6, _) => json!({ "TCP": ports() }),
        (17, _) => json!({ "UDP": ports() }),
        (132, _) => json!({ "SCTP": ports() }),
        _ => Value::Null,
    }
}

fn summary(event: &Event) -> Value {
    match (event.proto, event.icmp_type) {
        (1, Some(kind)) => json!(format!("ICMPv4 type {kind}")),
        (58, Some(kind)) => json!(format!("ICMPv6 type {kind}")),
        (6, _) => json!("TCP"),
        (17, _) => json!("UDP"),
        (132, _) => json!("SCTP"),
        _ => Value::Null,
    }
}

fn end(event: &Event, book: &Book, end: &End, local: bool) -> Value {
    let known = book.known(event, end, local);
    let labels = book.labels(event, end);
    let of_label = labels.iter().find_map(|label| label.strip_prefix("k8s:io.kubernetes.pod.namespace="));
    let (namespace, name) = match known.name.and_then(|name| name.split_once('/')) {
        Some((namespace, name)) => (Some(namespace), Some(name)),
        None => (of_label, known.name),
    };
    json!({
        "ID": known.id,
        "identity": book.identity(event, end),
        "namespace": namespace,
        "labels": labels,
        "pod_name": name,
        "workloads": known.workload.map(|(name, kind)| json!([{ "name": name, "kind": kind }])),
    })
}

/// The policies behind a verdict, in the order of their rules.
fn policies(event: &Event, book: &Book) -> Vec<Value> {
    let rules = book.rules(event).unwrap_or_default();
    rules.into_iter().map(|rule| policy(rule, event.generation)).collect()
}

fn policy(rule: &Rule, generation: u32) -> Value {
    let Rule { kind, namespace, name, path, file, line, log: _ } = rule;
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    let mut labels =
        vec![format!("k8s:io.cilium.k8s.policy.derived-from={kind}"), format!("k8s:io.cilium.k8s.policy.name={name}")];
    labels.extend(namespace.map(|namespace| format!("k8s:io.cilium.k8s.policy.namespace={namespace}")));
    labels.extend([format!("ciliumc:path={path}"), format!("ciliumc:file={file}:{line}")]);
    // A policy's revision is its generation here: it grows with each bundle.
    json!({ "name": name, "namespace": namespace, "labels": labels, "revision": generation.to_string(), "kind": kind })
}
