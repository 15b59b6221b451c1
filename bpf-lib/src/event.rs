//! Records of the `events` ring buffer. Mirror of `abi/event.h`.
//!
//! The first 40 bytes are Cilium's `drop_notify`, `policy_verdict_notify` or, with 8 bytes more, `trace_notify` (tools that
//! know those can read them); [`EventTail`] follows with what Cilium's records lack: the flow and the rules that decided.

/// `kind` of a dropped packet.
pub const EVENT_DROP: u8 = 1;
/// `kind` of a packet that passes.
pub const EVENT_TRACE: u8 = 4;
/// `kind` of a policy verdict on the first packet of a connection.
pub const EVENT_POLICY_VERDICT: u8 = 5;

/// Events that a CPU reports in the long run.
pub const EVENT_RATE_PER_SEC: u32 = 16_384;
/// Events that a CPU reports at once.
pub const EVENT_BURST: u32 = 8192;
/// Traces that a CPU reports at once, beside them.
pub const TRACE_BURST: u32 = 2048;

/// Cilium's observation point of a packet that goes to the endpoint.
pub const TRACE_TO_LXC: u8 = 0;
/// Cilium's observation point of a packet that the endpoint sent and that goes on to the node.
pub const TRACE_TO_STACK: u8 = 3;
/// Cilium's observation point of a packet that the endpoint sent and that nobody has judged yet.
pub const TRACE_FROM_LXC: u8 = 5;

/// `reason` of the first packet of a flow, or of one of no flow, that policy allows.
pub const TRACE_REASON_NEW: u8 = 0;
/// `reason` of a later packet of the side that began.
pub const TRACE_REASON_ESTABLISHED: u8 = 1;
/// `reason` of a packet of the other side.
pub const TRACE_REASON_REPLY: u8 = 2;
/// `reason` of an ICMP error about a living flow.
pub const TRACE_REASON_RELATED: u8 = 3;
/// `reason` of a packet of which conntrack was not asked.
pub const TRACE_REASON_UNKNOWN: u8 = 5;

/// Value of `event_limit`: what a CPU may still report.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventBucket {
    /// Monotonic time of the last tokens, in nanoseconds.
    pub filled_ns: u64,
    /// Events that may be reported without waiting for more.
    pub tokens: u64,
}

/// Cilium's common event header.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventHeader {
    /// `EVENT_*`.
    pub kind: u8,
    /// Drop reason of a drop, observation point of a trace; 0 else.
    pub subtype: u8,
    /// Endpoint id of the endpoint whose program wrote the event.
    pub source: u16,
    /// Flow hash of the packet, 0 when the kernel has none.
    pub hash: u32,
    /// Length of the packet in bytes.
    pub len_orig: u32,
    /// Bytes of the packet captured behind the record: 0.
    pub len_cap: u16,
    /// Layout version: 2, of a trace 0.
    pub version: u16,
}

/// The flow and the reason, behind Cilium's part.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventTail {
    /// Index into the generation's `causes`.
    pub cause: u32,
    /// Bundle generation whose tables decided.
    pub generation: u32,
    /// [`crate::names::DIRECTION_INGRESS`] or [`crate::names::DIRECTION_EGRESS`].
    pub direction: u8,
    /// 4, 6, or 0 when there is no IP header.
    pub family: u8,
    /// IP protocol number, 0 when unknown.
    pub proto: u8,
    /// Bit 0: the destination port field holds an ICMP type.
    pub flags: u8,
    /// Source port, network order; 0 for ICMP.
    pub source_port_be: u16,
    /// Destination port, network order; for ICMP the type as a number in network order.
    pub destination_port_be: u16,
    /// Source address; an IPv4 address stands in the first four bytes.
    pub source_address: [u8; 16],
    /// Destination address; an IPv4 address stands in the first four bytes.
    pub destination_address: [u8; 16],
}

/// A dropped packet.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropEvent {
    /// Cilium's header, `kind` [`EVENT_DROP`].
    pub header: EventHeader,
    /// Numeric identity of the source.
    pub source_identity: u32,
    /// Numeric identity of the destination.
    pub destination_identity: u32,
    /// Endpoint id of the destination when it is the one this program guards, else 0.
    pub destination_id: u32,
    /// Always 0: source lines are in the provenance, not in the datapath.
    pub line: u16,
    /// Always 0.
    pub file: u8,
    /// Always 0.
    pub ext_error: i8,
    /// Interface the program is attached to.
    pub ifindex: u32,
    /// Always zero.
    pub pad: u32,
    /// The flow and the rules.
    pub tail: EventTail,
}

/// A packet that passes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceEvent {
    /// Cilium's header, `kind` [`EVENT_TRACE`], `subtype` `TRACE_TO_LXC` and its kin.
    pub header: EventHeader,
    /// Numeric identity of the source.
    pub source_identity: u32,
    /// Numeric identity of the destination.
    pub destination_identity: u32,
    /// Endpoint id of the destination when it is the one this program guards, else 0.
    pub destination_id: u16,
    /// `TRACE_REASON_*`.
    pub reason: u8,
    /// Bit 0: IPv6.
    pub flags: u8,
    /// Interface the program is attached to.
    pub ifindex: u32,
    /// Always zero.
    pub pad: [u32; 2],
    /// The flow and the rules.
    pub tail: EventTail,
}

/// The verdict on the first packet of a connection.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyVerdictEvent {
    /// Cilium's header, `kind` [`EVENT_POLICY_VERDICT`].
    pub header: EventHeader,
    /// Numeric identity of the other end.
    pub remote_identity: u32,
    /// 0 allowed, above 0 the proxy port, below 0 the negative drop reason.
    pub verdict: i32,
    /// Destination port in host order, or the ICMP type.
    pub destination_port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// Bits 0-1 direction (1 ingress, 2 egress as Cilium has them), 2 IPv6, 3-5 match type, 6 audited.
    pub bits: u8,
    /// Authentication type.
    pub auth_type: u8,
    /// Always zero.
    pub pad1: [u8; 3],
    /// Interface the program is attached to.
    pub ifindex: u32,
    /// Always zero.
    pub pad2: u32,
    /// The flow and the rules.
    pub tail: EventTail,
}

const _: () = assert!(size_of::<EventHeader>() == 16);
const _: () = assert!(size_of::<EventTail>() == 48);
const _: () = assert!(size_of::<DropEvent>() == 88);
const _: () = assert!(size_of::<TraceEvent>() == 88);
const _: () = assert!(size_of::<PolicyVerdictEvent>() == 88);
