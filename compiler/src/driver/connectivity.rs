//! From sources to who may talk to whom.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use super::{Analysis, Failure, analyse, question};
use crate::bundle::read;
use crate::connectivity::cilium::Names;
use crate::connectivity::{Connectivity, Party, bundle, cilium, kubernetes, names};
use crate::diag::{Code, Diagnostic};
use crate::front::{self, FrontOptions};
use crate::ir::options::{EnablePolicy, Options};
use crate::ir::{FqdnSelector, Subject, fqdn};
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

/// An input that was read.
#[derive(Debug)]
pub enum Read {
    /// Cilium's reading, in which versions that are compared have to tell the same names apart.
    Cilium(Box<Analysis>),
    /// Any other is complete.
    Other(Connectivity, Vec<Diagnostic>),
}

/// Reads an input. Refused objects are left out and named in the diagnostics.
pub fn read(sources: &SourceMap, options: &FrontOptions, semantics: Semantics) -> Result<Read, Failure> {
    match semantics {
        Semantics::Cilium => {
            let mut analysis = analyse(sources, options, Lock::default())?;
            let left_out = host_policies(&analysis);
            analysis.diagnostics.extend(left_out);
            Ok(Read::Cilium(Box::new(analysis)))
        }
        Semantics::Kubernetes => {
            let read = front::read(sources, options);
            Ok(Read::Other(kubernetes::connect(&read.objects), read.diagnostics))
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

/// Who may talk to whom in each of the inputs, which tell the same DNS names apart.
pub fn connect(inputs: Vec<Read>) -> Result<Vec<(Connectivity, Vec<Diagnostic>)>, Failure> {
    let analyses: Vec<&Analysis> = inputs
        .iter()
        .filter_map(|input| match input {
            Read::Cilium(analysis) => Some(&**analysis),
            Read::Other(..) => None,
        })
        .collect();
    let names = name_parties(&analyses, Vec::new())?;
    let connected = inputs.into_par_iter().map(|input| match input {
        Read::Cilium(mut analysis) => Ok((with_names(&mut analysis, &names)?, analysis.diagnostics)),
        Read::Other(connectivity, diagnostics) => Ok((connectivity, diagnostics)),
    });
    connected.collect()
}

/// The names that some selector, of the inputs or another one, tells from others and of which no address is known.
pub fn name_parties(analyses: &[&Analysis], others: Vec<FqdnSelector>) -> Result<Vec<Party>, Failure> {
    let own = analyses.iter().flat_map(|analysis| analysis.cluster.fqdn_addresses.keys().cloned());
    let selectors: BTreeSet<FqdnSelector> = own.chain(others).collect();
    let known = analyses.iter().flat_map(|analysis| &analysis.objects.answers.dns).map(|(name, _)| name.as_str());
    names::parties(&selectors, &known.collect())
        .map_err(|error| Failure::Input(format!("patterns of DNS names: {error}; look at fewer policies at once")))
}

/// Connects an input in which an address stands for each of the names. Only numbers depend on that: nothing is read again.
fn with_names(analysis: &mut Analysis, parties: &[Party]) -> Result<Connectivity, Failure> {
    let Analysis { cluster, resolved, .. } = analysis;
    let mut unused = question::unused(cluster, resolved);
    let mut names = Names::new();
    for party in parties {
        let address = unused.next().ok_or_else(question::too_many)?;
        let selected = cluster.fqdn_addresses.iter_mut();
        for (selector, addresses) in selected {
            if example(party).is_some_and(|name| fqdn::matches(selector, name)) {
                addresses.insert(address);
            }
        }
        names.insert(address, party.clone());
    }
    drop(unused);
    if !names.is_empty() {
        // What is wrong was reported when the input was read.
        *resolved = super::number(cluster, Lock::default(), &mut Vec::new())?;
    }
    Ok(cilium::connect(cluster, resolved, &names))
}

/// The name that stands for a party of names.
pub fn example(party: &Party) -> Option<&str> {
    match party {
        Party::Names { example, .. } => Some(example),
        Party::Workload { .. } | Party::Entity(_) | Party::Range(..) | Party::Net(_) => None,
    }
}

/// Reads a bundle: what its tables let pass, and files of which only names and lines are known.
pub fn open(path: &Path) -> Result<(SourceMap, Connectivity), Failure> {
    let opened = read::open(path).map_err(Failure::input)?;
    let (connectivity, sources) = bundle::connect(&opened).map_err(Failure::input)?;
    Ok((sources, connectivity))
}
