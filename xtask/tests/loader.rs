//! What nodes get: one small file that needs nothing else.

use std::fs;

use xtask::tools::{self, LOADER_BYTES_MAX};

/// `p_type` of the program header that names a dynamic linker.
const PT_INTERP: u32 = 3;

#[test]
fn the_loader_is_static_and_small() {
    let loader = fs::read(tools::build().unwrap().loader).unwrap();
    assert!((loader.len() as u64) < LOADER_BYTES_MAX, "{} bytes, of {LOADER_BYTES_MAX}", loader.len());
    let half = |at: usize| u16::from_le_bytes(loader[at..at + 2].try_into().unwrap()) as usize;
    let word = |at: usize| u32::from_le_bytes(loader[at..at + 4].try_into().unwrap());
    let (headers, size, count) = (word(32) as usize, half(54), half(56));
    assert!(count > 0, "no program headers");
    assert!((0..count).all(|n| word(headers + n * size) != PT_INTERP), "the loader asks for a dynamic linker");
}
