//! An event as a line of Hubble: a `GetFlowsResponse` of observer.proto in protobuf's JSON form, with proto's field
//! names, as `hubble observe --input-file` reads it.
//!
//! A field that the record does not tell is left out: addresses of the link, flags of TCP, the code of ICMP. What flow.proto
//! has no field for is a label of the policy: `ciliumc:path` and `ciliumc:file`, where the rule stands.

use ciliumc_abi::drop_reason;
use ciliumc_abi::event as abi;
use ciliumc_abi::event::{EVENT_DROP, EVENT_POLICY_VERDICT, EVENT_TRACE};
use ciliumc_abi::provenance::Rule;
use serde_json::{Map, Value};

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
    let mut flow = Fields::default();
    flow.text("time", &heard.time);
    flow.text("uuid", &heard.uuid);
    flow.text("verdict", verdict);
    let mut kind = Fields::default();
    // Of a reply Hubble tells the direction in which its flow began.
    let ingress = event.ingress != is_reply(event.what);
    match event.what {
        What::Drop { reason } => {
            kind.number("type", EVENT_DROP.into());
            kind.number("sub_type", reason.into());
        }
        What::Trace { point, reason } => trace(&mut kind, &mut flow, point, reason),
        What::Verdict { verdict, match_type, .. } => {
            kind.number("type", EVENT_POLICY_VERDICT.into());
            flow.number("policy_match_type", match_type.into());
            // First packets are judged, so they are no replies; of a dropped one nobody knows.
            flow.put("is_reply", false.into());
            if verdict > 0 {
                flow.number("proxy_port", verdict.unsigned_abs());
            }
        }
    }
    flow.put("event_type", kind.into());
    if let Some(reason) = reason {
        flow.number("drop_reason", reason.into());
        // Hubble has the name of a reason where it knows one, and its number for others.
        match drop_reason::flow_name(reason) {
            Some(name) => flow.text("drop_reason_desc", name),
            None => flow.number("drop_reason_desc", reason.into()),
        }
    }
    if let Some((source, destination)) = event.source.address.zip(event.destination.address) {
        let mut ip = Fields::default();
        ip.text("source", &source.to_string());
        ip.text("destination", &destination.to_string());
        ip.text("ipVersion", if source.is_ipv4() { "IPv4" } else { "IPv6" });
        flow.put("IP", ip.into());
    }
    l4(event, &mut flow);
    flow.put("source", end(event, book, &event.source, !event.ingress));
    flow.put("destination", end(event, book, &event.destination, event.ingress));
    flow.text("Type", "L3_L4");
    flow.text("node_name", node);
    flow.text("traffic_direction", if ingress { "INGRESS" } else { "EGRESS" });
    let mut interface = Fields::default();
    interface.number("index", event.ifindex);
    if let Some(known) = book.endpoint(event.endpoint) {
        interface.text("name", &known.interface);
    }
    flow.put("interface", interface.into());
    let rules = book.rules(event).unwrap_or_default();
    let by = match (ingress, reason) {
        (false, None) => "egress_allowed_by",
        (false, Some(_)) => "egress_denied_by",
        (true, None) => "ingress_allowed_by",
        (true, Some(_)) => "ingress_denied_by",
    };
    flow.list(by, rules.iter().map(|rule| policy(rule, event.generation)).collect());
    flow.list("policy_log", rules.iter().filter_map(|rule| rule.log.clone()).map(Value::String).collect());
    response("flow", flow, heard, node)
}

/// Events that nobody will hear of, as Hubble says it of its own.
pub fn lost(count: u64, heard: &Heard) -> Value {
    let mut lost = Fields::default();
    lost.text("source", "PERF_EVENT_RING_BUFFER");
    // 64-bit numbers are strings in protobuf's JSON.
    lost.text("num_events_lost", &count.to_string());
    response("lost_events", lost, heard, &heard.host)
}

fn response(kind: &'static str, what: Fields, heard: &Heard, node: &str) -> Value {
    let mut response = Fields::default();
    response.put(kind, what.into());
    response.text("node_name", node);
    response.text("time", &heard.time);
    response.into()
}

/// The fields of a message. `json!` would be several kilobytes more of the loader.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.put(name, Value::String(value.to_owned()));
    }

    fn number(&mut self, name: &'static str, value: u32) {
        self.put(name, value.into());
    }

    /// A list without elements is a field that is not set.
    fn list(&mut self, name: &'static str, values: Vec<Value>) {
        if !values.is_empty() {
            self.put(name, Value::Array(values));
        }
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Value::Object(fields.0)
    }
}

fn is_reply(what: What) -> bool {
    matches!(what, What::Trace { reason: abi::TRACE_REASON_REPLY, .. })
}

