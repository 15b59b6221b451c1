use ciliumc_abi::event::{
    TRACE_FROM_LXC, TRACE_REASON_ESTABLISHED, TRACE_REASON_NEW, TRACE_REASON_RELATED, TRACE_REASON_REPLY,
    TRACE_REASON_UNKNOWN, TRACE_TO_LXC, TRACE_TO_STACK,
};
use ciliumc_abi::manifest::{MANIFEST_FILE, PROVENANCE_FILE};

use super::*;
use crate::attach::Mechanism;
use crate::state::{Endpoint, KnownBy};
use crate::{handmade, hubble};
use serde_json::{Value, json};

fn book() -> Book {
    let files = handmade::files(80, |_| vec![]);
    let manifest = serde_json::from_slice(&files[MANIFEST_FILE]).unwrap();
    let provenance = serde_json::from_slice(&files[PROVENANCE_FILE]).unwrap();
    let deathstar = Endpoint {
        id: 7,
        name: "default/deathstar".to_owned(),
        known_by: KnownBy::Name("default/deathstar".to_owned()),
        interface: "veth1".to_owned(),
        ifindex: 3,
        netns: None,
        attached_by: Mechanism::Tcx,
        addresses: vec!["10.77.0.1".parse().unwrap()],
        link: Default::default(),
        identity: handmade::DEATHSTAR.1,
        class: Some(1),
        generation: 3,
        slots: Default::default(),
        tables: Default::default(),
        programs: Default::default(),
    };
    Book::of(3, &manifest, provenance, vec![deathstar])
}

/// A record as a program writes it: from xwing to deathstar, TCP port 81, generation 3, cause 1.
fn record(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; 88];
    bytes[0] = kind;
    bytes[1] = if kind == EVENT_DROP { 133 } else { 0 };
    bytes[2..4].copy_from_slice(&7u16.to_ne_bytes());
    bytes[8..12].copy_from_slice(&60u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&handmade::XWING.1.to_ne_bytes());
    if kind != EVENT_POLICY_VERDICT {
        bytes[20..24].copy_from_slice(&handmade::DEATHSTAR.1.to_ne_bytes());
    }
    bytes[40..44].copy_from_slice(&1u32.to_ne_bytes());
    bytes[44..48].copy_from_slice(&3u32.to_ne_bytes());
    bytes[48] = DIRECTION_INGRESS;
    bytes[49] = 4;
    bytes[50] = 6;
    bytes[52..54].copy_from_slice(&40000u16.to_be_bytes());
    bytes[54..56].copy_from_slice(&81u16.to_be_bytes());
    bytes[56..60].copy_from_slice(&[10, 77, 0, 3]);
    bytes[72..76].copy_from_slice(&[10, 77, 0, 1]);
    bytes
}

#[test]
fn a_drop_names_both_ends_and_the_rule() {
    let event = decode(&record(EVENT_DROP)).unwrap();
    assert_eq!(
        line(&event, &book(), false),
        "drop  ingress  default/xwing (id 1256, 10.77.0.3:40000) -> default/deathstar (id 1257, 10.77.0.1:81) tcp  \
         Policy denied (133)  by CiliumNetworkPolicy default/rule80 spec.ingress[0] policies.yaml:12"
    );
    assert!(line(&event, &book(), true).contains("10.77.0.3:40000, k8s:app=xwing)"));
}

#[test]
fn a_verdict_takes_the_endpoint_s_own_identity_from_its_record() {
    let mut bytes = record(EVENT_POLICY_VERDICT);
    bytes[27] = 1 | 2 << 3;
    let event = decode(&bytes).unwrap();
    assert_eq!(
        line(&event, &book(), false),
        "allow  ingress  default/xwing (id 1256, 10.77.0.3:40000) -> default/deathstar (id 1257, 10.77.0.1:81) tcp  \
         match L3-L4  by CiliumNetworkPolicy default/rule80 spec.ingress[0] policies.yaml:12"
    );
    assert_eq!(as_flow(&event)["flow"]["destination"]["labels"][0], "k8s:app=deathstar");
    assert_eq!(as_flow(&event)["flow"]["policy_match_type"], 2);
}

