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
        assert_eq!(listing.matches("to_container").count(), 2, "one link, one map of counters:\n{listing}");
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

/// Every program of every endpoint runs, and reads the maps of exactly one generation that is there.
pub fn assert_whole(lab: &Lab, when: &str) {
    let (mut generations, mut programs) = (Vec::new(), 0);
    for number in std::fs::read_dir(lab.root().join("generations")).expect("generations").flatten() {
        let name = number.file_name().into_string().expect("UTF-8");
        if !name.ends_with("_tmp") {
            generations.push((name, map_id(&number.path().join("ipcache4"))));
        }
    }
    let status: serde_json::Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).expect("JSON");
    for endpoint in status["endpoints"].as_array().expect("endpoints") {
        for hook in ["from_container", "to_container"] {
            let program = &endpoint["programs"][hook];
            assert_eq!(program["state"], "attached", "{when}: {endpoint}");
            let id = program["program"].as_u64().expect("id").to_string();
            let out = std::process::Command::new("bpftool").args(["-j", "prog", "show", "id", &id]).output();
            let shown: serde_json::Value = serde_json::from_slice(&out.expect("bpftool").stdout).expect("JSON");
            let maps: Vec<u64> =
                shown["map_ids"].as_array().expect("maps").iter().filter_map(|id| id.as_u64()).collect();
            let of = generations.iter().filter(|(_, map)| maps.contains(map)).count();
            assert_eq!(of, 1, "{when}: program {id} reads the maps of {of} generations");
            programs += 1;
        }
    }
    assert_eq!(programs, 4, "{when}");
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
    for unfinished in ["classes/0123_tmp", "generations/9_tmp", "endpoints/1"] {
        std::fs::create_dir_all(lab.root().join(unfinished)).unwrap();
    }
    std::fs::create_dir_all(lab.state().join("generations/9_tmp")).unwrap();
    assert!(lab.ok(&["status"]).contains("unfinished"));
    lab.add(&bundle, XWING);
    let listing = lab.listing().join("\n");
    assert!(!listing.contains("_tmp"), "{listing}");
}
