//! `apply` moves running endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

#[test]
fn a_new_bundle_takes_the_place_of_the_old_one() {
    let Some(lab) = Lab::new() else { return };
    let (old, new) = (lab.bundle(80), lab.bundle(81));
    lab.add(&old, DEATHSTAR);
    lab.add(&old, XWING);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let first = lab.kernel_ids();
    let dry = lab.ok(&["apply", "--bundle", utf8(&new), "--dry-run"]);
    assert!(dry.contains("publish generation 2") && dry.contains("replace to_container of endpoint 1"), "{dry}");
    let steps: Vec<_> = dry.lines().collect();
    let loads = steps.iter().rposition(|line| line.starts_with("load ")).unwrap();
    let replaces = steps.iter().position(|line| line.starts_with("replace ")).unwrap();
    assert!(loads < replaces, "all programs are loaded before one is replaced:\n{dry}");

    lab.ok(&["apply", "--bundle", utf8(&new)]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    let second = lab.kernel_ids();
    assert!(first.0.iter().all(|id| second.0.contains(id) || is_counters(*id)), "a way back is kept");

    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(82))]);
    let third = lab.kernel_ids();
    let node: Vec<u32> = first.0.iter().filter(|id| third.0.contains(id)).copied().collect();
    let of_node = std::fs::read_dir(lab.root().join("node")).unwrap().count();
    assert_eq!(node.len(), of_node, "conntrack, events and metrics live on");
    let old_maps = first.0.into_iter().filter(|id| !node.contains(id)).collect();
    lab.assert_gone(&(old_maps, first.1.into_iter().chain(second.1).collect()));
    lab.ok(&["apply", "--bundle", utf8(&new)]);

    let again = lab.ok(&["apply", "--bundle", utf8(&new), "--dry-run"]);
    assert_eq!(again, "", "there is nothing left to do");
    let refused = lab
        .fails(3, &["endpoint", "add", "--bundle", utf8(&old), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1]);
    assert!(refused.contains("`apply` this one first"), "{refused}");
}

#[test]
fn nobody_is_cut_while_policy_is_switched() {
    let Some(lab) = Lab::new() else { return };
    let bundles = [lab.bundle(80), lab.bundle(81)];
    lab.add(&bundles[0], DEATHSTAR);
    lab.add(&bundles[0], XWING);
    // deathstar may always send: its echo replies come back by conntrack through every switch.
    let stop = Arc::new(AtomicBool::new(false));
    let pinger = {
        let (stop, pod) = (stop.clone(), lab.pod(DEATHSTAR.1));
        std::thread::spawn(move || {
            ciliumc_loader::sys::net::enter_netns(&std::path::Path::new("/run/netns").join(pod)).unwrap();
            let mut lost = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let ping = ["-q", "-c", "20", "-i", "0.02", "-W", "1", "10.77.0.3"];
                let out = std::process::Command::new("ping").args(ping).output().unwrap();
                let text = String::from_utf8_lossy(&out.stdout).into_owned();
                if !text.contains(" 0% packet loss") {
                    lost.push(text);
                }
            }
            lost
        })
    };
    for round in 0..10 {
        lab.ok(&["apply", "--bundle", utf8(&bundles[(round + 1) % 2])]);
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(pinger.join().unwrap(), Vec::<String>::new());
}

#[test]
fn an_endpoint_that_the_bundle_forgot_keeps_its_policy() {
    let Some(lab) = Lab::new() else { return };
    let old = lab.bundle(80);
    lab.add(&old, DEATHSTAR);
    lab.add(&old, XWING);
    let mut files = crate::handmade::files(81, |path| crate::lab::objects()[path].clone());
    let mut manifest: ciliumc_abi::manifest::Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    manifest.endpoints.remove(DEATHSTAR.0);
    crate::handmade::seal(&mut files, &manifest);
    let new = lab.write_bundle("forgetful", &files);
    let out = lab.loader(&["apply", "--bundle", utf8(&new)]);
    let notes = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && notes.contains("keeps the policy of generation 1"), "{notes}");
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "neither cut nor opened");
    lab.ok(&["endpoint", "del", "--endpoint", DEATHSTAR.0]);
    let status: serde_json::Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["generations"].as_array().unwrap().len(), 2, "the one in force and the way back");
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(82))]);
    let status: serde_json::Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["generations"], serde_json::json!([2, 3]), "its generation went with it");
}

/// Counters go with their program: nobody counts on after it.
fn is_counters(id: u32) -> bool {
    let out =
        std::process::Command::new("bpftool").args(["map", "show", "id", &id.to_string()]).output().expect("bpftool");
    !out.status.success() || String::from_utf8_lossy(&out.stdout).contains("name counters")
}
