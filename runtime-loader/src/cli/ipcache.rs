//! Who has an address.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use ciliumc_abi::ipcache::Record;
use ciliumc_abi::manifest::Manifest;
use ciliumc_abi::names;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{Address, Delete, Format, Global, Upsert};
use super::batch::{self, LabelList};
use super::{change, print, status, table};
use crate::error::{Context, Error};
use crate::ipcache::Live;
use crate::labels::Labels;
use crate::maps;
use crate::observe::Snapshot;
use crate::pins::Pins;
use crate::plan::{self, Change};
use crate::state::Documents;
use crate::sys::mapping::Mapping;

pub fn upsert(global: &Global, pins: &Pins, args: &Upsert, out: &mut dyn Write) -> Result<(), Error> {
    let changes = match (args.address.as_str(), args.identity) {
        ("-", None) if args.labels.is_empty() => {
            batch::lines(Path::new("-"))?.map(|line| read(text(&line?)?)).collect()
        }
        ("-", _) => Err(Error::Usage("with `-` identity and labels stand on the lines".to_owned())),
        (address, Some(identity)) => Ok(vec![Change::Identity(parse(address)?, identity)]),
        (address, None) => {
            let labels = args.labels.iter().map(String::as_str);
            let labels = Labels::parse(labels, args.namespace.as_deref());
            let labels = labels.map_err(|why| Error::Usage(format!("give an identity or --labels: {why}")))?;
            Ok(vec![Change::Labels(parse(address)?, labels)])
        }
    }?;
    take(global, pins, &changes, args.dry_run, "ipcache upsert", out)
}

pub fn delete(global: &Global, pins: &Pins, args: &Delete, out: &mut dyn Write) -> Result<(), Error> {
    let one = |text: &str| parse(text).map(Change::Delete);
    let changes = match args.address.as_str() {
        "-" => batch::lines(Path::new("-"))?.map(|line| one(text(&line?)?)).collect::<Result<_, _>>()?,
        address => vec![one(address)?],
    };
    take(global, pins, &changes, args.dry_run, "ipcache delete", out)
}

fn take(
    global: &Global,
    pins: &Pins,
    changes: &[Change],
    dry_run: bool,
    command: &str,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let _lock = change::begin(global, pins, dry_run, command)?;
    let target = change::target(pins, None, None)?;
    let plan = plan::remotes(&target.scene(pins), changes)?;
    let done = format!("{} addresses are set", changes.len());
    change::finish(global, pins, Some(&target.bundle), &plan, dry_run, &done, out)
}

fn parse(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| Error::Usage(format!("`{text}` is no address")))
}

/// The text of a line.
fn text(line: &[u8]) -> Result<&str, Error> {
    let refused = |_| Error::Usage(format!("line `{}` refused: it is not UTF-8", String::from_utf8_lossy(line)));
    std::str::from_utf8(line.trim_ascii()).map_err(refused)
}

/// One line of a batch.
fn read(line: &str) -> Result<Change, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        address: IpAddr,
        identity: Option<u32>,
        labels: Option<LabelList>,
        namespace: Option<String>,
    }
    if line.starts_with('{') {
        let json: Line = serde_json::from_slice(line.as_bytes())
            .map_err(|error| Error::Usage(format!("line `{line}` refused: {error}")))?;
        return match (json.identity, json.labels) {
            (Some(identity), None) => Ok(Change::Identity(json.address, identity)),
            (None, Some(labels)) => Ok(Change::Labels(json.address, labels.parse(json.namespace.as_deref())?)),
            _ => Err(Error::Usage(format!("line `{line}` refused: give either `identity` or `labels`"))),
        };
    }
    let wrong = || Error::Usage(format!("line `{line}` is not `ADDRESS IDENTITY`"));
    let (address, identity) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
    Ok(Change::Identity(parse(address)?, identity.trim().parse().map_err(|_| wrong())?))
}

