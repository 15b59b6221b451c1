//! The tiers around the regular one, cell by cell (spec §6.2, §6.5).
//!
//! Rows and port classes split on their rules as they split on filters: all that can match is one list, filters first,
//! then the admin tier in its order, then the baseline. In a cell the order is resolved for good, so the tables know
//! verdicts alone and no tier.

use ciliumc_abi::action::{MATCH_ALL, VERDICT_DENY};
use ciliumc_abi::drop_reason::POLICY_DENY;

use super::decide;
use super::factor::{ActionKey, Matching};
use crate::ir::{RuleAction, RuleId};
use crate::resolve::{DirectionPolicy, Enforcement, L4Match, PeerSet, TierRule};

/// What can match: a filter, or one of a tier rule's ports.
pub struct Matcher<'a> {
    /// Who.
    pub peers: &'a PeerSet,
    /// Where to.
    pub l4: L4Match,
    /// Of the regular tier, where the length of its port block may count.
    pub is_filter: bool,
}

/// All matchers of a direction; [`Matching::filter`] is a position in this list.
pub struct Matchers<'a> {
    policy: &'a DirectionPolicy,
    list: Vec<Matcher<'a>>,
    /// By position behind the filters: what a match there means.
    tiers: Vec<(RuleId, RuleAction)>,
    /// Position of the first rule of the baseline.
    baseline: usize,
}

impl<'a> Matchers<'a> {
    pub fn new(policy: &'a DirectionPolicy) -> Self {
        let filters = policy.filters.iter().map(|f| Matcher { peers: &f.peers, l4: f.l4, is_filter: true });
        let mut out = Self { policy, list: filters.collect(), tiers: Vec::new(), baseline: 0 };
        policy.tiers.admin.iter().for_each(|rule| out.add(rule));
        out.baseline = out.list.len();
        policy.tiers.baseline.iter().for_each(|rule| out.add(rule));
        out
    }

    fn add(&mut self, rule: &'a TierRule) {
        for &l4 in &rule.l4 {
            self.list.push(Matcher { peers: &rule.peers, l4, is_filter: false });
            self.tiers.push((rule.rule, rule.action));
        }
    }

    /// Every matcher with its position.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Matcher<'a>)> {
        self.list.iter().enumerate()
    }

    /// The action where exactly these match; they are sorted by position.
    pub fn decide(&self, default_action: &ActionKey, matching: &[Matching]) -> ActionKey {
        let filters = self.policy.filters.len();
        let (regular, tiers) = matching.split_at(matching.partition_point(|m| m.filter < filters));
        let (admin, baseline) = tiers.split_at(tiers.partition_point(|m| m.filter < self.baseline));
        if let Some(action) = self.first(admin) {
            return action;
        }
        let isolated = match self.policy.enforcement {
            Enforcement::DefaultDeny(_) | Enforcement::Conflict => true,
            Enforcement::Open | Enforcement::DefaultAllow => false,
        };
        // Every filter that matches decides, and so does isolation: the baseline is for what is left (§6.3).
        if isolated || !regular.is_empty() {
            return decide::decide(self.policy, default_action, regular);
        }
        self.first(baseline).unwrap_or_else(|| ActionKey::allow(Vec::new(), MATCH_ALL))
    }

    /// What the first match of a tier says; a pass says nothing, whatever comes behind it.
    fn first(&self, tier: &[Matching]) -> Option<ActionKey> {
        let first = tier.first()?;
        let (rule, action) = self.tiers[first.filter - self.policy.filters.len()];
        let of_peer = *self.list[first.filter].peers != PeerSet::Everyone;
        match action {
            RuleAction::Allow => Some(ActionKey::allow(vec![rule], decide::match_type(of_peer, first.prefix))),
            RuleAction::Deny => Some(ActionKey::plain(VERDICT_DENY, POLICY_DENY, vec![rule])),
            RuleAction::Pass => None,
        }
    }
}
