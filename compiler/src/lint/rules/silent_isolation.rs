//! CL032: a policy that adds a narrow allow for many, and isolates those that no other policy isolates.

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Direction, Peers, PolicyIndex, Ports, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::Enforcement;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (policy, index) in facts.cluster.policies.iter().zip((0..).map(PolicyIndex)) {
        for direction in Direction::ALL {
            if !policy.default_deny.of(direction) || policy.tier.is_some() || !is_narrow(facts, index, direction) {
                continue;
            }
            let (alone, beside): (Vec<IdentityIndex>, Vec<IdentityIndex>) =
                facts.subjects(policy).iter().partition(|identity| is_alone(facts, **identity, index, direction));
            // Beside the policies of some, it was written as an addition.
            if alone.is_empty() || beside.is_empty() {
                continue;
            }
            let word = direction.word();
            let message = format!("no other policy isolates {word} of {}: this one does", facts.names(alone));
            let hint = "all else is cut off for them; if it shall only add, set `enableDefaultDeny` to false";
            out.push(Finding::new(policy.span, &policy.object, message).hint(hint));
        }
    }
    out
}

/// Allows some ports of some peers, and denies nothing.
fn is_narrow(facts: &Facts<'_>, policy: PolicyIndex, direction: Direction) -> bool {
    let mut rules = facts.cluster.rules_of(policy).filter(|(_, rule)| rule.direction == direction).peekable();
    rules.peek().is_some()
        && rules.all(|(_, rule)| {
            let some_ports = matches!(&rule.ports, Ports::AnyOf(list) if !list.is_empty());
            rule.action == RuleAction::Allow && some_ports && rule.peers != Peers::Nobody
        })
}

fn is_alone(facts: &Facts<'_>, identity: IdentityIndex, policy: PolicyIndex, direction: Direction) -> bool {
    let Some(class) = facts.class(identity) else { return false };
    match &class.policy(direction).enforcement {
        Enforcement::DefaultDeny(rules) => {
            !rules.is_empty() && rules.iter().all(|rule| facts.cluster.rule(*rule).policy == policy)
        }
        Enforcement::Open | Enforcement::DefaultAllow | Enforcement::Conflict => false,
    }
}
