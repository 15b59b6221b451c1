//! `ciliumc list`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::args::{ListArgs, ListFormat, SemanticsArg};
use super::{connections, inputs};
use crate::connectivity::ports::Ports;
use crate::connectivity::{Connectivity, Party, np_guard};
use crate::driver::Failure;
use crate::ir::Direction;
use crate::source::SourceMap;

/// Runs the command.
pub fn run(args: &ListArgs) -> Result<u8, Failure> {
    let (sources, connectivity) = inputs::connect(&args.input, &args.input.paths, args.semantics)?;
    super::put(&match args.output {
        ListFormat::Text => text(&sources, &connectivity),
        ListFormat::Json => format!("{:#}\n", json(&sources, &connectivity, args.semantics)),
        ListFormat::NpGuard => np_guard::list(&connectivity),
    })?;
    Ok(0)
}

/// A table. Those who are no workloads share a line where they may do the same.
fn text(sources: &SourceMap, connectivity: &Connectivity) -> String {
    let mut from_others: BTreeMap<(&Party, &Ports), Vec<Party>> = BTreeMap::new();
    let mut to_others: BTreeMap<(&Party, &Ports), Vec<Party>> = BTreeMap::new();
    let mut rows: Vec<(Vec<Party>, Vec<Party>, &Ports)> = Vec::new();
    for (source, destination, ports) in connectivity.connected() {
        match (source.is_workload(), destination.is_workload()) {
            (false, _) => from_others.entry((destination, &**ports)).or_default().push(source.clone()),
            (true, false) => to_others.entry((source, &**ports)).or_default().push(destination.clone()),
            (true, true) => rows.push((vec![source.clone()], vec![destination.clone()], &**ports)),
        }
    }
    let from_others = from_others.into_iter().map(|((one, ports), others)| (others, vec![one.clone()], ports));
    let to_others = to_others.into_iter().map(|((one, ports), others)| (vec![one.clone()], others, ports));
    rows.extend(from_others.chain(to_others));
    rows.sort();

    let mut table = vec![["SRC", "DST", "PROTO", "PORTS", "L7", "VIA"].map(String::from)];
    for (from, to, ports) in &rows {
        for entry in connections::entries(ports) {
            let [protocol, numbers] = entry.words();
            let via = connections::via(sources, &connections::rules(connectivity, entry.rules));
            let l7 = connections::treatment(entry.treatment);
            let [source, destination] =
                [(from, Direction::Ingress), (to, Direction::Egress)].map(|(of, at)| words(connectivity, of, at));
            table.push([source, destination, protocol, numbers, l7, via]);
        }
    }
    connections::table(&table)
}

/// Parties; all that are no workloads have a word. `at` is the direction in which the other end asks.
fn words(connectivity: &Connectivity, parties: &[Party], at: Direction) -> String {
    let all = connectivity.others.get(&at).into_iter().flatten().collect::<BTreeSet<_>>();
    match parties.len() > 1 && parties.iter().collect::<BTreeSet<_>>() == all {
        true => connections::OUTSIDE.into(),
        false => connections::parties(parties),
    }
}

/// One row for each pair.
fn json(sources: &SourceMap, connectivity: &Connectivity, semantics: SemanticsArg) -> Value {
    let rows = connectivity.connected().map(|(source, destination, ports)| {
        json!({
            "source": connections::party_json(source), "destination": connections::party_json(destination),
            "connections": connections::entries_json(sources, connectivity, ports),
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "schema": "ciliumc/list/v1", "semantics": semantics.word(), "rows": rows })
}
