//! CL004: a namespace label that no namespace has.

use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;
use crate::lint::{Finding, edits};

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts) {
        let Emptiness::Namespace { requirement, near } = &unmatched.why else { continue };
        let message = format!("no namespace has {}", words(requirement));
        let hint = match near {
            Some(near) => format!("did you mean `{}`? now {}", near.to, unmatched.effect(facts.cluster)),
            None => format!("{}; label the namespace, or correct the selector", unmatched.effect(facts.cluster)),
        };
        let place = unmatched.place(requirement);
        let edit = near.as_ref().and_then(|near| edits::word(facts.sources, place, &near.from, &near.to));
        out.push(Finding::new(place, &unmatched.policy.object, message).hint(hint).edit(edit));
    }
    out
}
