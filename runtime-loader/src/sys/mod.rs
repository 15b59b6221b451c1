//! System calls: the only module with `unsafe`, and the only one that touches files.
//!
//! Every function is one call or one idea, takes and returns checked types, and leaves policy to its callers.

pub mod bpf;
pub mod clock;
pub mod files;
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub mod glibc;
pub mod http;
pub mod load;
pub mod lock;
pub mod mapping;
pub mod net;
pub mod probe;
pub mod query;
pub mod rcu;
pub mod signal;
pub mod start;
pub mod tc;
