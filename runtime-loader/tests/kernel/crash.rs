//! A process that dies between two steps: the next run finishes.

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
