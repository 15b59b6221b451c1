//! Who a packet says it is from: spoofed sources, ARP and neighbour discovery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc_abi::drop_reason::{INVALID_PACKET, INVALID_SOURCE_IP, POLICY_DENIED};

use crate::frames::*;
use crate::machine::{ENDPOINT_IDENTITY, Machine, Policy, Setup};

const NOBODY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn open() -> Setup {
    Setup::new(Policy::AllowAll, Policy::AllowAll)
}

#[test]
fn an_endpoint_has_its_own_address_only() {
    let Some(mut machine) = Machine::new(&open()) else { return };
    for [pod, peer, other, world] in FAMILIES {
        assert_eq!(machine.sends(&udp_frame(pod, 1, peer, 1)), 0);
        for liar in [peer, other, world] {
            assert_eq!(machine.sends(&udp_frame(liar, 1, peer, 1)), INVALID_SOURCE_IP, "{liar}");
        }
        // Ingress does not care where a packet says it is from: its identity is decided by it.
        assert_eq!(machine.gets(&udp_frame(world, 1, pod, 1)), 0);
    }
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    assert_eq!(machine.sends(&udp_frame(any, 68, IpAddr::V4(Ipv4Addr::BROADCAST), 67)), INVALID_SOURCE_IP);
    assert_eq!(machine.sends(&udp_frame(LINK_LOCAL, 1, PEER6, 1)), INVALID_SOURCE_IP);
    assert_eq!(machine.sends(&udp_frame(NOBODY, 1, PEER6, 1)), INVALID_SOURCE_IP);
}

#[test]
fn an_endpoint_has_its_own_mac_address_where_it_is_known() {
    let known = Setup { mac: Some([2, 0, 0, 0, 0, 2]), ..open() };
    let Some(mut machine) = Machine::new(&known) else { return };
    for [pod, peer, ..] in FAMILIES {
        let honest = udp_frame(pod, 1, peer, 1);
        assert_eq!(machine.sends(&honest), 0);
        for byte in 6..12 {
            let mut liar = honest.clone();
            liar[byte] ^= 4;
            assert_eq!(machine.sends(&liar), INVALID_SOURCE_IP, "byte {byte}");
            assert_eq!(machine.gets(&liar), 0, "who sends to it is not its business");
        }
    }
    let (own, peer) = (Ipv4Addr::new(10, 1, 0, 5), Ipv4Addr::new(10, 1, 0, 9));
    assert_eq!(machine.sends(&arp(own, peer)), 0);
    // In the header, and in the packet.
    for byte in [11, 27] {
        let mut liar = arp(own, peer);
        liar[byte] ^= 4;
        assert_eq!(machine.sends(&liar), INVALID_SOURCE_IP, "byte {byte}");
    }
    let mut solicitation = icmp6_frame(POD6, ALL_NODES, 135, 255, PEER6);
    assert_eq!(machine.sends(&solicitation), 0);
    solicitation[6] ^= 4;
    assert_eq!(machine.sends(&solicitation), INVALID_SOURCE_IP);
}

const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

fn behind_a_gateway() -> Setup {
    let gateway = Some(([IpAddr::V4(GATEWAY4), IpAddr::V6(GATEWAY6)], GATEWAY_MAC));
    Setup { gateway, ..Setup::new(Policy::DenyAll, Policy::DenyAll) }
}

