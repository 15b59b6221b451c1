//! Fragments: later ones have the ports of the first, and nobody gets past policy in pieces.

use std::net::IpAddr;

use ciliumc_abi::drop_reason::{FRAG_NOT_FOUND, INVALID_EXTHDR, INVALID_PACKET, INVALID_SOURCE_IP, POLICY_DENIED};

use crate::frames::*;
use crate::machine::{Machine, Policy, Setup};
use crate::policy::*;

/// One piece of datagram `id`; `offset` counts in units of 8 bytes.
fn piece(ends: [IpAddr; 2], proto: u8, id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    frame(&packet_piece(ends, proto, id, offset, more, payload))
}

fn packet_piece(ends: [IpAddr; 2], proto: u8, id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    match ends {
        [IpAddr::V4(source), IpAddr::V4(destination)] => {
            let mut packet = ipv4(source, destination, proto, &[], offset | u16::from(more) << 13, payload);
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            packet
        }
        [IpAddr::V6(source), IpAddr::V6(destination)] => {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            let header = [proto, 0, high, low, 0, 0, (id >> 8) as u8, id as u8];
            ipv6(source, destination, 44, 64, &[&header[..], payload].concat())
        }
        _ => panic!("two families in one packet"),
    }
}

/// UDP and TCP 53 and echo to and from the peer.
fn dns() -> Setup {
    let rules = [(UDP, 53), (TCP, 53), (ICMP, 8), (ICMP6, 128)];
    let policy = Policy::Tables(rules.map(|(proto, port)| rule(PEER, proto, port, ALLOW)).to_vec());
    Setup::new(policy.clone(), policy)
}

#[test]
fn later_fragments_find_their_ports() {
    for [pod, peer, other, _] in FAMILIES {
        let Some(mut machine) = Machine::new(&dns()) else { return };
        let (first, last) = ([udp(1, 53), vec![0; 1400]].concat(), [0; 700]);
        let denied = [udp(1, 54), vec![0; 1400]].concat();
        for (sends, ends) in [(true, [pod, peer]), (false, [peer, pod])] {
            let id = if sends { 7 } else { 17 };
            let mut go = |ends, id, offset, more, payload: &[u8]| {
                let frame = piece(ends, UDP, id, offset, more, payload);
                if sends { machine.sends(&frame) } else { machine.gets(&frame) }
            };
            assert_eq!(go(ends, id, 176, false, &last), FRAG_NOT_FOUND, "in front of the first");
            assert_eq!(go(ends, id, 0, true, &first), 0);
            assert_eq!(go(ends, id, 176, true, &last), 0);
            assert_eq!(go(ends, id, 176, false, &last), 0);
            assert_eq!(go(ends, id + 1, 176, false, &last), FRAG_NOT_FOUND, "of another datagram");
            assert_eq!(go(ends, id + 2, 0, true, &denied), POLICY_DENIED);
            assert_eq!(go(ends, id + 2, 176, false, &last), POLICY_DENIED, "the ports of its own first fragment");
            let strange = if sends { [pod, other] } else { [other, pod] };
            assert_eq!(go(strange, id, 176, false, &last), FRAG_NOT_FOUND);
            assert_eq!(go(ends, id, 0, true, &denied), POLICY_DENIED, "an identification used again");
            assert_eq!(go(ends, id, 176, false, &last), POLICY_DENIED);
        }
    }
}

#[test]
fn replies_and_echoes_come_in_fragments_too() {
    for [pod, peer, other, _] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup { ingress: Policy::DenyAll, ..dns() }) else { return };
        let icmp = icmp_of(pod);
        let request = [echo(pod, false, 9), vec![0; 1400]].concat();
        let reply = [echo(pod, true, 9), vec![0; 1400]].concat();
        assert_eq!(machine.gets(&piece([peer, pod], icmp, 3, 0, true, &reply)), POLICY_DENIED, "nobody asked");
        assert_eq!(machine.gets(&piece([peer, pod], icmp, 3, 176, false, &[0; 8])), POLICY_DENIED);
        assert_eq!(machine.sends(&piece([pod, peer], icmp, 4, 0, true, &request)), 0);
        assert_eq!(machine.sends(&piece([pod, peer], icmp, 4, 176, false, &[0; 8])), 0);
        assert_eq!(machine.gets(&piece([peer, pod], icmp, 5, 0, true, &reply)), 0);
        assert_eq!(machine.gets(&piece([peer, pod], icmp, 5, 176, false, &[0; 8])), 0);
        assert_eq!(machine.gets(&piece([other, pod], icmp, 5, 176, false, &[0; 8])), FRAG_NOT_FOUND);
        assert_eq!(machine.connection().packets, 4);
    }
}

