//! What the programs must make of a frame, read once more: byte by byte in plain Rust, with the reference model for
//! policy. It shares nothing with the datapath but the numbers of the abi, and knows no clock: nothing expires in it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciliumc::eval::{self, Flow, L4, Reason, Verdict};
use ciliumc::ir::{Direction, Protocol};
use ciliumc::resolve::{AuthType, Resolved};
use ciliumc_abi::drop_reason::*;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;

/// Headers between IPv6's own and L4 that are read.
const CHAIN_MAX: usize = 8;

/// One packet as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub l4: Head,
    hop_limit: u8,
    piece: Piece,
    /// Where the L4 header begins.
    at: usize,
}

/// What an L4 header says; of a later fragment, that of the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub proto: u8,
    pub sport: u16,
    pub dport: u16,
    kind: u8,
    code: u8,
    flags: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Whole,
    First { id: u32 },
    Later { id: u32, offset: usize },
}

/// A datagram that comes in pieces.
type Datagram = (IpAddr, IpAddr, u32, u8);
/// A flow as the endpoint sees it: own address and port, the peer's, protocol.
type Key = (IpAddr, u16, IpAddr, u16, u8);

#[derive(Debug, Clone, Copy)]
struct Entry {
    initiator: u8,
    closing: [bool; 2],
    /// Under whose policy it passed last; none when policy has refused it since.
    generation: Option<u32>,
}

/// An endpoint with its connections.
pub struct Model<'a> {
    pub resolved: &'a Resolved,
    /// Number of the bundle that `resolved` stands for.
    pub generation: u32,
    /// MAC address of the endpoint.
    pub mac: [u8; 6],
    pub own: [IpAddr; 2],
    pub identity: fn(IpAddr) -> u32,
    connections: HashMap<Key, Entry>,
    datagrams: HashMap<Datagram, Head>,
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().unwrap()))
}

fn address6(frame: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = frame.get(at..at + 16)?.try_into().unwrap();
    Some(IpAddr::V6(Ipv6Addr::from(octets)))
}

/// Bytes of the shortest header of a protocol that policy knows.
fn least(proto: u8, ipv4: bool) -> Result<usize, u8> {
    match (proto, ipv4) {
        (TCP, _) => Ok(20),
        (UDP, _) | (ICMP, true) | (ICMP6, false) => Ok(8),
        (SCTP, _) => Ok(12),
        _ => Err(CT_UNKNOWN_PROTO),
    }
}

impl Head {
    fn is_icmp(&self) -> bool {
        matches!(self.proto, ICMP | ICMP6)
    }

    fn is_request(&self) -> bool {
        (self.proto, self.kind) == (ICMP, 8) || (self.proto, self.kind) == (ICMP6, 128)
    }

    fn is_answer(&self) -> bool {
        (self.proto, self.kind) == (ICMP, 0) || (self.proto, self.kind) == (ICMP6, 129)
    }

    fn is_error(&self) -> bool {
        self.proto == ICMP && matches!(self.kind, 3 | 11 | 12) || self.proto == ICMP6 && matches!(self.kind, 1..=4)
    }

    /// Whether it can belong to a connection.
    fn is_tracked(&self) -> bool {
        !self.is_icmp() || self.is_request() || self.is_answer()
    }
}

/// The packet that a reply is one to, as far as policy looks at it.
fn answered(reply: &Packet) -> Packet {
    let head = reply.l4;
    let kind = match head.proto {
        ICMP => 8,
        ICMP6 => 128,
        _ => head.kind,
    };
    let l4 = Head { sport: head.dport, dport: head.sport, kind, ..head };
    Packet { source: reply.destination, destination: reply.source, l4, ..*reply }
}

impl<'a> Model<'a> {
    pub fn new(resolved: &'a Resolved, mac: [u8; 6], own: [IpAddr; 2], identity: fn(IpAddr) -> u32) -> Self {
        let (connections, datagrams) = (HashMap::new(), HashMap::new());
        Self { resolved, generation: 1, mac, own, identity, connections, datagrams }
    }

    pub fn forget(&mut self) {
        self.connections.clear();
        self.datagrams.clear();
    }

