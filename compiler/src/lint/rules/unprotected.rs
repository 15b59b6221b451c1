//! CL029: a workload that no policy isolates.

use std::collections::BTreeSet;

use super::object;
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::Enforcement;

/// One finding for endpoints that share an identity. In a namespace where nobody's ingress is isolated, that is how it is
/// and needs no reminder for each workload.
pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let is_open = |enforcement: &Enforcement| matches!(enforcement, Enforcement::Open | Enforcement::DefaultAllow);
    let isolated = facts.identities().filter_map(|i| facts.class(i)).filter(|c| !is_open(&c.ingress.enforcement));
    let used: BTreeSet<&str> = isolated.map(|class| class.namespace.as_str()).collect();
    let mut out = Vec::new();
    for identity in facts.identities() {
        let (Some(class), Some(first)) = (facts.class(identity), facts.endpoints(identity).next()) else { continue };
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
