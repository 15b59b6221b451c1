//! CL024: a port's name that stands for several numbers at endpoints which no selector can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Direction, Port, Ports, Protocol, RuleAction};
use crate::lint::Finding;
use crate::lint::facts::Facts;

type Numbers<'a> = BTreeMap<(&'a str, Protocol), BTreeSet<u16>>;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let ambiguous = ambiguous(facts);
    if ambiguous.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    // Towards an endpoint a name is looked up at the endpoint itself; from one, W-209 tells.
    let rules = facts.cluster.rules().filter(|(_, rule)| rule.direction == Direction::Ingress);
    for (id, rule) in rules.filter(|(_, rule)| rule.action != RuleAction::Pass) {
        let Ports::AnyOf(ports) = &rule.ports else { continue };
        let policy = facts.cluster.policy_of(id);
        let mut said = BTreeSet::new();
        for matched in ports {
            let Port::Named { protocol, name, span } = &matched.port else { continue };
            let key = (name.as_str(), *protocol);
            let subjects = facts.subjects(policy).iter();
            let found = subjects.filter_map(|identity| Some((*identity, ambiguous.get(identity)?.get(&key)?))).next();
            let Some((identity, numbers)) = found.filter(|_| said.insert(*span)) else { continue };
            let list: Vec<String> = numbers.iter().map(u16::to_string).collect();
            let message = format!(
                "port `{name}` is {} at endpoints with the same labels: {}",
                list.join(" and "),
                facts.names([identity])
            );
            let hint = "give it one number in all their containers, or write the numbers";
            out.push(Finding::new(*span, &policy.object, message).hint(hint));
        }
    }
    out
}

/// Names with several numbers in one protocol, by identity.
fn ambiguous<'a>(facts: &Facts<'a>) -> BTreeMap<IdentityIndex, Numbers<'a>> {
    let mut out = BTreeMap::new();
    for identity in facts.identities() {
        let mut numbers = Numbers::new();
        for port in facts.endpoints(identity).flat_map(|endpoint| &endpoint.named_ports) {
            numbers.entry((port.name.as_str(), port.protocol)).or_default().insert(port.port);
        }
        numbers.retain(|_, numbers| numbers.len() > 1);
        if !numbers.is_empty() {
            out.insert(identity, numbers);
        }
    }
    out
}
