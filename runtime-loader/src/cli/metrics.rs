//! Packets and bytes of the node by outcome, and how full its maps are.

use std::fmt::Write as _;
use std::io::Write;
use std::net::TcpListener;

use ciliumc_abi::counter::Counter;
use ciliumc_abi::drop_reason;
use ciliumc_abi::names;
use serde_json::{Value, json};

use super::args::{Format, Global, Metrics};
use super::show::{self, PinnedMap};
use super::{print, status, table};
use crate::counters;
use crate::error::{Context, Error};
use crate::observe::{self, Seen, Snapshot};
use crate::pins::Pins;
use crate::sys::http;

/// One counter of the `metrics` map that counted something.
struct Row {
    reason: u8,
    ingress: bool,
    counter: Counter,
}

pub fn run(global: &Global, pins: &Pins, args: &Metrics, out: &mut dyn Write) -> Result<(), Error> {
    if let Some(address) = args.listen {
        observe::require_bpffs(pins)?;
        let cannot = || format!("cannot listen at {address}");
        let listener = TcpListener::bind(address).context(cannot)?;
        print(out, format_args!("listening at {}", listener.local_addr().context(cannot)?))?;
        return http::serve(&listener, || text_now(pins).map_err(|error| error.to_string())).context(cannot);
    }
    if args.prometheus {
        return print(out, text_now(pins)?.trim_end());
    }
    observe::require_bpffs(pins)?;
    let rows = rows(pins)?;
    let direction = |row: &Row| if row.ingress { "Ingress" } else { "Egress" };
    if global.output == Format::Json {
        let rows = rows.iter().map(|row| {
            json!({
                "reason": row.reason, "reason_text": text(row.reason), "direction": direction(row).to_lowercase(),
                "packets": row.counter.packets, "bytes": row.counter.bytes,
            })
        });
        return print(out, Value::Array(rows.collect()));
    }
    let rows = rows.iter().map(|row| {
        vec![
            text(row.reason).to_owned(),
            direction(row).to_owned(),
            row.counter.packets.to_string(),
            row.counter.bytes.to_string(),
        ]
    });
    table::print(out, &["REASON", "DIRECTION", "PACKETS", "BYTES"], rows.collect())
}

/// Prometheus text of this moment.
fn text_now(pins: &Pins) -> Result<String, Error> {
    let snapshot = status::observe_node(pins)?;
    let lost = counters::read(&pins.node().join(names::EVENTS_LOST))?.first().map_or(0, |counter| counter.packets);
    Ok(prometheus(&snapshot, &rows(pins)?, &show::pinned_maps(pins, &snapshot)?, lost))
}

fn rows(pins: &Pins) -> Result<Vec<Row>, Error> {
    let counters = counters::read(&pins.node().join(names::METRICS))?;
    let row = |(at, counter): (usize, &Counter)| Row {
        reason: (at & 255) as u8,
        ingress: at >> 8 == usize::from(names::DIRECTION_INGRESS),
        counter: *counter,
    };
    Ok(counters.iter().enumerate().filter(|(_, counter)| counter.packets != 0).map(row).collect())
}

fn text(reason: u8) -> &'static str {
    drop_reason::text(reason)
}

/// One of the two numbers of a counter.
type Value64 = fn(&Counter) -> u64;

/// Prometheus' text format. Names and labels are Cilium's where the meaning is the same.
fn prometheus(snapshot: &Snapshot, rows: &[Row], maps: &[PinnedMap], events_lost: u64) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, String)>| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let direction = |row: &Row| if row.ingress { "INGRESS" } else { "EGRESS" };
    let count = |dropped: bool, value: Value64| {
        let rows = rows.iter().filter(|row| (row.reason != 0) == dropped);
        let labels = |row: &Row| match dropped {
            true => format!("{{direction=\"{}\",reason=\"{}\"}}", direction(row), text(row.reason)),
            false => format!("{{direction=\"{}\"}}", direction(row)),
        };
        rows.map(|row| (labels(row), value(&row.counter).to_string())).collect::<Vec<_>>()
    };
    let (packets, bytes): (Value64, Value64) = (|counter| counter.packets, |counter| counter.bytes);
    family("cilium_drop_count_total", "counter", "Total dropped packets", count(true, packets));
    family("cilium_drop_bytes_total", "counter", "Total dropped bytes", count(true, bytes));
    family("cilium_forward_count_total", "counter", "Total forwarded packets", count(false, packets));
    family("cilium_forward_bytes_total", "counter", "Total forwarded bytes", count(false, bytes));
    let pressure = maps.iter().filter_map(|map| {
        let millionths = u64::from(map.used?) * 1_000_000 / u64::from(map.capacity().max(1));
        let used = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
        Some((format!("{{map_name=\"{}\"}}", map.name.rsplit('/').next()?), used))
    });
    family("cilium_bpf_map_pressure", "gauge", "Fill of a map, from 0 to 1", pressure.collect());
    let records = snapshot.records();
    let cut = records.values().filter(|record| record.class.is_none()).count();
    let one = |value: String| vec![(String::new(), value)];
    family("cilium_endpoint", "gauge", "Number of endpoints on this node", one(records.len().to_string()));
    family("ciliumc_endpoint_deny_all", "gauge", "Endpoints that the bundle does not know", one(cut.to_string()));
    let mut seen = snapshot.endpoints.values();
    let detached = seen.clone().filter_map(Seen::detached).count();
    let help = "Endpoints whose interface is gone or has not both programs";
    family("ciliumc_endpoint_detached", "gauge", help, one(detached.to_string()));
    let overtaken = seen.clone().filter(|seen| seen.ahead.values().any(|ahead| !ahead.is_empty())).count();
    // A number that is not known is no number.
    let overtaken = if seen.any(Seen::is_blind) { Vec::new() } else { one(overtaken.to_string()) };
    family("ciliumc_endpoint_overtaken", "gauge", "Endpoints with programs of others before ours", overtaken);
    let help = "Events that were not reported: too many, or nobody read them";
    family("ciliumc_events_lost_total", "counter", help, one(events_lost.to_string()));
    let generation = snapshot.in_force().unwrap_or(0);
    family("ciliumc_generation", "gauge", "Generation in force", one(generation.to_string()));
    out
}
