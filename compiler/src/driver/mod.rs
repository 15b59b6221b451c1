//! The pipeline as one readable function, and the order of everything.
//!
//! `analyse` goes from sources to resolved policy and is what every command starts with; [`build`] goes on to the
//! bundle. Nothing here prints: diagnostics and failures are returned.

pub mod build;
pub mod connectivity;
mod failure;
pub mod packets;
pub mod policy_test;
pub mod question;
pub mod suggest;
pub mod warnings;

pub use failure::Failure;

use crate::diag::{Diagnostic, Severity};
use crate::front::objects::Objects;
use crate::front::{self, FrontOptions};
use crate::ir::{self, Cluster};
use crate::lint::{self, Day, Findings, Input};
use crate::resolve::{self, Lock, ResolveError, Resolved};
use crate::source::SourceMap;

/// A stage whose text can be asked for: a module of that name makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Internal rules.
    Ir,
    /// Identities and each class's policy.
    Resolve,
    /// Verdict tables.
    Lower,
    /// Generated headers and units.
    Codegen,
    /// Programs, maps and instructions of the built objects.
    Object,
}

/// What every command starts from.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// What was read, in the words of the API.
    pub objects: Objects,
    /// Everything that was right.
    pub cluster: Cluster,
    /// The same with numbers.
    pub resolved: Resolved,
    /// What was wrong or odd in the documents.
    pub read: Vec<Diagnostic>,
    /// Everything that was wrong or odd, over all stages.
    pub diagnostics: Vec<Diagnostic>,
}

impl Analysis {
    /// What is accepted and probably not meant; `today` is for what expires.
    pub fn lint(&self, sources: &SourceMap, today: Option<&Day>) -> Findings {
        let Self { objects, cluster, resolved, read: _, diagnostics } = self;
        lint::run(&Input { sources, objects, cluster, resolved, reported: diagnostics, today })
    }

    /// Whether an object was refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// `front`, `ir` and `resolve`, with their verifiers. Refused objects are left out and named in the diagnostics: it is
/// for the caller to go on or not.
pub fn analyse(sources: &SourceMap, options: &FrontOptions, lock: Lock) -> Result<Analysis, Failure> {
    let read = front::read(sources, options);
    understand(read.objects, read.diagnostics, lock)
}

/// `ir` and `resolve`, of objects that were read with some diagnostics.
fn understand(objects: Objects, read: Vec<Diagnostic>, lock: Lock) -> Result<Analysis, Failure> {
    let mut diagnostics = read.clone();
    let cluster = ir::build::build(&objects, &mut diagnostics);
    ir::verify::verify(&cluster).map_err(Failure::bug("ir"))?;
    let resolved = number(&cluster, lock, &mut diagnostics)?;
    resolve::verify::verify(&cluster, &resolved).map_err(Failure::bug("resolve"))?;
    Ok(Analysis { objects, cluster, resolved, read, diagnostics })
}

/// `resolve` alone.
fn number(cluster: &Cluster, lock: Lock, diagnostics: &mut Vec<Diagnostic>) -> Result<Resolved, Failure> {
    resolve::resolve(cluster, lock, diagnostics).map_err(|error| match error {
        ResolveError::Lock(error) => Failure::input(error),
        ResolveError::LabelFilter(error) => Failure::Bug(format!("resolve: {error}")),
    })
}
