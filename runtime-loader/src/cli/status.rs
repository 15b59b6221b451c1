//! What runs on this node.

use std::io::Write;

use ciliumc_abi::counter::Counter;
use ciliumc_abi::manifest::Manifest;
use serde_json::{Value, json};

use super::args::{Format, Global, Which};
use super::{change, print, table};
use crate::counters;
use crate::error::Error;
use crate::names::Hook;
use crate::observe::{self, Seen, Snapshot};
use crate::pins::Pins;
use crate::plan::step::short;
use crate::state::Endpoint;

pub fn status(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = observe_node(pins)?;
    let generation = snapshot.in_force().and_then(|number| snapshot.generations.get(&number));
    let published = generation.and_then(|seen| seen.documents.as_ref()).map(|documents| &documents.generation);
    let (bundle, node) = (published.map(|g| g.bundle.as_str()), published.and_then(|g| g.node.as_deref()));
    let previous = snapshot.current.as_ref().and_then(|current| current.previous);
    let cut: Vec<_> = snapshot.records().into_values().filter(|record| record.class.is_none()).collect();
    if global.output == Format::Json {
        let mut endpoints = Vec::new();
        for (id, seen) in &snapshot.endpoints {
            endpoints.push(endpoint(pins, *id, seen)?);
        }
        let report = json!({
            "root": pins.root, "state": pins.state, "generation": snapshot.in_force(), "previous": previous,
            "bundle": bundle, "node": node,
            "generations": snapshot.generations.keys().collect::<Vec<_>>(),
            "classes": snapshot.classes.keys().collect::<Vec<_>>(),
            "endpoints": endpoints,
            "deny_all": cut.iter().map(|record| record.id).collect::<Vec<_>>(),
            "remote_addresses": snapshot.remotes.len(),
            "unfinished": snapshot.leftovers,
        });
        return print(out, report);
    }
    let number = |number: Option<u32>| number.map_or("none".to_owned(), |number| number.to_string());
    print(out, format_args!("root        {}", pins.root.display()))?;
    print(out, format_args!("generation  {} (previous: {})", number(snapshot.in_force()), number(previous)))?;
    print(out, format_args!("bundle      {}", bundle.map_or("none", short)))?;
    print(out, format_args!("node        {}", node.unwrap_or("any")))?;
    print(out, format_args!("addresses   {} of other nodes", snapshot.remotes.len()))?;
    print(out, format_args!("endpoints   {}", snapshot.endpoints.len()))?;
    for (id, seen) in &snapshot.endpoints {
        show(pins, *id, seen, out)?;
    }
    for record in cut {
        let (id, name, interface) = (record.id, &record.name, &record.interface);
        print(
            out,
            format_args!("DENY-ALL    endpoint {id} {name}: the bundle does not know it, {interface} drops everything"),
        )?;
    }
    for sentence in snapshot.endpoints.values().filter_map(Seen::detached) {
        print(out, format_args!("DETACHED    {sentence}"))?;
    }
    for sentence in snapshot.endpoints.values().flat_map(Seen::overtaken) {
        print(out, format_args!("AHEAD       {sentence}"))?;
    }
    let blind = snapshot.endpoints.values().filter(|seen| seen.is_blind()).count();
    if blind != 0 {
        print(
            out,
            format_args!(
                "unknown     whether programs of others stand before those of {blind} endpoints: to ask takes CAP_NET_ADMIN, \
                 and CAP_SYS_ADMIN in another namespace"
            ),
        )?;
    }
    for path in &snapshot.leftovers {
        print(out, format_args!("unfinished  {}", path.display()))?;
    }
    Ok(())
}

/// An endpoint and its two programs.
fn show(pins: &Pins, id: u16, seen: &Seen, out: &mut dyn Write) -> Result<(), Error> {
    print(out, row(id, seen))?;
    let mechanism = seen.record.as_ref().map(|record| record.attached_by).unwrap_or_default();
    for hook in Hook::ALL {
        let totals = counters::sum(&counters::of_endpoint(pins, id, seen.record.as_ref(), hook)?);
        let program = seen.links.get(&hook).map_or("no program".to_owned(), |l| format!("program {}", l.prog_id));
        let state = state(seen, hook);
        let Counter { packets, bytes } = totals;
        print(
            out,
            format_args!(
                "    {hook} ({mechanism} {}): {state}, {program}, {packets} packets, {bytes} bytes",
                hook.side()
            ),
        )?;
    }
    Ok(())
}

