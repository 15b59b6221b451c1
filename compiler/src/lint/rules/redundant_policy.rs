//! CL008: a policy without any effect.

use std::collections::BTreeSet;

use super::duplicate;
use crate::ir::{Direction, Policy, PolicyIndex, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::Enforcement;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let duplicates: BTreeSet<PolicyIndex> = duplicate::pairs(facts).into_iter().map(|(_, second)| second).collect();
    let mut out = Vec::new();
    for index in redundant(facts) {
        if duplicates.contains(&index) {
            continue;
        }
        let policy = &facts.cluster.policies[index.0 as usize];
        let message = "other policies isolate and allow all that this one does: it has no effect";
        out.push(Finding::new(policy.span, &policy.object, message).hint("remove it, or narrow the broader ones"));
    }
    for (policy, index) in facts.cluster.policies.iter().zip(0..) {
        if allows_the_open(facts, PolicyIndex(index), policy) {
            let message = "the policy isolates nobody and allows what nothing denies: it has no effect";
            let hint = "isolate its endpoints with another policy, or remove `enableDefaultDeny`";
            out.push(Finding::new(policy.span, &policy.object, message).hint(hint));
        }
    }
    out
}

/// Policies whose every rule is allowed by other policies.
pub fn redundant(facts: &Facts<'_>) -> Vec<PolicyIndex> {
    let mut out = Vec::new();
    for index in (0..facts.cluster.policies.len() as u32).map(PolicyIndex) {
        let mut rules = facts.cluster.rules_of(index).peekable();
        if rules.peek().is_some() && rules.all(|(id, _)| facts.cover(id).redundant_elsewhere().is_some()) {
            out.push(index);
        }
    }
    out
}

/// Plain allows for endpoints that no policy isolates.
fn allows_the_open(facts: &Facts<'_>, index: PolicyIndex, policy: &Policy) -> bool {
    let subjects = facts.subjects(policy);
    let isolates = policy.default_deny.ingress || policy.default_deny.egress;
    if policy.tier.is_some() || isolates || subjects.is_empty() {
        return false;
    }
    let has_rules = |direction| facts.cluster.rules_of(index).any(|(_, rule)| rule.direction == direction);
    let mut rules = facts.cluster.rules_of(index).peekable();
    rules.peek().is_some()
        && rules.all(|(_, rule)| rule.action == RuleAction::Allow && is_plain(rule))
        && subjects.iter().filter_map(|identity| facts.class(*identity)).all(|class| {
            Direction::ALL.into_iter().filter(|direction| has_rules(*direction)).all(|direction| {
                let policy = class.policy(direction);
                let open = matches!(policy.enforcement, Enforcement::Open | Enforcement::DefaultAllow);
                let denies = policy.filters.iter().any(|filter| filter.action == RuleAction::Deny);
                open && !denies && policy.tiers.baseline.is_empty()
            })
        })
}

fn is_plain(rule: &crate::ir::Rule) -> bool {
    let has_proxy = match &rule.ports {
        crate::ir::Ports::All => false,
        crate::ir::Ports::AnyOf(list) => list.iter().any(|port| port.proxy.is_some()),
    };
    rule.auth.is_none() && !has_proxy
}