    /// The packet at `at`; `Err` is the reason for which nobody may see it.
    fn read(&self, frame: &[u8], at: usize, ipv4: bool) -> Result<(Packet, usize), u8> {
        let (mut packet, end) = if ipv4 { self.read4(frame, at)? } else { self.read6(frame, at)? };
        if let Piece::Later { id, offset } = packet.piece {
            let proto = if ipv4 { packet.l4.proto } else { 0 };
            let head = self.datagrams.get(&(packet.source, packet.destination, id, proto)).ok_or(FRAG_NOT_FOUND)?;
            if offset < least(head.proto, ipv4)? {
                return Err(INVALID_PACKET);
            }
            packet.l4 = *head;
            return Ok((packet, end));
        }
        least(packet.l4.proto, ipv4)?;
        let l4 = frame.get(packet.at..packet.at + 8).ok_or(INVALID_PACKET)?;
        let head = &mut packet.l4;
        if head.is_icmp() {
            (head.kind, head.code) = (l4[0], l4[1]);
            let id = u16::from_be_bytes([l4[4], l4[5]]);
            head.sport = if head.is_request() { id } else { 0 };
            head.dport = if head.is_answer() { id } else { 0 };
        } else {
            head.sport = u16::from_be_bytes([l4[0], l4[1]]);
            head.dport = u16::from_be_bytes([l4[2], l4[3]]);
        }
        Ok((packet, end))
    }

    /// The packet, and how many bytes it says to have.
    fn read4(&self, frame: &[u8], at: usize) -> Result<(Packet, usize), u8> {
        let header = frame.get(at..at + 20).ok_or(INVALID_PACKET)?;
        let words = usize::from(header[0] & 15);
        if header[0] >> 4 != 4 || words < 5 {
            return Err(INVALID_PACKET);
        }
        let field = u16::from_be_bytes([header[6], header[7]]);
        let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let piece = match (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0) {
            (0, false) => Piece::Whole,
            (0, true) => Piece::First { id },
            (offset, _) => Piece::Later { id, offset },
        };
        let address = |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
        let l4 = Head { proto: header[9], sport: 0, dport: 0, kind: 0, code: 0, flags: 0 };
        let packet = Packet {
            source: address(12),
            destination: address(16),
            l4,
            hop_limit: header[8],
            piece,
            at: at + words * 4,
        };
        Ok((packet, usize::from(u16::from_be_bytes([header[2], header[3]]))))
    }

    fn read6(&self, frame: &[u8], at: usize) -> Result<(Packet, usize), u8> {
        let header = frame.get(at..at + 40).ok_or(INVALID_PACKET)?;
        if header[0] >> 4 != 6 {
            return Err(INVALID_PACKET);
        }
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let (mut next, mut place, mut piece, mut steps) = (header[6], at + 40, Piece::Whole, 0);
        while !matches!(piece, Piece::Later { .. }) && matches!(next, 0 | 43 | 44 | 51 | 59 | 60) {
            if steps > CHAIN_MAX {
                return Err(INVALID_EXTHDR);
            }
            steps += 1;
            if next == 59 {
                return Err(CT_UNKNOWN_PROTO);
            }
            let start = frame.get(place..place + 2).ok_or(INVALID_PACKET)?;
            let mut length = (usize::from(start[1]) + 1) * 8;
            if next == 51 {
                length = (usize::from(start[1]) + 2) * 4;
            }
            if next == 44 {
                let field = frame.get(place..place + 8).ok_or(INVALID_PACKET)?;
                if piece != Piece::Whole {
                    return Err(INVALID_EXTHDR);
                }
                let id = u32::from_be_bytes(field[4..8].try_into().unwrap());
                let bits = u16::from_be_bytes([field[2], field[3]]);
                piece = match (usize::from(bits & 0xfff8), bits & 1 != 0) {
                    (0, false) => Piece::Whole,
                    (0, true) => Piece::First { id },
                    (offset, _) => Piece::Later { id, offset },
                };
                length = 8;
            }
            next = start[0];
            place += length;
        }
        // A chain that ends just where it may: one header more would be too many.
        if steps > CHAIN_MAX {
            return Err(INVALID_EXTHDR);
        }
        let l4 = Head { proto: next, sport: 0, dport: 0, kind: 0, code: 0, flags: 0 };
        let (source, destination) = (address6(header, 8).unwrap(), address6(header, 24).unwrap());
        let packet = Packet { source, destination, l4, hop_limit: header[7], piece, at: place };
        Ok((packet, if payload == 0 { 0 } else { payload + 40 }))
    }

