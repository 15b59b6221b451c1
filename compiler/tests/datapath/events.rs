//! Records: one for each drop, one for the first packet of each flow that passes. Traces are in `traces.rs`.

use std::mem::offset_of;

use ciliumc_abi::drop_reason::{INVALID_SOURCE_IP, POLICY_DENIED, POLICY_DENY};
use ciliumc_abi::event::{DropEvent, EVENT_BURST, EVENT_DROP, EVENT_POLICY_VERDICT, EventHeader, PolicyVerdictEvent};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{DEFAULT_CAUSE, ENDPOINT_ID, ENDPOINT_IDENTITY, GENERATION, Machine, Policy, Setup};
use crate::policy::*;
use crate::records::{drain, one};

fn octets(address: std::net::IpAddr) -> Vec<u8> {
    let mut octets = match address {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets.resize(16, 0);
    octets
}

#[test]
fn a_drop_names_flow_identities_and_cause() {
    let policy = Policy::Tables(vec![rule(PEER, UDP, 53, DENY)]);
    let Some(mut machine) = Machine::new(&Setup::new(policy.clone(), policy)) else { return };
    let peer_number = NUMBER_BASE + PEER;
    for ([pod, peer, ..], family) in FAMILIES.into_iter().zip([4, 6]) {
        let frame = udp_frame(pod, 1000, peer, 53);
        assert_eq!(machine.sends(&frame), POLICY_DENY);
        let drop = one(&mut machine);
        assert_eq!(drop.0.len(), size_of::<DropEvent>());
        assert_eq!((drop.byte(0), drop.byte(1)), (EVENT_DROP, POLICY_DENY));
        assert_eq!(u32::from(drop.half(offset_of!(EventHeader, source))), ENDPOINT_ID);
        assert_eq!(drop.word(offset_of!(EventHeader, len_orig)), frame.len() as u32);
        assert_eq!(drop.half(offset_of!(EventHeader, version)), 2);
        assert_eq!(drop.word(offset_of!(DropEvent, source_identity)), ENDPOINT_IDENTITY);
        assert_eq!(drop.word(offset_of!(DropEvent, destination_identity)), peer_number);
        assert_eq!(drop.word(offset_of!(DropEvent, destination_id)), 0);
        assert_eq!(drop.tail(), (72, GENERATION, DIRECTION_EGRESS, family, UDP, 0, 1000, 53));
        assert_eq!(drop.addresses(), [&octets(pod)[..], &octets(peer)]);

        assert_eq!(machine.gets(&udp_frame(peer, 1000, pod, 53)), POLICY_DENY);
        let drop = one(&mut machine);
        assert_eq!(drop.word(offset_of!(DropEvent, source_identity)), peer_number);
        assert_eq!(drop.word(offset_of!(DropEvent, destination_identity)), ENDPOINT_IDENTITY);
        assert_eq!(drop.word(offset_of!(DropEvent, destination_id)), ENDPOINT_ID);
        assert_eq!(drop.tail(), (72, GENERATION, DIRECTION_INGRESS, family, UDP, 0, 1000, 53));

        let kind = if family == 4 { 8 } else { 128 };
        assert_eq!(machine.sends(&echo_frame(pod, peer, false, 7)), POLICY_DENIED);
        assert_eq!(one(&mut machine).tail(), (70, GENERATION, DIRECTION_EGRESS, family, icmp_of(pod), 1, 0, kind));
        assert_eq!(machine.sends(&udp_frame(peer, 1, pod, 1)), INVALID_SOURCE_IP);
        assert_eq!(one(&mut machine).tail().0, 0, "no rule decided that");
    }
}

#[test]
fn a_class_without_tables_has_a_cause_too() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    assert_eq!(machine.sends(&udp_frame(POD4, 1, PEER4, 1)), POLICY_DENIED);
    assert_eq!(one(&mut machine).tail().0, DEFAULT_CAUSE);
    let missing = Policy::Tables(vec![rule(PEER, UDP, 1, MISSING)]);
    let Some(mut machine) = Machine::new(&Setup::new(missing, Policy::DenyAll)) else { return };
    assert_eq!(machine.sends(&udp_frame(POD4, 1, PEER4, 1)), POLICY_DENIED);
    assert_eq!(one(&mut machine).tail().0, DEFAULT_CAUSE);
}

#[test]
fn a_flow_is_reported_once() {
    let policy = Policy::Tables(vec![rule(PEER, TCP, 80, ALLOW), rule(PEER, TCP, 81, AUDITED)]);
    let Some(mut machine) = Machine::new(&Setup::new(policy.clone(), policy)) else { return };
    for ([pod, peer, ..], family) in FAMILIES.into_iter().zip([4, 6]) {
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN)), 0);
        let verdict = one(&mut machine);
        assert_eq!(verdict.0.len(), size_of::<PolicyVerdictEvent>());
        assert_eq!((verdict.byte(0), verdict.byte(1)), (EVENT_POLICY_VERDICT, 0));
        assert_eq!(verdict.word(offset_of!(PolicyVerdictEvent, remote_identity)), NUMBER_BASE + PEER);
        assert_eq!(verdict.word(offset_of!(PolicyVerdictEvent, verdict)), 0);
        assert_eq!(verdict.half(offset_of!(PolicyVerdictEvent, destination_port)), 80);
        assert_eq!(verdict.byte(offset_of!(PolicyVerdictEvent, proto)), TCP);
        let ipv6 = u8::from(family == 6) << 2;
        assert_eq!(verdict.byte(offset_of!(PolicyVerdictEvent, bits)), 2 | ipv6 | 2 << 3);
        assert_eq!(verdict.tail(), (71, GENERATION, DIRECTION_EGRESS, family, TCP, 0, 1000, 80));

        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, ACK)), 0);
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), 0);
        assert_eq!(drain(&mut machine).len(), 0);

        assert_eq!(machine.gets(&tcp_frame(peer, 1000, pod, 81, SYN)), 0);
        let audited = one(&mut machine);
        assert_eq!(audited.byte(offset_of!(PolicyVerdictEvent, bits)), 1 | ipv6 | 1 << 6);
        assert_eq!(audited.tail().0, 75);
    }
}

#[test]
fn a_flood_is_reported_in_part_and_counted_whole() {
    const PACKETS: u32 = 40_000;
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    machine.floods(&udp_frame(POD4, 1, PEER4, 1), PACKETS);
    let (told, lost) = (machine.events().len() as u64, machine.events_lost());
    assert_eq!(told + lost, u64::from(PACKETS));
    assert!(told >= u64::from(EVENT_BURST) && lost > 0, "{told} told, {lost} lost");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(machine.sends(&udp_frame(POD4, 1, PEER4, 1)), POLICY_DENIED);
    assert_eq!(machine.events().len(), 1, "a moment later there is room again");
}
