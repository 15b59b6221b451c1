//! CL003: a selector misses an endpoint by a few letters.

use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts) {
        let Emptiness::Near { requirement, label, endpoint } = &unmatched.why else { continue };
        let message = format!("no endpoint has {}", words(requirement));
        let hint = format!("did you mean {label}, as {endpoint} has? now {}", unmatched.effect(facts.cluster));
        out.push(Finding::new(unmatched.place(requirement), &unmatched.policy.object, message).hint(hint));
    }
    out
}