    /// Reason for which a frame is dropped, 0 when it passes.
    pub fn judge(&mut self, direction: u8, frame: &[u8]) -> u8 {
        match self.pass(direction, frame) {
            Ok(()) => 0,
            Err(reason) => reason,
        }
    }

    /// The frame's packet, as far as it can be read: what a test may quote, or answer.
    pub fn packet(&self, frame: &[u8]) -> Result<Packet, u8> {
        let ipv4 = match word(frame, 12) {
            Some(ETH_IPV4) => true,
            Some(ETH_IPV6) => false,
            Some(0x8100 | 0x88a8) => return Err(VLAN_FILTERED),
            _ => return Err(UNKNOWN_L3),
        };
        let (mut packet, length) = self.read(frame, 14, ipv4)?;
        let whole = !matches!(packet.piece, Piece::Later { .. });
        let head = if whole { least(packet.l4.proto, ipv4)? } else { 0 };
        if length > frame.len() - 14 || length + 14 < packet.at + head {
            return Err(INVALID_PACKET);
        }
        if whole && packet.l4.proto == TCP {
            packet.l4.flags = *frame.get(packet.at + 13).ok_or(INVALID_PACKET)?;
        }
        Ok(packet)
    }

    fn pass(&mut self, direction: u8, frame: &[u8]) -> Result<(), u8> {
        let sent = direction == DIRECTION_EGRESS;
        let tagged = matches!(word(frame, 12), Some(0x8100 | 0x88a8));
        if sent && !tagged && frame[6..12] != self.mac {
            return Err(INVALID_SOURCE_IP);
        }
        if word(frame, 12) == Some(ETH_ARP) {
            return if sent { self.arp(frame) } else { Ok(()) };
        }
        let packet = self.packet(frame)?;
        let own = self.own.contains(&packet.source);
        let (link_local, nobody) = match packet.source {
            IpAddr::V6(source) => (source.segments()[0] & 0xffc0 == 0xfe80, source.is_unspecified()),
            IpAddr::V4(_) => (false, false),
        };
        let unrouted = link_local || nobody;
        let whole_icmp6 = packet.l4.proto == ICMP6 && packet.piece == Piece::Whole;
        if whole_icmp6 && packet.hop_limit == 255 && matches!(packet.l4.kind, 135 | 136) && (!sent || own || unrouted) {
            return if sent { self.neighbour(&packet, frame) } else { Ok(()) };
        }
        let to_link = matches!(packet.destination, IpAddr::V6(to) if to.octets()[..2] == [0xff, 2]);
        let hop_limit = match packet.l4.kind {
            133 => 255,
            131 | 132 | 143 => 1,
            _ => 0,
        };
        let listens = whole_icmp6 && to_link && hop_limit != 0 && packet.hop_limit == hop_limit;
        if listens && (unrouted || sent && own) {
            return Ok(());
        }
        if sent && !own {
            return Err(INVALID_SOURCE_IP);
        }
        self.enforce(direction, &packet, frame)
    }

    fn arp(&self, frame: &[u8]) -> Result<(), u8> {
        let body = frame.get(14..14 + 28).ok_or(INVALID_PACKET)?;
        if body[2..6] != [8, 0, 6, 4] {
            return Err(INVALID_PACKET);
        }
        if body[8..14] != self.mac {
            return Err(INVALID_SOURCE_IP);
        }
        let sender = IpAddr::V4(Ipv4Addr::new(body[14], body[15], body[16], body[17]));
        if sender.is_unspecified() || self.own.contains(&sender) { Ok(()) } else { Err(INVALID_SOURCE_IP) }
    }

    fn neighbour(&self, packet: &Packet, frame: &[u8]) -> Result<(), u8> {
        if packet.l4.kind == 135 {
            return Ok(());
        }
        let target = address6(frame, packet.at + 8).ok_or(INVALID_PACKET)?;
        let link_local = matches!(target, IpAddr::V6(target) if target.segments()[0] & 0xffc0 == 0xfe80);
        if link_local || self.own.contains(&target) { Ok(()) } else { Err(INVALID_SOURCE_IP) }
    }

