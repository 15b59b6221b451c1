use ciliumc_abi::manifest::{MANIFEST_FILE, PROVENANCE_FILE};

use super::*;
use crate::attach::Mechanism;
use crate::handmade;
use crate::state::{Endpoint, KnownBy};

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
    if kind == EVENT_DROP {
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
    let json = json(&event, &book());
    assert_eq!(json["destination"]["labels"][0], "k8s:app=deathstar");
    assert_eq!(json["rules"][0]["line"], 12);
    assert_eq!(json["policy_match_type"], 2);
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
    assert!(json(&event, &book())["rules"].is_null());
}

#[test]
fn no_record_makes_it_panic() {
    let good = record(EVENT_DROP);
    for len in 0..good.len() {
        assert_eq!(decode(&good[..len]), None);
    }
    assert_eq!(decode(&record(77)), None);
    let book = book();
    for kind in [EVENT_DROP, EVENT_POLICY_VERDICT] {
        for at in 1..88 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = record(kind);
                bytes[at] = value;
                if let Some(event) = decode(&bytes) {
                    assert!(!line(&event, &book, true).is_empty());
                    assert!(json(&event, &book).is_object());
                }
            }
        }
    }
}
