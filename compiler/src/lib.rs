//! `ciliumc`: from Kubernetes and Cilium network policies to BPF objects, in CI.
//!
//! The modules are the pipeline, in this order: `source → front → ir → resolve → lower → codegen → clang → object →
//! bundle`. `eval` is the reference model that reads what `resolve` made; `lint` finds what is accepted
//! and yet probably not meant; `policy_test` runs what is expected of flows and `suggest` finds edits; `language`
//! compares sets of strings; `explain` has a page for each code;
//! `driver` knows the order; `cli` prints.
//! `ARCHITECTURE.md` beside this crate tells why.

pub mod bundle;
pub mod clang;
pub mod cli;
pub mod codegen;
pub mod connectivity;
pub mod diag;
pub mod driver;
pub mod eval;
pub mod exec;
pub mod explain;
pub mod front;
pub mod ir;
pub mod language;
pub mod lint;
pub mod lower;
pub mod object;
pub mod policy_test;
pub mod resolve;
pub mod source;
pub mod suggest;
pub mod validate;
