//! CL028: two policies that say the same.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::ir::{Cluster, Peers, Policy, PolicyIndex, Ports, Rule, Subject};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |(first, second): (PolicyIndex, PolicyIndex)| {
        let (first, second) = (policy(facts.cluster, first), policy(facts.cluster, second));
        let message = format!("the policy says the same as {}", first.object);
        Finding::new(second.span, &second.object, message)
            .related(first.span, "the other one")
            .hint("remove one of them")
    };
    pairs(facts).into_iter().map(finding).collect()
}

/// Each policy that repeats another, behind the first of its kind.
pub fn pairs(facts: &Facts<'_>) -> Vec<(PolicyIndex, PolicyIndex)> {
    let mut seen: HashMap<u64, Vec<PolicyIndex>> = HashMap::new();
    let mut out = Vec::new();
    for index in (0..facts.cluster.policies.len() as u32).map(PolicyIndex) {
        if policy(facts.cluster, index).tier.is_some() {
            continue;
        }
        let alike = seen.entry(hash(facts.cluster, index)).or_default();
        match alike.iter().find(|first| is_same(facts.cluster, **first, index)) {
            Some(first) => out.push((*first, index)),
            None => alike.push(index),
        }
    }
    out
}

fn policy(cluster: &Cluster, index: PolicyIndex) -> &Policy {
    &cluster.policies[index.0 as usize]
}

fn hash(cluster: &Cluster, index: PolicyIndex) -> u64 {
    let own = policy(cluster, index);
    let mut hasher = DefaultHasher::new();
    (&own.namespace, own.default_deny.ingress, own.default_deny.egress).hash(&mut hasher);
    let (Subject::Endpoints(subject) | Subject::Nodes(subject)) = &own.subject;
    subject.hash(&mut hasher);
    for (_, rule) in cluster.rules_of(index) {
        (rule.direction, rule.action).hash(&mut hasher);
        if let Peers::AnyOf(list) = &rule.peers {
            list.hash(&mut hasher);
        }
        if let Ports::AnyOf(list) = &rule.ports {
            list.len().hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn is_same(cluster: &Cluster, one: PolicyIndex, other: PolicyIndex) -> bool {
    let (left, right) = (policy(cluster, one), policy(cluster, other));
    let meaning = |rule: &Rule| {
        (rule.direction, rule.action, rule.peers.clone(), rule.requires.clone(), rule.ports.clone(), rule.auth)
    };
    (&left.namespace, &left.subject, left.default_deny, &left.log)
        == (&right.namespace, &right.subject, right.default_deny, &right.log)
        && cluster.rules_of(one).map(|(_, r)| meaning(r)).eq(cluster.rules_of(other).map(|(_, r)| meaning(r)))
}
