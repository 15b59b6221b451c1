//! CL029: a workload that no policy isolates.

use std::collections::BTreeSet;

use crate::diag::ObjectRef;
use crate::ir::Endpoint;
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::Enforcement;

/// One finding for endpoints that share an identity. Where no policy is in the namespace, it is not protected at all and
/// needs no reminder for each workload.
pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let used: BTreeSet<&str> = facts.cluster.policies.iter().filter_map(|policy| policy.namespace.as_deref()).collect();
    let mut out = Vec::new();
    for identity in facts.identities() {
        let (Some(class), Some(first)) = (facts.class(identity), facts.endpoints(identity).next()) else { continue };
        let is_open = |enforcement: &Enforcement| matches!(enforcement, Enforcement::Open | Enforcement::DefaultAllow);
        if !is_open(&class.ingress.enforcement) || !used.contains(first.namespace.as_str()) {
            continue;
        }
        let others = facts.endpoints(identity).count() - 1;
        let beside = if others > 0 { format!(" (and {others} with the same labels)") } else { String::new() };
        let what = if is_open(&class.egress.enforcement) { "neither ingress nor egress" } else { "no ingress" };
        let message = format!("policies isolate {what} of {}{beside}", first.name);
        let hint = "policies protect others in its namespace; select it, too, or say in an annotation why not";
        out.push(Finding::new(first.span, &object(first), message).hint(hint));
    }
    out
}

fn object(endpoint: &Endpoint) -> ObjectRef {
    let name = endpoint.name.rsplit('/').next().unwrap_or_default();
    ObjectRef { kind: endpoint.kind.clone(), namespace: endpoint.namespace.clone(), name: name.to_owned() }
}
