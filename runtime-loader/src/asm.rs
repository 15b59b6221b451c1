//! Instructions of the two programs that are written here and not by clang: the one that drops everything, and the
//! entry of an endpoint.

use ciliumc_abi::counter::metric_index;
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::names::Hook;

/// `TC_ACT_SHOT`.
const SHOT: i32 = 2;
/// `bpf_map_lookup_elem`.
const MAP_LOOKUP: i32 = 1;
/// Bytes in front of the IP header, which counters leave out.
const ETHERNET: i32 = 14;

/// One instruction as the kernel reads it (little endian hosts).
pub fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    let registers = u64::from(from << 4 | to);
    let offset = u64::from(offset.cast_unsigned());
    u64::from(code) | registers << 8 | offset << 16 | u64::from(immediate.cast_unsigned()) << 32
}

/// Adds the packet, whose context is in r6, to entry `index` of a per-CPU array of counters.
pub fn count(map: i32, index: u32) -> [u64; 12] {
    [
        insn(0x62, 10, 0, -4, index.cast_signed()), // *(u32 *)(fp - 4) = index
        insn(0xbf, 2, 10, 0, 0),                    // r2 = fp
        insn(0x07, 2, 0, 0, -4),                    // r2 -= 4
        insn(0x18, 1, 1, 0, map),                   // r1 = map
        0,
        insn(0x85, 0, 0, 0, MAP_LOOKUP),
        insn(0x15, 0, 0, 5, 0),         // if r0 == 0: behind the end
        insn(0xb7, 1, 0, 0, 1),         // r1 = 1
        insn(0xdb, 0, 1, 0, 0),         // packets += r1, atomic
        insn(0x61, 1, 6, 0, 0),         // r1 = ctx->len
        insn(0x07, 1, 0, 0, -ETHERNET), // r1 -= ETHERNET
        insn(0xdb, 0, 1, 8, 0),         // bytes += r1, atomic
    ]
}

/// Ends the program: the packet is dropped.
pub fn drop_packet() -> [u64; 2] {
    [
        insn(0xb7, 0, 0, 0, SHOT), // r0 = TC_ACT_SHOT
        insn(0x95, 0, 0, 0, 0),    // exit
    ]
}

/// Where the node's `metrics` count the drops of a hook for a reason.
pub fn drop_metric(hook: Hook, reason: u8) -> u32 {
    let direction = match hook {
        Hook::FromContainer => DIRECTION_EGRESS,
        Hook::ToContainer => DIRECTION_INGRESS,
    };
    metric_index(reason, direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_laid_out_as_the_kernel_reads_them() {
        assert_eq!(insn(0x62, 10, 0, -4, 3).to_le_bytes(), [0x62, 0x0a, 0xfc, 0xff, 3, 0, 0, 0]);
        assert_eq!(insn(0xbf, 6, 1, 0, 0).to_le_bytes(), [0xbf, 0x16, 0, 0, 0, 0, 0, 0]);
    }
}
