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
