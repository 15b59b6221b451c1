//! Headers: what is odd but whole passes, what is broken or unknown is dropped under its own reason.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc_abi::drop_reason::{
    CT_UNKNOWN_PROTO, INVALID_EXTHDR, INVALID_PACKET, POLICY_DENIED, UNKNOWN_L3, VLAN_FILTERED,
};

use crate::frames::*;
use crate::machine::{Machine, Policy, Setup};
use crate::policy::*;

fn pair4() -> (Ipv4Addr, Ipv4Addr) {
    match (POD4, PEER4) {
        (IpAddr::V4(pod), IpAddr::V4(peer)) => (pod, peer),
        _ => unreachable!(),
    }
}

fn pair6() -> (Ipv6Addr, Ipv6Addr) {
    match (POD6, PEER6) {
        (IpAddr::V6(pod), IpAddr::V6(peer)) => (pod, peer),
        _ => unreachable!(),
    }
}

/// Only UDP 53 to and from the peer passes: so what passes was read right.
fn dns() -> Option<Machine> {
    let policy = Policy::Tables(vec![rule(PEER, UDP, 53, ALLOW)]);
    Machine::new(&Setup::new(policy.clone(), policy))
}

#[test]
fn a_frame_cut_anywhere_is_invalid() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    let (pod4, peer4) = pair4();
    let (pod6, peer6) = pair6();
    let frames = [
        tcp_frame(POD4, 1, PEER4, 2, SYN),
        frame(&ipv4(pod4, peer4, UDP, &[1; 40], 0, &udp(1, 53))),
        echo_frame(POD4, PEER4, false, 1),
        ip(POD4, PEER4, SCTP, &sctp(1, 2)),
        tcp_frame(POD6, 1, PEER6, 2, SYN),
        frame(&ipv6(pod6, peer6, 0, 64, &[&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &udp(1, 53)].concat())),
        echo_frame(POD6, PEER6, false, 1),
        ip(POD6, PEER6, SCTP, &sctp(1, 2)),
    ];
    for frame in &frames {
        // BPF_PROG_TEST_RUN itself refuses a frame that ends within its IP header.
        let header = if frame[14] >> 4 == 4 { 20 } else { 40 };
        for length in 14 + header..frame.len() {
            let reason = machine.sends(&frame[..length]);
            assert_eq!(reason, INVALID_PACKET, "{length} of {} bytes", frame.len());
            assert_eq!(machine.gets(&frame[..length]), INVALID_PACKET);
        }
        assert_eq!(machine.sends(frame), 0);
        // Short packets are padded to the least length of a frame.
        assert_eq!(machine.sends(&[&frame[..], &[0; 30]].concat()), 0);
    }
}

#[test]
fn a_packet_that_promises_less_than_its_header_is_invalid() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    for [pod, peer, ..] in FAMILIES {
        let least = [(TCP, tcp(1, 2, SYN)), (UDP, udp(1, 2)), (SCTP, sctp(1, 2)), (icmp_of(pod), icmp(200, 0, 0, &[]))];
        for (proto, l4) in least {
            assert_eq!(machine.sends(&ip(pod, peer, proto, &l4)), 0, "{proto}");
            // The bytes are there, as padding; the IP header does not count them in.
            let short = ip(pod, peer, proto, &l4[..l4.len() - 1]);
            assert_eq!(machine.sends(&[&short[..], &[0; 20]].concat()), INVALID_PACKET, "{proto}");
        }
    }
}

#[test]
fn ipv4_headers() {
    let Some(mut machine) = dns() else { return };
    let (pod, peer) = pair4();
    let good = ipv4(pod, peer, UDP, &[], 0, &udp(1, 53));
    assert_eq!(machine.sends(&frame(&good)), 0);
    for words in 1..=10 {
        let options = vec![1; words * 4];
        assert_eq!(machine.sends(&frame(&ipv4(pod, peer, UDP, &options, 0, &udp(1, 53)))), 0);
        assert_eq!(machine.sends(&frame(&ipv4(pod, peer, UDP, &options, 0, &udp(1, 54)))), POLICY_DENIED);
    }
    for (at, value) in [(0, 0x44), (0, 0x55), (0, 0x65), (0, 0x4f), (3, 19), (3, 27), (2, 1)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(machine.sends(&ethernet(ETH_IPV4, &bad)), INVALID_PACKET, "byte {at} is {value:#x}");
    }
    let do_not_fragment = ipv4(pod, peer, UDP, &[], 0x4000, &udp(1, 53));
    assert_eq!(machine.sends(&frame(&do_not_fragment)), 0);
}

