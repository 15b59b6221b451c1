use std::collections::BTreeMap;

use ciliumc_abi::manifest::{Manifest, Node};

use super::*;
use crate::attach::Mechanism;
use crate::handmade;
use crate::labels::Labels;
use crate::names::Hook;
use crate::observe::{Generation, Program, Seen};
use crate::state::{Documents, Endpoint, KnownBy};
use crate::sys::bpf::{Layout, Link};

mod apply;
mod slots;

fn bundle(port: u8) -> Bundle {
    Bundle::from_files(handmade::files(port, |path| path.as_bytes().to_vec())).unwrap()
}

fn pins() -> Pins {
    Pins { root: "/bpf/ciliumc".into(), state: "/run/ciliumc".into() }
}

fn request(name: &str, interface: &str) -> AddRequest {
    let (name, interface) = (name.to_owned(), interface.to_owned());
    let known_by = KnownBy::Name(name.clone());
    // Another one for each name.
    let ifindex = interface.bytes().fold(0, |sum, byte| sum * 31 + u32::from(byte));
    AddRequest {
        name,
        known_by,
        interface,
        ifindex,
        netns: None,
        attach_by: Mechanism::Tcx,
        addresses: Vec::new(),
        link: Default::default(),
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(Step::to_string).collect()
}

/// What the node has when a plan was taken, as far as later plans look at it.
fn after(pins: &Pins, bundle: &Bundle, before: &Snapshot, plan: &Plan) -> Snapshot {
    let mut snapshot = before.clone();
    snapshot.leftovers.clear();
    // The kernel gives no number twice.
    let ids = before.endpoints.values().flat_map(|seen| seen.links.values().map(|link| link.prog_id));
    let mut programs = ids.max().unwrap_or(100);
    for step in &plan.steps {
        match step {
            Step::CreateNodeMap { name, layout } => {
                snapshot.node.insert(name.clone(), *layout);
            }
            Step::PublishClass { digest, tables, .. } => {
                let maps = tables.iter().map(|(name, _, layout)| (name.clone(), *layout)).collect();
                snapshot.classes.insert(digest.clone(), maps);
            }
            Step::PublishGeneration(publication) => {
                let generation = publication.generation.clone();
                let number = generation.number;
                let (manifest, records) = (bundle.manifest.clone(), bundle.records.clone());
                let documents = Some(Documents { generation, manifest, records });
                let maps = publication.maps.iter().cloned().collect();
                snapshot.generations.insert(number, Generation { maps, documents });
                snapshot.documents.insert(number);
            }
            Step::RecordEndpoint(record) => {
                let seen = snapshot.endpoints.entry(record.id).or_default();
                seen.ifindex = Some(record.ifindex);
                let programs = seen.links.iter().map(|(hook, link)| (*hook, link.prog_id)).collect();
                seen.record = Some(Endpoint { programs, ..record.clone() });
            }
            Step::Attach { place, hook } => {
                programs += 1;
                let link = Link { ifindex: place.ifindex, prog_id: programs };
                snapshot.endpoints.entry(place.endpoint).or_default().links.insert(*hook, link);
            }
            Step::Switch { place, hook, from } => {
                programs += 1;
                let link = snapshot.endpoints.get_mut(&place.endpoint).unwrap().links.get_mut(hook).unwrap();
                assert_eq!(link.prog_id, *from, "the program that runs is the one that is replaced");
                link.prog_id = programs;
            }
            Step::StoreFiles { generation, .. } => drop(snapshot.stored.insert(*generation)),
            Step::SetRemotes(remotes) => snapshot.remotes.clone_from(remotes),
            Step::SetCurrent(current) => snapshot.current = Some(current.clone()),
            Step::RemoveEndpoint(id) => drop(snapshot.endpoints.remove(id)),
            Step::RemoveClass(digest) => drop(snapshot.classes.remove(digest)),
            Step::RemoveGeneration(number) => drop(snapshot.generations.remove(number)),
            Step::RemoveFiles(number) => drop(snapshot.stored.remove(number)),
            Step::RemoveDocuments(number) => {
                snapshot.documents.remove(number);
                snapshot.stored.remove(number);
            }
            Step::LoadProgram(load) => {
                check_bindings(pins, &snapshot, load);
                let maps = load.maps.iter().cloned().collect();
                let slots = vec![0; load.slots as usize];
                assert!(
                    snapshot
                        .programs
                        .insert(load.name.clone(), Program { maps, slots, ..Program::default() })
                        .is_none()
                );
            }
            Step::Load(load) => {
                let slots = &mut snapshot.programs.get_mut(&load.slot.program).unwrap().slots;
                let slot = slots.get_mut(load.slot.number as usize).unwrap();
                assert_eq!(*slot, 0, "a slot that somebody may come to is never written");
                assert_eq!(load.value.id, u32::from(load.endpoint));
                *slot = load.endpoint;
            }
            Step::FreeSlots { program, slots } => {
                for slot in slots {
                    let program = snapshot.programs.get_mut(program).unwrap();
                    program.slots[*slot as usize] = 0;
                    program.asks.remove(slot);
                }
            }
            Step::Part { slots, .. } => {
                for slot in slots {
                    snapshot.programs.get_mut(&slot.program).unwrap().asks.remove(&slot.number);
                }
            }
            Step::Meet { endpoint, slots } => {
                assert!(snapshot.endpoints[endpoint].links.len() == 2, "both are in force");
                for slot in slots.values() {
                    snapshot.programs.get_mut(&slot.program).unwrap().asks.insert(slot.number);
                }
            }
            Step::RemoveProgram(name) => drop(snapshot.programs.remove(name)),
            Step::RemoveLeftover(_)
            | Step::LoadDenyAll { .. }
            | Step::Verify(_)
            | Step::Settle
            | Step::SetAddress { .. }
            | Step::ForgetConnections(_)
            | Step::RemoveNode { .. } => {}
        }
    }
    snapshot
}

/// Every map of a program is there before the program is loaded.
fn check_bindings(pins: &Pins, snapshot: &Snapshot, load: &ProgramLoad) {
    for binding in &load.bindings {
        let there = |folder: std::path::PathBuf, maps: &BTreeMap<String, Layout>| {
            maps.keys().any(|name| folder.join(name) == binding.path)
        };
        let own = crate::pins::aside(&pins.program(&load.name));
        let found = there(pins.node(), &snapshot.node)
            || snapshot.classes.iter().any(|(digest, maps)| there(pins.class(digest), maps))
            || snapshot.generations.iter().any(|(number, seen)| there(pins.generation(*number), &seen.maps))
            || load.maps.iter().any(|(name, _)| own.join(name) == binding.path);
        assert!(found, "{} is not there", binding.path.display());
    }
}

/// The node after some endpoints were added.
fn node_with(pins: &Pins, bundle: &Bundle, endpoints: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, interface) in endpoints {
        let scene = Scene { pins, bundle, node: None, snapshot: &snapshot };
        let plan = add(&scene, &request(name, interface)).unwrap();
        snapshot = after(pins, bundle, &snapshot, &plan);
    }
    snapshot
}

