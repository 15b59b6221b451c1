//! The program at an endpoint's interface: it says whose packet it is and jumps into the program of the endpoint's
//! policy, which all endpoints of that policy share.
//!
//! That one took the verifier 14 000 steps and more, once; this one takes it a score. It is written here, since slot
//! and number are constants of it: a switch of policy is the replacement of one program by another, whole. Where there
//! is nothing to jump to the packet is dropped and counts in the node's `metrics` under reason 140.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ciliumc_abi::drop_reason::MISSED_TAIL_CALL;
use ciliumc_abi::endpoint::{ENTRY_CB_ENDPOINT, ENTRY_CB_SLOT};

use crate::asm::{count, drop_metric, drop_packet, insn};
use crate::error::{Context, Error};
use crate::names::Hook;
use crate::sys::bpf::{self, Layout};
use crate::sys::load;

/// Layout of what an entry jumps through: a place for one program.
pub const JUMP: Layout =
    Layout { map_type: bpf::MAP_TYPE_PROG_ARRAY, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };

/// Place of the packet's control block in `struct __sk_buff`.
const SKB_CB: usize = 48;
/// `bpf_tail_call`.
const TAIL_CALL: i32 = 12;

/// Loads the entry of an endpoint at `hook`: `slot` is its place in the program that `jump` leads to.
pub fn load(
    hook: Hook,
    endpoint: u16,
    slot: u32,
    jump: BorrowedFd<'_>,
    metrics: BorrowedFd<'_>,
) -> Result<OwnedFd, Error> {
    let code = program(hook, endpoint, slot, jump.as_raw_fd(), metrics.as_raw_fd());
    let loaded = load::program(&code, hook.program(), None).map_err(|refused| refused.source);
    loaded.context(|| format!("cannot load the entry of endpoint {endpoint} at {hook}"))
}

fn program(hook: Hook, endpoint: u16, slot: u32, jump: i32, metrics: i32) -> Vec<u64> {
    let word = |at: usize| (SKB_CB + 4 * at) as i16;
    let mut code = vec![
        insn(0xbf, 6, 1, 0, 0),                       // r6 = ctx
        insn(0xb4, 2, 0, 0, slot.cast_signed()),      // w2 = slot
        insn(0x63, 1, 2, word(ENTRY_CB_SLOT), 0),     // ctx->cb[SLOT] = w2
        insn(0xb4, 2, 0, 0, i32::from(endpoint)),     // w2 = endpoint
        insn(0x63, 1, 2, word(ENTRY_CB_ENDPOINT), 0), // ctx->cb[ENDPOINT] = w2
        insn(0x18, 2, 1, 0, jump),                    // r2 = jump
        0,
        insn(0xb4, 3, 0, 0, 0),         // w3 = 0
        insn(0x85, 0, 0, 0, TAIL_CALL), // comes back when there is no program
    ];
    code.extend(count(metrics, drop_metric(hook, MISSED_TAIL_CALL)));
    code.extend(drop_packet());
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_from_the_jump_is_dropped() {
        let code = program(Hook::FromContainer, 65535, 9, 3, 4);
        let jump = code.iter().position(|one| *one == insn(0x85, 0, 0, 0, TAIL_CALL)).expect("a jump");
        let behind = &code[jump + 1..];
        assert_eq!(behind[behind.len() - 2..], drop_packet());
        assert_eq!(code.iter().filter(|one| **one & 0xff == 0x95).count(), 1, "there is no other end");
        assert!(code[..jump].contains(&insn(0xb4, 2, 0, 0, 65535)), "a number is no negative one");
    }
}
