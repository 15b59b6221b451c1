//! A small bundle made by hand: xwing may reach deathstar on one TCP port, everything else towards deathstar is denied.
//!
//! It stands in for the compiler: the loader is tested against the format, not against what writes it.

use std::collections::BTreeMap;

use ciliumc_abi::action::{Action, VERDICT_ALLOW};
use ciliumc_abi::identity::{IdentityIndex, NumericIdentity};
use ciliumc_abi::ipcache::Record;
use ciliumc_abi::manifest::*;
use ciliumc_abi::names;
use ciliumc_abi::provenance::{Provenance, Rule};
use sha2::{Digest, Sha256};

/// Objects of the bundle: file name, program, `POLICY_MODE`, maps of the verdict.
pub const OBJECTS: [(&str, &str, u32); 3] = [
    ("objects/from-allow.o", names::FROM_CONTAINER, 0),
    ("objects/to-allow.o", names::TO_CONTAINER, 0),
    ("objects/to-tables.o", names::TO_CONTAINER, 3),
];
/// The one table file.
pub const TABLES: &str = "tables/deathstar-ingress.bin";
/// Identity index and number of xwing.
pub const XWING: (u32, u32) = (256, 1256);
/// Identity index and number of deathstar.
pub const DEATHSTAR: (u32, u32) = (257, 1257);
/// Identity index and number of the workload.
pub const FLEET: (u32, u32) = (258, 1258);

/// The bundle's files. `port` is the TCP port that xwing may use; `object` gives the bytes of an object.
pub fn files(port: u8, object: impl Fn(&str) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let (tables, sections) = tables(port);
    let mut files = BTreeMap::from([
        (TABLES.to_owned(), tables),
        (IPCACHE_FILE.to_owned(), records().iter().flat_map(|record| record.to_bytes()).collect()),
        (PROVENANCE_FILE.to_owned(), serde_json::to_vec(&provenance(port)).expect("JSON")),
    ]);
    for (path, _, _) in OBJECTS {
        files.insert(path.to_owned(), object(path));
    }
    let mut manifest = manifest(sections);
    for (path, _, _) in OBJECTS {
        add_maps(&mut manifest, path, &files[path]);
    }
    for (path, bytes) in &files {
        manifest.files.insert(path.clone(), File { sha256: sha256(bytes), size: bytes.len() as u64 });
    }
    seal(&mut files, &manifest);
    files
}

/// Puts a manifest with its digest in.
pub fn seal(files: &mut BTreeMap<String, Vec<u8>>, manifest: &Manifest) {
    let mut manifest = manifest.unsealed();
    manifest.digest = sha256(&serde_json::to_vec(&manifest).expect("JSON"));
    // The digest leaves the provenance out; its own stands among the files.
    let provenance = files.get(PROVENANCE_FILE).map(|bytes| File { sha256: sha256(bytes), size: bytes.len() as u64 });
    manifest.files.extend(provenance.map(|file| (PROVENANCE_FILE.to_owned(), file)));
    let mut text = serde_json::to_vec_pretty(&manifest).expect("JSON");
    text.push(b'\n');
    files.insert(MANIFEST_FILE.to_owned(), text);
}

/// SHA-256 as the manifest has it.
pub fn sha256(bytes: &[u8]) -> String {
    ciliumc_abi::manifest::hex(&Sha256::digest(bytes))
}

