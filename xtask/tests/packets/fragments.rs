//! Datagrams in pieces.

use std::net::IpAddr;

use ciliumc_abi::drop_reason::{FRAG_NOT_FOUND, INVALID_PACKET, POLICY_DENIED};

use crate::frames::*;
use crate::world::*;

#[test]
fn datagrams_of_8_kib_go_both_ways() {
    let Some(world) = World::new(GUARDED) else { return };
    world.check(&[
        ("pod:t/cli pod:t/srv frag4 8080", ALLOW),
        ("pod:t/cli pod:t/srv frag6 8080", ALLOW),
        ("pod:t/cli pod:t/srv frag4 8081", DENY),
        ("pod:t/cli pod:t/srv frag6 8081", DENY),
        ("pod:t/oth pod:t/srv frag4 8080", DENY),
        ("pod:t/oth pod:t/srv frag6 8080", DENY),
        ("pod:t/srv pod:t/oth frag4 8080", DENY),
        ("pod:t/srv pod:t/oth frag6 8080", DENY),
        ("pod:t/cli pod:t/oth frag4 8080", ALLOW),
    ]);
}

#[test]
fn a_long_echo_goes_both_ways() {
    let Some(world) = World::new(GUARDED) else { return };
    for [_, srv, _] in PODS {
        let ping = |from: &str| {
            let words = ["-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", "-s", "6000", srv];
            world.at(from, || std::process::Command::new("ping").args(words).output().unwrap().status.success())
        };
        assert!(ping(CLI));
        assert!(!ping(OTH));
    }
}

/// A piece of a datagram; `offset` counts in units of 8 bytes.
fn piece(ends: [&str; 2], proto: u8, id: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    match ends.map(addr) {
        [IpAddr::V4(source), IpAddr::V4(destination)] => {
            let mut packet = ipv4(source, destination, proto, &[], offset | u16::from(more) << 13, payload);
            packet[5] = id;
            frame(&packet)
        }
        [IpAddr::V6(source), IpAddr::V6(destination)] => {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            frame(&ipv6(source, destination, 44, 64, &[&[proto, 0, high, low, 0, 0, 0, id][..], payload].concat()))
        }
        _ => unreachable!(),
    }
}

#[test]
fn the_second_fragment_first_is_dropped_and_opens_nothing() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(CLI, SRV);
    for [cli, srv, _] in PODS {
        let ends = [cli, srv];
        let head = |port| [udp(1, port), vec![1; 8]].concat();
        let tail = |id| piece(ends, UDP, id, 2, false, &[id; 16]);
        assert_eq!(road.fate(&tail(1)), Fate::Dropped(FRAG_NOT_FOUND));
        assert_eq!(road.fate(&piece(ends, UDP, 1, 0, true, &head(8080))), Fate::Passed);
        assert_eq!(road.fate(&tail(1)), Fate::Passed, "behind the first");
        assert_eq!(road.fate(&tail(2)), Fate::Dropped(FRAG_NOT_FOUND), "of another datagram");
        assert_eq!(road.fate(&piece(ends, UDP, 3, 0, true, &head(8081))), Fate::Dropped(POLICY_DENIED));
        assert!(matches!(road.fate(&tail(3)), Fate::Dropped(_)));
    }
}

#[test]
fn no_fragment_reaches_into_the_header() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(CLI, SRV);
    for [cli, srv, _] in PODS {
        let ends = [cli, srv];
        let head = [tcp(1, 8080, SYN), vec![0; 4]].concat();
        assert_eq!(road.fate(&piece(ends, TCP, 1, 0, true, &head[..16])), Fate::Dropped(INVALID_PACKET), "tiny");
        assert_eq!(road.fate(&piece(ends, TCP, 2, 0, true, &head)), Fate::Passed);
        assert_eq!(road.fate(&piece(ends, TCP, 2, 1, true, &[0xff; 8])), Fate::Dropped(INVALID_PACKET), "flags");
        assert_eq!(road.fate(&piece(ends, TCP, 2, 3, false, &[7; 8])), Fate::Passed);
    }
}
