//! `manifest.json`: what a bundle holds, and what a kernel needs for it.
//!
//! Everything is ordered, so that equal bundles are equal bytes. Paths are relative to the bundle, with `/`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::identity::{IdentityIndex, NumericIdentity};

/// Version of the bundle format that this build reads and writes.
pub const SCHEMA: u32 = 1;
/// File name of the manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
/// File name of the provenance.
pub const PROVENANCE_FILE: &str = "provenance.json";
/// File name of the addresses that every node knows ([`crate::ipcache::Record`]s).
pub const IPCACHE_FILE: &str = "tables/ipcache.bin";

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// SHA-256 of the bundle, hexadecimal, lower case: of the compact JSON of [`Manifest::unsealed`]. It names what the
    /// bundle does, so it stays the same when a document moves to another file.
    pub digest: String,
    /// Program and version that wrote the bundle.
    pub compiler: String,
    /// The clang that built the objects.
    pub clang: Clang,
    /// What the kernel must offer.
    pub kernel: Kernel,
    /// Options that the datapath was built with.
    pub datapath: Datapath,
    /// Capacity and layout of every map, by name.
    pub maps: BTreeMap<String, Map>,
    /// The objects, by path.
    pub objects: BTreeMap<String, Object>,
    /// The table files, by path.
    pub tables: BTreeMap<String, TableFile>,
    /// Identities, by index.
    pub identities: Vec<Identity>,
    /// What endpoints share.
    pub classes: Vec<Class>,
    /// The endpoints that the input named, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Addresses of endpoints and own addresses of nodes whose index is not their identity's own: rules may tell addresses
    /// of one identity apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<IpAddr, IdentityIndex>,
    /// The nodes that the input named, by name. Empty: one plain variant, number 0.
    pub nodes: BTreeMap<String, Node>,
    /// SHA-256 and size of every other file of the bundle, by path.
    pub files: BTreeMap<String, File>,
}

/// Bytes as every digest of a bundle is written: hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Manifest {
    /// The index of an address of an identity, whose own index is given.
    pub fn index_at(&self, address: IpAddr, own: u32) -> u32 {
        let number = |index: u32| {
            let place = self.identities.binary_search_by_key(&index, |identity| identity.index.0).ok()?;
            Some(self.identities.get(place)?.identity)
        };
        match self.places.get(&address) {
            // Another identity may have the address by now.
            Some(place) if number(place.0).is_some_and(|number_there| number(own) == Some(number_there)) => place.0,
            Some(_) | None => own,
        }
    }

    /// What [`Manifest::digest`] is the digest of: everything but itself and the provenance, whose own digest stands in
    /// `files` and is checked there.
    pub fn unsealed(&self) -> Self {
        let mut out = self.clone();
        out.digest.clear();
        out.files.remove(PROVENANCE_FILE);
        out
    }
}

/// The compiler that built the objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clang {
    /// Version as clang prints it: `19.1.7`.
    pub version: String,
    /// Flags of every run, without paths.
    pub flags: Vec<String>,
}

/// What the kernel must offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Words such as `tcx`, `ringbuf`, `btf`, sorted.
    pub features: Vec<String>,
}

/// Options that the datapath was built with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datapath {
    /// `enable-ipv4`.
    pub ipv4: bool,
    /// `enable-ipv6`.
    pub ipv6: bool,
    /// `enable-sctp`: without it the datapath drops SCTP before it looks at a table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sctp: bool,
    /// Identity index of an IPv4 address that no table knows.
    pub world_ipv4: IdentityIndex,
    /// Identity index of an IPv6 address that no table knows.
    pub world_ipv6: IdentityIndex,
}

/// Where a map lives: with what it is created, and with what it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Once per node, over all generations.
    Node,
    /// Once per bundle generation.
    Generation,
    /// Once per table file; the number of entries is the table's.
    Class,
    /// Once per loaded program; the number of entries is that of the program's slots, times the actions for counters.
    Program,
}

