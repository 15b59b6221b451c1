//! Runs a bundle on a node: describe, compare, act.
//!
//! [`bundle`] reads and checks a bundle (pure), [`observe`] describes what the node has, [`plan`] says which steps
//! lead from one to the other (pure, printable), [`reconcile`] takes them. [`sys`] is the only module that makes
//! system calls; only [`cli`] prints.
//!
//! [`labels`] finds an endpoint's identity, [`policy`] reads tables back, [`attach`] hides how programs are attached.
//! [`program`] loads what clang built, once for all endpoints of a policy; [`entry`] and [`deny`] are what is attached.
//!
//! **Invariant:** new maps are complete before a program reads them, a program is loaded before it is attached, and a
//! running program is replaced in one link update. A crash at any step leaves the old programs in force, and the next
//! run finishes.

pub mod asm;
pub mod attach;
pub mod bundle;
pub mod cli;
pub mod conntrack;
pub mod counters;
pub mod deny;
pub mod entry;
pub mod error;
pub mod events;
pub mod gather;
pub mod ipcache;
pub mod labels;
pub mod mac;
pub mod maps;
pub mod names;
pub mod observe;
pub mod pins;
pub mod plan;
pub mod policy;
pub mod program;
pub mod reconcile;
pub mod state;
pub mod sys;

#[cfg(test)]
#[path = "../tests/support/handmade.rs"]
mod handmade;
