//! The program of an endpoint that the bundle does not know: it counts every packet and drops it.
//!
//! It is written here and not taken from the bundle, so that it is there whatever the bundle holds. Drops count in the
//! node's `metrics` under reason 210 and in the endpoint's own counters.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ciliumc_abi::counter::{Counter, metric_index};
use ciliumc_abi::drop_reason::UNKNOWN_ENDPOINT;
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::error::{Context, Error};
use crate::names::Hook;
use crate::sys::bpf::Layout;
use crate::sys::load;

/// Layout of its counters: one for all packets.
pub const COUNTERS: Layout =
    Layout { map_type: 6, key_size: 4, value_size: size_of::<Counter>() as u32, max_entries: 1, flags: 0 };

/// `TC_ACT_SHOT`.
const SHOT: i32 = 2;
/// `bpf_map_lookup_elem`.
const MAP_LOOKUP: i32 = 1;
/// Bytes in front of the IP header, which counters leave out.
const ETHERNET: i32 = 14;

/// Loads the program of `hook`.
pub fn load(hook: Hook, metrics: BorrowedFd<'_>, counters: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let code = program(hook, metrics.as_raw_fd(), counters.as_raw_fd());
    let loaded = load::program(&code, "deny_all", None).map_err(|refused| refused.source);
    loaded.context(|| format!("cannot load the program that drops all of {hook}"))
}

fn program(hook: Hook, metrics: i32, counters: i32) -> Vec<u64> {
    let direction = match hook {
        Hook::FromContainer => DIRECTION_EGRESS,
        Hook::ToContainer => DIRECTION_INGRESS,
    };
    let mut code = vec![
        insn(0xbf, 6, 1, 0, 0), // r6 = ctx
    ];
    code.extend(count(metrics, metric_index(UNKNOWN_ENDPOINT, direction).cast_signed()));
    code.extend(count(counters, 0));
    code.push(insn(0xb7, 0, 0, 0, SHOT)); // r0 = TC_ACT_SHOT
    code.push(insn(0x95, 0, 0, 0, 0)); // exit
    code
}

/// Adds the packet to entry `index` of a per-CPU array of [`Counter`].
fn count(map: i32, index: i32) -> [u64; 12] {
    [
        insn(0x62, 10, 0, -4, index), // *(u32 *)(fp - 4) = index
        insn(0xbf, 2, 10, 0, 0),      // r2 = fp
        insn(0x07, 2, 0, 0, -4),      // r2 -= 4
        insn(0x18, 1, 1, 0, map),     // r1 = map
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

/// One instruction as the kernel reads it (little endian hosts).
fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    let registers = u64::from(from << 4 | to);
    let offset = u64::from(offset.cast_unsigned());
    u64::from(code) | registers << 8 | offset << 16 | u64::from(immediate.cast_unsigned()) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_laid_out_as_the_kernel_reads_them() {
        assert_eq!(insn(0x62, 10, 0, -4, 3).to_le_bytes(), [0x62, 0x0a, 0xfc, 0xff, 3, 0, 0, 0]);
        assert_eq!(insn(0xbf, 6, 1, 0, 0).to_le_bytes(), [0xbf, 0x16, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_path_ends_in_a_drop() {
        let code = program(Hook::ToContainer, 3, 4);
        assert_eq!(code[code.len() - 2..], [insn(0xb7, 0, 0, 0, 2), insn(0x95, 0, 0, 0, 0)]);
        assert_eq!(code.iter().filter(|one| **one & 0xff == 0x95).count(), 1);
    }
}