/// A trace of the packet of [`record`].
fn trace(point: u8, reason: u8) -> Event {
    let mut bytes = record(EVENT_TRACE);
    (bytes[1], bytes[26]) = (point, reason);
    bytes[28..32].copy_from_slice(&3u32.to_ne_bytes());
    decode(&bytes).unwrap()
}

#[test]
fn a_trace_says_where_and_in_which_state() {
    let told = |point, reason| line(&trace(point, reason), &book(), false);
    assert_eq!(
        told(TRACE_TO_LXC, TRACE_REASON_NEW),
        "trace  ingress  default/xwing (id 1256, 10.77.0.3:40000) -> default/deathstar (id 1257, 10.77.0.1:81) tcp  \
         to-endpoint state new  by CiliumNetworkPolicy default/rule80 spec.ingress[0] policies.yaml:12"
    );
    for (point, reason, words) in [
        (TRACE_TO_LXC, TRACE_REASON_REPLY, "  to-endpoint state reply  "),
        (TRACE_TO_STACK, TRACE_REASON_ESTABLISHED, "  to-stack state established  "),
        (TRACE_TO_STACK, TRACE_REASON_RELATED, "  to-stack state related  "),
        (TRACE_FROM_LXC, TRACE_REASON_UNKNOWN, "  from-endpoint state unknown  "),
        (77, 99, "  point 77 state unknown (99)  "),
    ] {
        assert!(told(point, reason).contains(words), "{}", told(point, reason));
    }
}

#[test]
fn a_trace_is_a_flow_of_hubble() {
    let flow_of = |point, reason| as_flow(&trace(point, reason))["flow"].clone();
    let new = flow_of(TRACE_TO_LXC, TRACE_REASON_NEW);
    assert_eq!((&new["verdict"], &new["event_type"]), (&json!("FORWARDED"), &json!({ "type": 4 })));
    assert_eq!((&new["trace_observation_point"], &new["trace_reason"]), (&json!("TO_ENDPOINT"), &json!("NEW")));
    assert_eq!((&new["is_reply"], &new["traffic_direction"]), (&json!(false), &json!("INGRESS")));
    assert_eq!((&new["destination"]["ID"], &new["interface"]["index"]), (&json!(7), &json!(3)));
    assert_eq!(new["ingress_allowed_by"][0]["name"], "rule80");
    let reply = flow_of(TRACE_TO_LXC, TRACE_REASON_REPLY);
    assert_eq!((&reply["trace_reason"], &reply["is_reply"]), (&json!("REPLY"), &json!(true)));
    assert_eq!(reply["traffic_direction"], "EGRESS", "where the flow began, as Hubble has it");
    let sent = flow_of(TRACE_TO_STACK, TRACE_REASON_ESTABLISHED);
    assert_eq!((&sent["trace_observation_point"], &sent["trace_reason"]), (&json!("TO_STACK"), &json!("ESTABLISHED")));
    assert_eq!(sent["event_type"], json!({ "type": 4, "sub_type": 3 }));
    assert_eq!(flow_of(TRACE_TO_STACK, TRACE_REASON_RELATED)["trace_reason"], "RELATED");
    let came = flow_of(TRACE_FROM_LXC, TRACE_REASON_UNKNOWN);
    assert_eq!(came["trace_observation_point"], "FROM_ENDPOINT");
    assert!(came["trace_reason"].is_null() && came["is_reply"].is_null(), "{came}");
}

fn heard() -> Heard {
    Heard { time: "2026-01-31T09:30:00.500Z".to_owned(), uuid: "u-1".to_owned(), host: "worker".to_owned() }
}

/// Takes away what protobuf does not write: numbers that are 0, and lists without elements.
fn without_defaults(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| *field != 0 && *field != Value::Array(Vec::new()));
        fields.values_mut().for_each(without_defaults);
    }
}

/// The event as a flow, which protobuf reads as what it says.
fn as_flow(event: &Event) -> Value {
    let mut flow = flow(event, &book(), &heard());
    let read = hubble::read(&flow.to_string()).unwrap_or_else(|error| panic!("{error}: {flow}"));
    without_defaults(&mut flow);
    assert_eq!(read, flow);
    flow
}

