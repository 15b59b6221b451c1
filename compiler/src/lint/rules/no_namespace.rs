//! CL004: a namespace label that no namespace has.

use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts) {
        let Emptiness::Namespace { requirement, near } = &unmatched.why else { continue };
        let message = format!("no namespace has {}", words(requirement));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`? now {}", unmatched.effect(facts.cluster)),
            None => format!("{}; label the namespace, or correct the selector", unmatched.effect(facts.cluster)),
        };
        out.push(Finding::new(unmatched.place(requirement), &unmatched.policy.object, message).hint(hint));
    }
    out
}
