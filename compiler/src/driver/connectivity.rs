//! From sources to who may talk to whom.

use std::path::Path;

use super::{Analysis, Failure, analyse};

use crate::bundle::read;
use crate::connectivity::{Connectivity, bundle, cilium, kubernetes};
use crate::diag::{Code, Diagnostic};
use crate::front::{self, FrontOptions};
use crate::ir::Subject;
use crate::ir::options::{EnablePolicy, Options};
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
            let mut analysis = analyse(sources, options, Lock::default())?;
            let left_out = host_policies(&analysis);
            analysis.diagnostics.extend(left_out);
            Ok((cilium::connect(&analysis.cluster, &analysis.resolved), analysis.diagnostics))
        }
        Semantics::Kubernetes => {
            let read = front::read(sources, options);
            Ok((kubernetes::connect(&read.objects), read.diagnostics))
        }
    }
}

/// A party is told apart by what policies of endpoints see in it; a host is another one to each node.
fn host_policies(analysis: &Analysis) -> Option<Diagnostic> {
    let Options { host_firewall, enable_policy, .. } = analysis.cluster.options;
    let mut policies = analysis.cluster.policies.iter().filter(|policy| matches!(policy.subject, Subject::Nodes(_)));
    let first = policies.next();
    let acts = match enable_policy {
        EnablePolicy::Default => first.is_some(),
        EnablePolicy::Always => true,
        EnablePolicy::Never => false,
    };
    if !host_firewall || !acts {
        return None;
    }
    let message = "host policies are left out of who may talk to whom: what they drop is shown as what pods let pass";
    let hint = "ask about a node with `ciliumc trace --from node:NAME` or `--to node:NAME`, or in a test";
    let warning = Diagnostic::warning(Code("F-304"), first.map(|policy| policy.span), message).hint(hint);
    Some(match first {
        Some(policy) => warning.object(policy.object.clone()),
        None => warning,
    })
}

/// Reads a bundle: what its tables let pass, and files of which only names and lines are known.
pub fn open(path: &Path) -> Result<(SourceMap, Connectivity), Failure> {
    let opened = read::open(path).map_err(Failure::input)?;
    let (connectivity, sources) = bundle::connect(&opened).map_err(Failure::input)?;
    Ok((sources, connectivity))
}
