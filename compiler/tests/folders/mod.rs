//! The folders of `testdata/cases`, for tests that hold of each of them.

use std::fs;
use std::path::{Path, PathBuf};

/// All of them, sorted; a test that finds few would say nothing.
pub fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 50, "only {} cases", cases.len());
    cases
}
