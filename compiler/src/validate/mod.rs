//! Built objects and tables held against a kernel and against the reference model: the only module that sees both
//! readings of a policy.

pub mod node;
pub mod packets;
pub mod tables;
