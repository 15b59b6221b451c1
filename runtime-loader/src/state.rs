//! What a node remembers beside its pins: who an endpoint is, and what a generation was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc_abi::ipcache::Record;
use ciliumc_abi::manifest::{self, Manifest};
use ciliumc_abi::provenance::Provenance;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::attach::{Mechanism, Place};
use crate::bundle;
use crate::error::{Context, Error};
use crate::labels::Labels;
use crate::mac::Mac;
use crate::names::Hook;
use crate::pins::Pins;
use crate::sys::files;

/// File name of [`Generation`] among the documents of a generation.
pub const GENERATION_FILE: &str = "generation.json";
/// File name of the bundle's addresses among the documents of a generation.
pub const RECORDS_FILE: &str = "ipcache.bin";

/// How a bundle is asked for an endpoint's class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// By the name of an endpoint or workload in the bundle.
    Name(String),
    /// By labels.
    Labels(Labels),
}

/// What was said of an endpoint's link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// MAC address of its interface, which its frames must have. `None`: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Addresses, at most one of each family, whose place on the link its program tells it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// MAC address that it tells: that of the host side of the veth. `None` without gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_mac: Option<Mac>,
}

/// The place of an endpoint in a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Name of the program.
    pub program: String,
    /// Entry of its `endpoints`.
    pub number: u32,
}

/// An endpoint on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Number on this node, 1-65535.
    pub id: u16,
    /// Name on this node: that in the bundle, or what whoever added it calls it.
    pub name: String,
    /// How a bundle knows it.
    pub known_by: KnownBy,
    /// Host side of its veth.
    pub interface: String,
    /// Number of that interface.
    pub ifindex: u32,
    /// Namespace file of that interface, when it is not in the loader's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// How its programs are attached.
    #[serde(default)]
    pub attached_by: Mechanism,
    /// Its addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Its link.
    #[serde(default)]
    pub link: Link,
    /// Identity in Cilium's encoding; 0 (unknown) when the bundle knows none.
    pub identity: u32,
    /// Class in the bundle. `None`: the bundle has none for it, so every packet of it is dropped.
    pub class: Option<u32>,
    /// Generation whose programs it runs.
    pub generation: u32,
    /// Published tables of each program that reads any.
    pub tables: BTreeMap<Hook, String>,
    /// Where the programs of its policy have it; nowhere while everything is dropped.
    pub slots: BTreeMap<Hook, Slot>,
    /// Kernel ids of the attached programs that all this is about. A process that died between replacing a program and
    /// writing this down leaves another one running.
    #[serde(default)]
    pub programs: BTreeMap<Hook, u32>,
}

impl Endpoint {
    /// Where its programs are attached.
    pub fn place(&self) -> Place {
        Place {
            endpoint: self.id,
            mechanism: self.attached_by,
            interface: self.interface.clone(),
            ifindex: self.ifindex,
            netns: self.netns.clone(),
        }
    }
}

/// A published bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Number, growing.
    pub number: u32,
    /// SHA-256 of the manifest.
    pub bundle: String,
    /// Node of the bundle that this one is.
    pub node: Option<String>,
}

/// The generation that new endpoints get, and the one that `rollback` leads back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its number.
    pub generation: u32,
    /// The one that was in force before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u32>,
    /// Published tables that endpoints of the previous one used: they stay, so that a way back is short.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kept: BTreeSet<String>,
}

/// Who has an address of another node, as `ipcache upsert` said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Identity in Cilium's encoding, when it was said.
    pub identity: u32,
    /// Its labels: they decide, since a number may mean somebody else in another bundle.
    pub labels: Labels,
}

/// Addresses of other nodes.
pub type Remotes = BTreeMap<IpAddr, Remote>;

/// A generation with what the bundle said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// What was published.
    pub generation: Generation,
    /// The bundle's manifest.
    pub manifest: Arc<Manifest>,
    /// The bundle's addresses.
    pub records: Arc<[Record]>,
}

impl Documents {
    /// Identity index here of what has these labels; 0, which is denied wherever anything is enforced, for nobody.
    pub fn index(&self, labels: &Labels) -> u32 {
        labels.find(&self.manifest).map_or(0, |identity| identity.index.0)
    }
}

/// Reads a generation's documents; `None` when they are not (all) there.
pub fn documents(pins: &Pins, number: u32) -> Result<Option<Documents>, Error> {
    let folder = pins.documents(number);
    let Some(generation) = read(&folder.join(GENERATION_FILE))? else {
        return Ok(None);
    };
    let Some(manifest) = read(&folder.join(manifest::MANIFEST_FILE))?.map(Arc::new) else {
        return Ok(None);
    };
    let path = folder.join(RECORDS_FILE);
    let records = files::read_optional(&path).context(|| format!("cannot read `{}`", path.display()))?;
    let Some(records) = records else {
        return Ok(None);
    };
    Ok(Some(Documents { generation, manifest, records: bundle::records(&records)?.into() }))
}

/// Reads the rules of a generation; `None` when they are not there.
pub fn provenance(pins: &Pins, number: u32) -> Result<Option<Provenance>, Error> {
    read(&pins.documents(number).join(manifest::PROVENANCE_FILE))
}

/// Reads a document of the state; `None` when there is none.
pub fn read<T: DeserializeOwned>(path: &std::path::Path) -> Result<Option<T>, Error> {
    let bytes = files::read_optional(path).context(|| format!("cannot read `{}`", path.display()))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| {
        Error::Machine(format!("`{}` is damaged: {error}; remove it, or start over with `unload`", path.display()))
    })
}

/// Writes a document of the state.
pub fn write<T: Serialize>(path: &std::path::Path, value: &T) -> Result<(), Error> {
    let mut text = serde_json::to_vec(value).map_err(|error| Error::Bug(format!("cannot write JSON: {error}")))?;
    text.push(b'\n');
    files::write_atomic(path, &text).context(|| format!("cannot write `{}`", path.display()))
}