const DEATHSTAR: (&str, &str) = ("default/deathstar", "veth1");
const XWING: (&str, &str) = ("default/xwing", "veth3");

#[test]
fn a_first_add_makes_maps_then_programs_then_links() {
    let (pins, bundle) = (pins(), bundle(80));
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &Snapshot::default() };
    let plan = add(&scene, &request(DEATHSTAR.0, DEATHSTAR.1)).unwrap();
    let digest = bundle.class_digest(handmade::TABLES).unwrap();
    let [from, to] = programs(&plan);
    assert!(from.starts_with("1-from_container-") && to.starts_with("1-to_container-"), "{from} {to}");
    let expected = [
        "create node map conntrack4 with 4096 entries".to_owned(),
        "create node map conntrack6 with 4096 entries".to_owned(),
        "create node map events with 1048576 entries".to_owned(),
        "create node map metrics with 512 entries".to_owned(),
        format!("publish class {digest} from {}: actions[2] id_row[2] port_class[7] verdict[1]", handmade::TABLES),
        format!(
            "publish generation 1 of bundle {}: identities[259] ipcache4[1282] ipcache6[1026]",
            step::short(&bundle.digest)
        ),
        "store 4 objects and tables of generation 1".to_owned(),
        format!("load program {from} from objects/from-allow.o with 8 slots"),
        format!("load program {to} from objects/to-tables.o with 8 slots"),
        "record endpoint 1 default/deathstar on veth1 in generation 1".to_owned(),
        "forget connections of 10.77.0.1".to_owned(),
        "forget connections of fd77::1".to_owned(),
        format!("load from_container of endpoint 1 default/deathstar: slot 0 of {from}"),
        format!("load to_container of endpoint 1 default/deathstar: slot 0 of {to}"),
        "attach from_container of endpoint 1 to veth1, tcx ingress".to_owned(),
        "attach to_container of endpoint 1 to veth1, tcx egress".to_owned(),
        "judge replies of endpoint 1 by its new programs".to_owned(),
        "record endpoint 1 default/deathstar on veth1 in generation 1".to_owned(),
        "make generation 1 the current one".to_owned(),
    ];
    assert_eq!(lines(&plan), expected);
    after(&pins, &bundle, &Snapshot::default(), &plan);
}