/// What is told of a packet that passes. Where flow.proto has no name for a number, the number stands.
fn trace(kind: &mut Fields, flow: &mut Fields, point: u8, reason: u8) {
    kind.number("type", EVENT_TRACE.into());
    // A field that is zero is not there.
    if point != 0 {
        kind.number("sub_type", point.into());
    }
    match point {
        abi::TRACE_TO_LXC => flow.text("trace_observation_point", "TO_ENDPOINT"),
        abi::TRACE_TO_STACK => flow.text("trace_observation_point", "TO_STACK"),
        abi::TRACE_FROM_LXC => flow.text("trace_observation_point", "FROM_ENDPOINT"),
        other => flow.number("trace_observation_point", other.into()),
    }
    let name = match reason {
        abi::TRACE_REASON_NEW => "NEW",
        abi::TRACE_REASON_ESTABLISHED => "ESTABLISHED",
        abi::TRACE_REASON_REPLY => "REPLY",
        abi::TRACE_REASON_RELATED => "RELATED",
        _ => return,
    };
    flow.text("trace_reason", name);
    flow.put("is_reply", (reason == abi::TRACE_REASON_REPLY).into());
}

/// The verdict's name, and the reason of a drop.
fn verdict(what: What) -> (&'static str, Option<u8>) {
    match what {
        What::Drop { reason } => ("DROPPED", Some(reason)),
        What::Trace { .. } => ("FORWARDED", None),
        What::Verdict { verdict: ..=-1, .. } => ("DROPPED", super::show::words(what).1),
        What::Verdict { verdict: 1.., .. } => ("REDIRECTED", None),
        What::Verdict { audited: true, .. } => ("AUDIT", None),
        What::Verdict { verdict: 0, .. } => ("FORWARDED", None),
    }
}

/// Ports, or the type of an ICMP message, and Hubble's summary of it.
fn l4(event: &Event, flow: &mut Fields) {
    let (name, icmp) = match (event.proto, event.icmp_type) {
        (1, Some(kind)) => ("ICMPv4", Some(kind)),
        (58, Some(kind)) => ("ICMPv6", Some(kind)),
        (6, _) => ("TCP", None),
        (17, _) => ("UDP", None),
        (132, _) => ("SCTP", None),
        _ => return,
    };
    let (mut l4, mut header) = (Fields::default(), Fields::default());
    match icmp {
        Some(kind) => {
            header.number("type", kind.into());
            flow.text("Summary", &format!("{name} type {kind}"));
        }
        None => {
            header.number("source_port", event.source.port.into());
            header.number("destination_port", event.destination.port.into());
            flow.text("Summary", name);
        }
    }
    l4.put(name, header.into());
    flow.put("l4", l4.into());
}

fn end(event: &Event, book: &Book, end: &End, local: bool) -> Value {
    let mut fields = Fields::default();
    let known = book.known(event, end, local);
    let labels = book.labels(event, end);
    if let Some(id) = known.id {
        fields.number("ID", id.into());
    }
    if let Some(identity) = book.identity(event, end) {
        fields.number("identity", identity);
    }
    let of_label = labels.iter().find_map(|label| label.strip_prefix("k8s:io.kubernetes.pod.namespace="));
    let (namespace, name) = match known.name.and_then(|name| name.split_once('/')) {
        Some((namespace, name)) => (Some(namespace), Some(name)),
        None => (of_label, known.name),
    };
    for (field, value) in [("namespace", namespace), ("pod_name", name)] {
        if let Some(value) = value {
            fields.text(field, value);
        }
    }
    fields.list("labels", labels.iter().cloned().map(Value::String).collect());
    if let Some((name, kind)) = known.workload {
        let mut workload = Fields::default();
        workload.text("name", name);
        workload.text("kind", kind);
        fields.list("workloads", vec![workload.into()]);
    }
    fields.into()
}

fn policy(rule: &Rule, generation: u32) -> Value {
    let Rule { kind, namespace, name, path, file, line, log: _ } = rule;
    let mut fields = Fields::default();
    let line = line.to_string();
    let mut labels = Vec::new();
    let mut label = |parts: [&str; 4]| labels.push(Value::String(parts.concat()));
    label(["k8s:io.cilium.k8s.policy.derived-from=", kind, "", ""]);
    label(["k8s:io.cilium.k8s.policy.name=", name, "", ""]);
    if !namespace.is_empty() {
        label(["k8s:io.cilium.k8s.policy.namespace=", namespace, "", ""]);
        fields.text("namespace", namespace);
    }
    label(["ciliumc:path=", path, "", ""]);
    label(["ciliumc:file=", file, ":", &line]);
    fields.text("name", name);
    fields.text("kind", kind);
    fields.list("labels", labels);
    // A policy's revision is its generation here: it grows with each bundle.
    fields.text("revision", &generation.to_string());
    fields.into()
}
