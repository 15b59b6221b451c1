//! The datapath as clang builds it: every shape compiles, passes our checks and this kernel's verifier, and does with
//! crafted packets what it must.
//!
//! Tests that load programs need root; without it they say so and pass, unless `CILIUMC_REQUIRE_KERNEL=1`.

mod shapes;