#[test]
fn a_program_gets_the_endpoint_s_values_and_the_pins_of_its_own_maps() {
    let (pins, bundle) = (pins(), bundle(80));
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &Snapshot::default() };
    let plan = add(&scene, &request(DEATHSTAR.0, DEATHSTAR.1)).unwrap();
    let load = |hook| {
        let mut loads = plan.steps.iter().filter_map(|step| match step {
            Step::Load(load) if load.hook == hook => Some(load),
            _ => None,
        });
        loads.next().unwrap()
    };
    let program = |hook| {
        let mut loads = plan.steps.iter().filter_map(|step| match step {
            Step::LoadProgram(load) if load.hook == hook => Some(load),
            _ => None,
        });
        loads.next().unwrap()
    };
    let layout = |load: &ProgramLoad, map: &str| {
        load.maps.iter().find(|(name, _)| name == map).map(|(_, layout)| layout.max_entries)
    };
    let guarded = load(Hook::ToContainer);
    assert_eq!((guarded.value.id, guarded.value.identity), (1, handmade::DEATHSTAR.1));
    assert_eq!(guarded.value.ipv4_be.to_ne_bytes(), [10, 77, 0, 1]);
    assert_eq!(guarded.value.ipv6_hi_be.to_ne_bytes(), [0xfd, 0x77, 0, 0, 0, 0, 0, 0]);
    assert_eq!((guarded.value.first_counter, guarded.counters), (0, 2), "one for each action");
    let guarded = program(Hook::ToContainer);
    assert_eq!((guarded.scalars.generation, guarded.scalars.default_cause), (1, 1));
    assert_eq!((layout(guarded, "endpoints"), layout(guarded, "counters")), (Some(8), Some(16)));
    assert!(guarded.bindings.iter().any(|binding| binding.map == "verdict"));
    let open = program(Hook::FromContainer);
    assert_eq!((layout(open, "endpoints"), layout(open, "counters")), (Some(8), None));
    assert!(open.bindings.iter().all(|binding| binding.map != "verdict"), "it has no tables");
}

/// The programs that a plan's entries lead to.
fn programs(plan: &Plan) -> [String; 2] {
    Hook::ALL.map(|hook| {
        let mut found = plan.steps.iter().filter_map(|step| match step {
            Step::Load(load) if load.hook == hook => Some(load.slot.program.clone()),
            _ => None,
        });
        found.next().unwrap()
    })
}

