//! What the compiler and the loader share, and nothing else.
//!
//! The C side stands in `include/`; the mirrors here are asserted to have the same layout, once by the
//! constants below and once more by a test that reads the C headers with libclang.
//!
//! Byte order: a name that ends in `_be` is in network order, everything else in host order.
#![warn(missing_docs)]

pub mod action;
pub mod conntrack;
pub mod counter;
pub mod drop_reason;
pub mod endpoint;
pub mod event;
pub mod fragment;
pub mod headers;
pub mod identity;
pub mod ipcache;
pub mod manifest;
pub mod names;
pub mod provenance;
pub mod table;
