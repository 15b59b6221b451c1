//! Rules and causes with file and line: the only part of a bundle that depends on where things were written.

use ciliumc_abi::provenance::{Provenance, Rule};

use crate::ir::Cluster;
use crate::lower::Lowered;
use crate::source::SourceMap;

/// The document.
pub fn provenance(sources: &SourceMap, cluster: &Cluster, lowered: &Lowered) -> Provenance {
    let rules = cluster.rules().map(|(id, rule)| {
        let policy = cluster.policy_of(id);
        Rule {
            kind: policy.object.kind.clone(),
            namespace: policy.object.namespace.clone(),
            name: policy.object.name.clone(),
            path: rule.path.clone(),
            file: sources.name(rule.span.file).to_string(),
            line: sources.line_col(rule.span).line as u32,
            log: policy.log.clone(),
        }
    });
    let causes = lowered.causes.iter().map(|rules| rules.iter().map(|rule| rule.0).collect());
    Provenance { rules: rules.collect(), causes: causes.collect() }
}
