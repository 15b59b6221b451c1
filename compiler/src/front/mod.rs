//! Documents to typed objects, with every problem reported.

pub mod objects;
