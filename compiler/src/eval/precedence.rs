//! Spec §4.5: which of the matching filters decides. Around it stand the tiers of §6.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::tiers::{self, Said};
use super::{Decision, Flow, L4, Reason, Verdict};
use crate::ir::{AuthMode, RuleAction, RuleId};
use crate::resolve::{
    AuthType, DirectionPolicy, Enforcement, L4Filter, L4Match, Parser, PeerSet, Redirect, Resolved, Ruleset,
};

/// The verdict on a flow.
pub fn decide(resolved: &Resolved, policy: &DirectionPolicy, flow: Flow) -> Decision {
    let drop = |reason, rules| match policy.audit {
        true => Decision { audited: true, ..Decision::new(Verdict::Allow, reason, rules) },
        false => Decision::new(Verdict::Deny, reason, rules),
    };

    if policy.is_open() {
        return Decision::new(Verdict::Allow, Reason::NotEnforced, Vec::new());
    }
    let isolating = match &policy.enforcement {
        Enforcement::Conflict => return Decision::new(Verdict::Error, Reason::Conflict, Vec::new()),
        Enforcement::Open | Enforcement::DefaultAllow => None,
        Enforcement::DefaultDeny(rules) => Some(rules),
    };
    if !resolved.identities.contains_key(&flow.peer) {
        return drop(Reason::UnknownPeer, isolating.cloned().unwrap_or_default());
    }
    let said = |said| match said {
        Said::Allow(rule) => Some(Decision::new(Verdict::Allow, Reason::AllowRule, vec![rule])),
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
    // P2: without a deny the allows decide.
    let allows = having(RuleAction::Allow);
    if !allows.is_empty() {
        let rules = rules(&allows);
        let reason = if rules.is_empty() { Reason::LocalHost } else { Reason::AllowRule };
        let all_pass = isolating.is_none() && policy.tiers.baseline.is_empty();
        return allow(&allows, flow.l4, all_pass, Decision::new(Verdict::Allow, reason, rules));
    }
    // P3: nothing matches. Isolation is final; where there is none, the baseline is asked (§6.3).
    match isolating {
        Some(rules) => drop(Reason::DefaultDeny, rules.clone()),
        None => said(tiers::ask(&policy.tiers.baseline, flow))
            .unwrap_or_else(|| Decision::new(Verdict::Allow, Reason::DefaultAllow, Vec::new())),
    }
}

/// P4: among allows the strongest redirect, then the most specific. `all_pass` is the synthetic allow of spec §3.2, which
/// ranks below a baseline.
fn allow(allows: &[&L4Filter], l4: L4, all_pass: bool, plain: Decision) -> Decision {
    if allows.iter().all(|filter| filter.attributes.is_none()) {
        return plain;
    }
    let entries = entries(allows, l4);
    let winner = entries
        .iter()
        .map(|(key, entry)| lifted(&entries, *key, *entry))
        .max_by_key(|(key, entry)| (entry.priority(), key.prefix, key.specific));
    let Some((_, winner)) = winner else {
        return plain;
    };
    let auth = match winner.auth {
        Some(explicit) => explicit.into(),
        None => inherited(&entries),
    };
    let Some(parser) = winner.redirect.map(|redirect| &redirect.parser) else {
        return Decision { auth, ..plain };
    };
    let redirects = allows.iter().map(|filter| redirect(filter)).chain(all_pass.then_some(None));
    let ruleset = Arc::new(Ruleset::new(parser, redirects));
    Decision { verdict: Verdict::Redirect, ruleset: Some(ruleset), auth, ..plain }
}

/// Key of an allow entry: of this peer or of any, and how many bits of protocol and port it fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    specific: bool,
    prefix: u8,
}

impl Key {
    /// Both match one flow, so the shorter prefix holds the longer one.
    fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && (self.specific == other.specific || !self.specific)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry<'a> {
    redirect: Option<&'a Redirect>,
    auth: Option<AuthMode>,
}

impl<'a> Entry<'a> {
    fn priority(self) -> u8 {
        self.redirect.map_or(0, |redirect| redirect.priority)
    }