#[test]
fn a_drop_is_a_flow_of_hubble() {
    let mut bytes = record(EVENT_DROP);
    bytes[32..36].copy_from_slice(&3u32.to_ne_bytes());
    let policy = json!({
        "name": "rule80", "namespace": "default", "kind": "CiliumNetworkPolicy", "revision": "3",
        "labels": [
            "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy", "k8s:io.cilium.k8s.policy.name=rule80",
            "k8s:io.cilium.k8s.policy.namespace=default", "ciliumc:path=spec.ingress[0]", "ciliumc:file=policies.yaml:12",
        ],
    });
    let expected = json!({
        "time": "2026-01-31T09:30:00.500Z",
        "node_name": "worker",
        "flow": {
            "time": "2026-01-31T09:30:00.500Z",
            "uuid": "u-1",
            "verdict": "DROPPED",
            "drop_reason": 133,
            "drop_reason_desc": "POLICY_DENIED",
            "IP": { "source": "10.77.0.3", "destination": "10.77.0.1", "ipVersion": "IPv4" },
            "l4": { "TCP": { "source_port": 40000, "destination_port": 81 } },
            "source": {
                "identity": 1256, "namespace": "default", "pod_name": "xwing", "labels": ["k8s:app=xwing"],
            },
            "destination": {
                "ID": 7, "identity": 1257, "namespace": "default", "pod_name": "deathstar", "labels": ["k8s:app=deathstar"],
            },
            "Type": "L3_L4",
            "node_name": "worker",
            "event_type": { "type": 1, "sub_type": 133 },
            "traffic_direction": "INGRESS",
            "interface": { "index": 3, "name": "veth1" },
            "Summary": "TCP",
            "ingress_denied_by": [policy],
        },
    });
    assert_eq!(as_flow(&decode(&bytes).unwrap()), expected);
}

#[test]
fn verdicts_have_hubble_s_names() {
    let verdict = |bits: u8, number: i32| {
        let mut bytes = record(EVENT_POLICY_VERDICT);
        bytes[20..24].copy_from_slice(&number.to_ne_bytes());
        bytes[27] = bits;
        as_flow(&decode(&bytes).unwrap())["flow"].clone()
    };
    let allowed = verdict(5 << 3, 0);
    assert_eq!((&allowed["verdict"], &allowed["policy_match_type"]), (&json!("FORWARDED"), &json!(5)));
    assert_eq!((&allowed["event_type"], &allowed["is_reply"]), (&json!({ "type": 5 }), &json!(false)));
    assert_eq!(allowed["ingress_allowed_by"][0]["name"], "rule80");
    assert!(allowed["drop_reason"].is_null() && allowed["ingress_denied_by"].is_null(), "{allowed}");
    assert_eq!(verdict(1 << 6, 0)["verdict"], "AUDIT");
    let redirected = verdict(0, 15001);
    assert_eq!((&redirected["verdict"], &redirected["proxy_port"]), (&json!("REDIRECTED"), &json!(15001)));
    let denied = verdict(0, -181);
    assert_eq!((&denied["verdict"], &denied["drop_reason_desc"]), (&json!("DROPPED"), &json!("POLICY_DENY")));
    assert_eq!(denied["ingress_denied_by"][0]["name"], "rule80");
    assert!(denied["ingress_allowed_by"].is_null() && denied["event_type"]["sub_type"].is_null(), "{denied}");
}

#[test]
fn every_drop_reason_reads_as_its_number() {
    for reason in 130..=u8::MAX {
        let mut bytes = record(EVENT_DROP);
        bytes[1] = reason;
        let mut flow = flow(&decode(&bytes).unwrap(), &book(), &heard());
        assert_eq!(flow["flow"]["drop_reason"], reason);
        assert_eq!(flow["flow"]["drop_reason_desc"].is_string(), ciliumc_abi::drop_reason::flow_name(reason).is_some());
        // The number leads to the same: protobuf would write the name for it.
        let named = hubble::read(&flow.to_string()).unwrap();
        flow["flow"]["drop_reason_desc"] = json!(reason);
        let numbered = hubble::read(&flow.to_string()).unwrap();
        assert_eq!(named, numbered, "{reason}");
    }
    let told = |reason: u8| ciliumc_abi::drop_reason::text(reason) != "Unknown reason";
    let unnamed: Vec<u8> =
        (1..=u8::MAX).filter(|r| told(*r) && ciliumc_abi::drop_reason::flow_name(*r).is_none()).collect();
    assert!(unnamed.iter().all(|reason| *reason >= 210), "of Cilium's numbers all have a name: {unnamed:?}");
}

