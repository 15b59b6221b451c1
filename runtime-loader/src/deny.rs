//! The program of an endpoint that the bundle does not know: it counts every packet and drops it.
//!
//! It is written here and not taken from the bundle, so that it is there whatever the bundle holds. Drops count in the
//! node's `metrics` under reason 210 and in the endpoint's own counters.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ciliumc_abi::counter::Counter;
use ciliumc_abi::drop_reason::UNKNOWN_ENDPOINT;

use crate::asm::{count, drop_metric, drop_packet, insn};
use crate::error::{Context, Error};
use crate::names::Hook;
use crate::sys::bpf::Layout;
use crate::sys::load;

/// Layout of its counters: one for all packets.
pub const COUNTERS: Layout =
    Layout { map_type: 6, key_size: 4, value_size: size_of::<Counter>() as u32, max_entries: 1, flags: 0 };

/// Loads the program of `hook`.
pub fn load(hook: Hook, metrics: BorrowedFd<'_>, counters: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let code = program(hook, metrics.as_raw_fd(), counters.as_raw_fd());
    let loaded = load::program(&code, "deny_all", None).map_err(|refused| refused.source);
    loaded.context(|| format!("cannot load the program that drops all of {hook}"))
}

fn program(hook: Hook, metrics: i32, counters: i32) -> Vec<u64> {
    let mut code = vec![
        insn(0xbf, 6, 1, 0, 0), // r6 = ctx
    ];
    code.extend(count(metrics, drop_metric(hook, UNKNOWN_ENDPOINT)));
    code.extend(count(counters, 0));
    code.extend(drop_packet());
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_ends_in_a_drop() {
        let code = program(Hook::ToContainer, 3, 4);
        assert_eq!(code[code.len() - 2..], drop_packet());
        assert_eq!(code.iter().filter(|one| **one & 0xff == 0x95).count(), 1);
    }
}