    fn key(direction: u8, packet: &Packet) -> Key {
        let head = packet.l4;
        match direction {
            DIRECTION_EGRESS => (packet.source, head.sport, packet.destination, head.dport, head.proto),
            _ => (packet.destination, head.dport, packet.source, head.sport, head.proto),
        }
    }

    fn enforce(&mut self, direction: u8, packet: &Packet, frame: &[u8]) -> Result<(), u8> {
        let head = packet.l4;
        if let Piece::First { id } = packet.piece {
            let proto = if packet.source.is_ipv4() { head.proto } else { 0 };
            self.datagrams.insert((packet.source, packet.destination, id, proto), head);
        }
        if !head.is_tracked() && head.is_error() && packet.piece == Piece::Whole {
            // `allow-icmp-frag-needed` is on.
            if (head.proto, head.kind, head.code) == (ICMP, 3, 4) || self.is_related(direction, packet, frame) {
                return Ok(());
            }
        }
        let key = Self::key(direction, packet);
        let opens = head.proto == TCP && head.flags & (SYN | ACK) == SYN;
        let known = self.connections.get(&key).copied().filter(|_| head.is_tracked());
        let over = |entry: &Entry| entry.closing == [true; 2] || entry.generation.is_none();
        let living = known.filter(|entry| !(over(entry) && opens));
        let reply = living.is_some_and(|entry| entry.initiator != direction);
        let judged = match living {
            Some(entry) if reply && entry.generation == Some(self.generation) => Ok(()),
            Some(_) if reply => self.policy(1 - direction, &answered(packet)),
            _ => self.policy(direction, packet),
        };
        if let Err(reason) = judged {
            if let Some(entry) = living {
                self.connections.insert(key, Entry { generation: None, ..entry });
            }
            return Err(reason);
        }
        if living.is_none() && (head.is_icmp() && !head.is_request()) {
            return Ok(());
        }
        let fresh = Entry { initiator: direction, closing: [false; 2], generation: None };
        let mut entry = Entry { generation: Some(self.generation), ..living.unwrap_or(fresh) };
        if head.proto == TCP {
            entry.closing[usize::from(reply)] |= head.flags & FIN != 0;
            if head.flags & RST != 0 {
                entry.closing = [true; 2];
            }
        }
        self.connections.insert(key, entry);
        Ok(())
    }

    /// Whether an error quotes a packet of a flow of the endpoint that went the other way.
    fn is_related(&self, direction: u8, packet: &Packet, frame: &[u8]) -> bool {
        let Ok((inner, _)) = self.read(frame, packet.at + 8, packet.source.is_ipv4()) else { return false };
        let (opposite, own, local) = match direction {
            DIRECTION_EGRESS => (DIRECTION_INGRESS, packet.source, inner.destination),
            _ => (DIRECTION_EGRESS, packet.destination, inner.source),
        };
        let known = self.connections.get(&Self::key(opposite, &inner));
        own == local && inner.l4.is_tracked() && known.is_some_and(|entry| entry.generation.is_some())
    }

    fn policy(&self, direction: u8, packet: &Packet) -> Result<(), u8> {
        let (way, peer) = match direction {
            DIRECTION_EGRESS => (Direction::Egress, packet.destination),
            _ => (Direction::Ingress, packet.source),
        };
        let l4 = match packet.l4.proto {
            TCP => L4::Port(Protocol::Tcp, packet.l4.dport),
            UDP => L4::Port(Protocol::Udp, packet.l4.dport),
            SCTP => L4::Port(Protocol::Sctp, packet.l4.dport),
            ICMP => L4::Icmp(packet.l4.kind),
            _ => L4::Icmp6(packet.l4.kind),
        };
        let flow = Flow { peer: IdentityIndex((self.identity)(peer)), l4 };
        let decision = eval::decide(self.resolved, self.resolved.classes[0].policy(way), flow);
        match (decision.verdict, decision.auth, decision.reason) {
            (Verdict::Allow, AuthType::None, _) => Ok(()),
            (Verdict::Deny, _, Reason::DenyRule) => Err(POLICY_DENY),
            (Verdict::Deny, ..) => Err(POLICY_DENIED),
            other => panic!("the policy of this test has no {other:?}"),
        }
    }
}
