//! CL003: a selector misses an endpoint by a few letters.

use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;
use crate::lint::{Finding, edits};

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts) {
        let Emptiness::Near { requirement, label, endpoint, swap } = &unmatched.why else { continue };
        let message = format!("no endpoint has {}", words(requirement));
        let hint = format!("did you mean {label}, as {endpoint} has? now {}", unmatched.effect(facts.cluster));
        let place = unmatched.place(requirement);
        let edit = edits::word(facts.sources, place, &swap.from, &swap.to);
        out.push(Finding::new(place, &unmatched.policy.object, message).hint(hint).edit(edit));
    }
    out
}
