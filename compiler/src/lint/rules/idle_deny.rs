//! CL010: a deny takes nothing away.

use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let idle = facts.cluster.rules().filter(|(id, _)| facts.cover(*id).idle().is_some());
    let message = "nothing allows what this rule denies, and what nothing allows is dropped anyway";
    let hint = "keep it if it stands guard against later rules; otherwise remove it";
    idle.map(|(id, _)| Finding::at_rule(facts, id, message).hint(hint)).collect()
}
