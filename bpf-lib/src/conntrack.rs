//! Conntrack keys and values. Mirror of `abi/conntrack.h`.
//!
//! There is one entry for a connection and its replies: the key is written as the endpoint sees it (local, peer), and
//! the value remembers in which direction the first packet went. For ICMP echo the identifier stands in the port of
//! the side that sends the request and the other port is 0, so a request never looks like the reply to another one.

/// Key of `conntrack4`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CtKey4 {
    /// The endpoint's address, network order.
    pub local_be: u32,
    /// The other end's address, network order.
    pub peer_be: u32,
    /// The endpoint's port, network order.
    pub local_port_be: u16,
    /// The other end's port, network order.
    pub peer_port_be: u16,
    /// IP protocol number.
    pub proto: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

/// Key of `conntrack6`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CtKey6 {
    /// The endpoint's address.
    pub local: [u8; 16],
    /// The other end's address.
    pub peer: [u8; 16],
    /// The endpoint's port, network order.
    pub local_port_be: u16,
    /// The other end's port, network order.
    pub peer_port_be: u16,
    /// IP protocol number.
    pub proto: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

/// Bit of [`CtEntry::flags`]: the initiator sent a FIN, or someone an RST.
pub const CT_CLOSING_FORWARD: u8 = 1;
/// Bit of [`CtEntry::flags`]: a TCP segment without SYN was seen.
pub const CT_SEEN_NON_SYN: u8 = 2;
/// Bit of [`CtEntry::flags`]: the other side sent a FIN, or someone an RST.
pub const CT_CLOSING_REPLY: u8 = 4;
/// Both bits together: nobody has anything to send, the entry expires soon. One alone is a half-closed connection,
/// which may go on for as long as the other side sends.
pub const CT_CLOSING: u8 = CT_CLOSING_FORWARD | CT_CLOSING_REPLY;

/// Bit of [`CtEntry::flags`]: a packet to the endpoint was reported in this interval.
pub const CT_TOLD_RECEIVED: u8 = 8;
/// Bit of [`CtEntry::flags`]: a packet of the endpoint was.
pub const CT_TOLD_SENT: u8 = 16;
/// Bit of [`CtEntry::flags`]: an ICMP error about the flow was.
pub const CT_TOLD_RELATED: u8 = 32;

/// Lowest bits of [`CtEntry::expires_ns`] that tell when the present interval of reports began.
pub const CT_REPORT_CLOCK_BITS: u32 = 16;
/// They count in units of two to the power of so many nanoseconds, 0.27 seconds.
pub const CT_REPORT_TICK_SHIFT: u32 = 28;

/// [`CtEntry::generation`] of a flow that policy has refused since it began. Its entry stays until it expires, so that none
/// of its packets passes for the first one of another flow.
pub const CT_GENERATION_ENDED: u32 = 0;

/// Value of both conntrack maps.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CtEntry {
    /// `bpf_ktime_get_ns` after which the entry counts as absent; the lowest [`CT_REPORT_CLOCK_BITS`], 65 µs, mean something
    /// else.
    pub expires_ns: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Bytes of both directions, from the IP header on.
    pub bytes: u64,
    /// Bundle generation whose policy allowed the connection last, or [`CT_GENERATION_ENDED`].
    pub generation: u32,
    /// Direction of the first packet: [`crate::names::DIRECTION_INGRESS`] or [`crate::names::DIRECTION_EGRESS`].
    pub initiator: u8,
    /// Bits `CT_*`.
    pub flags: u8,
    /// TCP flags that were reported, by direction.
    pub tcp_told: [u8; 2],
}

const _: () = assert!(size_of::<CtKey4>() == 16);
const _: () = assert!(size_of::<CtKey6>() == 40);
const _: () = assert!(size_of::<CtEntry>() == 32);