pub fn get(global: &Global, pins: &Pins, args: &Address, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = status::observe_node(pins)?;
    let documents = in_force(&snapshot)?;
    let address = args.address;
    let name = if address.is_ipv4() { names::IPCACHE4 } else { names::IPCACHE6 };
    let path = pins.generation(documents.generation.number).join(name);
    let wrong = |what| Error::Machine(format!("cannot read `{}`: {what}", path.display()));
    let mapping =
        Mapping::new(maps::open(&path)?.as_fd()).context(|| format!("cannot map `{}` into memory", path.display()))?;
    let index = Live::read(mapping, address.is_ipv4()).map_err(wrong)?.lookup(address);
    let (identity, labels) = who(&documents.manifest, index);
    let source = source(&snapshot, documents, address);
    if global.output == Format::Json {
        let report = json!({ "address": address, "identity": identity, "labels": labels, "source": source });
        return print(out, report);
    }
    print(out, format_args!("{address} maps to identity {identity} {} ({source})", labels.join(",")))
}

/// Number and labels of an identity index.
fn who(manifest: &Manifest, index: u32) -> (u32, &[String]) {
    let known = manifest.identities.iter().find(|identity| identity.index.0 == index);
    known.map_or((0, &[]), |identity| (identity.identity.0, identity.labels.as_slice()))
}

/// Who said whose an address is.
fn source(snapshot: &Snapshot, documents: &Documents, address: IpAddr) -> String {
    let records = snapshot.records();
    if let Some(record) = records.values().find(|record| record.addresses.contains(&address)) {
        return format!("endpoint {} {}", record.id, record.name);
    }
    let node = documents.generation.node.as_ref().and_then(|name| documents.manifest.nodes.get(name));
    if node.is_some_and(|node| node.addresses.contains(&address)) {
        return "this node".to_owned();
    }
    if snapshot.remotes.contains_key(&address) {
        return "ipcache upsert".to_owned();
    }
    "bundle".to_owned()
}

pub fn list(global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
    let snapshot = status::observe_node(pins)?;
    let documents = in_force(&snapshot)?;
    let mut rows: BTreeMap<(IpAddr, u8), (u32, String)> = BTreeMap::new();
    for record in documents.records.iter() {
        let (address, len, index) = match *record {
            Record::V4 { address, len, index } => (IpAddr::V4(address), len, index),
            Record::V6 { address, len, index } => (IpAddr::V6(address), len, index),
        };
        rows.insert((address, len), (index, "bundle".to_owned()));
    }
    let node = documents.generation.node.as_ref().and_then(|name| documents.manifest.nodes.get(name));
    let remotes = snapshot.remotes.iter().map(|(address, remote)| (*address, documents.index(&remote.labels)));
    let own = node.into_iter().flat_map(|node| &node.addresses);
    let own = own.map(|address| (*address, ciliumc_abi::identity::reserved::HOST));
    let records = snapshot.records();
    let endpoints = records.values().flat_map(|record| {
        let number = record.identity;
        let known = documents.manifest.identities.iter().find(|identity| identity.identity.0 == number);
        let index = known.map_or(0, |identity| identity.index.0);
        record.addresses.iter().map(move |address| (*address, index))
    });
    for (address, index) in remotes.chain(own).chain(endpoints) {
        let len = if address.is_ipv4() { 32 } else { 128 };
        rows.insert((address, len), (index, source(&snapshot, documents, address)));
    }
    let rows = rows.iter().map(|((address, len), (index, source))| {
        let (identity, labels) = who(&documents.manifest, *index);
        (format!("{address}/{len}"), identity, labels, source)
    });
    if global.output == Format::Json {
        let rows = rows.map(|(prefix, identity, labels, source)| {
            json!({ "prefix": prefix, "identity": identity, "labels": labels, "source": source })
        });
        return print(out, Value::Array(rows.collect()));
    }
    let rows = rows
        .map(|(prefix, identity, labels, source)| vec![prefix, identity.to_string(), source.clone(), labels.join(",")]);
    table::print(out, &["IP PREFIX/ADDRESS", "IDENTITY", "SOURCE", "LABELS"], rows.collect())
}

/// The documents of the generation in force.
pub fn in_force(snapshot: &Snapshot) -> Result<&Documents, Error> {
    let number = snapshot.in_force();
    let documents = number.and_then(|number| snapshot.generations.get(&number)?.documents.as_ref());
    documents.ok_or_else(change::no_bundle)
}