    fn rank(self) -> Option<(u8, Reverse<&'a Parser>)> {
        self.redirect.map(Redirect::rank)
    }
}

/// Step 4: filters with one key are one entry, with the stronger redirect, and explicit authentication before none.
fn entries<'a>(allows: &[&'a L4Filter], l4: L4) -> BTreeMap<Key, Entry<'a>> {
    let mut entries: BTreeMap<Key, Entry<'a>> = BTreeMap::new();
    for filter in allows {
        let key = Key { specific: filter.peers != PeerSet::Everyone, prefix: prefix(filter.l4, l4) };
        let entry = entries.entry(key).or_default();
        let wanted = Entry { redirect: redirect(filter), auth: filter.attributes.as_ref().and_then(|a| a.auth) };
        if wanted.rank() > entry.rank() {
            entry.redirect = wanted.redirect;
        }
        entry.auth = entry.auth.max(wanted.auth);
    }
    entries
}

/// Step 6: an entry with explicit authentication takes over the redirect of a broader and stronger one.
fn lifted<'a>(entries: &BTreeMap<Key, Entry<'a>>, key: Key, entry: Entry<'a>) -> (Key, Entry<'a>) {
    if entry.auth.is_none() {
        return (key, entry);
    }
    let broader = entries.iter().filter(|(other, _)| other.covers(key));
    let strongest = broader.max_by_key(|(other, entry)| (entry.priority(), other.prefix, other.specific));
    match strongest {
        Some((_, strongest)) if strongest.priority() > entry.priority() => {
            (key, Entry { redirect: strongest.redirect, ..entry })
        }
        _ => (key, entry),
    }
}

/// Step 5. An explicit entry narrower than the winner would have won itself (step 6), so the most specific explicit
/// entry of the winner's own identity covers it, and that of the other identity is what its entry inherits.
fn inherited(entries: &BTreeMap<Key, Entry<'_>>) -> AuthType {
    let of = |specific: bool| {
        let explicit = entries.iter().filter(|(key, _)| key.specific == specific);
        // Keys are sorted, the longest prefix last.
        explicit.filter_map(|(_, entry)| entry.auth).next_back().map_or(AuthType::None, AuthType::from)
    };
    of(true).max(of(false))
}

fn redirect(filter: &L4Filter) -> Option<&Redirect> {
    filter.attributes.as_ref().and_then(|attributes| attributes.redirect.as_ref())
}

/// Spec §4.1 and §4.3: bits that the entry of a filter fixes where it matches `l4`. The entry is the largest aligned
/// block of ports around the flow's own that the range holds.
fn prefix(filter: L4Match, l4: L4) -> u8 {
    match (filter, l4) {
        (L4Match::All, _) => 0,
        (L4Match::Ports { first, last, .. }, L4::Port(_, port)) => {
            let holds = |bits: &u32| {
                let size = 1u32 << bits;
                let start = u32::from(port) & !(size - 1);
                u32::from(first) <= start && start + (size - 1) <= u32::from(last)
            };
            let bits = (0..=16).rev().find(holds).unwrap_or(0);
            24 - bits as u8
        }
        (L4Match::Icmp(0) | L4Match::Icmp6(0), _) => 8,
        (L4Match::Icmp(_) | L4Match::Icmp6(_) | L4Match::Ports { .. }, _) => 24,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Protocol;

    #[test]
    fn a_range_is_cut_into_the_blocks_of_the_specification() {
        let range = L4Match::Ports { protocol: Protocol::Tcp, first: 80, last: 444 };
        let of = |port| prefix(range, L4::Port(Protocol::Tcp, port)) - 8;
        assert_eq!(
            [80, 95, 96, 127, 128, 256, 384, 416, 432, 440, 444].map(of),
            [12, 12, 11, 11, 9, 9, 11, 12, 13, 14, 16]
        );
        let whole = L4Match::Ports { protocol: Protocol::Tcp, first: 0, last: 65535 };
        assert_eq!(prefix(whole, L4::Port(Protocol::Tcp, 80)), 8);
    }
}
