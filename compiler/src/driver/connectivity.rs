//! From sources to who may talk to whom.

use super::{Failure, analyse};
use std::path::Path;

use crate::bundle::read;
use crate::connectivity::{Connectivity, bundle, cilium, kubernetes};
use crate::diag::Diagnostic;
use crate::front::{self, FrontOptions};
use crate::resolve::Lock;
use crate::source::SourceMap;

/// Whose reading of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semantics {
    /// Cilium's.
    Cilium,
    /// NetworkPolicy alone, as the Kubernetes API describes it.
    Kubernetes,
}

/// Reads an input. Refused objects are left out and named in the diagnostics.
pub fn connect(
    sources: &SourceMap,
    options: &FrontOptions,
    semantics: Semantics,
) -> Result<(Connectivity, Vec<Diagnostic>), Failure> {
    match semantics {
        Semantics::Cilium => {
            let analysis = analyse(sources, options, Lock::default())?;
            Ok((cilium::connect(&analysis.cluster, &analysis.resolved), analysis.diagnostics))
        }
        Semantics::Kubernetes => {
            let read = front::read(sources, options);
            Ok((kubernetes::connect(&read.objects), read.diagnostics))
        }
    }
}

/// Reads a bundle: what its tables let pass, and files of which only names and lines are known.
pub fn open(path: &Path) -> Result<(SourceMap, Connectivity), Failure> {
    let opened = read::open(path).map_err(Failure::input)?;
    let (connectivity, sources) = bundle::connect(&opened).map_err(Failure::input)?;
    Ok((sources, connectivity))
}