#[test]
fn the_gateway_answers_arp() {
    let Some(mut machine) = Machine::new(&behind_a_gateway()) else { return };
    let (own, peer) = (Ipv4Addr::new(10, 1, 0, 5), Ipv4Addr::new(10, 1, 0, 9));
    let answer = machine.answered(&arp(own, GATEWAY4)).expect("an answer");
    let mac = [2, 0, 0, 0, 0, 2];
    assert_eq!((&answer[..6], &answer[6..12]), (&mac[..], &GATEWAY_MAC[..]));
    assert_eq!(answer[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    assert_eq!((&answer[22..28], &answer[28..32]), (&GATEWAY_MAC[..], &GATEWAY4.octets()[..]));
    assert_eq!((&answer[32..38], &answer[38..42]), (&mac[..], &own.octets()[..]));
    assert_eq!(machine.forwarded(ciliumc_abi::names::DIRECTION_EGRESS)[0], 1);
    // What is no question for it goes on to the host, and a lie goes nowhere.
    let mut reply = arp(own, GATEWAY4);
    reply[21] = 2;
    for other in [arp(own, peer), arp(Ipv4Addr::UNSPECIFIED, GATEWAY4), reply] {
        assert_eq!(machine.answered(&other), None);
        assert_eq!(machine.sends(&other), 0);
    }
    assert_eq!(machine.answered(&arp(peer, GATEWAY4)), None);
    assert_eq!(machine.sends(&arp(peer, GATEWAY4)), INVALID_SOURCE_IP);
    let Some(mut plain) = Machine::new(&open()) else { return };
    assert_eq!(plain.answered(&arp(own, GATEWAY4)), None);
    assert_eq!(plain.answered(&arp(own, Ipv4Addr::UNSPECIFIED)), None, "no gateway is no address");
}

/// A solicitation as Linux sends it.
fn solicitation(source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let message = [&icmp(135, 0, 0, &target.octets())[..], &[1, 1, 2, 0, 0, 0, 0, 2]].concat();
    frame(&ipv6(source, target, ICMP6, 255, &message))
}

#[test]
fn the_gateway_answers_solicitations() {
    let Some(mut machine) = Machine::new(&behind_a_gateway()) else { return };
    let (IpAddr::V6(own), IpAddr::V6(peer), IpAddr::V6(on_link)) = (POD6, PEER6, LINK_LOCAL) else { unreachable!() };
    for source in [own, on_link] {
        let answer = machine.answered(&solicitation(source, GATEWAY6)).expect("an answer");
        assert_eq!((&answer[..6], &answer[6..12]), (&[2, 0, 0, 0, 0, 2][..], &GATEWAY_MAC[..]));
        assert_eq!((&answer[12..14], &answer[18..22]), (&[0x86, 0xdd][..], &[0, 32, ICMP6, 255][..]));
        assert_eq!((&answer[22..38], &answer[38..54]), (&GATEWAY6.octets()[..], &source.octets()[..]));
        assert_eq!((&answer[54..56], &answer[58..62]), (&[136, 0][..], &[0xe0, 0, 0, 0][..]));
        assert_eq!((&answer[62..78], &answer[78..86]), (&GATEWAY6.octets()[..], &[2, 1, 2, 0, 0, 0, 0, 0xfe][..]));
        let pseudo = [&answer[22..54], &[0, 0, 0, 32, 0, 0, 0, ICMP6], &answer[54..]].concat();
        let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "its checksum");
    }
    // Without the option, for another address, of who has no address yet, or behind another header: the host's.
    let bare = icmp6_frame(POD6, IpAddr::V6(GATEWAY6), 135, 255, IpAddr::V6(GATEWAY6));
    for other in [bare, solicitation(own, peer), solicitation(Ipv6Addr::UNSPECIFIED, GATEWAY6)] {
        assert_eq!(machine.answered(&other), None);
        assert_eq!(machine.sends(&other), 0);
    }
    assert_eq!(machine.answered(&solicitation(peer, GATEWAY6)), None);
    assert_eq!(machine.sends(&solicitation(peer, GATEWAY6)), INVALID_SOURCE_IP);
    let Some(mut plain) = Machine::new(&open()) else { return };
    assert_eq!(plain.answered(&solicitation(own, GATEWAY6)), None);
}

#[test]
fn an_endpoint_without_an_address_has_none() {
    let Some(mut machine) = Machine::new(&Setup { addresses: false, ..open() }) else { return };
    for [pod, peer, ..] in FAMILIES {
        let any = if pod.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { NOBODY };
        for source in [pod, peer, any] {
            assert_eq!(machine.sends(&udp_frame(source, 1, peer, 1)), INVALID_SOURCE_IP, "{source}");
        }
    }
}

#[test]
fn arp_passes_unless_it_lies() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    let (own, peer) = (Ipv4Addr::new(10, 1, 0, 5), Ipv4Addr::new(10, 1, 0, 9));
    assert_eq!(machine.sends(&arp(own, peer)), 0);
    assert_eq!(machine.sends(&arp(Ipv4Addr::UNSPECIFIED, own)), 0, "a probe");
    assert_eq!(machine.sends(&arp(peer, own)), INVALID_SOURCE_IP);
    assert_eq!(machine.gets(&arp(peer, own)), 0);
    let whole = arp(own, peer);
    for length in 15..whole.len() {
        assert_eq!(machine.sends(&whole[..length]), INVALID_PACKET);
    }
    let mut strange = whole;
    strange[18] = 8;
    assert_eq!(machine.sends(&strange), INVALID_PACKET, "a hardware address of 8 bytes");
}

