//! CL011: a plain allow passes all that an L7 rule would refuse.

use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (id, _) in facts.cluster.rules() {
        let Some(by) = facts.cover(id).moot().and_then(|tally| tally.by) else { continue };
        let plain = facts.cluster.rule(by);
        let other = &facts.cluster.policy_of(by).object;
        let message = format!("the L7 part restricts nothing: {} of {other} allows these ports as a whole", plain.path);
        let hint = "remove the ports from the plain rule, or give it the same L7 part";
        out.push(Finding::at_rule(facts, id, message).related(plain.span, "the plain rule").hint(hint));
    }
    out
}
