//! The text of netpol-analyzer's `list` and `diff`, for tools that read it. It knows neither ICMP nor entities; addresses are
//! ranges, as `--semantics kubernetes` has them.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::align;
use super::ports::{Ports, Transport, range_text};
use super::{Connectivity, Party};

/// `SRC => DST : CONN`, one line for each pair that may talk.
pub fn list(connectivity: &Connectivity) -> String {
    let mut out = String::new();
    for (source, destination, ports) in connectivity.connected() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} => {} : {}", party(source), party(destination), connections(ports));
    }
    out
}

/// One line for each pair whose connections differ, behind a header; nothing when none does.
pub fn diff(old: &Connectivity, new: &Connectivity) -> String {
    let of = |ports: Option<&Ports>| ports.map_or_else(|| NONE.to_string(), connections);
    let differing = align::pairs(old, new, |before, after| {
        let (before, after) = (of(before), of(after));
        (before != after).then_some((before, after))
    });
    let rows = align::merge_ranges(differing, |a, b| a == b);
    let mut out = String::new();
    for (source, destination, (before, after)) in &rows {
        if out.is_empty() {
            out += "Connectivity diff:\n";
        }
        let (class, there, absent) = match (before.as_str(), after.as_str()) {
            (NONE, _) => ("added", &new.workloads, &old.workloads),
            (_, NONE) => ("removed", &old.workloads, &new.workloads),
            (_, _) => ("changed", &old.workloads, &new.workloads),
        };
        let _ = write!(
            out,
            "diff-type: {class}, source: {}, destination: {}, ref1: {before}, ref2: {after}",
            party(source),
            party(destination)
        );
        if let Some(workloads) = moved([source, destination], there, absent) {
            let _ = write!(out, ", workloads-diff-info: workload {workloads} {class}");
        }
        out.push('\n');
    }
    out
}

/// Nothing passes.
const NONE: &str = "No Connections";

/// Workloads of a row that one version has and the other has not.
fn moved(ends: [&Party; 2], there: &BTreeSet<Party>, absent: &BTreeSet<Party>) -> Option<String> {
    let moved = ends.into_iter().filter(|party| there.contains(party) && !absent.contains(party));
    let moved: Vec<String> = moved.map(self::party).collect();
    (!moved.is_empty()).then(|| moved.join(" and "))
}

fn party(party: &Party) -> String {
    match party {
        Party::Workload { .. } => party.to_string(),
        Party::Entity(_) | Party::Range(..) | Party::Net(_) | Party::Names { .. } => format!("{party}[External]"),
    }
}

fn connections(ports: &Ports) -> String {
    let ranges = ports.passing_ranges();
    let ranges = || ranges.iter().filter(|(transport, _)| Transport::WITH_PORTS.contains(transport));
    let whole = ranges().filter(|(transport, list)| transport.is_whole(list)).count();
    if whole == Transport::WITH_PORTS.len() {
        return "All Connections".into();
    }
    let protocols = ranges().map(|(transport, list)| format!("{} {}", transport.name(), range_text(list)));
    let text = protocols.collect::<Vec<_>>().join(",");
    if text.is_empty() { NONE.into() } else { text }
}
