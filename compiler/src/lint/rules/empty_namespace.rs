//! CL027: a policy in a namespace without workloads.

use std::collections::BTreeSet;

use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.cluster.endpoints.is_empty() {
        return Vec::new();
    }
    let workloads = facts.objects.workloads.iter().map(|workload| workload.meta.object.namespace.as_str());
    let custom = facts.objects.custom.iter().map(|custom| custom.object.namespace.as_str());
    let mut seen: BTreeSet<&str> = workloads.chain(custom).collect();
    let mut out = Vec::new();
    for policy in &facts.cluster.policies {
        let Some(namespace) = policy.namespace.as_deref().filter(|namespace| seen.insert(namespace)) else { continue };
        let message = format!("the input has no workload of namespace `{namespace}`");
        let hint = "add its workloads to have its policies looked at, or correct `metadata.namespace`";
        out.push(Finding::new(policy.span, &policy.object, message).hint(hint));
    }
    out
}
