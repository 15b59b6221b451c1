//! Identities, connections and maps, as they are now.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;

use ciliumc_abi::conntrack::{CT_CLOSING, CT_GENERATION_ENDED, CT_SEEN_NON_SYN};
use ciliumc_abi::ipcache::Record;
use ciliumc_abi::names;
use serde_json::{Value, json};

use super::args::{CtFlush, CtList, Format, Global, IdentityGet};
use super::ipcache::in_force;
use super::{change, print, status, table};
use crate::conntrack::{self, Connection};
use crate::error::{Context, Error};
use crate::events::protocol_name;
use crate::observe::{self, Snapshot};
use crate::pins::{PROGRAM, Pins};
use crate::sys::{bpf, files, probe};

pub fn identities(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = status::observe_node(pins)?;
    let identities = &in_force(&snapshot)?.manifest.identities;
    if global.output == Format::Json {
        let rows = identities.iter().map(|identity| json!({ "id": identity.identity, "labels": identity.labels }));
        return print(out, Value::Array(rows.collect()));
    }
    let mut rows = Vec::new();
    for identity in identities {
        let mut labels = identity.labels.iter();
        rows.push(vec![identity.identity.to_string(), labels.next().cloned().unwrap_or_default()]);
        rows.extend(labels.map(|label| vec![String::new(), label.clone()]));
    }
    table::print(out, &["ID", "LABELS"], rows)
}

pub fn identity(global: &Global, pins: &Pins, args: &IdentityGet, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = status::observe_node(pins)?;
    let documents = in_force(&snapshot)?;
    let number = args.identity;
    let known = documents.manifest.identities.iter().find(|identity| identity.identity.0 == number);
    let identity = known.ok_or_else(|| {
        Error::Refused(format!("the bundle has no identity {number}; `identity list` shows those it has"))
    })?;
    let of_bundle = documents.records.iter().filter_map(|record| match *record {
        Record::V4 { address, len, index } if index == identity.index.0 => Some(format!("{address}/{len}")),
        Record::V6 { address, len, index } if index == identity.index.0 => Some(format!("{address}/{len}")),
        _ => None,
    });
    let of_others = snapshot.remotes.iter().filter(|(_, remote)| documents.index(&remote.labels) == identity.index.0);
    let addresses: Vec<String> = of_bundle.chain(of_others.map(|(address, _)| address.to_string())).collect();
    let records = snapshot.records();
    let endpoints: Vec<_> =
        records.values().filter(|record| record.identity == number).map(|record| &record.name).collect();
    if global.output == Format::Json {
        let report = json!({
            "id": number, "index": identity.index, "labels": identity.labels, "addresses": addresses, "endpoints": endpoints,
        });
        return print(out, report);
    }
    let column = |name: &str, values: Vec<String>| {
        let mut name = Some(name.to_owned());
        values.into_iter().map(move |value| vec![name.take().unwrap_or_default(), value]).collect::<Vec<_>>()
    };
    let mut rows = column("labels", identity.labels.clone());
    rows.extend(column("addresses", addresses));
    rows.extend(column("endpoints", endpoints.into_iter().cloned().collect()));
    table::print(out, &["ID", &number.to_string()], rows)
}

pub fn connections(global: &Global, pins: &Pins, args: &CtList, out: &mut dyn Write) -> Result<(), Error> {
    observe::require_machine(pins)?;
    let now = probe::monotonic_ns().context(|| "cannot read the clock".to_owned())?;
    let mut found = conntrack::list(pins)?;
    found.retain(|one| {
        (args.expired || one.entry.expires_ns > now) && args.address.is_none_or(|a| one.local == a || one.peer == a)
    });
    let direction = |one: &Connection| if one.entry.initiator == names::DIRECTION_INGRESS { "IN" } else { "OUT" };
    let remaining = |one: &Connection| one.entry.expires_ns.saturating_sub(now) / 1_000_000_000;
    if global.output == Format::Json {
        let rows = found.iter().map(|one| {
            json!({
                "protocol": protocol_name(one.proto), "direction": direction(one).to_lowercase(),
                "local": one.local, "local_port": one.local_port, "peer": one.peer, "peer_port": one.peer_port,
                "expires_in_secs": remaining(one), "packets": one.entry.packets, "bytes": one.entry.bytes,
                "state": state(one), "generation": one.entry.generation,
            })
        });
        return print(out, Value::Array(rows.collect()));
    }
    let end = |address, port| std::net::SocketAddr::new(address, port).to_string();
    let rows = found.iter().map(|one| {
        vec![
            protocol_name(one.proto).to_uppercase(),
            direction(one).to_owned(),
            end(one.local, one.local_port),
            end(one.peer, one.peer_port),
            remaining(one).to_string(),
            one.entry.packets.to_string(),
            one.entry.bytes.to_string(),
            state(one).to_owned(),
            one.entry.generation.to_string(),
        ]
    });
    let head = ["PROTO", "DIRECTION", "LOCAL", "PEER", "EXPIRES (s)", "PACKETS", "BYTES", "STATE", "GENERATION"];
    table::print(out, &head, rows.collect())
}