/// Layout of a map, as the objects declare it and the loader creates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Kernel map type: 1 hash, 2 array, 3 program array, 6 per-CPU array, 27 ring buffer.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; 0 where the class decides (8 or 16 bits a cell).
    pub value_size: u32,
    /// Capacity; 0 where the table decides.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// What the map lives with.
    pub scope: Scope,
}

/// One clang-built object with one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Name of its program.
    pub program: String,
    /// The shape: the `#define`s of its `ep_config.h`, by name.
    pub shape: BTreeMap<String, String>,
    /// Names of its maps, sorted.
    pub maps: Vec<String>,
    /// Names of the kernel helpers it calls, sorted.
    pub helpers: Vec<String>,
    /// BPF instructions after linking.
    pub instructions: u32,
    /// Instructions that the verifier walked, when `build --verify` loaded the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<u32>,
}

/// One table file: the class tables of one direction, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    /// By map name.
    pub sections: BTreeMap<String, Section>,
    /// Number of actions: the entries of `counters` for each slot.
    pub actions: u32,
}

/// One table in a table file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// First byte.
    pub offset: u64,
    /// Entries of the map.
    pub entries: u32,
    /// Bytes of an entry.
    pub value_size: u32,
}

/// One identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Dense index.
    pub index: IdentityIndex,
    /// Number in Cilium's encoding.
    pub identity: NumericIdentity,
    /// Canonical labels `source:key=value`, sorted.
    pub labels: Vec<String>,
}

/// What endpoints of one identity, one set of named ports and one node variant share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Position in `classes`.
    pub id: u32,
    /// Identity of its endpoints.
    pub identity: IdentityIndex,
    /// Node variant.
    pub variant: u32,
    /// Policy towards the endpoint: program `to_container`.
    pub ingress: Direction,
    /// Policy from the endpoint: program `from_container`.
    pub egress: Direction,
}

/// One direction of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Direction {
    /// Path of the object.
    pub object: String,
    /// Path of the table file; none for the modes that read no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// Cause of drops that no table decides.
    pub default_cause: u32,
}

/// An endpoint of the input: a pod with addresses, or a workload whose instances get them on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Kind of the object: `Pod`, `Deployment`, ...
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Identity.
    pub identity: IdentityIndex,
    /// Class for each node variant it can run on, by variant number.
    pub classes: BTreeMap<u32, u32>,
    /// Node, when the input tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Addresses, when the input tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// A node of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Variant of the classes that apply on it.
    pub variant: u32,
    /// Its own addresses: identity `host` on it, whatever the shared table says.
    pub addresses: Vec<IpAddr>,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// SHA-256, hexadecimal, lower case.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_keeps_leading_zeros() {
        assert_eq!(super::hex(&[0, 0xaf]), "00af");
    }

    #[test]
    fn a_place_is_one_of_the_same_identity() {
        let identity = |index, number| serde_json::json!({"index": index, "identity": number, "labels": []});
        let document = serde_json::json!({
            "schema": SCHEMA, "digest": "", "compiler": "", "clang": {"version": "", "flags": []},
            "kernel": {"features": []}, "maps": {}, "objects": {}, "tables": {}, "classes": [], "endpoints": {},
            "datapath": {"ipv4": true, "ipv6": true, "world_ipv4": 9, "world_ipv6": 10},
            "identities": [identity(1, 1), identity(256, 300), identity(257, 301), identity(258, 300)],
            "places": {"10.0.0.1": 258}, "nodes": {}, "files": {},
        });
        let manifest: Manifest = serde_json::from_value(document).expect("a manifest");
        let at = |address: &str, own| manifest.index_at(address.parse().expect("an address"), own);
        assert_eq!(at("10.0.0.1", 256), 258);
        // Another address of it, and another identity at the address.
        assert_eq!(at("10.0.0.2", 256), 256);
        assert_eq!(at("10.0.0.1", 257), 257);
        assert_eq!(at("10.0.0.1", 0), 0);
    }
}
