//! CL037: a key of a selector with a source that no label has, or with a name that its source does not know.

use super::cilium_selectors;
use crate::front::objects::{KeySource, Operator, Requirement};
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Sources of labels (spec §0.6, and what Cilium's own code knows besides).
const SOURCES: [&str; 9] = ["any", "k8s", "reserved", "cidr", "cidrgroup", "fqdn", "node", "container", "unspec"];

/// Names of reserved labels (spec §4.6).
const RESERVED: [&str; 11] = [
    "host",
    "world",
    "unmanaged",
    "health",
    "init",
    "remote-node",
    "kube-apiserver",
    "ingress",
    "world-ipv4",
    "world-ipv6",
    "unknown",
];

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (object, selector) in facts.objects.cilium_policies.iter().flat_map(cilium_selectors) {
        for requirement in selector.requirements.iter().filter(|r| is_positive(r)) {
            if let Some((message, hint)) = problem(requirement) {
                out.push(Finding::new(requirement.span, object, message).hint(hint));
            }
        }
    }
    out
}

fn is_positive(requirement: &Requirement) -> bool {
    match requirement.operator {
        Operator::In | Operator::Exists => true,
        Operator::NotIn | Operator::DoesNotExist => false,
    }
}

fn problem(requirement: &Requirement) -> Option<(String, String)> {
    let key = &requirement.key;
    match &requirement.source {
        KeySource::Any => {
            let (source, rest) = key.split_once('.').filter(|(source, _)| ["k8s", "any"].contains(source))?;
            // `k8s.io/name` is a key like any other.
            (!key.contains('/')).then(|| {
                let message = format!("`{key}` is a key without a source: a source ends with a colon");
                (message, format!("write `{source}:{rest}`"))
            })
        }
        KeySource::Only(source) if source == "reserved" => {
            let valued = requirement.values.iter().any(|value| !value.is_empty());
            let message = match () {
                () if !RESERVED.contains(&key.as_str()) => format!("there is no reserved label `{key}`"),
                () if valued => format!("label `reserved:{key}` has no value, so none can be asked for"),
                () => return None,
            };
            Some((message, format!("reserved are {}; write the value as \"\"", RESERVED.join(", "))))
        }
        KeySource::Only(source) if !SOURCES.contains(&source.as_ref()) => {
            let message = format!("no label has the source `{source}`: the selector matches nothing");
            Some((message, format!("labels of pods have source `k8s`: write `k8s:{key}` or `{key}`")))
        }
        KeySource::Only(_) => None,
    }
}
