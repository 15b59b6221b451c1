//! A bundle as a node would load it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ciliumc_abi::identity::{IdentityIndex, reserved};
use ciliumc_abi::ipcache::{RECORD_LEN, Record, Trie4, Trie6};
use ciliumc_abi::manifest::{IPCACHE_FILE, Manifest};
use ciliumc_abi::names;

use super::{PacketError, number};
use crate::bundle::Bundle;
use crate::exec::{Loaded, Loader, Setup, Table};
use crate::ir::Direction;
use crate::resolve::Resolved;

/// Generation that programs are loaded with.
const GENERATION: u32 = 1;

/// Entries of conntrack: there is one flow at a time.
const CT_ENTRIES: u32 = 16;

/// One program: all that makes it differ from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    direction: Direction,
    object: String,
    tables: Option<String>,
    default_cause: u32,
    node: Option<String>,
}

/// A bundle.
pub(super) struct Image<'a> {
    bundle: &'a Bundle,
    records: Vec<Record>,
}

impl<'a> Image<'a> {
    /// Reads the addresses.
    pub fn new(bundle: &'a Bundle) -> Result<Self, PacketError> {
        let (records, _) = file(bundle, IPCACHE_FILE)?.as_chunks::<RECORD_LEN>();
        let records: Option<Vec<Record>> = records.iter().map(Record::from_bytes).collect();
        let records = records.ok_or_else(|| damaged(IPCACHE_FILE, "has a record that is no prefix"))?;
        Ok(Self { bundle, records })
    }

    fn manifest(&self) -> &'a Manifest {
        &self.bundle.manifest
    }

    /// The identity of an endpoint, if the bundle has it.
    pub fn identity_of(&self, endpoint: &str) -> Option<IdentityIndex> {
        self.manifest().endpoints.get(endpoint).map(|endpoint| endpoint.identity)
    }

    /// The bundle's index of an identity: the same one, or that of the same labels in another numbering.
    pub fn index_of(&self, resolved: &Resolved, index: IdentityIndex) -> IdentityIndex {
        let Some(identity) = resolved.identities.get(&index) else { return index };
        let labels: Vec<String> = identity.labels.iter().map(ToString::to_string).collect();
        let all = &self.manifest().identities;
        let same = all.iter().find(|own| own.index == index && own.labels == labels);
        same.or_else(|| all.iter().find(|own| own.labels == labels)).map_or(IdentityIndex(0), |own| own.index)
    }

    /// The program of an endpoint on a node, with the endpoint's numeric identity.
    pub fn key(
        &self,
        endpoint: &str,
        node: Option<&str>,
        direction: Direction,
    ) -> Result<Option<(Key, u32)>, PacketError> {
        let manifest = self.manifest();
        let Some(known) = manifest.endpoints.get(endpoint) else { return Ok(None) };
        let node = node.filter(|node| manifest.nodes.contains_key(*node));
        let variant = node.and_then(|node| manifest.nodes.get(node)).map(|node| node.variant);
        let class = match variant {
            Some(variant) => known.classes.get(&variant),
            None => known.classes.values().next(),
        };
        let missing = |what: &str| damaged("manifest.json", &format!("has no {what} for {endpoint}"));
        let class = class.and_then(|class| manifest.classes.get(*class as usize)).ok_or_else(|| missing("class"))?;
        let numeric = manifest.identities.iter().find(|identity| identity.index == known.identity);
        let numeric = numeric.ok_or_else(|| missing("identity"))?.identity;
        let of = match direction {
            Direction::Egress => &class.egress,
            Direction::Ingress => &class.ingress,
        };
        let (object, tables) = (of.object.clone(), of.tables.clone());
        let node = node.map(str::to_owned);
        Ok(Some((Key { direction, object, tables, default_cause: of.default_cause, node }, numeric.0)))
    }

    /// Loads a program; `learnt` are addresses that the node was told.
    pub fn load<'k>(
        &'k self,
        loader: &mut Loader<'k>,
        key: &'k Key,
        learnt: &BTreeMap<IpAddr, IdentityIndex>,
    ) -> Result<Loaded, PacketError> {
        let manifest = self.manifest();
        let object = manifest.objects.get(&key.object);
        let object = object.ok_or_else(|| damaged("manifest.json", &format!("does not describe {}", key.object)))?;
        let (v4, v6) = self.tries(key.node.as_deref(), learnt);
        let end = manifest.identities.iter().map(|identity| identity.index.0 + 1).max().unwrap_or(1);
        let mut identities = vec![0_u8; 4 * end as usize];
        for identity in &manifest.identities {
            let place = identities.as_chunks_mut::<4>().0.get_mut(identity.index.0 as usize);
            place.into_iter().for_each(|place| *place = identity.identity.0.to_ne_bytes());
        }
        let table = |name, value_size, bytes| Table { name, value_size, bytes };
        let mut tables = vec![
            table(names::IDENTITIES, 4, identities),
            table(names::IPCACHE4, 1024, v4.to_bytes()),
            table(names::IPCACHE6, 1064, v6.to_bytes()),
        ];
        let mut counters = 1;
        if let Some(path) = &key.tables {
            let described = manifest.tables.get(path);
            let described = described.ok_or_else(|| damaged("manifest.json", &format!("does not describe {path}")))?;
            let bytes = file(self.bundle, path)?;
            counters = described.actions;
            for (name, section) in &described.sections {
                let length = u64::from(section.entries) * u64::from(section.value_size);
                let range = section.offset as usize..section.offset.saturating_add(length) as usize;
                let bytes = bytes.get(range).ok_or_else(|| damaged(path, "is shorter than the manifest says"))?;
                tables.push(table(name, section.value_size as usize, bytes.to_vec()));
            }
        }
        let (default_cause, ct_entries) = (&key.default_cause, CT_ENTRIES);
        let setup = Setup { generation: &GENERATION, default_cause, ct_entries, counters, tables, pins: None };
        let bytes = file(self.bundle, &key.object)?;
        Ok(loader.load(bytes, &object.program, number(key.direction), &setup)?)
    }

    /// The addresses of a node: what all know, what it was told, and its own. Of equal prefixes the last one wins.
    fn tries(&self, node: Option<&str>, learnt: &BTreeMap<IpAddr, IdentityIndex>) -> (Trie4, Trie6) {
        let manifest = self.manifest();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for record in &self.records {
            match *record {
                Record::V4 { address, len, index } => v4.push((address, len, index)),
                Record::V6 { address, len, index } => v6.push((address, len, index)),
            }
        }
        let own = node.and_then(|node| manifest.nodes.get(node)).into_iter().flat_map(|node| &node.addresses);
        let own = own.map(|address| (*address, manifest.index_at(*address, reserved::HOST)));
        for (address, index) in learnt.iter().map(|(address, index)| (*address, index.0)).chain(own) {
            match address {
                IpAddr::V4(address) => v4.push((address, 32, index)),
                IpAddr::V6(address) => v6.push((address, 128, index)),
            }
        }
        let datapath = &manifest.datapath;
        (Trie4::build(datapath.world_ipv4.0, v4), Trie6::build(datapath.world_ipv6.0, v6))
    }
}

fn file<'a>(bundle: &'a Bundle, path: &str) -> Result<&'a [u8], PacketError> {
    bundle.files.get(path).map(Vec::as_slice).ok_or_else(|| damaged(path, "is missing"))
}

fn damaged(file: &str, what: &str) -> PacketError {
    PacketError::Damaged(format!("`{file}` {what}; build the bundle again"))
}
