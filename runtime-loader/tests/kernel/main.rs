//! The loader on this kernel: real objects, network namespaces and packets.
//!
//! Needs root, clang-19 and Linux 6.6. Without them every test says why it is skipped, unless
//! CILIUMC_REQUIRE_KERNEL=1 makes that a failure.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

#[path = "../support/handmade.rs"]
mod handmade;
mod lab;

mod crash;
mod endpoint;
mod refuse;
mod switch;
