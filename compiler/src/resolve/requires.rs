//! `fromRequires` and `toRequires` (spec §2.6): one conjunction for each class, direction and action.

use std::sync::Arc;

use ciliumc_abi::identity::IdentityIndex;

use super::VariantIndex;
use super::peers::Resolver;
use crate::ir::labels::Selector;
use crate::ir::{Cluster, Rule, RuleAction, RuleId};

/// What the label selectors of an endpoint's rules are narrowed to; `None` where nothing is required.
#[derive(Debug, Clone, Default)]
pub struct Requires {
    allow: Option<Arc<[IdentityIndex]>>,
    deny: Option<Arc<[IdentityIndex]>>,
}

impl Requires {
    /// Of all rules that select an endpoint in one direction.
    pub fn new(cluster: &Cluster, rules: &[(RuleId, &Rule)], peers: &mut Resolver<'_>, variant: VariantIndex) -> Self {
        let mut conjunction = |action| {
            let of_action = rules.iter().filter(|(id, rule)| rule.action == action && is_regular(cluster, *id));
            let mut requirements: Vec<_> = of_action
                .flat_map(|(_, rule)| &rule.requires)
                .flat_map(|selector| selector.requirements.iter().cloned())
                .collect();
            if requirements.is_empty() {
                return None;
            }
            for requirement in &mut requirements {
                requirement.span = None;
            }
            requirements.sort_unstable();
            requirements.dedup();
            Some(peers.matching(Selector { requirements }, variant))
        };
        Self { allow: conjunction(RuleAction::Allow), deny: conjunction(RuleAction::Deny) }
    }

    /// The identities that label selectors of a rule may select at most.
    pub fn of(&self, cluster: &Cluster, id: RuleId) -> Option<&[IdentityIndex]> {
        if !is_regular(cluster, id) {
            return None;
        }
        match cluster.rule(id).action {
            RuleAction::Allow => self.allow.as_deref(),
            RuleAction::Deny => self.deny.as_deref(),
            RuleAction::Pass => None,
        }
    }
}

/// Rules of the other tiers neither require nor are constrained.
fn is_regular(cluster: &Cluster, id: RuleId) -> bool {
    cluster.policy_of(id).tier.is_none()
}
