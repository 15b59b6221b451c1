//! The loader on this kernel: real objects, network namespaces and packets.
//!
//! Needs root, clang-19 and Linux 6.6. Without them every test says why it is skipped, unless
//! CILIUMC_REQUIRE_KERNEL=1 makes that a failure.

#[path = "../support/handmade.rs"]
mod handmade;
mod lab;

mod batch;
mod crash;
mod endpoint;
mod ipcache;
mod refuse;
mod rollback;
mod switch;
mod unknown;
