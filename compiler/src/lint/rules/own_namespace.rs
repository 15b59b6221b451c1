//! CL005: a peer is looked for in the policy's own namespace alone, and is in another.

use super::and_or;
use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness};
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let meant_together = and_or::places(facts);
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts).into_iter().filter(|unmatched| unmatched.rule.is_some()) {
        let Emptiness::Elsewhere(namespaces) = &unmatched.why else { continue };
        let (place, object) = (unmatched.first_place(), &unmatched.policy.object);
        if meant_together.contains(&place) {
            continue;
        }
        let message = format!("this peer is looked for in namespace `{}` alone, which has none", object.namespace);
        let first = namespaces.first().copied().unwrap_or_default();
        let how = match object.kind.as_str() {
            "NetworkPolicy" => "add a `namespaceSelector` to the same item".to_owned(),
            _ => format!("add the label `k8s:io.kubernetes.pod.namespace: {first}`"),
        };
        let hint = format!("endpoints with these labels are in {}: {how}", namespaces.join(", "));
        out.push(Finding::new(place, object, message).hint(hint));
    }
    out
}
