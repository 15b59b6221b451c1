//! Removing what no program uses, and removing everything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Step};
use crate::observe::Snapshot;
use crate::pins::Pins;
use crate::state::Endpoint;

/// Documents of this many past generations stay, so that an event of theirs still finds its rule.
const DOCUMENTS_KEPT: u32 = 8;

/// Removes classes and generations that neither the endpoints of `records` nor new ones use.
pub fn collect(snapshot: &Snapshot, records: &BTreeMap<u16, Endpoint>, current: Option<u32>, plan: &mut Plan) {
    // Endpoints without a record may use anything.
    if snapshot.endpoints.iter().any(|(id, seen)| seen.record.is_none() && !records.contains_key(id)) {
        return;
    }
    let generations: BTreeSet<u32> = records.values().map(|record| record.generation).chain(current).collect();
    let unused = snapshot.generations.keys().filter(|number| !generations.contains(number));
    plan.steps.extend(unused.map(|number| Step::RemoveGeneration(*number)));

    let classes: BTreeSet<&String> = records.values().flat_map(|record| record.tables.values()).collect();
    let unused = snapshot.classes.keys().filter(|digest| !classes.contains(digest));
    plan.steps.extend(unused.map(|digest| Step::RemoveClass(digest.clone())));

    let oldest = current.unwrap_or(0).saturating_sub(DOCUMENTS_KEPT);
    let past = snapshot.documents.iter().filter(|number| **number < oldest && !generations.contains(number));
    plan.steps.extend(past.map(|number| Step::RemoveDocuments(*number)));
}

/// Detaches everything and removes all pins and state.
pub fn unload(pins: &Pins, snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    plan.steps.extend(snapshot.endpoints.keys().map(|id| Step::RemoveEndpoint(*id)));
    plan.steps.extend(snapshot.generations.keys().map(|number| Step::RemoveGeneration(*number)));
    plan.steps.extend(snapshot.classes.keys().map(|digest| Step::RemoveClass(digest.clone())));
    plan.steps.extend(snapshot.documents.iter().map(|number| Step::RemoveDocuments(*number)));
    // The root itself goes last, and only when nothing of somebody else is in it.
    let folders = vec![
        pins.endpoints(),
        pins.generations(),
        pins.classes(),
        pins.node(),
        pins.all_documents(),
        pins.endpoint_records(),
        pins.current(),
    ];
    plan.steps.push(Step::RemoveNode { folders });
    plan
}
