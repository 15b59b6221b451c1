//! What an endpoint's tables say, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::fd::AsFd;

use ciliumc_abi::action::{FLAG_AUDITED, VERDICT_ALLOW, VERDICT_REDIRECT};
use ciliumc_abi::counter::Counter;
use ciliumc_abi::manifest::{Identity, Manifest};
use ciliumc_abi::names;
use ciliumc_abi::provenance::Provenance;
use ciliumc_abi::table::{MODE_ALLOW_ALL, MODE_DENY_ALL, ROW_OTHERS};
use serde_json::{Value, json};

use super::args::{Format, Global, PolicyGet};
use super::{print, status, table};
use crate::counters;
use crate::error::{Context, Error};
use crate::events::rule_text;
use crate::gather::gather;
use crate::names::Hook;
use crate::observe::Snapshot;
use crate::pins::Pins;
use crate::plan::Which;
use crate::policy::{Cells, Entry, Tables};
use crate::state::{self, Endpoint};
use crate::sys::bpf;

/// One line of the report.
struct Line {
    policy: &'static str,
    direction: &'static str,
    identities: Vec<u32>,
    labels: String,
    ports: String,
    auth: &'static str,
    counter: Counter,
    rules: Vec<String>,
}

pub fn get(global: &Global, pins: &Pins, args: &PolicyGet, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = status::observe_node(pins)?;
    let which = args.endpoint.parse().map_or_else(|_| Which::Name(args.endpoint.clone()), Which::Id);
    let id = which.find(&snapshot)?;
    let record = snapshot.endpoints.get(&id).and_then(|seen| seen.record.as_ref());
    let record = record.ok_or_else(|| Error::Machine(format!("endpoint {id} has no record; add it again")))?;
    let mut lines = Vec::new();
    // Ingress first, as `cilium` has it.
    for hook in [Hook::ToContainer, Hook::FromContainer] {
        lines.extend(direction(pins, &snapshot, record, hook)?);
    }
    if global.output == Format::Json {
        let lines = lines.iter().map(|line| {
            json!({
                "policy": line.policy.to_lowercase(), "direction": line.direction.to_lowercase(),
                "identities": line.identities, "peer": line.labels, "ports": line.ports, "auth": line.auth,
                "packets": line.counter.packets, "bytes": line.counter.bytes, "rules": line.rules,
            })
        });
        return print(out, Value::Array(lines.collect()));
    }
    let rows = lines.into_iter().map(|line| {
        let identity = match line.identities[..] {
            [one] => one.to_string(),
            [] => "ANY".to_owned(),
            ref many => format!("{} identities", many.len()),
        };
        vec![
            line.policy.to_owned(),
            line.direction.to_owned(),
            identity,
            line.labels,
            line.ports,
            line.auth.to_owned(),
            line.counter.packets.to_string(),
            line.counter.bytes.to_string(),
            line.rules.join("; "),
        ]
    });
    let head = ["POLICY", "DIRECTION", "IDENTITY", "LABELS", "PORT/PROTO", "AUTH TYPE", "PACKETS", "BYTES", "RULES"];
    table::print(out, &head, rows.collect())
}

