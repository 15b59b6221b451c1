//! CL007: a rule allows what another rule allows already.

use std::collections::BTreeSet;

use super::{duplicate, redundant_policy};
use crate::ir::PolicyIndex;
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let whole: BTreeSet<PolicyIndex> = redundant_policy::redundant(facts)
        .into_iter()
        .chain(duplicate::pairs(facts).into_iter().map(|p| p.1))
        .collect();
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules().filter(|(_, rule)| !whole.contains(&rule.policy)) {
        let Some(by) = facts.cover(id).redundant().and_then(|tally| tally.by) else { continue };
        let other = facts.cluster.rule(by);
        let message = format!("{} of {} allows all of this already", other.path, facts.cluster.policy_of(by).object);
        let hint = "remove one of the two, or narrow the broader one";
        out.push(
            Finding::at_rule(facts, id, message)
                .related(other.span, format!("{}: the other rule", rule.path))
                .hint(hint),
        );
    }
    out
}
