//! CL017: `toFQDNs` names a service of the cluster.

use super::elements;
use crate::front::objects::FqdnSelector;
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Ends of names that the cluster's own DNS gives out.
const IN_CLUSTER: [&str; 3] = [".svc", ".svc.cluster.local", ".pod.cluster.local"];

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (object, element) in facts.objects.cilium_policies.iter().flat_map(elements) {
        for name in &element.fqdns {
            let (FqdnSelector::Name(text) | FqdnSelector::Pattern(text)) = &name.value;
            if IN_CLUSTER.iter().any(|end| text.ends_with(end)) {
                let message = format!("`{text}` is a name of the cluster: its pods are never selected by address");
                let hint = "name the pods with `toEndpoints`, or the service with `toServices`";
                out.push(Finding::new(name.span, object, message).hint(hint));
            }
        }
    }
    out
}
