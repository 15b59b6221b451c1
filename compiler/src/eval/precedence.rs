//! Spec §4.5: which of the matching filters decides. Around it stand the tiers of §6.

use super::tiers::{self, Said};
use super::{Decision, Flow, L4, Reason, Verdict};
use crate::ir::{RuleAction, RuleId};
use crate::resolve::{DirectionPolicy, Enforcement, L4Filter, L4Match, Resolved};

/// The verdict on a flow.
pub fn decide(resolved: &Resolved, policy: &DirectionPolicy, flow: Flow) -> Decision {
    let pass = |reason, rules| Decision { verdict: Verdict::Allow, reason, rules, audited: false };
    let drop = |reason, rules| match policy.audit {
        true => Decision { verdict: Verdict::Allow, reason, rules, audited: true },
        false => Decision { verdict: Verdict::Deny, reason, rules, audited: false },
    };

    if policy.is_open() {
        return pass(Reason::NotEnforced, Vec::new());
    }
    let isolating = match &policy.enforcement {
        Enforcement::Open | Enforcement::DefaultAllow => &[][..],
        Enforcement::DefaultDeny(rules) => rules,
    };
    if !resolved.identities.contains_key(&flow.peer) {
        return drop(Reason::UnknownPeer, isolating.to_vec());
    }
    let said = |said| match said {
        Said::Allow(rule) => Some(pass(Reason::AllowRule, vec![rule])),
        Said::Deny(rule) => Some(drop(Reason::DenyRule, vec![rule])),
        Said::Nothing => None,
    };
    if let Some(decision) = said(tiers::ask(&policy.tiers.admin, flow)) {
        return decision;
    }
    let candidates: Vec<&L4Filter> =
        policy.filters.iter().filter(|f| f.peers.contains(flow.peer) && covers(f.l4, flow.l4)).collect();
    let having =
        |action: RuleAction| -> Vec<&L4Filter> { candidates.iter().copied().filter(|f| f.action == action).collect() };

    // P1: any deny decides; how specific it is, where it comes from and the order do not matter.
    let denies = having(RuleAction::Deny);
    if !denies.is_empty() {
        return drop(Reason::DenyRule, rules(&denies));
    }
    // P2: without a deny, any allow decides.
    let allows = having(RuleAction::Allow);
    if !allows.is_empty() {
        let rules = rules(&allows);
        let reason = if rules.is_empty() { Reason::LocalHost } else { Reason::AllowRule };
        return pass(reason, rules);
    }
    // P3: nothing matches. Isolation is final; where there is none, the baseline is asked (§6.3).
    match policy.enforcement {
        Enforcement::DefaultDeny(_) => drop(Reason::DefaultDeny, isolating.to_vec()),
        Enforcement::Open | Enforcement::DefaultAllow => {
            said(tiers::ask(&policy.tiers.baseline, flow)).unwrap_or_else(|| pass(Reason::DefaultAllow, Vec::new()))
        }
    }
}

/// The rules behind filters; the local host's implicit allow has none.
fn rules(filters: &[&L4Filter]) -> Vec<RuleId> {
    let mut rules: Vec<RuleId> = filters.iter().filter_map(|f| f.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

pub(super) fn covers(filter: L4Match, l4: L4) -> bool {
    match (filter, l4) {
        (L4Match::All, _) => true,
        (L4Match::Ports { protocol, first, last }, L4::Port(other, port)) => {
            protocol == other && (first..=last).contains(&port)
        }
        // Type 0 is indistinguishable from "any type" (G-40).
        (L4Match::Icmp(t), L4::Icmp(other)) | (L4Match::Icmp6(t), L4::Icmp6(other)) => t == 0 || t == other,
        (L4Match::Ports { .. }, L4::Icmp(_) | L4::Icmp6(_))
        | (L4Match::Icmp(_), L4::Port(..) | L4::Icmp6(_))
        | (L4Match::Icmp6(_), L4::Port(..) | L4::Icmp(_)) => false,
    }
}
