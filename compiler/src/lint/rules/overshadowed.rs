//! CL009: denies take away all that a rule allows.

use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (id, _) in facts.cluster.rules() {
        let Some(by) = facts.cover(id).overshadowed().and_then(|tally| tally.by) else { continue };
        let deny = facts.cluster.rule(by);
        let message =
            format!("{} of {} denies all that this rule allows", deny.path, facts.cluster.policy_of(by).object);
        let hint = "a deny wins over every allow; narrow it, or remove this rule";
        out.push(Finding::at_rule(facts, id, message).related(deny.span, "the deny").hint(hint));
    }
    out
}