#[test]
fn adding_again_replaces_programs_and_nothing_else() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let plan = add(&scene, &request(DEATHSTAR.0, DEATHSTAR.1)).unwrap();
    let [from, to] = programs(&plan);
    let expected = [
        format!("load from_container of endpoint 1 default/deathstar: slot 1 of {from}"),
        format!("load to_container of endpoint 1 default/deathstar: slot 1 of {to}"),
        "let replies of endpoint 1 pass while its programs change".to_owned(),
        "replace from_container of endpoint 1 (program 101)".to_owned(),
        "replace to_container of endpoint 1 (program 102)".to_owned(),
        "judge replies of endpoint 1 by its new programs".to_owned(),
        "set 10.77.0.1 to identity index 257 in generation 1".to_owned(),
        "set fd77::1 to identity index 257 in generation 1".to_owned(),
        "record endpoint 1 default/deathstar on veth1 in generation 1".to_owned(),
        "wait until no packet is in a program that was replaced".to_owned(),
        format!("free 1 slots of {from}"),
        format!("free 1 slots of {to}"),
    ];
    assert_eq!(lines(&plan), expected);
    let again = after(&pins, &bundle, &snapshot, &plan);
    assert!(again.programs.values().all(|program| program.slots[..2] == [0, 1]), "{:?}", again.programs);
}

#[test]
fn an_unknown_endpoint_is_refused_and_cut_off() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let stranger = AddRequest { addresses: vec!["10.77.0.9".parse().unwrap()], ..request("default/droid", "veth9") };
    let plan = add(&scene, &stranger).unwrap();
    let refused = plan.refused.as_ref().unwrap();
    assert!(refused.contains("no endpoint `default/droid`; it has default/deathstar"), "{refused}");
    assert!(refused.contains("veth9 drops everything (deny-all, endpoint 2)"), "{refused}");
    let expected = [
        "record endpoint 2 default/droid on veth9 in generation 1",
        "forget connections of 10.77.0.9",
        "load from_container of endpoint 2 default/droid: deny-all",
        "load to_container of endpoint 2 default/droid: deny-all",
        "attach from_container of endpoint 2 to veth9, tcx ingress",
        "attach to_container of endpoint 2 to veth9, tcx egress",
        "set 10.77.0.9 to identity index 0 in generation 1",
        "record endpoint 2 default/droid on veth9 in generation 1",
    ];
    assert_eq!(lines(&plan), expected);

    // A bundle that knows it sets it free, with the bundle's addresses when it came without any.
    let snapshot = after(&pins, &bundle, &snapshot, &plan);
    let mut files = handmade::files(81, |path| path.as_bytes().to_vec());
    let mut manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let xwing = manifest.endpoints[XWING.0].clone();
    manifest.endpoints.insert("default/droid".to_owned(), xwing);
    handmade::seal(&mut files, &manifest);
    let new = Bundle::from_files(files).unwrap();
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let plan = apply(&scene).unwrap();
    let end = after(&pins, &new, &snapshot, &plan);
    assert_eq!(end.records()[&2].class, Some(0));
    let mut nameless = snapshot.clone();
    nameless.endpoints.get_mut(&2).unwrap().record.as_mut().unwrap().addresses.clear();
    let scene = Scene { snapshot: &nameless, ..scene };
    let known = after(&pins, &new, &nameless, &apply(&scene).unwrap());
    assert_eq!(known.records()[&2].addresses, new.endpoint(XWING.0).unwrap().addresses);
    assert!(lines(&plan).contains(&"verify the programs of 2 endpoints".to_owned()));
}