pub fn get(global: &Global, pins: &Pins, args: &Which, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = observe_node(pins)?;
    let id = change::which(args)?.find(&snapshot)?;
    let Some(seen) = snapshot.endpoints.get(&id) else {
        return Err(Error::Bug(format!("endpoint {id} was found and is not there")));
    };
    if global.output == Format::Json {
        return print(out, endpoint(pins, id, seen)?);
    }
    show(pins, id, seen, out)?;
    let Some(record) = &seen.record else { return Ok(()) };
    let mac = record.link.mac.map_or("any (not checked; see endpoint add --mac)".to_owned(), |mac| mac.to_string());
    print(out, format_args!("    MAC address {mac}"))?;
    if let Some(mac) = record.link.gateway_mac {
        let gateways: Vec<_> = record.link.gateways.iter().map(ToString::to_string).collect();
        print(out, format_args!("    gateway {} at {mac}", gateways.join(", ")))?;
    }
    let documents = snapshot.generations.get(&record.generation).and_then(|seen| seen.documents.as_ref());
    let identity = documents.and_then(|d| d.manifest.identities.iter().find(|i| i.identity.0 == record.identity));
    identity
        .map_or(&[][..], |identity| &identity.labels)
        .iter()
        .try_for_each(|label| print(out, format_args!("    {label}")))
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
    let rows = snapshot.endpoints.iter().map(|(id, seen)| {
        let Some(record) = &seen.record else {
            return vec![id.to_string(), "unknown: it has pins and no record".to_owned()];
        };
        let manifest = snapshot.generations.get(&record.generation).and_then(|seen| seen.documents.as_ref());
        let manifest = manifest.map(|documents| &*documents.manifest);
        let address = |v4: bool| record.addresses.iter().find(|a| a.is_ipv4() == v4).map(ToString::to_string);
        vec![
            id.to_string(),
            record.name.clone(),
            enforcement(manifest, record, Hook::ToContainer).to_owned(),
            enforcement(manifest, record, Hook::FromContainer).to_owned(),
            record.identity.to_string(),
            address(false).unwrap_or_default(),
            address(true).unwrap_or_default(),
            record.interface.clone(),
            ready(seen, record).to_owned(),
        ]
    });
    let head =
        ["ENDPOINT", "NAME", "POLICY (ingress)", "POLICY (egress)", "IDENTITY", "IPv6", "IPv4", "INTERFACE", "STATUS"];
    table::print(out, &head, rows.collect())
}

/// Whether a direction is enforced, in Cilium's words.
fn enforcement(manifest: Option<&Manifest>, record: &Endpoint, hook: Hook) -> &'static str {
    let Some(class) = record.class else { return "Deny-all" };
    let class = manifest.and_then(|manifest| Some((manifest, manifest.classes.get(class as usize)?)));
    let object = class.and_then(|(manifest, class)| manifest.objects.get(&hook.direction(class).object));
    let Some(object) = object else { return "Unknown" };
    let is = |name: &str, value: &str| object.shape.get(name).is_some_and(|found| found == value);
    match () {
        () if is("POLICY_MODE", "0") => "Disabled",
        () if is("POLICY_AUDIT", "1") => "Audit",
        () => "Enabled",
    }
}

fn ready(seen: &Seen, record: &Endpoint) -> &'static str {
    let whole = Hook::ALL.into_iter().all(|hook| seen.attached(hook));
    match record.class {
        _ if !whole => "NOT ATTACHED",
        _ if !seen.as_recorded() => "unfinished",
        Some(_) => "ready",
        None => "deny-all",
    }
}

/// Describes a node that this process may look at.
pub fn observe_node(pins: &Pins) -> Result<Snapshot, Error> {
    observe::require_bpffs(pins)?;
    observe::snapshot(pins)
}

fn row(id: u16, seen: &Seen) -> String {
    let Some(record) = &seen.record else {
        return format!("{id:>5}  unknown: it has pins and no record");
    };
    let addresses: Vec<_> = record.addresses.iter().map(ToString::to_string).collect();
    let class = record.class.map_or("deny-all".to_owned(), |class| format!("class {class}"));
    format!(
        "{id:>5}  {}  {}  {}  identity {}  {class}  generation {}  {}",
        record.name,
        record.interface,
        addresses.join(","),
        record.identity,
        record.generation,
        if ready(seen, record) == "NOT ATTACHED" { "NOT ATTACHED" } else { "attached" }
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
        let counters = counters::of_endpoint(pins, id, seen.record.as_ref(), hook)?;
        let used = counters.iter().enumerate().filter(|(_, counter)| counter.packets != 0);
        let actions: Vec<_> = used
            .map(|(action, counter)| json!({ "action": action, "packets": counter.packets, "bytes": counter.bytes }))
            .collect();
        let totals = counters::sum(&counters);
        programs.insert(
            hook.to_string(),
            json!({
                "state": state(seen, hook),
                "program": seen.links.get(&hook).map(|link| link.prog_id),
                "ahead": seen.ahead.get(&hook),
                "packets": totals.packets,
                "bytes": totals.bytes,
                "actions": actions,
            }),
        );
    }
    Ok(json!({ "id": id, "record": seen.record, "programs": programs }))
}
