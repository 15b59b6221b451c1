//! CL002: a peer matches no endpoint.

use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness, words};
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts).into_iter().filter(|unmatched| unmatched.rule.is_some()) {
        let Emptiness::Nobody(requirement) = &unmatched.why else { continue };
        let message = format!("no endpoint that this peer could be has {}", words(requirement));
        let hint = format!("{}; correct the labels, or remove the peer", unmatched.effect(facts.cluster));
        out.push(Finding::new(unmatched.place(requirement), &unmatched.policy.object, message).hint(hint));
    }
    out
}
