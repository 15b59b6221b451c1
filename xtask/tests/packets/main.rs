//! What happens to packets on a node under policy: every test wires a lab of its own, loads real objects and sends real
//! packets, over IPv4 and IPv6, what is allowed beside what is denied.
//!
//! Needs root and tcx; skips with the reason, or fails under `CILIUMC_REQUIRE_KERNEL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod connections;
mod crowds;
mod events;
mod fragments;
#[path = "../../../compiler/tests/datapath/frames.rs"]
#[expect(dead_code, reason = "the frames of the programs' own tests, of which these here need some")]
mod frames;
mod headers;
mod icmp;
mod link;
mod mtu;
mod switches;
mod world;
