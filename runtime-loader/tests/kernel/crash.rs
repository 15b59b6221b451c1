//! A process that dies between two steps: the next run finishes.

use ciliumc_loader::attach::Mechanism;
use ciliumc_loader::bundle::Bundle;
use ciliumc_loader::observe;
use ciliumc_loader::pins::Pins;
use ciliumc_loader::plan::{self, AddRequest, Scene};
use ciliumc_loader::reconcile;
use ciliumc_loader::state::KnownBy;
use ciliumc_loader::sys::net;

use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

/// Takes the first `count` steps of an `endpoint add`, as a process does that is killed then. The number of all steps.
fn add_partly(lab: &Lab, bundle: &std::path::Path, count: usize) -> usize {
    let pins = Pins { root: lab.root(), state: lab.state() };
    let bundle = bundle.to_owned();
    lab.inside_node(move || {
        let bundle = Bundle::open(&bundle).expect("bundle");
        let snapshot = observe::snapshot(&pins).expect("snapshot");
        let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
        let request = AddRequest {
            name: DEATHSTAR.0.to_owned(),
            known_by: KnownBy::Name(DEATHSTAR.0.to_owned()),
            interface: DEATHSTAR.1.to_owned(),
            ifindex: net::ifindex(DEATHSTAR.1).expect("interface"),
            netns: None,
            attach_by: Mechanism::Tcx,
            addresses: Vec::new(),
            link: Default::default(),
        };
        let mut plan = plan::add(&scene, &request).expect("plan");
        let all = plan.steps.len();
        plan.steps.truncate(count);
        reconcile::run(&pins, Some(&bundle), &plan).expect("steps");
        all
    })
}

#[test]
fn an_add_that_died_at_any_step_is_finished_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let mut count = 0;
    loop {
        let all = add_partly(&lab, &bundle, count);
        lab.add(&bundle, DEATHSTAR);
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "after {count} of {all} steps");
        let listing = lab.listing().join("\n");
        assert!(!listing.contains("_tmp"), "after {count} of {all} steps:\n{listing}");
        assert_eq!(listing.matches("/to_container").count(), 1, "one link:\n{listing}");
        assert_eq!(listing.matches("-to_container-").count(), 6, "one program with its maps:\n{listing}");
        lab.ok(&["unload"]);
        if count == all {
            return;
        }
        count += 1;
    }
}

/// Takes the first `count` steps of an `apply`. The number of all steps.
fn apply_partly(lab: &Lab, bundle: &std::path::Path, count: usize) -> usize {
    let pins = Pins { root: lab.root(), state: lab.state() };
    let bundle = bundle.to_owned();
    lab.inside_node(move || {
        let bundle = Bundle::open(&bundle).expect("bundle");
        let snapshot = observe::snapshot(&pins).expect("snapshot");
        let mut plan =
            plan::apply(&Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot }).expect("plan");
        let all = plan.steps.len();
        plan.steps.truncate(count);
        reconcile::run(&pins, Some(&bundle), &plan).expect("steps");
        all
    })
}

#[test]
fn an_apply_that_died_at_any_step_leaves_whole_generations_and_is_finished_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    let bundles = [lab.bundle(80), lab.bundle(81)];
    lab.add(&bundles[0], DEATHSTAR);
    lab.add(&bundles[0], XWING);
    let mut count = 0;
    loop {
        let new = 1 - count % 2;
        let all = apply_partly(&lab, &bundles[new], count);
        let when = format!("after {count} of {all} steps");
        assert_whole(&lab, &when);
        assert!(lab.connects("10.77.0.1:80") != lab.connects("10.77.0.1:81"), "one policy or the other, {when}");
        let (on, off) = if new == 1 { (81, 80) } else { (80, 81) };
        if count % 3 == 0 {
            // Who takes the old bundle again gets it, whatever runs by now.
            lab.ok(&["apply", "--bundle", utf8(&bundles[1 - new])]);
            assert!(lab.connects(&format!("10.77.0.1:{off}")) && !lab.connects(&format!("10.77.0.1:{on}")), "{when}");
        }
        lab.ok(&["apply", "--bundle", utf8(&bundles[new])]);
        assert!(lab.connects(&format!("10.77.0.1:{on}")) && !lab.connects(&format!("10.77.0.1:{off}")), "{when}");
        let listing = lab.listing().join("\n");
        assert!(!listing.contains("_tmp"), "{when}:\n{listing}");
        assert_settled(&lab, &when);
        // The way back is there, whatever happened.
        lab.ok(&["rollback"]);
        assert!(lab.connects(&format!("10.77.0.1:{off}")) && !lab.connects(&format!("10.77.0.1:{on}")), "{when}");
        lab.ok(&["rollback"]);
        if count >= all {
            return;
        }
        count += 1;
    }
}