/// The lines of one direction.
fn direction(pins: &Pins, snapshot: &Snapshot, record: &Endpoint, hook: Hook) -> Result<Vec<Line>, Error> {
    let counted = counters::of_endpoint(pins, record.id, Some(record), hook)?;
    let everyone = |policy, rules| Line {
        policy,
        direction: word(hook),
        identities: Vec::new(),
        labels: "everyone".to_owned(),
        ports: "ANY".to_owned(),
        auth: "disabled",
        counter: counters::sum(&counted),
        rules,
    };
    let Some(class) = record.class else {
        return Ok(vec![everyone("Deny", vec!["the bundle does not know this endpoint".to_owned()])]);
    };
    let lost = || {
        let number = record.generation;
        Error::Machine(format!("what generation {number} was made from is not there any more; `apply` its bundle"))
    };
    let documents = snapshot.generations.get(&record.generation).and_then(|seen| seen.documents.as_ref());
    let manifest = &documents.ok_or_else(lost)?.manifest;
    let provenance = state::provenance(pins, record.generation)?.ok_or_else(lost)?;
    let direction = manifest.classes.get(class as usize).map(|class| hook.direction(class)).ok_or_else(lost)?;
    let shape = &manifest.objects.get(&direction.object).ok_or_else(lost)?.shape;
    let define = |name: &str| shape.get(name).and_then(|value| value.parse::<u32>().ok());
    match define("POLICY_MODE") {
        Some(MODE_ALLOW_ALL) => return Ok(vec![everyone("Allow", Vec::new())]),
        Some(MODE_DENY_ALL) => return Ok(vec![everyone("Deny", rules(&provenance, direction.default_cause))]),
        _ => {}
    }
    let digest = record.tables.get(&hook).ok_or_else(lost)?;
    let read = |name: &str| {
        let path = pins.class(digest).join(name);
        let map = crate::maps::open(&path)?;
        let cannot = || format!("cannot read `{}`", path.display());
        let size = bpf::map_layout(map.as_fd()).context(cannot)?.value_size;
        bpf::array_values(map.as_fd()).context(cannot).map(|bytes| (bytes, size))
    };
    let (id_row, verdict, actions) = (read(names::ID_ROW)?, read(names::VERDICT)?, read(names::ACTIONS)?);
    let has_ports = pins.class(digest).join(names::PORT_CLASS).exists();
    let port_class = if has_ports { Some(read(names::PORT_CLASS)?) } else { None };
    let tables = Tables {
        id_row: Cells::new(&id_row.0, id_row.1),
        port_class: port_class.as_ref().map(|(bytes, size)| Cells::new(bytes, *size)),
        verdict: Cells::new(&verdict.0, verdict.1),
        actions: &actions.0,
        class_shift: define("CLASS_SHIFT").ok_or_else(lost)?,
    };
    let by_row = by_row(manifest, &tables);
    let entries = tables.entries(by_row.keys().copied());
    let counter = |index: u32| counted.get(index as usize).copied().unwrap_or_default();
    Ok(entries.iter().map(|entry| line(entry, &by_row, hook, counter(entry.index), &provenance)).collect())
}

fn by_row<'a>(manifest: &'a Manifest, tables: &Tables<'_>) -> BTreeMap<u32, Vec<&'a Identity>> {
    let mut rows: BTreeMap<u32, Vec<&Identity>> = BTreeMap::new();
    for identity in &manifest.identities {
        rows.entry(tables.row(identity.index.0)).or_default().push(identity);
    }
    rows
}

fn line(
    entry: &Entry,
    by_row: &BTreeMap<u32, Vec<&Identity>>,
    hook: Hook,
    counter: Counter,
    provenance: &Provenance,
) -> Line {
    let identities = by_row.get(&entry.row).map_or(&[][..], Vec::as_slice);
    let labels: BTreeSet<String> = gather(identities.iter().map(|identity| identity.labels.join(",")));
    let labels = match entry.row {
        ROW_OTHERS if identities.len() > 1 => "those that no rule names".to_owned(),
        _ => labels.into_iter().collect::<Vec<_>>().join(" | "),
    };
    let action = entry.action;
    let ports: Vec<_> = entry.ports.iter().map(ToString::to_string).collect();
    Line {
        policy: match action.verdict {
            VERDICT_ALLOW if action.flags & FLAG_AUDITED != 0 => "Audit",
            VERDICT_ALLOW => "Allow",
            VERDICT_REDIRECT => "Redirect",
            _ if action.flags & FLAG_AUDITED != 0 => "Audit",
            _ => "Deny",
        },
        direction: word(hook),
        identities: identities.iter().map(|identity| identity.identity.0).collect(),
        labels,
        ports: if ports.is_empty() { "ANY".to_owned() } else { ports.join(",") },
        auth: match action.auth {
            0 => "disabled",
            1 => "spire",
            _ => "test-always-fail",
        },
        counter,
        rules: rules(provenance, action.cause),
    }
}

fn rules(provenance: &Provenance, cause: u32) -> Vec<String> {
    let ids = provenance.causes.get(cause as usize).map_or(&[][..], Vec::as_slice);
    ids.iter().filter_map(|id| provenance.rules.get(*id as usize)).map(rule_text).collect()
}

fn word(hook: Hook) -> &'static str {
    match hook {
        Hook::ToContainer => "Ingress",
        Hook::FromContainer => "Egress",
    }
}
