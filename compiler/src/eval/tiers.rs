//! Spec §6.2: of a tier's rules the first one that matches counts.

use super::Flow;
use super::precedence::covers;
use crate::ir::{RuleAction, RuleId};
use crate::resolve::TierRule;

/// What a tier says about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The rule allows it, finally.
    Allow(RuleId),
    /// The rule denies it, finally.
    Deny(RuleId),
    /// Nothing: no rule matches, or the first that does passes it on.
    Nothing,
}

/// Asks the rules of a tier in their order.
pub fn ask(tier: &[TierRule], flow: Flow) -> Said {
    let matches = |rule: &&TierRule| rule.peers.contains(flow.peer) && rule.l4.iter().any(|l4| covers(*l4, flow.l4));
    match tier.iter().find(matches) {
        Some(rule) => match rule.action {
            RuleAction::Allow => Said::Allow(rule.rule),
            RuleAction::Deny => Said::Deny(rule.rule),
            RuleAction::Pass => Said::Nothing,
        },
        None => Said::Nothing,
    }
}
