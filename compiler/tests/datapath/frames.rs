//! Frames byte by byte: what an endpoint and its peers could send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc::exec::frames;
pub use ciliumc::exec::frames::*;

pub const FIN: u8 = 1;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub const ETH_ARP: u16 = 0x0806;

/// The endpoint under test and a pod that its policy knows.
pub const POD4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 5));
pub const PEER4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9));
pub const OTHER4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10));
pub const STRANGER4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 11));
pub const BEYOND4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 12));
pub const WORLD4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const POD6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5));
pub const PEER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9));
pub const OTHER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 10));
pub const STRANGER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 11));
pub const BEYOND6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 12));
pub const WORLD6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5));
pub const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

/// Endpoint, known pod, other pod, outside; of either family.
pub const FAMILIES: [[IpAddr; 4]; 2] = [[POD4, PEER4, OTHER4, WORLD4], [POD6, PEER6, OTHER6, WORLD6]];

/// The protocol number of ICMP in the address's family.
pub fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { ICMP } else { ICMP6 }
}

/// An echo request or its answer, in the family's numbers.
pub fn echo(family: IpAddr, reply: bool, id: u16) -> Vec<u8> {
    let kind = match (family.is_ipv4(), reply) {
        (true, false) => 8,
        (true, true) => 0,
        (false, false) => 128,
        (false, true) => 129,
    };
    icmp(kind, 0, id, b"ping")
}

/// An IP packet without options, without its Ethernet header.
pub fn packet(source: IpAddr, destination: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    frames::packet(Addresses::new(source, destination).unwrap(), proto, payload)
}

/// A whole frame in one go.
pub fn ip(source: IpAddr, destination: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    frame(&packet(source, destination, proto, payload))
}

pub fn tcp_frame(source: IpAddr, sport: u16, destination: IpAddr, dport: u16, flags: u8) -> Vec<u8> {
    ip(source, destination, TCP, &tcp(sport, dport, flags))
}

pub fn udp_frame(source: IpAddr, sport: u16, destination: IpAddr, dport: u16) -> Vec<u8> {
    ip(source, destination, UDP, &udp(sport, dport))
}

pub fn echo_frame(source: IpAddr, destination: IpAddr, reply: bool, id: u16) -> Vec<u8> {
    ip(source, destination, icmp_of(source), &echo(source, reply, id))
}

/// An ICMP error of `kind` and `code` that quotes a packet.
pub fn error_frame(source: IpAddr, destination: IpAddr, kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    ip(source, destination, icmp_of(source), &icmp(kind, code, 0, quoted))
}

/// ARP as an endpoint sends it.
pub fn arp(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend([2, 0, 0, 0, 0, 2]);
    body.extend(sender.octets());
    body.extend([0; 6]);
    body.extend(target.octets());
    ethernet(ETH_ARP, &body)
}

/// ICMPv6 with a hop limit, and a target where neighbour discovery has it.
pub fn icmp6_frame(source: IpAddr, destination: IpAddr, kind: u8, hop_limit: u8, target: IpAddr) -> Vec<u8> {
    let (IpAddr::V6(source), IpAddr::V6(destination), IpAddr::V6(target)) = (source, destination, target) else {
        panic!("IPv6 addresses are needed")
    };
    frame(&ipv6(source, destination, ICMP6, hop_limit, &icmp(kind, 0, 0, &target.octets())))
}
