//! What is remembered of a first fragment. Mirror of `abi/fragment.h`.

/// Datagrams that are remembered at a time.
pub const FRAGMENTS_MAX: u32 = 8192;

/// Key of `fragments`: one datagram. An IPv4 address stands in the first four bytes, the rest is zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FragmentKey {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Identification field as the packet has it, IPv4's in the first two bytes.
    pub id: u32,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol of IPv4, 0 for IPv6.
    pub proto: u8,
    /// Always zero.
    pub pad: u16,
}

/// What the L4 header of the first fragment said.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentHead {
    /// Source port, network order; of an echo as in conntrack.
    pub source_port_be: u16,
    /// Destination port, network order.
    pub destination_port_be: u16,
    /// IP protocol number.
    pub proto: u8,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// TCP flags.
    pub tcp_flags: u8,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<FragmentHead>() == 8);
