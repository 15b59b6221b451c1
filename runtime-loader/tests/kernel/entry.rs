//! Entries that lead nowhere, or to a slot of nobody: packets are dropped and counted, never passed.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

/// The program that judges what deathstar gets: the only one that counts.
fn guarded(lab: &Lab) -> PathBuf {
    let programs =
        std::fs::read_dir(lab.root().join("programs")).expect("programs").flatten().map(|program| program.path());
    let counting: Vec<_> = programs.filter(|path| path.join("counters").exists()).collect();
    assert_eq!(counting.len(), 1, "{counting:?}");
    counting[0].clone()
}

fn bpftool(args: &[&str]) {
    let out = Command::new("bpftool").args(args).output().expect("bpftool");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Packets towards endpoints that were dropped for a reason.
fn dropped(lab: &Lab, reason: u64) -> u64 {
    let metrics: Value = serde_json::from_str(&lab.ok(&["metrics", "-o", "json"])).expect("JSON");
    let rows = metrics.as_array().expect("rows").iter();
    let mut found = rows.filter(|row| row["reason"] == reason && row["direction"] == "ingress");
    found.next().map_or(0, |row| row["packets"].as_u64().expect("packets"))
}

#[test]
fn an_entry_that_leads_nowhere_drops() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    assert!(lab.connects("10.77.0.1:80") && dropped(&lab, 140) == 0);
    let jump = guarded(&lab).join("jump");
    bpftool(&["map", "delete", "pinned", utf8(&jump), "key", "0", "0", "0", "0"]);
    for address in ["10.77.0.1:80", "[fd77::1]:80", "10.77.0.1:81"] {
        assert!(!lab.connects(address), "{address}");
    }
    assert!(dropped(&lab, 140) > 0);
    assert!(lab.ok(&["metrics"]).contains("Missed tail call"));
}

#[test]
fn a_slot_of_nobody_drops_until_the_bundle_is_applied_again() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    let endpoints = guarded(&lab).join("endpoints");
    for stranger in ["0", "9"] {
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
        let dump = Command::new("bpftool").args(["-j", "map", "dump", "pinned", utf8(&endpoints)]).output().unwrap();
        let dump: Value = serde_json::from_slice(&dump.stdout).unwrap();
        let slot = dump.as_array().unwrap().iter().position(|slot| slot["value"][0] != "0x00").unwrap().to_string();
        let mut write =
            vec!["map", "update", "pinned", utf8(&endpoints), "key", &slot, "0", "0", "0", "value", stranger];
        write.extend(["0"; 71]);
        bpftool(&write);
        let before = dropped(&lab, 203);
        assert!(!lab.connects("10.77.0.1:80") && !lab.connects("[fd77::1]:80"), "{stranger}");
        assert!(dropped(&lab, 203) > before);
        let shown = lab.ok(&["events", "--type", "drop", "--timeout", "1"]);
        assert!(shown.contains("Endpoint policy program not available"), "{shown}");
        lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    }
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
}