#[test]
fn neighbour_discovery_passes_unless_it_lies() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    const SOLICITATION: u8 = 135;
    const ADVERTISEMENT: u8 = 136;
    for source in [POD6, LINK_LOCAL, NOBODY] {
        assert_eq!(machine.sends(&icmp6_frame(source, ALL_NODES, SOLICITATION, 255, PEER6)), 0);
        for own in [POD6, LINK_LOCAL] {
            assert_eq!(machine.sends(&icmp6_frame(source, ALL_NODES, ADVERTISEMENT, 255, own)), 0);
        }
        let lie = icmp6_frame(source, ALL_NODES, ADVERTISEMENT, 255, PEER6);
        assert_eq!(machine.sends(&lie), INVALID_SOURCE_IP, "another's address");
    }
    assert_eq!(machine.sends(&icmp6_frame(PEER6, ALL_NODES, SOLICITATION, 255, POD6)), INVALID_SOURCE_IP);
    // A packet that a router touched is not from the link, and so it is policed as any other.
    assert_eq!(machine.sends(&icmp6_frame(POD6, PEER6, SOLICITATION, 254, PEER6)), POLICY_DENIED);
    for kind in [SOLICITATION, ADVERTISEMENT] {
        assert_eq!(machine.gets(&icmp6_frame(LINK_LOCAL, POD6, kind, 255, POD6)), 0);
        assert_eq!(machine.gets(&icmp6_frame(LINK_LOCAL, POD6, kind, 64, POD6)), POLICY_DENIED);
    }
    assert_eq!(machine.gets(&icmp6_frame(LINK_LOCAL, POD6, 134, 255, POD6)), POLICY_DENIED, "a router's word");
}

#[test]
fn the_kernels_own_listening_passes_on_the_link() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    for (kind, hop_limit) in [(133, 255), (131, 1), (132, 1), (143, 1)] {
        for source in [POD6, LINK_LOCAL, NOBODY] {
            assert_eq!(machine.sends(&icmp6_frame(source, ALL_NODES, kind, hop_limit, NOBODY)), 0, "{kind}");
        }
        assert_eq!(machine.sends(&icmp6_frame(PEER6, ALL_NODES, kind, hop_limit, NOBODY)), INVALID_SOURCE_IP);
        assert_eq!(machine.sends(&icmp6_frame(POD6, PEER6, kind, hop_limit, NOBODY)), POLICY_DENIED, "to a pod");
        assert_eq!(machine.sends(&icmp6_frame(POD6, ALL_NODES, kind, 64, NOBODY)), POLICY_DENIED);
    }
}

#[test]
fn the_hosts_listening_passes_and_nothing_else_in_its_guise() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    for (kind, hop_limit) in [(133, 255), (131, 1), (132, 1), (143, 1)] {
        let got = |source, destination, hop_limit| icmp6_frame(source, destination, kind, hop_limit, NOBODY);
        for source in [LINK_LOCAL, NOBODY] {
            assert_eq!(machine.gets(&got(source, ALL_NODES, hop_limit)), 0, "{kind}");
            assert_eq!(machine.gets(&got(source, POD6, hop_limit)), POLICY_DENIED, "{kind} to the endpoint alone");
            assert_eq!(machine.gets(&got(source, ALL_NODES, 64)), POLICY_DENIED, "{kind} from behind a router");
        }
        for source in [PEER6, POD6, WORLD6] {
            assert_eq!(machine.gets(&got(source, ALL_NODES, hop_limit)), POLICY_DENIED, "{kind} from {source}");
        }
    }
    for source in [LINK_LOCAL, NOBODY] {
        for kind in [1, 100, 128, 129, 130, 134, 137, 200] {
            for hop_limit in [1, 255] {
                let other = icmp6_frame(source, ALL_NODES, kind, hop_limit, NOBODY);
                assert_eq!(machine.gets(&other), POLICY_DENIED, "{kind}");
            }
        }
        assert_eq!(machine.gets(&udp_frame(source, 143, ALL_NODES, 143)), POLICY_DENIED);
    }
    assert_eq!(machine.conntrack6().len(), 0, "it opens no way back");
    assert_eq!(machine.sends(&echo_frame(POD6, PEER6, true, 1)), POLICY_DENIED);
}

#[test]
fn the_mark_tells_who_sent_it() {
    let Some(mut machine) = Machine::new(&Setup::new(Policy::AllowAll, Policy::DenyAll)) else { return };
    for [pod, peer, other, _] in FAMILIES {
        let mark = ENDPOINT_IDENTITY << 16 | 0x0f00 | ENDPOINT_IDENTITY >> 16;
        assert_eq!(machine.mark(&udp_frame(pod, 1, peer, 1)), mark);
        assert_eq!(machine.mark(&udp_frame(other, 1, peer, 1)), 0, "dropped");
    }
}