fn tables(port: u8) -> (Vec<u8>, BTreeMap<String, Section>) {
    let mut id_row = vec![0u8; 2 * 256];
    id_row[1] = 1;
    id_row[2] = 1;
    id_row[XWING.0 as usize] = 2;
    id_row[DEATHSTAR.0 as usize] = 1;
    id_row[FLEET.0 as usize] = 1;
    // Five directories, the page of "no rule names these ports", the page of TCP's first 256 ports.
    let mut port_class = vec![5u8; 5 * 256];
    port_class[0] = 6;
    port_class.extend([0; 256]);
    port_class.extend((0..=255).map(|low| u8::from(low == port)));
    let mut verdict = vec![0u8; 256];
    verdict[2 << 4 | 1] = 1;
    let deny = Action { reason: 133, cause: 1, ..Action::default() };
    let allow = Action { verdict: VERDICT_ALLOW, cause: 1, match_type: 2, ..Action::default() };
    let actions = [deny.to_bytes(), allow.to_bytes()].concat();

    let mut file = Vec::new();
    let mut sections = BTreeMap::new();
    let all = [
        (names::ID_ROW, id_row, 256),
        (names::PORT_CLASS, port_class, 256),
        (names::VERDICT, verdict, 256),
        (names::ACTIONS, actions, 16),
    ];
    for (name, bytes, value_size) in all {
        let entries = bytes.len() as u32 / value_size;
        sections.insert(name.to_owned(), Section { offset: file.len() as u64, entries, value_size });
        file.extend(bytes);
    }
    (file, sections)
}

fn records() -> Vec<Record> {
    vec![
        Record::V4 { address: [10, 77, 0, 1].into(), len: 32, index: DEATHSTAR.0 },
        Record::V4 { address: [10, 77, 0, 3].into(), len: 32, index: XWING.0 },
        Record::V6 { address: "fd77::1".parse().expect("address"), len: 128, index: DEATHSTAR.0 },
        Record::V6 { address: "fd77::3".parse().expect("address"), len: 128, index: XWING.0 },
    ]
}

fn provenance(port: u8) -> Provenance {
    let rule = Rule {
        kind: "CiliumNetworkPolicy".to_owned(),
        namespace: "default".to_owned(),
        name: format!("rule{port}"),
        path: "spec.ingress[0]".to_owned(),
        file: "policies.yaml".to_owned(),
        line: 12,
        log: None,
    };
    Provenance { rules: vec![rule], causes: vec![vec![], vec![0]] }
}

/// Maps that a real object has and this file does not know live with the node.
fn add_maps(manifest: &mut Manifest, path: &str, bytes: &[u8]) {
    let Ok(object) = aya_obj::Object::parse(bytes) else { return };
    let entry = manifest.objects.get_mut(path).expect("object");
    for (name, found) in object.maps.iter().filter(|(name, _)| !name.starts_with('.')) {
        if !entry.maps.contains(name) {
            entry.maps.push(name.clone());
        }
        let (key, value, entries) = (found.key_size(), found.value_size(), found.max_entries());
        let map = map(found.map_type(), key, value, entries, found.map_flags(), Scope::Node);
        manifest.maps.entry(name.clone()).or_insert(map);
    }
    entry.maps.sort();
}

fn map(map_type: u32, key_size: u32, value_size: u32, max_entries: u32, flags: u32, scope: Scope) -> Map {
    Map { map_type, key_size, value_size, max_entries, flags, scope }
}

