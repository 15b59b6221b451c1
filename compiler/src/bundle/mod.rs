//! The bundle: a directory (or one tar) that is the same bytes for the same input, in any folder, on any number of
//! threads.
//!
//! In: everything the stages made. Out: [`Bundle`], files by path; [`write`] puts them on disk, aside first and then
//! renamed, so that no partial bundle is ever seen.

mod assemble;
pub mod provenance;
pub mod read;
pub mod rulesets;
mod rulesets_read;
pub mod write;

use std::collections::BTreeMap;

use ciliumc_abi::manifest::{self, Manifest, hex};

pub use assemble::{AssembleError, assemble};
use sha2::Digest;

use crate::ir::Cluster;
use crate::lower::Lowered;
use crate::lower::shape::Shape;
use crate::resolve::Resolved;
use crate::source::SourceMap;

/// What a bundle is made from.
pub struct Input<'a> {
    /// Files, for lines in the provenance.
    pub sources: &'a SourceMap,
    /// Endpoints, nodes and rules by name.
    pub cluster: &'a Cluster,
    /// Identities and addresses.
    pub resolved: &'a Resolved,
    /// Tables and shapes.
    pub lowered: &'a Lowered,
    /// The built object of every shape.
    pub objects: BTreeMap<Shape, BuiltObject>,
    /// Layout of every map.
    pub maps: BTreeMap<String, manifest::Map>,
    /// The clang that built the objects.
    pub clang: manifest::Clang,
}

/// One built object.
pub struct BuiltObject {
    /// The ELF file.
    pub bytes: Vec<u8>,
    /// What the manifest says of it.
    pub entry: manifest::Object,
}

/// A finished bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The manifest.
    pub manifest: Manifest,
    /// Every file, by path, manifest included.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// SHA-256, hexadecimal, lower case.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}
