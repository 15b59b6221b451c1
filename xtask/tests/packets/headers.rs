//! Headers that no socket writes.

use std::net::IpAddr;

use ciliumc_abi::drop_reason::{
    CT_UNKNOWN_PROTO, INVALID_EXTHDR, INVALID_SOURCE_IP, POLICY_DENIED, UNKNOWN_L3, VLAN_FILTERED,
};

use crate::frames::*;
use crate::world::*;

#[test]
fn a_vlan_tag_is_refused() {
    let Some(world) = World::new(OPEN) else { return };
    let road = world.road(CLI, SRV);
    for [cli, srv, _] in PODS {
        let plain = udp_frame(addr(cli), 1, addr(srv), 9);
        assert_eq!(road.fate(&plain), Fate::Passed);
        let protocol = [plain[12], plain[13]];
        for tag in [0x8100, 0x88a8] {
            let tagged = ethernet(tag, &[&[0, 7][..], &protocol, &plain[14..]].concat());
            assert_eq!(road.fate(&tagged), Fate::Dropped(VLAN_FILTERED), "{tag:#x}");
        }
    }
    assert_eq!(road.fate(&ethernet(0x88cc, &[0; 46])), Fate::Dropped(UNKNOWN_L3), "LLDP");
}

#[test]
fn a_spoofed_source_is_dropped() {
    let Some(world) = World::new(OPEN) else { return };
    let road = world.road(CLI, SRV);
    for ([cli, srv, oth], outside) in PODS.into_iter().zip(OUTSIDE) {
        assert_eq!(road.fate(&udp_frame(addr(cli), 1, addr(srv), 9)), Fate::Passed);
        for liar in [srv, oth, outside[0]] {
            assert_eq!(road.fate(&udp_frame(addr(liar), 1, addr(srv), 9)), Fate::Dropped(INVALID_SOURCE_IP), "{liar}");
        }
    }
}

#[test]
fn an_unknown_protocol_is_dropped_whatever_the_policy() {
    let Some(world) = World::with(&[], OPEN, &[OUTSIDE[0][0], OUTSIDE[1][0]]) else { return };
    let road = world.road(CLI, SRV);
    for ([cli, srv, _], outside) in PODS.into_iter().zip(OUTSIDE) {
        let inwards = world.road(&format!("ip:{}", outside[0]), SRV);
        assert_eq!(inwards.fate(&udp_frame(addr(outside[0]), 1, addr(srv), 9)), Fate::Passed);
        for proto in [47, 50] {
            let frame = ip(addr(cli), addr(srv), proto, &[7; 32]);
            assert_eq!(road.fate(&frame), Fate::Dropped(CT_UNKNOWN_PROTO), "{proto}");
            let frame = ip(addr(outside[0]), addr(srv), proto, &[7; 32]);
            assert_eq!(inwards.fate(&frame), Fate::Dropped(CT_UNKNOWN_PROTO), "{proto} inwards");
        }
    }
}

#[test]
fn sctp_is_a_protocol_where_it_is_enabled() {
    let Some(world) = World::new(GUARDED) else { return };
    for [cli, srv, oth] in PODS {
        let road = world.road(CLI, SRV);
        assert_eq!(road.fate(&ip(addr(cli), addr(srv), SCTP, &sctp(1, 8080))), Fate::Passed);
        let other = ip(addr(cli), addr(srv), SCTP, &sctp(1, 8081));
        assert_eq!(road.fate(&other), Fate::Dropped(POLICY_DENIED));
        let foreign = ip(addr(oth), addr(srv), SCTP, &sctp(1, 8080));
        assert_eq!(world.road(OTH, SRV).fate(&foreign), Fate::Dropped(POLICY_DENIED));
        let answer = ip(addr(srv), addr(cli), SCTP, &sctp(8080, 1));
        assert_eq!(world.road(SRV, CLI).fate(&answer), Fate::Passed);
    }
    let Some(world) = World::with(&[("enable-sctp", "false")], OPEN, &[]) else { return };
    for [cli, srv, _] in PODS {
        let frame = ip(addr(cli), addr(srv), SCTP, &sctp(1, 8080));
        assert_eq!(world.road(CLI, SRV).fate(&frame), Fate::Dropped(CT_UNKNOWN_PROTO));
    }
}

#[test]
fn ipv4_options_hide_no_port() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(CLI, SRV);
    let [cli, srv, _] = PODS[0];
    let (IpAddr::V4(cli), IpAddr::V4(srv)) = (addr(cli), addr(srv)) else { unreachable!() };
    for words in [1, 5, 10] {
        // "No operation", which no router minds.
        let options = vec![1; words * 4];
        let with = |port| frame(&ipv4(cli, srv, UDP, &options, 0, &udp(1, port)));
        assert_eq!(road.fate(&with(8080)), Fate::Passed, "{words} words");
        assert_eq!(road.fate(&with(8081)), Fate::Dropped(POLICY_DENIED));
    }
}

#[test]
fn ipv6_extension_headers_hide_no_port() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(CLI, SRV);
    let [cli, srv, _] = PODS[1];
    let (IpAddr::V6(cli), IpAddr::V6(srv)) = (addr(cli), addr(srv)) else { unreachable!() };
    // Destination options that hold padding.
    let chain = |count: usize, last: u8| {
        let next = |at: usize| if at + 1 == count { last } else { 60 };
        (0..count).flat_map(|at| [next(at), 0, 1, 4, 0, 0, 0, 0]).collect::<Vec<u8>>()
    };
    let with = |count, port| frame(&ipv6(cli, srv, 60, 64, &[chain(count, UDP), udp(1, port)].concat()));
    for count in [1, 2, 8] {
        assert_eq!(road.fate(&with(count, 8080)), Fate::Passed, "{count} headers");
        assert_eq!(road.fate(&with(count, 8081)), Fate::Dropped(POLICY_DENIED));
    }
    assert_eq!(road.fate(&with(9, 8080)), Fate::Dropped(INVALID_EXTHDR), "too many");
    let none = frame(&ipv6(cli, srv, 60, 64, &[chain(1, 59), udp(1, 8080)].concat()));
    assert_eq!(road.fate(&none), Fate::Dropped(CT_UNKNOWN_PROTO), "no next header");
}
