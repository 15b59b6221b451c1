//! Built objects held against a kernel and against the reference model.

pub mod kernel;
