//! What a program knows of the endpoint whose packet it judges. Mirror of `abi/endpoint.h`.
//!
//! Endpoints of one policy share a program. At each interface stands an entry program, which the loader assembles: it
//! writes its endpoint's slot and number into the packet's control block and jumps into the shared program. That one
//! drops a packet ([`crate::drop_reason::EP_NOT_READY`]) whose slot holds another number, or none.

use std::net::IpAddr;

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
}

const _: () = assert!(size_of::<Endpoint>() == 32);

impl Endpoint {
    /// Puts addresses in, at most one of each family.
    #[must_use]
    pub fn with_addresses(mut self, addresses: &[IpAddr]) -> Self {
        for address in addresses {
            match address {
                IpAddr::V4(v4) => self.ipv4_be = u32::from_ne_bytes(v4.octets()),
                IpAddr::V6(v6) => {
                    let bits = v6.to_bits().to_be_bytes();
                    let (halves, _) = bits.as_chunks::<8>();
                    self.ipv6_hi_be = u64::from_ne_bytes(halves[0]);
                    self.ipv6_lo_be = u64::from_ne_bytes(halves[1]);
                }
            }
        }
        self
    }

    /// The 32 bytes as the map holds them, host order.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        let words = [self.id, self.identity, self.ipv4_be, self.first_counter];
        for (to, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
        out[16..24].copy_from_slice(&self.ipv6_hi_be.to_ne_bytes());
        out[24..].copy_from_slice(&self.ipv6_lo_be.to_ne_bytes());
        out
    }

    /// The number that the bytes of a slot begin with; 0 for a free one.
    pub fn id_of(bytes: &[u8; 32]) -> u32 {
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_written_as_a_program_reads_it() {
        let addresses = ["10.77.0.1".parse().expect("IPv4"), "fd77::1".parse().expect("IPv6")];
        let bytes = Endpoint { id: 7, identity: 1257, first_counter: 3, ..Endpoint::default() };
        let bytes = bytes.with_addresses(&addresses).to_bytes();
        assert_eq!(Endpoint::id_of(&bytes), 7);
        assert_eq!((bytes[4..8].to_vec(), bytes[12..16].to_vec()), (1257u32.to_ne_bytes().into(), vec![3, 0, 0, 0]));
        assert_eq!(bytes[8..12], [10, 77, 0, 1]);
        assert_eq!(bytes[16..18], [0xfd, 0x77]);
        assert_eq!((bytes[18..31].iter().max(), bytes[31]), (Some(&0), 1));
        assert_eq!(Endpoint::default().to_bytes(), [0; 32]);
    }
}
