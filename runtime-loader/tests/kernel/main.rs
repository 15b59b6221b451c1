//! The loader on this kernel: real objects, network namespaces and packets.
//!
//! Needs root, clang-19 and Linux 6.6. Without them every test says why it is skipped, unless
//! CILIUMC_REQUIRE_KERNEL=1 makes that a failure.
//!
//! Two tests take a sample; CILIUMC_KILL_ALL=1 kills at every system call, CILIUMC_LEAK_CYCLES=10000 sets the cycles.

#[path = "../support/handmade.rs"]
mod handmade;
#[path = "../support/hubble.rs"]
mod hubble;
mod lab;

mod ahead;
mod batch;
mod cgroup;
mod clsact;
mod crash;
mod endpoint;
mod entry;
mod hurry;
mod ipcache;
mod kill;
mod leak;
mod operator;
mod privileges;
mod refuse;
mod rollback;
mod show;
mod switch;
mod unknown;