/// Every entry of every endpoint runs and leads to a program that is there, has a slot for it, and reads the maps of
/// exactly one generation.
pub fn assert_whole(lab: &Lab, when: &str) {
    let mut programs = Vec::new();
    for program in std::fs::read_dir(lab.root().join("programs")).expect("programs").flatten() {
        let name = program.file_name().into_string().expect("UTF-8");
        if !name.ends_with("_tmp") {
            programs.push((name, map_id(&program.path().join("jump"))));
        }
    }
    let status: serde_json::Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).expect("JSON");
    let mut entries = 0;
    for endpoint in status["endpoints"].as_array().expect("endpoints") {
        for hook in ["from_container", "to_container"] {
            let entry = &endpoint["programs"][hook];
            assert_eq!(entry["state"], "attached", "{when}: {endpoint}");
            let maps = maps_of(&entry["program"]);
            let led: Vec<_> = programs.iter().filter(|(_, jump)| maps.contains(jump)).collect();
            assert_eq!(led.len(), 1, "{when}: {entry} leads to {led:?}");
            let folder = lab.root().join("programs").join(&led[0].0);
            let id = u64::from(endpoint["id"].as_u64().expect("id") as u32);
            let has_slot = dump(&folder.join("endpoints")).iter().any(|slot| slot[0] == id);
            assert!(has_slot, "{when}: {} has no slot for endpoint {id}", led[0].0);
            let [program] = &dump(&folder.join("jump"))[..] else { panic!("{when}: {} leads nowhere", led[0].0) };
            let generation = led[0].0.split('-').next().expect("a generation");
            let addresses = map_id(&lab.root().join("generations").join(generation).join("ipcache4"));
            assert!(maps_of(&program[0].into()).contains(&addresses), "{when}: {} of another generation", led[0].0);
            entries += 1;
        }
    }
    assert_eq!(entries, 4, "{when}");
}

/// Each of the two endpoints has a slot at each hook, and nobody has any other.
pub fn assert_settled(lab: &Lab, when: &str) {
    let programs = std::fs::read_dir(lab.root().join("programs")).expect("programs").flatten();
    let slots = programs.flat_map(|program| dump(&program.path().join("endpoints")));
    let mut taken: Vec<u64> = slots.map(|slot| slot[0]).filter(|id| *id != 0).collect();
    taken.sort_unstable();
    assert_eq!(taken, [1, 1, 2, 2], "{when}");
}

/// Kernel ids of the maps of a program.
fn maps_of(program: &serde_json::Value) -> Vec<u64> {
    let id = program.as_u64().expect("id").to_string();
    let out = std::process::Command::new("bpftool").args(["-j", "prog", "show", "id", &id]).output();
    let shown: serde_json::Value = serde_json::from_slice(&out.expect("bpftool").stdout).expect("JSON");
    shown["map_ids"].as_array().expect("maps").iter().filter_map(serde_json::Value::as_u64).collect()
}

/// The entries of a map, each as words in host order.
fn dump(path: &std::path::Path) -> Vec<Vec<u64>> {
    let out = std::process::Command::new("bpftool").args(["-j", "map", "dump", "pinned", utf8(path)]).output();
    let shown: serde_json::Value = serde_json::from_slice(&out.expect("bpftool").stdout).expect("JSON");
    let word = |bytes: &[serde_json::Value]| {
        let byte = |text: &serde_json::Value| {
            let text = text.as_str().expect("a byte").trim_start_matches("0x");
            u64::from_str_radix(text, 16).expect("a byte")
        };
        bytes.iter().rev().fold(0, |sum, one| sum << 8 | byte(one))
    };
    let entries = shown.as_array().expect("entries").iter().filter_map(|entry| entry["value"].as_array());
    entries.map(|value| value.chunks(4).map(word).collect()).collect()
}

fn map_id(path: &std::path::Path) -> u64 {
    let out = std::process::Command::new("bpftool").args(["-j", "map", "show", "pinned", utf8(path)]).output();
    let shown: serde_json::Value = serde_json::from_slice(&out.expect("bpftool").stdout).expect("JSON");
    shown["id"].as_u64().expect("id")
}

#[test]
fn unfinished_folders_are_removed() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    for unfinished in ["classes/0123_tmp", "generations/9_tmp", "programs/9_tmp", "endpoints/1"] {
        std::fs::create_dir_all(lab.root().join(unfinished)).unwrap();
    }
    std::fs::create_dir_all(lab.state().join("generations/9_tmp")).unwrap();
    assert!(lab.ok(&["status"]).contains("unfinished"));
    lab.add(&bundle, XWING);
    let listing = lab.listing().join("\n");
    assert!(!listing.contains("_tmp"), "{listing}");
}
