//! What a program knows of the endpoint whose packet it judges. Mirror of `abi/endpoint.h`.
//!
//! Endpoints of one policy share a program. At each interface stands an entry program, which the loader assembles: it
//! writes its endpoint's slot and number into the packet's control block and jumps into the shared program. That one
//! drops a packet ([`crate::drop_reason::EP_NOT_READY`]) whose slot holds another number, or none.
//!
//! The two programs of an endpoint know each other: a reply may have to be judged by the policy of the direction in which
//! its flow began (`lib/consult.h`).

use std::net::{IpAddr, Ipv6Addr};

/// Word of the control block with the slot.
pub const ENTRY_CB_SLOT: usize = 0;
/// Word of the control block with the endpoint's number on its node.
pub const ENTRY_CB_ENDPOINT: usize = 1;

/// Value of `endpoints`: one slot. All zero: free.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Number on this node, 1-65535; 0 for a free slot.
    pub id: u32,
    /// Numeric identity.
    pub identity: u32,
    /// IPv4 address, network order; 0 for none.
    pub ipv4_be: u32,
    /// Entry of `counters` that counts action 0.
    pub first_counter: u32,
    /// First eight bytes of the IPv6 address as the packet has them; 0 for none.
    pub ipv6_hi_be: u64,
    /// Last eight bytes of the IPv6 address as the packet has them; 0 for none.
    pub ipv6_lo_be: u64,
    /// MAC address that its frames must have ([`mac`]); 0: any.
    pub mac: u64,
    /// Its slot in its program of the other direction.
    pub opposite_slot: u32,
    /// Gateway whose MAC address the program tells the endpoint, network order; 0 for none.
    pub gateway_ipv4_be: u32,
    /// First eight bytes of the IPv6 gateway; 0 for none.
    pub gateway_ipv6_hi_be: u64,
    /// Last eight bytes of the IPv6 gateway; 0 for none.
    pub gateway_ipv6_lo_be: u64,
    /// The gateway's MAC address ([`mac`]).
    pub gateway_mac: u64,
}

/// Bytes of a slot.
pub const ENDPOINT_BYTES: usize = size_of::<Endpoint>();
const _: () = assert!(ENDPOINT_BYTES == 72);

/// A MAC address as a program compares it: the first byte lowest.
pub fn mac([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The halves of an IPv6 address as a packet has them.
fn halves(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits().to_be_bytes();
    let (halves, _) = bits.as_chunks::<8>();
    [u64::from_ne_bytes(halves[0]), u64::from_ne_bytes(halves[1])]
}

impl Endpoint {
    /// Puts addresses in, at most one of each family.
    #[must_use]
    pub fn with_addresses(mut self, addresses: &[IpAddr]) -> Self {
        for address in addresses {
            match address {
                IpAddr::V4(v4) => self.ipv4_be = u32::from_ne_bytes(v4.octets()),
                IpAddr::V6(v6) => [self.ipv6_hi_be, self.ipv6_lo_be] = halves(*v6),
            }
        }
        self
    }

    /// Puts gateways in, at most one of each family, with the MAC address of all of them.
    #[must_use]
    pub fn with_gateways(mut self, gateways: &[IpAddr], mac: u64) -> Self {
        for gateway in gateways {
            match gateway {
                IpAddr::V4(v4) => self.gateway_ipv4_be = u32::from_ne_bytes(v4.octets()),
                IpAddr::V6(v6) => [self.gateway_ipv6_hi_be, self.gateway_ipv6_lo_be] = halves(*v6),
            }
        }
        self.gateway_mac = mac;
        self
    }

    /// The bytes as the map holds them, host order.
    pub fn to_bytes(self) -> [u8; ENDPOINT_BYTES] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let words = [
            pair(self.id, self.identity),
            pair(self.ipv4_be, self.first_counter),
            self.ipv6_hi_be,
            self.ipv6_lo_be,
            self.mac,
            pair(self.opposite_slot, self.gateway_ipv4_be),
            self.gateway_ipv6_hi_be,
            self.gateway_ipv6_lo_be,
            self.gateway_mac,
        ];
        let mut out = [0; ENDPOINT_BYTES];
        for (to, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        out
    }

    /// The number that the bytes of a slot begin with; 0 for a free one.
    pub fn id_of(bytes: &[u8; ENDPOINT_BYTES]) -> u32 {
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_written_as_a_program_reads_it() {
        let addresses = ["10.77.0.1".parse().expect("IPv4"), "fd77::1".parse().expect("IPv6")];
        let gateways = ["10.77.0.254".parse().expect("IPv4"), "fe80::1".parse().expect("IPv6")];
        let one = Endpoint { id: 7, identity: 1257, first_counter: 3, opposite_slot: 5, ..Endpoint::default() };
        let one = Endpoint { mac: mac([2, 0, 0, 0, 0, 9]), ..one };
        let bytes = one.with_addresses(&addresses).with_gateways(&gateways, mac([2, 1, 1, 1, 1, 8])).to_bytes();
        assert_eq!(Endpoint::id_of(&bytes), 7);
        assert_eq!((bytes[4..8].to_vec(), bytes[12..16].to_vec()), (1257u32.to_ne_bytes().into(), vec![3, 0, 0, 0]));
        assert_eq!(bytes[8..12], [10, 77, 0, 1]);
        assert_eq!(bytes[16..18], [0xfd, 0x77]);
        assert_eq!((bytes[18..31].iter().max(), bytes[31]), (Some(&0), 1));
        assert_eq!(bytes[32..40], [2, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!(bytes[40..50], [5, 0, 0, 0, 10, 77, 0, 254, 0xfe, 0x80]);
        assert_eq!(bytes[63..], [1, 2, 1, 1, 1, 1, 8, 0, 0]);
        assert_eq!(Endpoint::default().to_bytes(), [0; ENDPOINT_BYTES]);
    }
}