#[test]
fn labels_lead_to_a_class() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let by = |labels: &str, address: &str| AddRequest {
        known_by: KnownBy::Labels(Labels::parse(labels.split(','), None).unwrap()),
        addresses: vec![address.parse().unwrap()],
        ..request("default/one", "veth9")
    };
    let plan = add(&scene, &by("app=xwing", "10.77.0.9")).unwrap();
    assert_eq!(plan.refused, None);
    let end = after(&pins, &bundle, &snapshot, &plan);
    let record = end.records()[&2].clone();
    assert_eq!((record.name.as_str(), record.class, record.identity), ("default/one", Some(0), handmade::XWING.1));
    assert!(lines(&plan).contains(&"set 10.77.0.9 to identity index 256 in generation 1".to_owned()));
    assert!(add(&scene, &by("app=droid", "10.77.0.9")).unwrap().refused.unwrap().contains("label `k8s:app=droid`"));
    assert!(add(&scene, &by("reserved:world", "10.77.0.9")).unwrap().refused.unwrap().contains("no endpoint"));
    let taken = add(&scene, &by("app=xwing", "10.77.0.1")).expect_err("the address is deathstar's").to_string();
    assert!(taken.contains("belongs to endpoint 1"), "{taken}");
}

#[test]
fn addresses_of_other_nodes_are_taken_all_or_none() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let address = |text: &str| text.parse().unwrap();
    let good = Change::Identity(address("10.78.0.1"), handmade::XWING.1);
    let plan = remotes(&scene, std::slice::from_ref(&good)).unwrap();
    let expected = ["record 1 addresses of other nodes", "set 10.78.0.1 to identity index 256 in generation 1"];
    assert_eq!(lines(&plan), expected);
    let snapshot = after(&pins, &bundle, &snapshot, &plan);
    for (bad, why) in [
        (Change::Identity(address("10.78.0.2"), 9999), "no identity 9999"),
        (Change::Identity(address("10.78.0.2"), 1), "this node itself"),
        (Change::Identity(address("10.77.0.1"), handmade::XWING.1), "belongs to endpoint 1"),
        (Change::Identity(address("ff02::1"), handmade::XWING.1), "cannot be the address"),
        (Change::Delete(address("10.78.0.2")), "nobody said who has"),
    ] {
        let error = remotes(&scene, &[good.clone(), bad]).expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    // A new bundle in which xwing has another number, an endpoint that takes the address and goes, and the end of it.
    let mut files = handmade::files(81, |path| path.as_bytes().to_vec());
    let mut manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let at = manifest.identities.iter().position(|identity| identity.identity.0 == handmade::XWING.1).unwrap();
    manifest.identities[at].identity.0 = 4711;
    handmade::seal(&mut files, &manifest);
    let new = Bundle::from_files(files).unwrap();
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let plan = apply(&scene).unwrap();
    let published = plan.steps.iter().find_map(|step| match step {
        Step::PublishGeneration(publication) => Some(publication.tries.v4.lookup([10, 78, 0, 1].into())),
        _ => None,
    });
    assert_eq!(published, Some(handmade::XWING.0), "found by its labels");

    let snapshot = after(&pins, &new, &snapshot, &plan);
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let here = AddRequest { addresses: vec![address("10.78.0.1")], ..request("default/fleet", "veth9") };
    let snapshot = after(&pins, &new, &snapshot, &add(&scene, &here).unwrap());
    let gone = lines(&del(&pins, &snapshot, &Which::Name("default/fleet".to_owned())).unwrap());
    assert_eq!(gone[1], "set 10.78.0.1 to identity index 256 in generation 2", "the other node's again: {gone:#?}");
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let plan = remotes(&scene, &[Change::Delete(address("10.78.0.1"))]).unwrap();
    assert_eq!(lines(&plan), ["record 0 addresses of other nodes"], "the local endpoint keeps it");
}

