//! What this kernel makes of a built object: its verifier is asked, its program runs on frames.
//!
//! In: the bytes of an object and what its maps hold. Out: a count of instructions, or what became of a frame. A program is
//! loaded, looked at, and gone again: nothing is attached, and nothing is pinned unless the caller names a folder.
//! What a frame or a table means is no business of this module.

mod error;
pub mod frames;
mod program;
pub mod verify;

pub use error::LoadError;
pub use program::{Loaded, Loader, Setup, Table, context};
