//! Removing what no program uses, and removing everything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Step, programs};
use crate::gather::gather;
use crate::observe::Snapshot;
use crate::pins::Pins;
use crate::state::{Current, Endpoint};

/// Documents of this many past generations stay, so that an event of theirs still finds its rule.
const DOCUMENTS_KEPT: u32 = 8;

/// Removes slots, programs, classes and generations that neither the endpoints of `records` nor new ones use, nor a way
/// back needs.
pub fn collect(snapshot: &Snapshot, records: &BTreeMap<u16, &Endpoint>, current: Option<&Current>, plan: &mut Plan) {
    // Endpoints without a record may use anything.
    if snapshot.endpoints.iter().any(|(id, seen)| seen.record.is_none() && !records.contains_key(id)) {
        return;
    }
    programs::collect(snapshot, records, current, plan);
    let reachable: BTreeSet<u32> = gather(current.into_iter().flat_map(|c| [Some(c.generation), c.previous]).flatten());
    let under_policy = records.values().filter(|record| record.class.is_some());
    let generations: BTreeSet<u32> =
        gather(under_policy.map(|record| record.generation).chain(reachable.iter().copied()));
    // A later one is that of an `apply` that died: programs may run in it already, and addresses must reach them.
    let is_over = |number: &&u32| reachable.last().is_some_and(|newest| *number < newest);
    let unused = snapshot.generations.keys().filter(|number| !generations.contains(number) && is_over(number));
    plan.steps.extend(unused.map(|number| Step::RemoveGeneration(*number)));

    let kept = current.into_iter().flat_map(|current| &current.kept);
    let classes: BTreeSet<&String> = gather(records.values().flat_map(|record| record.tables.values()).chain(kept));
    let unused = snapshot.classes.keys().filter(|digest| !classes.contains(digest));
    plan.steps.extend(unused.map(|digest| Step::RemoveClass(digest.clone())));

    let oldest = reachable.last().copied().unwrap_or(0).saturating_sub(DOCUMENTS_KEPT);
    let is_past = |number: &&u32| **number < oldest && !generations.contains(number);
    let is_unused = |number: &&u32| !reachable.contains(number) && is_over(number) && !is_past(number);
    let files = snapshot.stored.iter().filter(is_unused);
    plan.steps.extend(files.map(|number| Step::RemoveFiles(*number)));
    let past = snapshot.documents.iter().filter(is_past);
    plan.steps.extend(past.map(|number| Step::RemoveDocuments(*number)));
}

/// Detaches everything and removes all pins and state.
pub fn unload(pins: &Pins, snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    plan.steps.extend(snapshot.leftovers.iter().cloned().map(Step::RemoveLeftover));
    plan.steps.extend(snapshot.endpoints.keys().map(|id| Step::RemoveEndpoint(*id)));
    plan.steps.extend(snapshot.programs.keys().map(|name| Step::RemoveProgram(name.clone())));
    plan.steps.extend(snapshot.generations.keys().map(|number| Step::RemoveGeneration(*number)));
    plan.steps.extend(snapshot.classes.keys().map(|digest| Step::RemoveClass(digest.clone())));
    plan.steps.extend(snapshot.documents.iter().map(|number| Step::RemoveDocuments(*number)));
    // The root itself goes last, and only when nothing of somebody else is in it.
    let folders = vec![
        pins.endpoints(),
        pins.programs(),
        pins.generations(),
        pins.classes(),
        pins.node(),
        pins.all_documents(),
        pins.endpoint_records(),
        pins.current(),
        pins.remotes(),
    ];
    plan.steps.push(Step::RemoveNode { folders });
    plan
}
