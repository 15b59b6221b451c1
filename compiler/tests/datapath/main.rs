//! The datapath as clang builds it: every shape compiles, passes our checks and this kernel's verifier, and does with
//! crafted packets what it must.
//!
//! Tests that load programs need root; without it they say so and pass, unless `CILIUMC_REQUIRE_KERNEL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod connections;
mod entry;
mod events;
mod fragments;
mod frames;
mod generations;
mod icmp_errors;
mod link;
mod machine;
mod model;
mod packet_fuzz;
mod parse;
mod policy;
mod records;
mod shapes;
mod traces;
mod verdicts;
