//! What runs on this node.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use ciliumc_abi::counter::Counter;
use serde_json::{Value, json};

use super::args::{Format, Global};
use super::print;
use crate::error::{Context, Error};
use crate::names::Hook;
use crate::observe::{self, Seen, Snapshot};
use crate::pins::Pins;
use crate::plan::step::short;
use crate::sys::{bpf, probe};

pub fn status(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = observe_node(pins)?;
    let generation = snapshot.current.and_then(|number| snapshot.generations.get(&number));
    let published = generation.and_then(|seen| seen.documents.as_ref()).map(|documents| &documents.generation);
    let (bundle, node) = (published.map(|g| g.bundle.as_str()), published.and_then(|g| g.node.as_deref()));
    let mut endpoints = Vec::new();
    for (id, seen) in &snapshot.endpoints {
        endpoints.push(endpoint(pins, *id, seen)?);
    }
    if global.output == Format::Json {
        let report = json!({
            "root": pins.root, "state": pins.state, "generation": snapshot.current, "bundle": bundle, "node": node,
            "generations": snapshot.generations.keys().collect::<Vec<_>>(),
            "classes": snapshot.classes.keys().collect::<Vec<_>>(),
            "endpoints": endpoints,
            "unfinished": snapshot.leftovers,
        });
        return print(out, report);
    }
    print(out, format_args!("root        {}", pins.root.display()))?;
    print(
        out,
        format_args!("generation  {}", snapshot.current.map_or("none".to_owned(), |number| number.to_string())),
    )?;
    print(out, format_args!("bundle      {}", bundle.map_or("none", short)))?;
    print(out, format_args!("node        {}", node.unwrap_or("any")))?;
    print(out, format_args!("endpoints   {}", snapshot.endpoints.len()))?;
    for (id, seen) in &snapshot.endpoints {
        print(out, row(*id, seen))?;
        for hook in Hook::ALL {
            let totals = sum(&counters(&pins.counters(*id, hook))?);
            let program = seen.links.get(&hook).map_or("no program".to_owned(), |l| format!("program {}", l.prog_id));
            let state = state(seen, hook);
            let Counter { packets, bytes } = totals;
            print(
                out,
                format_args!("    {hook} ({}): {state}, {program}, {packets} packets, {bytes} bytes", hook.place()),
            )?;
        }
    }
    for path in &snapshot.leftovers {
        print(out, format_args!("unfinished  {}", path.display()))?;
    }
    Ok(())
}

pub fn list(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = observe_node(pins)?;
    if global.output == Format::Json {
        let mut endpoints = Vec::new();
        for (id, seen) in &snapshot.endpoints {
            endpoints.push(endpoint(pins, *id, seen)?);
        }
        return print(out, Value::Array(endpoints));
    }
    snapshot.endpoints.iter().try_for_each(|(id, seen)| print(out, row(*id, seen)))
}

fn observe_node(pins: &Pins) -> Result<Snapshot, Error> {
    observe::require_machine(pins)?;
    observe::snapshot(pins)
}

fn row(id: u16, seen: &Seen) -> String {
    let Some(record) = &seen.record else {
        return format!("{id:>5}  unknown: it has pins and no record");
    };
    let addresses: Vec<_> = record.addresses.iter().map(ToString::to_string).collect();
    let attached = if Hook::ALL.into_iter().all(|hook| seen.attached(hook)) { "attached" } else { "NOT ATTACHED" };
    format!(
        "{id:>5}  {}  {}  {}  identity {}  class {}  generation {}  {attached}",
        record.name,
        record.interface,
        addresses.join(","),
        record.identity,
        record.class,
        record.generation
    )
}

fn state(seen: &Seen, hook: Hook) -> &'static str {
    match seen.links.get(&hook) {
        Some(link) if link.ifindex != 0 => "attached",
        Some(_) => "interface gone",
        None => "not attached",
    }
}

fn endpoint(pins: &Pins, id: u16, seen: &Seen) -> Result<Value, Error> {
    let mut programs = serde_json::Map::new();
    for hook in Hook::ALL {
        let counters = counters(&pins.counters(id, hook))?;
        let used = counters.iter().enumerate().filter(|(_, counter)| counter.packets != 0);
        let actions: Vec<_> = used
            .map(|(action, counter)| json!({ "action": action, "packets": counter.packets, "bytes": counter.bytes }))
            .collect();
        let totals = sum(&counters);
        programs.insert(
            hook.to_string(),
            json!({
                "state": state(seen, hook),
                "program": seen.links.get(&hook).map(|link| link.prog_id),
                "packets": totals.packets,
                "bytes": totals.bytes,
                "actions": actions,
            }),
        );
    }
    Ok(json!({ "id": id, "record": seen.record, "programs": programs }))
}

/// Counters by action, summed over the CPUs; none when there is no such pin.
fn counters(path: &Path) -> Result<Vec<Counter>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let map = crate::maps::open(path)?;
    let cannot = || format!("cannot read `{}`", path.display());
    let values = bpf::percpu_array_values(map.as_fd()).context(cannot)?;
    let cpus = probe::possible_cpus().context(cannot)?;
    let (values, _) = values.as_chunks::<{ size_of::<Counter>() }>();
    let counters = values.chunks(cpus.max(1)).map(|cpus| {
        let read = cpus.iter().map(|value| {
            let (words, _) = value.as_chunks::<8>();
            Counter { packets: u64::from_ne_bytes(words[0]), bytes: u64::from_ne_bytes(words[1]) }
        });
        sum(&read.collect::<Vec<_>>())
    });
    Ok(counters.collect())
}

fn sum(counters: &[Counter]) -> Counter {
    counters.iter().fold(Counter::default(), |sum, counter| Counter {
        packets: sum.packets.wrapping_add(counter.packets),
        bytes: sum.bytes.wrapping_add(counter.bytes),
    })
}
