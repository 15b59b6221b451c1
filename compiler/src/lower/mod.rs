//! Resolved policy to verdict tables.

pub mod shape;