#[test]
fn a_flow_has_only_what_its_packet_has() {
    let flow_of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = record(EVENT_DROP);
        change(&mut bytes);
        as_flow(&decode(&bytes).unwrap())["flow"].clone()
    };
    for (proto, l4) in [
        (17, json!({ "UDP": { "source_port": 40000, "destination_port": 81 } })),
        (132, json!({ "SCTP": { "source_port": 40000, "destination_port": 81 } })),
        (47, Value::Null),
    ] {
        assert_eq!(flow_of(&|bytes| bytes[50] = proto)["l4"], l4);
    }
    for (proto, family, name) in [(1, 4, "ICMPv4"), (58, 6, "ICMPv6")] {
        let echo = flow_of(&|bytes| {
            (bytes[49], bytes[50], bytes[51], bytes[55]) = (family, proto, FLAG_ICMP_TYPE, 128);
        });
        assert_eq!(echo["l4"], json!({ name: { "type": 128 } }));
        assert_eq!(echo["IP"]["ipVersion"], format!("IPv{family}"));
    }
    assert!(flow_of(&|bytes| bytes[49] = 0)["IP"].is_null(), "no addresses");
    let stranger = flow_of(&|bytes| bytes[44..48].copy_from_slice(&99u32.to_ne_bytes()));
    assert!(stranger["ingress_denied_by"].is_null(), "a generation that nobody knows");
    let sent = flow_of(&|bytes| bytes[48] = 1);
    assert_eq!(
        (&sent["traffic_direction"], &sent["egress_denied_by"][0]["name"]),
        (&json!("EGRESS"), &json!("rule80"))
    );
}

#[test]
fn lost_events_are_told_as_hubble_tells_its_own() {
    let lost = lost(u64::from(u32::MAX) + 1, &heard());
    assert_eq!(lost["lost_events"]["num_events_lost"], "4294967296");
    assert_eq!(hubble::read(&lost.to_string()).unwrap(), lost);
    assert!(hubble::read("{\"flow\": {\"verdikt\": \"DROPPED\"}}").is_err(), "an unknown field");
    assert!(hubble::read("{\"flow\": {\"verdict\": \"DROP\"}}").is_err(), "an unknown verdict");
}

#[test]
fn icmp_has_a_type_and_no_ports() {
    let mut bytes = record(EVENT_DROP);
    bytes[50] = 1;
    bytes[51] = 1;
    bytes[54..56].copy_from_slice(&8u16.to_be_bytes());
    let text = line(&decode(&bytes).unwrap(), &book(), false);
    assert!(text.contains("(id 1256, 10.77.0.3) -> default/deathstar (id 1257, 10.77.0.1) icmp type 8"), "{text}");
}

#[test]
fn what_is_unknown_is_printed_as_numbers() {
    let mut bytes = record(EVENT_DROP);
    bytes[44..48].copy_from_slice(&99u32.to_ne_bytes());
    let text = line(&decode(&bytes).unwrap(), &book(), false);
    assert!(text.ends_with("by unknown cause 1 of generation 99"), "{text}");
    let mut bytes = record(EVENT_DROP);
    bytes[40..44].copy_from_slice(&u32::MAX.to_ne_bytes());
    let event = decode(&bytes).unwrap();
    assert!(line(&event, &book(), false).ends_with("by unknown cause 4294967295 of generation 3"));
    assert!(as_flow(&event)["flow"]["ingress_denied_by"].is_null());
}

#[test]
fn no_record_makes_it_panic() {
    let good = record(EVENT_DROP);
    for len in 0..good.len() {
        assert_eq!(decode(&good[..len]), None);
    }
    assert_eq!(decode(&record(77)), None);
    let book = book();
    for kind in [EVENT_DROP, EVENT_TRACE, EVENT_POLICY_VERDICT] {
        for at in 1..88 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = record(kind);
                bytes[at] = value;
                if let Some(event) = decode(&bytes) {
                    assert!(!line(&event, &book, true).is_empty());
                    let flow = flow(&event, &book, &heard());
                    assert!(flow["flow"]["verdict"].is_string());
                }
            }
        }
    }
}