#[test]
fn no_fragment_reaches_into_the_header() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&dns()) else { return };
        let ends = [pod, peer];
        let head = [tcp(1, 53, SYN), vec![0; 4]].concat();
        for length in [8, 16] {
            assert_eq!(machine.sends(&piece(ends, TCP, 1, 0, true, &head[..length])), INVALID_PACKET, "a tiny one");
        }
        assert_eq!(machine.sends(&piece(ends, TCP, 1, 0, true, &head)), 0);
        for offset in [1, 2] {
            assert_eq!(machine.sends(&piece(ends, TCP, 1, offset, true, &[0xff; 8])), INVALID_PACKET, "flags");
        }
        assert_eq!(machine.sends(&piece(ends, TCP, 1, 3, false, &[0; 8])), 0);
        assert_eq!(machine.sends(&piece(ends, UDP, 2, 0, true, &udp(1, 53))), 0);
        assert_eq!(machine.sends(&piece(ends, UDP, 2, 1, false, &[0; 8])), 0);
        let mut cut = piece(ends, UDP, 2, 1, false, &[0; 8]);
        cut.truncate(cut.len() - 1);
        assert_eq!(machine.sends(&cut), INVALID_PACKET);
    }
}

#[test]
fn a_lie_is_not_remembered() {
    for [pod, peer, other, _] in FAMILIES {
        let Some(mut machine) = Machine::new(&dns()) else { return };
        let first = [udp(1, 53), vec![0; 8]].concat();
        assert_eq!(machine.sends(&piece([other, peer], UDP, 1, 0, true, &first)), INVALID_SOURCE_IP);
        assert_eq!(machine.sends(&piece([other, peer], UDP, 1, 2, false, &[0; 8])), FRAG_NOT_FOUND);
        assert_eq!(machine.sends(&piece([pod, peer], UDP, 1, 0, true, &first)), 0);
    }
}

#[test]
fn housekeeping_never_comes_in_fragments() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    let (IpAddr::V6(pod), IpAddr::V6(peer)) = (POD6, PEER6) else { unreachable!() };
    let solicitation = [&icmp(135, 0, 0, &peer.octets())[..], &[0; 8]].concat();
    let whole = ipv6(pod, peer, ICMP6, 255, &solicitation);
    assert_eq!(machine.sends(&frame(&whole)), 0);
    let header = [ICMP6, 0, 0, 1, 0, 0, 0, 1];
    let first = ipv6(pod, peer, 44, 255, &[&header[..], &solicitation].concat());
    assert_eq!(machine.sends(&frame(&first)), POLICY_DENIED);
    let twice = ipv6(pod, peer, 44, 64, &[&[44, 0, 0, 1, 0, 0, 0, 1][..], &header, &udp(1, 53)].concat());
    assert_eq!(machine.sends(&frame(&twice)), INVALID_EXTHDR, "cut twice");
}

#[test]
fn an_error_may_quote_any_fragment_that_passed() {
    for [pod, peer, _, router] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup { ingress: Policy::DenyAll, ..dns() }) else { return };
        let first = [udp(1, 53), vec![0; 8]].concat();
        let (kind, code) = if pod.is_ipv4() { (11, 1) } else { (3, 1) };
        let quote = |id| error_frame(router, pod, kind, code, &packet_piece([pod, peer], UDP, id, 2, false, &[0; 8]));
        assert_eq!(machine.gets(&quote(1)), POLICY_DENIED);
        assert_eq!(machine.sends(&piece([pod, peer], UDP, 1, 0, true, &first)), 0);
        assert_eq!(machine.gets(&quote(1)), 0);
        assert_eq!(machine.gets(&quote(2)), POLICY_DENIED);
    }
}
