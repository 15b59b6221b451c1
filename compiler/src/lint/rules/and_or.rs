//! CL006: `namespaceSelector` and `podSelector` as two items, each of which is enough, where both were meant.

use std::collections::{BTreeSet, HashMap};

use crate::diag::Span;
use crate::front::objects::{NetworkPolicy, NpPeer, NpRule};
use crate::ir::labels::{Requirement, Selector};
use crate::ir::{Peer, Peers};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |pair: Pair<'_>| {
        let message =
            "these are two items, and each is enough: whole namespaces, and pods of the policy's own namespace";
        let hint = "the pods are in those namespaces: write `podSelector` into the item of the `namespaceSelector`";
        Finding::new(pair.pods, &pair.policy.meta.object, message)
            .related(pair.namespaces, "the whole of these namespaces")
            .hint(hint)
    };
    pairs(facts).into_iter().map(finding).collect()
}

/// Where the labels of pods are that other lints need not report.
pub fn places(facts: &Facts<'_>) -> BTreeSet<Span> {
    pairs(facts).into_iter().filter_map(|pair| pair.label).collect()
}

struct Pair<'a> {
    policy: &'a NetworkPolicy,
    pods: Span,
    namespaces: Span,
    label: Option<Span>,
}

/// Neighbours of which the pods are not in the policy's namespace, but in those of the other item.
fn pairs<'a>(facts: &Facts<'a>) -> Vec<Pair<'a>> {
    let peers: HashMap<Span, &Peers> = facts.cluster.rules.iter().map(|rule| (rule.span, &rule.peers)).collect();
    let mut out = Vec::new();
    for policy in &facts.objects.network_policies {
        for rule in policy.ingress.iter().chain(&policy.egress).flatten() {
            if let Some(Peers::AnyOf(meant)) = peers.get(&rule.span).copied() {
                of_rule(facts, policy, rule, meant, &mut out);
            }
        }
    }
    out
}

fn of_rule<'a>(facts: &Facts<'a>, policy: &'a NetworkPolicy, rule: &NpRule, meant: &[Peer], out: &mut Vec<Pair<'a>>) {
    for (written, meant) in rule.peers.windows(2).zip(meant.windows(2)) {
        let ([one, other], [Peer::Labels(first), Peer::Labels(second)]) = (written, meant) else { continue };
        let (pods, namespaces) = match (one, other) {
            (
                NpPeer::Pods { pods: None, span: namespaces, .. },
                NpPeer::Pods { pods: Some(_), namespaces: None, span: pods },
            ) => ((*pods, second), (*namespaces, first)),
            (
                NpPeer::Pods { pods: Some(_), namespaces: None, span: pods },
                NpPeer::Pods { pods: None, span: namespaces, .. },
            ) => ((*pods, first), (*namespaces, second)),
            _ => continue,
        };
        if facts.matching(pods.1).is_empty() && are_together(facts, pods.1, namespaces.1) {
            let label = pods.1.requirements.iter().find_map(|r| r.span);
            out.push(Pair { policy, pods: pods.0, namespaces: namespaces.0, label });
        }
    }
}

/// Whether endpoints of the namespaces have the labels.
fn are_together(facts: &Facts<'_>, pods: &Selector, namespaces: &Selector) -> bool {
    let own: Vec<&Requirement> = pods.requirements.iter().filter(|r| r.span.is_some()).collect();
    let mut there = facts.matching(namespaces).iter().filter_map(|identity| facts.labels(*identity));
    !own.is_empty() && there.any(|labels| own.iter().all(|r| r.matches(labels)))
}
