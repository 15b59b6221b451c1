//! Records of the ring buffer, and who and what they are about.
//!
//! In: bytes that a program wrote, the node's state. Out: an [`Event`] with names, printable as a line or as a flow of Hubble.
//! A record that cannot be read is `None`, an unknown number stays a number: nothing here fails.

mod book;
mod flow;
mod show;

use std::net::{IpAddr, Ipv4Addr};

use ciliumc_abi::event::{EVENT_DROP, EVENT_POLICY_VERDICT, EVENT_TRACE};
use ciliumc_abi::names::DIRECTION_INGRESS;

pub use book::Book;
pub use flow::{Heard, flow, lost};
pub use show::{line, protocol_name, rule_text};

/// Bytes of each record.
const RECORD_LEN: usize = 88;
/// Bytes before the tail.
const TAIL: usize = 40;
/// Bit of the tail's flags: the destination port is an ICMP type.
const FLAG_ICMP_TYPE: u8 = 1;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The packet was dropped.
    Drop {
        /// Cilium's reason, or ours from 210.
        reason: u8,
    },
    /// The packet passes.
    Trace {
        /// Cilium's observation point (`ciliumc_abi::event::TRACE_TO_LXC` and its kin).
        point: u8,
        /// What conntrack says of it (`ciliumc_abi::event::TRACE_REASON_*`).
        reason: u8,
    },
    /// Policy judged the first packet of a connection.
    Verdict {
        /// 0 allowed, above 0 a proxy port, below 0 a negative drop reason.
        verdict: i32,
        /// It passes only because policy is audited.
        audited: bool,
        /// What the policy that lets it pass is about (`ciliumc_abi::action::MATCH_*`).
        match_type: u8,
    },
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Address, if the packet has one.
    pub address: Option<IpAddr>,
    /// Port; 0 where there is none.
    pub port: u16,
    /// Numeric identity; `None` where the record does not say (the endpoint's own).
    pub identity: Option<u32>,
}

/// A record, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub what: What,
    /// Endpoint whose program wrote it.
    pub endpoint: u16,
    /// Whether the packet goes to the endpoint.
    pub ingress: bool,
    /// Generation whose tables decided.
    pub generation: u32,
    /// Cause, a number of that generation.
    pub cause: u32,
    /// IP protocol.
    pub proto: u8,
    /// ICMP type, if it is ICMP.
    pub icmp_type: Option<u16>,
    /// Where the packet comes from.
    pub source: End,
    /// Where it goes.
    pub destination: End,
    /// Bytes of the packet.
    pub length: u32,
    /// Number of the interface that the program is attached to.
    pub ifindex: u32,
}

/// Reads a record; `None` when it is too short or of an unknown kind.
pub fn decode(bytes: &[u8]) -> Option<Event> {
    let bytes: &[u8; RECORD_LEN] = bytes.get(..RECORD_LEN)?.try_into().ok()?;
    let u16_at = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let ingress = bytes[TAIL + 8] == DIRECTION_INGRESS;
    let (what, source_identity, destination_identity) = match bytes[0] {
        EVENT_DROP => (What::Drop { reason: bytes[1] }, Some(u32_at(16)), Some(u32_at(20))),
        EVENT_TRACE => (What::Trace { point: bytes[1], reason: bytes[26] }, Some(u32_at(16)), Some(u32_at(20))),
        EVENT_POLICY_VERDICT => {
            let remote = Some(u32_at(16));
            let (source, destination) = if ingress { (remote, None) } else { (None, remote) };
            let audited = bytes[27] & 1 << 6 != 0;
            (
                What::Verdict { verdict: u32_at(20).cast_signed(), audited, match_type: bytes[27] >> 3 & 7 },
                source,
                destination,
            )
        }
        _ => return None,
    };
    let family = bytes[TAIL + 9];
    let is_icmp = bytes[TAIL + 11] & FLAG_ICMP_TYPE != 0;
    let port_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (source_port, destination_port) = (port_at(TAIL + 12), port_at(TAIL + 14));
    let end = |at: usize, port, identity| End { address: address(family, &bytes[at..at + 16]), port, identity };
    Some(Event {
        what,
        endpoint: u16_at(2),
        ingress,
        generation: u32_at(TAIL + 4),
        cause: u32_at(TAIL),
        proto: bytes[TAIL + 10],
        icmp_type: is_icmp.then_some(destination_port),
        source: end(TAIL + 16, if is_icmp { 0 } else { source_port }, source_identity),
        destination: end(TAIL + 32, if is_icmp { 0 } else { destination_port }, destination_identity),
        length: u32_at(8),
        ifindex: u32_at(if bytes[0] == EVENT_TRACE { 28 } else { 32 }),
    })
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.try_into().ok()?;
    match family {
        4 => Some(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()),
        6 => Some(IpAddr::from(octets)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
