//! Documents to typed objects, with every problem reported.
//!
//! In: a [`SourceMap`]. Out: [`Objects`] in the order of the documents, without those that have an error, and all
//! diagnostics. This is the last module that knows YAML; it knows one object at a time and nothing of the cluster they make.

pub mod codes;
pub mod names;
pub mod objects;
pub mod yaml;

mod admin;
mod cluster;
pub mod cnp;
mod decode;
mod document;
mod groups_file;
mod holders;
mod kinds;
mod meta;
mod np;
pub mod parse;
mod policy_test;
mod selector;
mod twice;
mod workload;

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::diag::{Diagnostic, FileId};
use crate::source::SourceMap;

pub use document::{DocumentSummary, Outcome};

use objects::{Choices, Objects};
use yaml::Arena;

/// What the command line says about reading.
#[derive(Debug, Clone, Default)]
pub struct FrontOptions {
    /// Namespace of objects that name none; `default` when absent.
    pub default_namespace: Option<String>,
    /// Handed on to `ir`.
    pub choices: Choices,
    /// Fixtures of tests to be read besides; no others are.
    pub fixtures: BTreeSet<FileId>,
}

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct FrontOutput {
    /// Objects without an error.
    pub objects: Objects,
    /// Every problem; an object is refused when one of its diagnostics is an error.
    pub diagnostics: Vec<Diagnostic>,
    /// What became of each document.
    pub documents: Vec<DocumentSummary>,
}

/// Reads all documents of all files.
pub fn read(sources: &SourceMap, options: &FrontOptions) -> FrontOutput {
    let is_read = |id| Some(id) != sources.groups() && (!sources.is_fixture(id) || options.fixtures.contains(&id));
    let files: Vec<_> = sources.files().filter(|(id, _)| is_read(*id)).collect();
    // Each file on whatever thread is free; the order of the results is that of the files.
    let mut arenas: Vec<_> = files.iter().map(|_| Arena::new()).collect();
    let parsed: Vec<_> =
        files.par_iter().zip(&mut arenas).map(|((id, file), arena)| yaml::parse(*id, &file.text, arena)).collect();
    let mut documents = Vec::new();
    let mut fatal = Vec::new();
    for parsed in parsed {
        documents.extend(parsed.documents);
        fatal.extend(parsed.fatal);
    }
    let (mut objects, mut diagnostics, documents) = document::read(&documents, options);
    diagnostics.extend(fatal);
    if let Some((id, file)) = sources.groups().and_then(|id| Some((id, sources.file(id)?))) {
        objects.answers = groups_file::read(id, &file.text, &mut diagnostics);
    }
    objects.choices = options.choices;
    FrontOutput { objects, diagnostics, documents }
}
