//! CL022: a port that no container of the selected endpoints exposes.
//! CL023: a port of a Service where that of its pods is needed.

use std::collections::BTreeSet;

use ciliumc_abi::identity::IdentityIndex;

use crate::front::objects::{Service, Workload};
use crate::ir::{Direction, Peers, Port, Ports, Rule, RuleAction, RuleId};
use crate::lint::Finding;
use crate::lint::facts::{Facts, peer_selectors};

/// A rule about the ports of many workloads is about none in particular.
const WORKLOADS_MAX: usize = 50;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |closed: Closed<'_>| {
        let message = format!("no container of {} exposes port {}", facts.names(closed.receivers), closed.ports);
        let hint = "correct the number, or add the port to the container if it listens there";
        Finding::at_rule(facts, closed.rule, message).hint(hint)
    };
    closed(facts).into_iter().filter(|closed| closed.service.is_none()).map(finding).collect()
}

pub fn check_service(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |closed: Closed<'_>| {
        let (service, target) = closed.service?;
        let object = &service.meta.object;
        let message =
            format!("port {} is that of {object}: policy is asked about {target}, that of its pods", closed.ports);
        let hint = "service ports are translated before policy is asked; write the port of the container";
        Some(Finding::at_rule(facts, closed.rule, message).related(service.meta.span, "the service").hint(hint))
    };
    closed(facts).into_iter().filter_map(finding).collect()
}

struct Closed<'a> {
    rule: RuleId,
    ports: String,
    receivers: Vec<IdentityIndex>,
    service: Option<(&'a Service, &'a str)>,
}

fn closed<'a>(facts: &Facts<'a>) -> Vec<Closed<'a>> {
    let mut out = Vec::new();
    for (id, rule) in facts.cluster.rules().filter(|(_, rule)| rule.action == RuleAction::Allow) {
        let Some(receivers) = receivers(facts, id, rule).filter(|list| !list.is_empty()) else { continue };
        let endpoints: Vec<_> = receivers.iter().flat_map(|i| facts.endpoints(*i)).take(WORKLOADS_MAX + 1).collect();
        let workloads: Vec<&Workload> = endpoints.iter().filter_map(|e| facts.workload(e)).collect();
        // A container need not tell its ports: then nothing is known.
        let all_tell = workloads.iter().all(|workload| !workload.ports.is_empty());
        if workloads.len() > WORKLOADS_MAX || workloads.len() < endpoints.len() || !all_tell {
            continue;
        }
        for (first, last) in ranges(rule) {
            let is_open = |w: &Workload| w.ports.iter().any(|port| (first..=last).contains(&port.port));
            if workloads.iter().any(|workload| is_open(workload)) {
                continue;
            }
            let service = (first == last).then(|| service(facts, &workloads, first)).flatten();
            let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
            out.push(Closed { rule: id, ports, receivers: receivers.clone(), service });
        }
    }
    out
}

/// The endpoints that receive what the rule allows, where labels tell them all.
fn receivers(facts: &Facts<'_>, id: RuleId, rule: &Rule) -> Option<Vec<IdentityIndex>> {
    let policy = facts.cluster.policy_of(id);
    match (rule.direction, &rule.peers) {
        (Direction::Ingress, _) => Some(facts.subjects(policy).to_vec()),
        (Direction::Egress, Peers::AnyOf(list)) if peer_selectors(rule).count() == list.len() => {
            // A selector without an endpoint in the input may select some elsewhere.
            let all: Vec<&[IdentityIndex]> = peer_selectors(rule).map(|s| facts.matching(s)).collect();
            let known = all.iter().all(|list| !list.is_empty());
            known.then(|| all.concat())
        }
        (Direction::Egress, _) => None,
    }
}

/// Port ranges of the rule, whatever the protocol.
fn ranges(rule: &Rule) -> BTreeSet<(u16, u16)> {
    let Ports::AnyOf(ports) = &rule.ports else { return BTreeSet::new() };
    let range = |port: &Port| match port {
        Port::Range { first, last, .. } => Some((*first, *last)),
        Port::Named { .. } | Port::NamedAtPeer { .. } | Port::Icmp(_) | Port::Icmp6(_) => None,
    };
    ports.iter().filter_map(|matched| range(&matched.port)).collect()
}

/// A service in front of one of the workloads that has this port, and its target.
fn service<'a>(facts: &Facts<'a>, workloads: &[&Workload], port: u16) -> Option<(&'a Service, &'a str)> {
    let selects = |service: &Service, workload: &Workload| {
        let own = |label: &(String, String)| workload.pod_labels.contains(label);
        service.meta.object.namespace == workload.meta.object.namespace
            && !service.selector.is_empty()
            && service.selector.iter().all(own)
    };
    let services = facts.objects.services.iter();
    services.filter(|service| workloads.iter().any(|workload| selects(service, workload))).find_map(|service| {
        let found = service.ports.iter().find(|own| own.port == port && own.target != port.to_string())?;
        Some((service, found.target.as_str()))
    })
}
