//! Objects by the digest of everything that made them.
//!
//! A file holds the SHA-256 of the object and then the object, so that a damaged one is noticed and built again. The
//! cache is an optimisation: whatever goes wrong with it costs a run of clang and nothing else.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{FLAGS, Toolchain};
use ciliumc_abi::manifest::hex;

const DIGEST_LEN: usize = 32;

/// Goes up when the same input gives other bytes for a reason that no flag shows.
const FORMAT: &str = "ciliumc object cache 1";

/// Name of the object that `toolchain` makes of what has the digest `input`.
pub(super) fn key(toolchain: &Toolchain, input: &str) -> String {
    let mut hash = Sha256::new();
    for part in [FORMAT, toolchain.banner(), input].into_iter().chain(FLAGS) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.o"))
}

/// The object, when the cache has it whole.
pub(super) fn get(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path(folder, key)).ok()?;
    let (digest, object) = bytes.split_at_checked(DIGEST_LEN)?;
    if Sha256::digest(object)[..] != *digest {
        return None;
    }
    bytes.drain(..DIGEST_LEN);
    Some(bytes)
}

/// Adds an object; another run sees it whole or not at all.
pub(super) fn put(folder: &Path, key: &str, object: &[u8]) {
    let add = || {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&Sha256::digest(object))?;
        file.write_all(object)?;
        file.persist(path(folder, key)).map_err(|error| error.error)
    };
    // A full or read-only cache is no reason to fail a build that has its object.
    let _: std::io::Result<fs::File> = add();
}
