//! Endpoints come and go, and nothing is left of them.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ipcache::with_input;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

/// How often: CILIUMC_LEAK_CYCLES, or a hundred times.
fn cycles() -> usize {
    let asked = std::env::var("CILIUMC_LEAK_CYCLES").ok();
    asked.map_or(100, |cycles| cycles.parse().expect("CILIUMC_LEAK_CYCLES is a number"))
}

/// Whether the kernel still has a map or program.
fn exists(kind: &str, id: u32) -> bool {
    Command::new("bpftool").args([kind, "show", "id", &id.to_string()]).output().expect("bpftool").status.success()
}

#[test]
fn nothing_is_left_of_endpoints_that_came_and_went() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    lab.add(&lab.bundle(80), XWING);
    // The folder of all classes stays behind the first class.
    lab.add(&lab.bundle(80), DEATHSTAR);
    lab.ok(&["endpoint", "del", "--endpoint", DEATHSTAR.0]);
    let (files, ids) = (lab.listing(), lab.kernel_ids());
    let line = |name: &str, labels: &str| {
        let line = json!({"name": name, "labels": [labels], "interface": DEATHSTAR.1,
            "addresses": ["10.77.0.1", "fd77::1"]});
        format!("{line}\n")
    };
    let (mut maps, mut programs) = (Vec::new(), Vec::new());
    for cycle in 0..cycles() {
        // Known, unknown, by name, by labels, one by one and in a batch.
        match cycle % 3 {
            0 => drop(lab.ok(&["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1])),
            1 => {
                let out = with_input(&lab, &["endpoint", "add", "--batch", "-"], &line("run/time", "app=deathstar"));
                assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            }
            _ => {
                let out = with_input(&lab, &["endpoint", "add", "--batch", "-"], &line("run/time", "app=droid"));
                assert_eq!(out.status.code(), Some(3));
            }
        }
        if cycle % 25 < 3 {
            let now = lab.kernel_ids();
            maps.extend(now.0.into_iter().filter(|id| !ids.0.contains(id)));
            programs.extend(now.1.into_iter().filter(|id| !ids.1.contains(id)));
        }
        lab.ok(&["endpoint", "del", "--id", "2"]);
        assert_eq!(lab.listing(), files, "after cycle {cycle}");
    }
    assert!(maps.len() >= 6 && programs.len() >= 6, "{maps:?} {programs:?}");
    assert_eq!(lab.kernel_ids(), ids, "xwing was left alone");
    let end = Instant::now() + Duration::from_secs(10);
    while maps.iter().any(|id| exists("map", *id)) || programs.iter().any(|id| exists("prog", *id)) {
        assert!(Instant::now() < end, "of maps {maps:?} and programs {programs:?} some are still there");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(lab.connects("10.77.0.1:81"), "nothing guards deathstar");
    lab.ok(&["unload"]);
    assert_eq!(lab.listing(), Vec::<String>::new());
}
