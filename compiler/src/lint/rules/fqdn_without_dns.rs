//! CL015: names whose addresses are never learnt, since no DNS rule makes the proxy look.
//! CL016: names that no DNS rule allows to be asked for.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Direction, DnsRule, FqdnSelector, L7Rules, Peer, Peers, Ports, Rule, RuleId, fqdn};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut said = BTreeSet::new();
    for (id, _, dns) in rules(facts) {
        if dns.is_empty() && said.insert(facts.cluster.rule(id).policy) {
            let message = "addresses of `toFQDNs` are learnt from DNS rules, and no rule for these endpoints has one";
            let hint = "add `rules: {dns: [{matchPattern: \"*\"}]}` to the rule that allows port 53 to kube-dns";
            out.push(Finding::at_rule(facts, id, message).hint(hint));
        }
    }
    out
}

pub fn check_covered(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (id, names, dns) in rules(facts) {
        if dns.is_empty() {
            continue;
        }
        for name in names.into_iter().filter(|name| !dns.iter().any(|rule| fqdn::matches(rule, name))) {
            let message = format!("no DNS rule for these endpoints lets them ask for `{name}`");
            let hint = format!("add `matchName: {name}` to the DNS rule; its addresses are never learnt without");
            out.push(Finding::at_rule(facts, id, message).hint(hint));
        }
    }
    out
}

/// A rule about names, the names without stars, and all DNS rules of the endpoints it binds.
type Asks<'a> = (RuleId, Vec<&'a str>, Rc<[FqdnSelector]>);

/// Every rule about names.
fn rules<'a>(facts: &Facts<'a>) -> Vec<Asks<'a>> {
    // Many rules about names bind the same endpoints.
    let mut known: HashMap<Option<IdentityIndex>, Rc<[FqdnSelector]>> = HashMap::new();
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules() {
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        let mut selectors = peers.iter().filter_map(fqdn_of).peekable();
        if selectors.peek().is_none() {
            continue;
        }
        let names = selectors.filter_map(|selector| match selector {
            FqdnSelector::Name(name) => Some(name.as_str()),
            FqdnSelector::Pattern(_) => None,
        });
        let names = names.collect();
        // The first one stands for all: policies that add DNS rules mostly select everyone.
        let identity = facts.subjects(facts.cluster.policy_of(id)).first().copied();
        let dns = known.entry(identity).or_insert_with(|| dns_rules(facts, identity).into_iter().collect());
        out.push((id, names, Rc::clone(dns)));
    }
    out
}

fn fqdn_of(peer: &Peer) -> Option<&FqdnSelector> {
    match peer {
        Peer::Fqdn(selector) => Some(selector),
        Peer::Labels(_) | Peer::Cidr(_) | Peer::Nodes(_) | Peer::Network(_) | Peer::Entity(_) => None,
    }
}

/// DNS rules of an identity, in the normal form of [`fqdn`]; without one, of the whole input.
fn dns_rules(facts: &Facts<'_>, identity: Option<IdentityIndex>) -> BTreeSet<DnsRule> {
    let double_star = facts.objects.choices.fqdn_double_star;
    let normal = |rule: &Rule| -> Vec<DnsRule> {
        let Ports::AnyOf(ports) = &rule.ports else { return Vec::new() };
        let l7 = ports.iter().filter_map(|port| port.proxy.as_ref()?.l7.as_ref());
        let dns = l7.filter_map(|l7| match l7 {
            L7Rules::Dns(rules) => Some(rules),
            L7Rules::Http(_) | L7Rules::Kafka(_) | L7Rules::Proto { .. } => None,
        });
        dns.flatten().map(|rule| fqdn::normal(rule, double_star)).collect()
    };
    match identity {
        Some(identity) => facts.rules_of(identity, Direction::Egress).flat_map(|(_, rule)| normal(rule)).collect(),
        None => facts.cluster.rules.iter().flat_map(normal).collect(),
    }
}