/// An extension header of 8 bytes.
fn extension(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn ipv6_extension_headers() {
    let Some(mut machine) = dns() else { return };
    let (pod, peer) = pair6();
    let send =
        |machine: &mut Machine, next, payload: Vec<u8>| machine.sends(&frame(&ipv6(pod, peer, next, 64, &payload)));
    for kind in [0, 43, 60] {
        for (port, reason) in [(53, 0), (54, POLICY_DENIED)] {
            assert_eq!(send(&mut machine, kind, [&extension(UDP)[..], &udp(1, port)].concat()), reason);
            let mut long = extension(UDP).to_vec();
            long[1] = 3;
            long.resize(32, 0);
            assert_eq!(send(&mut machine, kind, [long, udp(1, port)].concat()), reason, "a longer one");
        }
    }
    let auth = [&[UDP, 4][..], &[0; 22]].concat();
    assert_eq!(send(&mut machine, 51, [auth, udp(1, 53)].concat()), 0, "AH counts in words");
    for (count, reason) in [(1, 0), (8, 0), (9, INVALID_EXTHDR), (12, INVALID_EXTHDR)] {
        let mut chain: Vec<u8> = (1..count).flat_map(|_| extension(60)).collect();
        chain.extend(extension(UDP));
        chain.extend(udp(1, 53));
        assert_eq!(send(&mut machine, 60, chain), reason, "{count} headers");
    }
    assert_eq!(send(&mut machine, 59, vec![0; 8]), CT_UNKNOWN_PROTO, "no next header");
    assert_eq!(send(&mut machine, 60, [&extension(59)[..], &[0; 8]].concat()), CT_UNKNOWN_PROTO);
    // Headers that go on behind the packet's end.
    let mut beyond = extension(UDP);
    beyond[1] = 255;
    assert_eq!(send(&mut machine, 60, [&beyond[..], &udp(1, 53)].concat()), INVALID_PACKET);

    let atomic = [UDP, 0, 0, 0, 0, 0, 0, 1];
    for (port, reason) in [(53, 0), (54, POLICY_DENIED)] {
        assert_eq!(send(&mut machine, 44, [&atomic[..], &udp(1, port)].concat()), reason, "a datagram in one piece");
    }
    let mut wrong = ipv6(pod, peer, UDP, 64, &udp(1, 53));
    wrong[0] = 0x50;
    assert_eq!(machine.sends(&ethernet(ETH_IPV6, &wrong)), INVALID_PACKET);
}

#[test]
fn unknown_protocols() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    for [pod, peer, ..] in FAMILIES {
        // IGMP, GRE, ESP, and the other family's ICMP: unknown to policy, whatever it allows.
        for proto in [2, 47, 50, if pod.is_ipv4() { ICMP6 } else { ICMP }] {
            assert_eq!(machine.sends(&ip(pod, peer, proto, &[0; 32])), CT_UNKNOWN_PROTO, "{proto}");
            assert_eq!(machine.gets(&ip(peer, pod, proto, &[0; 32])), CT_UNKNOWN_PROTO, "{proto}");
        }
    }
    let packet = packet(POD4, PEER4, UDP, &udp(1, 53));
    // VLAN tags, LLDP, and a length in place of a protocol.
    let others = [(0x8100, VLAN_FILTERED), (0x88a8, VLAN_FILTERED), (0x88cc, UNKNOWN_L3), (100, UNKNOWN_L3)];
    for (protocol, reason) in others {
        assert_eq!(machine.sends(&ethernet(protocol, &packet)), reason, "{protocol:#x}");
        assert_eq!(machine.gets(&ethernet(protocol, &packet)), reason, "{protocol:#x}");
    }
}
