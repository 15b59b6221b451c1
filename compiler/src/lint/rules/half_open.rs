//! CL021: one side allows, and the other lets none of it through.

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Direction, Peers, RuleAction};
use crate::lint::Finding;
use crate::lint::cover::l4_meets;
use crate::lint::facts::{Facts, peer_selectors};
use crate::resolve::{Class, Enforcement, L4Filter};

/// Pairs of a subject and a peer that are looked at for one rule.
const PAIRS_MAX: usize = 200;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules().filter(|(_, rule)| rule.action == RuleAction::Allow) {
        let policy = facts.cluster.policy_of(id);
        let Peers::AnyOf(list) = &rule.peers else { continue };
        let peers: Vec<IdentityIndex> = peer_selectors(rule).flat_map(|s| facts.matching(s)).copied().collect();
        let subjects = facts.subjects(policy);
        // Whoever asks for no label means others, too: the world, or pods that are not in the input.
        let named = peer_selectors(rule).filter(|s| s.requirements.iter().any(|r| r.span.is_some()));
        let by_labels = named.count() == list.len() && policy.tier.is_none();
        let pairs = subjects.len() * peers.len();
        if !by_labels || pairs == 0 || pairs > PAIRS_MAX {
            continue;
        }
        let blocked = subjects.iter().filter_map(|subject| facts.class(*subject)).all(|subject| {
            // Only what the rule itself adds counts.
            let own: Vec<&L4Filter> =
                subject.policy(rule.direction).filters.iter().filter(|filter| filter.rule == Some(id)).collect();
            !own.is_empty()
                && peers.iter().filter(|peer| **peer != subject.identity).all(|peer| {
                    facts.class(*peer).is_some_and(|peer| refuses(peer, subject.identity, rule.direction, &own))
                })
        });
        let others = peers.iter().any(|peer| !subjects.contains(peer));
        if blocked && others {
            let (theirs, verb) = match rule.direction {
                Direction::Ingress => ("egress", "send"),
                Direction::Egress => ("ingress", "receive"),
            };
            let names = facts.names(peers.iter().copied());
            let message = format!("nobody whom this rule allows may {verb} it: {names}");
            let hint = format!("their {theirs} is isolated and allows none of it; a connection needs both sides");
            out.push(Finding::at_rule(facts, id, message).hint(hint));
        }
    }
    out
}

/// Whether the other side's policy passes nothing of it.
fn refuses(peer: &Class, subject: IdentityIndex, direction: Direction, own: &[&L4Filter]) -> bool {
    let theirs = match direction {
        Direction::Ingress => &peer.egress,
        Direction::Egress => &peer.ingress,
    };
    let isolated = matches!(theirs.enforcement, Enforcement::DefaultDeny(_)) && theirs.tiers.admin.is_empty();
    let passes = |filter: &L4Filter| {
        filter.action == RuleAction::Allow
            && filter.peers.contains(subject)
            && own.iter().any(|own| l4_meets(own.l4, filter.l4))
    };
    isolated && !theirs.audit && !theirs.filters.iter().any(passes)
}
