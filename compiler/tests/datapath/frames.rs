//! Frames byte by byte: what an endpoint and its peers could send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMP6: u8 = 58;
pub const SCTP: u8 = 132;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub const ETH_IPV4: u16 = 0x0800;
pub const ETH_ARP: u16 = 0x0806;
pub const ETH_IPV6: u16 = 0x86dd;

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

pub fn ethernet(protocol: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &protocol.to_be_bytes(), payload].concat()
}

pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = ports(source, destination);
    header.resize(20, 0);
    (header[12], header[13]) = (5 << 4, flags);
    header
}

pub fn udp(source: u16, destination: u16) -> Vec<u8> {
    [ports(source, destination), vec![0, 8, 0, 0]].concat()
}

pub fn sctp(source: u16, destination: u16) -> Vec<u8> {
    [ports(source, destination), vec![0; 8]].concat()
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

/// An ICMP message with an identifier where an echo has it.
pub fn icmp(kind: u8, code: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [&[kind, code, 0, 0, high, low, 0, 1][..], body].concat()
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
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4(source, destination, proto, &[], 0, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6(source, destination, proto, 64, payload),
        _ => panic!("two families in one packet"),
    }
}

/// `fragment` is the whole field: flags and offset.
pub fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    proto: u8,
    options: &[u8],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let words = 5 + options.len() / 4;
    let length = (words * 4 + payload.len()) as u16;
    let mut header = vec![0x40 | words as u8, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 1]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, proto, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    [&header[..], options, payload].concat()
}

pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, hop_limit]);
    header.extend(source.octets());
    header.extend(destination.octets());
    [&header[..], payload].concat()
}

/// The packet in a frame.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    ethernet(if packet[0] >> 4 == 4 { ETH_IPV4 } else { ETH_IPV6 }, packet)
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