/// What the entry of a connection says of its life.
fn state(one: &Connection) -> &'static str {
    if one.entry.generation == CT_GENERATION_ENDED {
        return "revoked";
    }
    match (one.proto, one.entry.flags) {
        (6, flags) if flags & CT_CLOSING == CT_CLOSING => "closing",
        (6, flags) if flags & CT_CLOSING != 0 => "half-closed",
        (6, flags) if flags & CT_SEEN_NON_SYN == 0 => "syn",
        _ => "established",
    }
}

pub fn flush(global: &Global, pins: &Pins, args: &CtFlush, out: &mut dyn Write) -> Result<(), Error> {
    let _lock = change::begin(global, pins, false, "ct flush")?;
    let removed = match args.address {
        Some(address) => conntrack::forget(pins, address)?,
        None => conntrack::flush(pins)?,
    };
    match global.output {
        Format::Json => print(out, json!({ "removed": removed })),
        Format::Text => print(out, format_args!("{removed} connections are forgotten")),
    }
}

/// A pinned map.
pub struct PinnedMap {
    /// Its pin, from the root on.
    pub name: String,
    id: u32,
    layout: bpf::Layout,
    /// Entries in it, where it can fill up.
    pub used: Option<u32>,
}

impl PinnedMap {
    /// Its capacity.
    pub fn capacity(&self) -> u32 {
        self.layout.max_entries
    }
}

/// All pinned maps of the node.
pub fn pinned_maps(pins: &Pins, snapshot: &Snapshot) -> Result<Vec<PinnedMap>, Error> {
    let mut folders = vec![pins.node()];
    folders.extend(snapshot.generations.keys().map(|number| pins.generation(*number)));
    folders.extend(snapshot.classes.keys().map(|digest| pins.class(digest)));
    folders.extend(snapshot.programs.keys().map(|name| pins.program(name)));
    folders.extend(snapshot.endpoints.keys().map(|id| pins.endpoint(*id)));
    let mut found = Vec::new();
    for folder in folders {
        let names = files::names(&folder).context(|| format!("cannot list `{}`", folder.display()))?;
        // Links are pinned beside the counters of an endpoint, and a program beside its maps.
        let is_map =
            |name: &&String| *name != PROGRAM && (!folder.starts_with(pins.endpoints()) || name.ends_with("_counters"));
        for name in names.iter().filter(is_map) {
            found.push(pinned_map(pins, folder.join(name))?);
        }
    }
    Ok(found)
}

fn pinned_map(pins: &Pins, path: PathBuf) -> Result<PinnedMap, Error> {
    let map = crate::maps::open(&path)?;
    let cannot = || format!("cannot look at `{}`", path.display());
    let layout = bpf::map_layout(map.as_fd()).context(cannot)?;
    let id = bpf::map_id(map.as_fd()).context(cannot)?;
    let used = if bpf::is_hash(&layout) {
        let mut count = 0;
        bpf::hash_each(map.as_fd(), |_, _| count += 1).context(cannot)?;
        Some(count)
    } else {
        None
    };
    let name = path.strip_prefix(&pins.root).unwrap_or(&path).display().to_string();
    Ok(PinnedMap { name, id, layout, used })
}

pub fn maps(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let maps = pinned_maps(pins, &status::observe_node(pins)?)?;
    if global.output == Format::Json {
        let rows = maps.iter().map(|map| {
            let layout = map.layout;
            json!({
                "id": map.id, "name": map.name, "type": bpf::type_name(layout.map_type), "key_size": layout.key_size,
                "value_size": layout.value_size, "max_entries": layout.max_entries, "flags": layout.flags, "used": map.used,
            })
        });
        return print(out, Value::Array(rows.collect()));
    }
    let rows = maps.iter().map(|map| {
        let layout = map.layout;
        vec![
            map.id.to_string(),
            map.name.clone(),
            bpf::type_name(layout.map_type).to_owned(),
            format!("{}B", layout.key_size),
            format!("{}B", layout.value_size),
            layout.max_entries.to_string(),
            map.used.map_or("-".to_owned(), |used| used.to_string()),
            format!("{:#x}", layout.flags),
        ]
    });
    let head = ["ID", "NAME", "TYPE", "KEY", "VALUE", "MAX ENTRIES", "USED", "FLAGS"];
    table::print(out, &head, rows.collect())
}