#[test]
fn an_address_goes_back_before_its_endpoint_goes() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR, XWING]);
    let plan = del(&pins, &snapshot, &Which::Name(DEATHSTAR.0.to_owned())).unwrap();
    let lines = lines(&plan);
    assert_eq!(lines[0], "set 10.77.0.1 to identity index 257 in generation 1", "what the bundle says of it");
    assert_eq!(lines[2], "detach and remove endpoint 1");
    assert!(lines.iter().any(|line| line.starts_with("remove class")), "xwing has no tables: {lines:#?}");
    assert!(del(&pins, &snapshot, &Which::Id(9)).is_err());
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let refused = |request: &AddRequest| add(&scene, request).expect_err("refused").to_string();
    assert!(refused(&request(DEATHSTAR.0, "veth9")).contains("is endpoint 1 on interface veth1"));
    assert!(refused(&request(XWING.0, "veth1")).contains("interface veth1 is endpoint 1"));
    let ifindex = request(DEATHSTAR.0, "veth1").ifindex;
    let renamed = |who| AddRequest { ifindex, ..request(who, "alias") };
    assert!(refused(&renamed(XWING.0)).contains("interface alias is endpoint 1"));
    let again = lines(&add(&scene, &renamed(DEATHSTAR.0)).unwrap());
    assert!(again.contains(&"replace to_container of endpoint 1 (program 102)".to_owned()), "{again:#?}");
    assert!(refused(&request("default/fleet", "veth9")).contains("give it with --address"));
    let taken = AddRequest { addresses: vec!["10.77.0.1".parse().unwrap()], ..request(XWING.0, "veth9") };
    assert!(refused(&taken).contains("10.77.0.1 belongs to endpoint 1"));
    let group = AddRequest { addresses: vec!["ff02::1".parse().unwrap()], ..request(XWING.0, "veth9") };
    assert!(refused(&group).contains("cannot be the address"));
}

#[test]
fn another_layout_is_refused_with_what_differs() {
    let (pins, bundle) = (pins(), bundle(80));
    let good = node_with(&pins, &bundle, &[DEATHSTAR]);
    let digest = good.classes.keys().next().unwrap().clone();
    type Change = fn(&mut Layout);
    let cases: [(&str, Change); 5] = [
        ("type 9", |layout| layout.map_type = 9),
        ("key size 9", |layout| layout.key_size = 9),
        ("value size 9", |layout| layout.value_size = 9),
        ("capacity 9", |layout| layout.max_entries = 9),
        ("flags 9", |layout| layout.flags = 9),
    ];
    for (expected, change) in cases {
        let mut node = good.clone();
        change(node.node.get_mut("events").unwrap());
        let mut class = good.clone();
        change(class.classes.get_mut(&digest).unwrap().get_mut("verdict").unwrap());
        for snapshot in [node, class] {
            let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
            let error = add(&scene, &request(DEATHSTAR.0, DEATHSTAR.1)).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn the_node_is_chosen_by_name_or_because_it_is_the_only_one() {
    let mut manifest = Manifest::clone(&bundle(80).manifest);
    assert_eq!(choose_node(&manifest, Some("any")).unwrap(), None, "without nodes every node is alike");
    let node = Node { variant: 0, addresses: vec!["10.0.0.1".parse().unwrap()] };
    manifest.nodes.insert("worker-1".to_owned(), node.clone());
    assert_eq!(choose_node(&manifest, None).unwrap().as_deref(), Some("worker-1"));
    assert_eq!(choose_node(&manifest, Some("worker-9")).unwrap_err().exit_code(), 3);
    manifest.nodes.insert("worker-2".to_owned(), node);
    let error = choose_node(&manifest, None).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("worker-1, worker-2"), "{error}");
    assert_eq!(choose_node(&manifest, Some("worker-2")).unwrap().as_deref(), Some("worker-2"));
}

#[test]
fn unload_removes_whatever_is_there() {
    let (pins, bundle) = (pins(), bundle(80));
    let mut snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    assert!(!unload(&pins, &snapshot).moves_several());
    snapshot.endpoints.insert(9, Seen { record: None::<Endpoint>, ..Seen::default() });
    let plan = unload(&pins, &snapshot);
    assert!(plan.moves_several());
    let end = after(&pins, &bundle, &snapshot, &plan);
    assert!(end.endpoints.is_empty() && end.generations.is_empty() && end.classes.is_empty());
    assert!(end.documents.is_empty());
    assert!(matches!(plan.steps.last(), Some(Step::RemoveNode { folders }) if folders.contains(&pins.current())));
}
