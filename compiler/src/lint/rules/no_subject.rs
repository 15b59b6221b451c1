//! CL001: a policy selects no endpoint, or under the host firewall no node.

use crate::ir::Subject;
use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;
use crate::resolve::Variant;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let subjects = emptiness::all(facts).into_iter().filter(|unmatched| unmatched.rule.is_none());
    let finding = |unmatched: emptiness::Unmatched<'_>| {
        let object = &unmatched.policy.object;
        match &unmatched.why {
            Emptiness::Nobody(requirement) => {
                let message = format!("no endpoint that the policy could select has {}", words(requirement));
                let hint = "the policy constrains nobody; correct the labels, or remove the policy";
                Some(Finding::new(unmatched.place(requirement), object, message).hint(hint))
            }
            Emptiness::Elsewhere(namespaces) => {
                let message = format!("the policy selects no endpoint of namespace `{}`", object.namespace);
                let hint =
                    format!("endpoints with these labels are in {}; a policy reaches its own", namespaces.join(", "));
                Some(Finding::new(unmatched.first_place(), object, message).hint(hint))
            }
            Emptiness::Near { .. } | Emptiness::Namespace { .. } | Emptiness::HostNetwork(_) => None,
        }
    };
    subjects.filter_map(finding).chain(nodes(facts)).collect()
}

/// Host policies that select none of the nodes, where documents describe all of them.
fn nodes<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = Finding> + 'a {
    let cluster = facts.cluster;
    let known = cluster.options.host_firewall && cluster.nodes.iter().all(|node| node.described);
    let policies = cluster.policies.iter().filter(move |_| known && !cluster.nodes.is_empty());
    policies.filter_map(|policy| {
        let Subject::Nodes(selector) = &policy.subject else { return None };
        let is_selected = |variant: &Variant| selector.matches(&variant.host_labels);
        if facts.resolved.variants.iter().any(is_selected) || facts.is_explained(selector) {
            return None;
        }
        let place = selector.requirements.iter().find_map(|requirement| requirement.span).unwrap_or(policy.span);
        let message = "no node that the input describes has the labels that the policy selects";
        let hint = "the policy constrains nobody; correct the labels, or remove the policy";
        Some(Finding::new(place, &policy.object, message).hint(hint))
    })
}
