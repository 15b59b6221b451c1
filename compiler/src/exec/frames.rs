//! Frames byte by byte. Checksums are zero: nobody between two veths looks at them, and no program does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol number.
pub const TCP: u8 = 6;
/// Protocol number.
pub const UDP: u8 = 17;
/// Protocol number.
pub const ICMP: u8 = 1;
/// Protocol number.
pub const ICMP6: u8 = 58;
/// Protocol number.
pub const SCTP: u8 = 132;

/// TCP flag of the packet that opens a connection.
pub const SYN: u8 = 2;

/// Protocol in an Ethernet header.
pub const ETH_IPV4: u16 = 0x0800;
/// Protocol in an Ethernet header.
pub const ETH_IPV6: u16 = 0x86dd;

/// Both addresses of a packet, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addresses {
    /// IPv4: source and destination.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6: source and destination.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Addresses {
    /// Source and destination, unless their families differ.
    pub fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4(source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6(source, destination)),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// Where it comes from.
    pub fn source(self) -> IpAddr {
        match self {
            Self::V4(source, _) => source.into(),
            Self::V6(source, _) => source.into(),
        }
    }

    /// Where it goes.
    pub fn destination(self) -> IpAddr {
        match self {
            Self::V4(_, destination) => destination.into(),
            Self::V6(_, destination) => destination.into(),
        }
    }
}

/// A frame; `protocol` is that of its payload.
pub fn ethernet(protocol: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &protocol.to_be_bytes(), payload].concat()
}

/// A TCP header without options.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let offset = 5 << 4;
    [&ports(source, destination)[..], &[0; 8], &[offset, flags], &[0; 6]].concat()
}

/// A datagram without data.
pub fn udp(source: u16, destination: u16) -> Vec<u8> {
    [&ports(source, destination)[..], &[0, 8, 0, 0]].concat()
}

/// An SCTP header without chunks.
pub fn sctp(source: u16, destination: u16) -> Vec<u8> {
    [&ports(source, destination)[..], &[0; 8]].concat()
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

/// An ICMP message with an identifier where an echo has it.
pub fn icmp(kind: u8, code: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [&[kind, code, 0, 0, high, low, 0, 1][..], body].concat()
}

/// An IP packet without options, without its Ethernet header.
pub fn packet(addresses: Addresses, proto: u8, payload: &[u8]) -> Vec<u8> {
    match addresses {
        Addresses::V4(source, destination) => ipv4(source, destination, proto, &[], 0, payload),
        Addresses::V6(source, destination) => ipv6(source, destination, proto, 64, payload),
    }
}

/// `fragment` is the whole field: flags and offset. Options are whole words of four bytes.
pub fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    proto: u8,
    options: &[u8],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
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

/// An IPv6 packet whose first header is `next`.
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
    let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
    ethernet(if is_ipv4 { ETH_IPV4 } else { ETH_IPV6 }, packet)
}
