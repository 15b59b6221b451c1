//! The plan of `apply`, and of `rollback`, which applies the bundle of the previous generation: all endpoints move.

use std::collections::{BTreeMap, BTreeSet};

use super::programs::{self, Slots};
use super::{Plan, Scene, Step, addresses, garbage, publish, who};
use crate::error::Error;
use crate::gather::gather;
use crate::names::Hook;
use crate::observe::Seen;
use crate::state::{Current, Endpoint};

/// Publishes a bundle and moves every endpoint to it.
///
/// An endpoint that the bundle does not know keeps its programs and its generation: they enforce the policy that its
/// labels had, which neither cuts it nor opens it. One that was unknown until now gets its class. A note says so.
///
/// The generation that was in force stays, with the tables that its endpoints used, until the next one follows.
pub fn apply(scene: &Scene<'_>) -> Result<Plan, Error> {
    let snapshot = scene.snapshot;
    let mut plan = Plan::default();
    publish::node(scene, &mut plan)?;
    let (mut moved, mut hosts) = (Vec::new(), Vec::new());
    for (id, seen) in &snapshot.endpoints {
        let Some(record) = &seen.record else {
            plan.notes.push(format!(
                "endpoint {id} has pins and no record (was the state folder removed?): left as it is; `endpoint del --id {id}`, then add it again"
            ));
            continue;
        };
        plan.notes.extend(seen.overtaken());
        let class = who::class(scene, &record.known_by);
        let index = class.as_ref().map_or_else(|_| who::index(scene, record), |class| class.identity.0);
        let mut record = record.clone();
        if record.addresses.is_empty() {
            record.addresses = who::addresses(scene, &record.known_by).to_vec();
        }
        hosts.extend(record.addresses.iter().map(|&address| (address, index)));
        let Ok(class) = class else {
            plan.notes.push(stays(*id, &record));
            continue;
        };
        if record.addresses.is_empty() {
            plan.notes.push(format!(
                "endpoint {id} {} has no address: everything of it stays dropped; add it again with --address",
                record.name
            ));
            continue;
        }
        if !seen.any_attached() && seen.ifindex != Some(record.ifindex) {
            plan.notes.extend(seen.detached());
            continue;
        }
        moved.push((*id, seen, record, class));
    }

    let number = publish::generation(scene, &hosts, &mut plan)?;
    let is_new = snapshot.in_force() != Some(number);
    if is_new && snapshot.generations.contains_key(&number) {
        // Of a generation that was not in force some crash may have left an address behind.
        let all = addresses::remotes(scene).into_iter().chain(hosts);
        plan.steps.extend(all.flat_map(|(address, index)| addresses::assign(scene, address, index)));
    }
    let mut records: BTreeMap<u16, Endpoint> =
        gather(snapshot.records().into_iter().map(|(id, record)| (id, record.clone())));
    let kept = records.values().filter(|record| Some(record.generation) == snapshot.in_force());
    let kept: BTreeSet<String> = gather(kept.flat_map(|record| record.tables.values().cloned()));
    let mut planned = BTreeSet::new();
    let (mut loads, mut switches, mut switched) = (Vec::new(), Vec::new(), Vec::new());
    let mut slots = Slots::new(snapshot);
    moved.iter().for_each(|(_, _, _, class)| slots.expect(number, class));
    for (id, seen, record, class) in moved {
        let tables = publish::class(scene, class, &mut planned, &mut plan)?;
        let identity = publish::numeric(scene, class.identity.0);
        let mut record = Endpoint { class: Some(class.id), identity, generation: number, tables, ..record };
        let is_same = seen.as_recorded() && seen.record.as_ref() == Some(&record);
        if is_same && programs::are_there(snapshot, &record) {
            continue;
        }
        record.slots = slots.take(scene, class, &record, &mut plan)?;
        loads.extend(programs::entries(scene, class, &record));
        switches.extend(in_force(seen, &record));
        switches.push(Step::RecordEndpoint(record.clone()));
        switched.push(id);
        records.insert(id, record);
    }
    plan.steps.extend(loads);
    plan.steps.extend(switches);
    if !switched.is_empty() {
        plan.steps.push(Step::Verify(switched));
    }
    let mut current = snapshot.current.clone();
    if is_new {
        let next = Current { generation: number, previous: snapshot.in_force(), kept };
        plan.steps.push(Step::SetCurrent(next.clone()));
        current = Some(next);
    }
    garbage::collect(snapshot, &gather(records.iter().map(|(id, record)| (*id, record))), current.as_ref(), &mut plan);
    Ok(plan)
}

fn stays(id: u16, record: &Endpoint) -> String {
    let name = &record.name;
    match record.class {
        Some(_) => format!(
            "endpoint {id} {name} is not in the bundle: it keeps the policy of generation {}; `endpoint del` removes it",
            record.generation
        ),
        None => format!("endpoint {id} {name} is not in the bundle: everything of it stays dropped"),
    }
}

/// Attaching where nothing runs, replacing where something does. Between the two replacements replies pass as they are.
pub fn in_force(seen: &Seen, record: &Endpoint) -> Vec<Step> {
    let endpoint = record.id;
    let old = seen.record.iter().filter(|_| seen.any_attached()).flat_map(|old| old.slots.values());
    let old: Vec<_> = gather(old.cloned());
    let mut steps = Vec::new();
    if !old.is_empty() {
        steps.push(Step::Part { endpoint, slots: old });
    }
    steps.extend(Hook::ALL.into_iter().map(|hook| {
        let place = record.place();
        match seen.links.get(&hook) {
            Some(link) if link.ifindex != 0 => Step::Switch { place, hook, from: link.prog_id },
            _ => Step::Attach { place, hook },
        }
    }));
    if !record.slots.is_empty() {
        steps.push(Step::Meet { endpoint, slots: record.slots.clone() });
    }
    steps
}
