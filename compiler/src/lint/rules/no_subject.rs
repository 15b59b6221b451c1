//! CL001: a policy selects no endpoint.

use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;

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
    subjects.filter_map(finding).collect()
}
