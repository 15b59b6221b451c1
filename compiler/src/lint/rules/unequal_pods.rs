//! CL038: pods of one owner that policies treat differently.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ciliumc_abi::identity::IdentityIndex;

use super::object;
use crate::ir::Endpoint;
use crate::ir::labels::Selector;
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Owners that make all their pods from one template.
const ALIKE: [&str; 5] = ["ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"];

/// Namespace, kind and name of an owner.
type Owner<'a> = (&'a str, &'a str, &'a str);

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut owners: BTreeMap<Owner<'_>, BTreeMap<IdentityIndex, &Endpoint>> = BTreeMap::new();
    for identity in facts.identities() {
        for endpoint in facts.endpoints(identity) {
            if let Some(owner) = endpoint.owner.as_ref().filter(|owner| ALIKE.contains(&owner.kind.as_str())) {
                let key = (endpoint.namespace.as_str(), owner.kind.as_str(), owner.name.as_str());
                owners.entry(key).or_default().entry(identity).or_insert(endpoint);
            }
        }
    }
    owners.retain(|_, pods| pods.len() > 1);
    let mut of_identity: HashMap<IdentityIndex, Vec<Owner<'_>>> = HashMap::new();
    for (owner, pods) in &owners {
        pods.keys().for_each(|identity| of_identity.entry(*identity).or_default().push(*owner));
    }
    let mut said = BTreeSet::new();
    let mut out = Vec::new();
    for (selector, selected) in facts.selections() {
        let mut counts: BTreeMap<Owner<'_>, usize> = BTreeMap::new();
        let met = selected.iter().filter_map(|identity| of_identity.get(identity)).flatten();
        met.for_each(|owner| *counts.entry(*owner).or_default() += 1);
        for (owner, count) in counts {
            let Some(pods) = owners.get(&owner).filter(|pods| count < pods.len() && said.insert(owner)) else {
                continue;
            };
            out.extend(finding(selector, selected, owner, pods));
        }
    }
    out
}

fn finding(
    selector: &Selector,
    selected: &[IdentityIndex],
    owner: Owner<'_>,
    pods: &BTreeMap<IdentityIndex, &Endpoint>,
) -> Option<Finding> {
    let is_selected = |identity: &IdentityIndex| selected.binary_search(identity).is_ok();
    let (_, inside) = pods.iter().find(|(identity, _)| is_selected(identity))?;
    let (_, outside) = pods.iter().find(|(identity, _)| !is_selected(identity))?;
    let (_, kind, name) = owner;
    let message =
        format!("policies treat pods of {kind} {name} differently: one selects {}, not this one", inside.name);
    let hint = "label pods in the template of their owner, and select by labels that all of them have";
    let finding = Finding::new(outside.span, &object(outside), message).hint(hint);
    let place = selector.requirements.iter().find_map(|requirement| requirement.span);
    Some(match place {
        Some(span) => finding.related(span, "the selector"),
        None => finding,
    })
}