fn manifest(sections: BTreeMap<String, Section>) -> Manifest {
    let table = |flags| map(2, 4, 0, 0, flags, Scope::Class);
    let maps = [
        (names::ID_ROW, table(1 << 10)),
        (names::PORT_CLASS, table(0)),
        (names::VERDICT, table(0)),
        (names::ACTIONS, map(2, 4, 16, 0, 0, Scope::Class)),
        (names::ENDPOINTS, map(2, 4, 72, 0, 0, Scope::Program)),
        (names::OPPOSITES, map(3, 4, 4, 0, 0, Scope::Program)),
        (names::COUNTERS, map(6, 4, 16, 0, 0, Scope::Program)),
        (names::IPCACHE4, map(2, 4, 1024, 0, 1 << 10, Scope::Generation)),
        (names::IPCACHE6, map(2, 4, 1064, 0, 1 << 10, Scope::Generation)),
        (names::IDENTITIES, map(2, 4, 4, 0, 0, Scope::Generation)),
        (names::CONNTRACK4, map(1, 16, 32, 4096, 1, Scope::Node)),
        (names::CONNTRACK6, map(1, 40, 32, 4096, 1, Scope::Node)),
        (names::EVENTS, map(27, 0, 0, 1 << 20, 0, Scope::Node)),
        (names::METRICS, map(6, 4, 16, 512, 0, Scope::Node)),
    ];
    let objects = OBJECTS.map(|(path, program, mode)| {
        let tables: &[&str] = if mode == 3 { &names::CLASS_TABLES } else { &[] };
        let common = [
            names::IPCACHE4,
            names::IPCACHE6,
            names::IDENTITIES,
            names::CONNTRACK4,
            names::CONNTRACK6,
            names::EVENTS,
            names::METRICS,
            names::ENDPOINTS,
            names::OPPOSITES,
        ];
        let counters = if mode == 3 { &[names::COUNTERS][..] } else { &[] };
        let mut maps: Vec<String> =
            tables.iter().chain(&common).chain(counters).map(|name| (*name).to_owned()).collect();
        maps.push(".rodata".to_owned());
        maps.sort();
        let shape = [("POLICY_MODE", mode.to_string()), ("CLASS_SHIFT", "4".to_owned())];
        let shape = shape.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let object =
            Object { program: program.to_owned(), shape, maps, helpers: vec![], instructions: 1, verified: None };
        (path.to_owned(), object)
    });
    let allow = |object: &str| Direction { object: object.to_owned(), tables: None, default_cause: 0 };
    let class = |id, index, ingress| Class {
        id,
        identity: IdentityIndex(index),
        variant: 0,
        ingress,
        egress: allow(OBJECTS[0].0),
    };
    let denying = Direction { object: OBJECTS[2].0.to_owned(), tables: Some(TABLES.to_owned()), default_cause: 1 };
    let endpoint = |kind: &str, index, class, addresses: &[&str]| Endpoint {
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        identity: IdentityIndex(index),
        classes: BTreeMap::from([(0, class)]),
        node: None,
        addresses: addresses.iter().map(|address| address.parse().expect("address")).collect(),
    };
    let identity = |(index, number), label: &str| Identity {
        index: IdentityIndex(index),
        identity: NumericIdentity(number),
        labels: vec![label.to_owned()],
    };
    Manifest {
        schema: SCHEMA,
        digest: String::new(),
        compiler: "by hand".to_owned(),
        clang: Clang { version: "19.1.7".to_owned(), flags: vec![] },
        kernel: Kernel { features: vec!["btf".to_owned(), "ringbuf".to_owned(), "tcx".to_owned()] },
        datapath: Datapath {
            ipv4: true,
            ipv6: true,
            sctp: false,
            world_ipv4: IdentityIndex(2),
            world_ipv6: IdentityIndex(2),
        },
        maps: maps.into_iter().map(|(name, map)| (name.to_owned(), map)).collect(),
        objects: objects.into_iter().collect(),
        tables: BTreeMap::from([(TABLES.to_owned(), TableFile { sections, actions: 2 })]),
        identities: vec![
            identity((1, 1), "reserved:host"),
            identity((2, 2), "reserved:world"),
            identity(XWING, "k8s:app=xwing"),
            identity(DEATHSTAR, "k8s:app=deathstar"),
            identity(FLEET, "k8s:app=fleet"),
        ],
        classes: vec![
            class(0, XWING.0, allow(OBJECTS[1].0)),
            class(1, DEATHSTAR.0, denying.clone()),
            class(2, FLEET.0, allow(OBJECTS[1].0)),
        ],
        endpoints: BTreeMap::from([
            ("default/xwing".to_owned(), endpoint("Pod", XWING.0, 0, &["10.77.0.3", "fd77::3"])),
            ("default/deathstar".to_owned(), endpoint("Pod", DEATHSTAR.0, 1, &["10.77.0.1", "fd77::1"])),
            ("default/fleet".to_owned(), endpoint("Deployment", FLEET.0, 2, &[])),
        ]),
        places: BTreeMap::new(),
        nodes: BTreeMap::new(),
        files: BTreeMap::new(),
    }
}
