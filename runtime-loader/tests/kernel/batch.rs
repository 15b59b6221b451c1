//! Many endpoints in one process.

use std::time::Instant;

use serde_json::{Value, json};

use crate::ipcache::with_input;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

/// Veths for the batch, beside the two pods.
pub fn interfaces(lab: &Lab, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("vb{n}")).collect();
    let script: String =
        (0..count).map(|n| format!("link add vb{n} type veth peer name vp{n}\nlink set vb{n} up\n")).collect();
    let file = lab.state().with_file_name("links");
    std::fs::write(&file, script).expect("file");
    let node = lab.node().to_owned();
    let args = ["-n".to_owned(), node, "-batch".to_owned(), utf8(&file).to_owned()];
    assert!(std::process::Command::new("ip").args(args).status().expect("ip").success());
    names
}

#[test]
fn a_batch_answers_every_line_and_goes_on_behind_a_bad_one() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    let lines = [
        json!({"endpoint": DEATHSTAR.0, "interface": DEATHSTAR.1}),
        json!({"endpoint": "default/fleet", "interface": "nosuch0", "addresses": ["10.77.0.9"]}),
        json!({"labels": ["app=xwing"], "name": "run/time", "interface": XWING.1, "addresses": ["10.77.0.3", "fd77::3"]}),
        json!({"labels": {"app": "droid"}, "name": "run/droid", "interface": "lo", "addresses": ["10.77.0.8"]}),
        json!({"interface": "vdeath"}),
    ];
    let mut input = b"{\"endpoint\": \"\xff\", \"interface\": \"vdeath\"}\n".to_vec();
    input.extend(lines.iter().flat_map(|line| format!("{line}\n\n").into_bytes()));
    let out = with_input(&lab, &["endpoint", "add", "--batch", "-", "-o", "json"], &input);
    assert_eq!(out.status.code(), Some(5), "the worst of them");
    let answers: Vec<Value> =
        String::from_utf8_lossy(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((answers.len(), &answers[0]["exit_code"]), (6, &2.into()), "the first one is not UTF-8");
    let answers = &answers[1..];
    assert_eq!(answers[0]["name"], DEATHSTAR.0);
    assert_eq!(answers[1]["exit_code"], 5);
    assert_eq!(answers[2]["name"], "run/time");
    assert!(answers[3]["error"].as_str().unwrap().contains("deny-all"), "{}", answers[3]);
    assert_eq!(answers[4]["exit_code"], 2);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    assert!(lab.connects("[fd77::1]:80") && !lab.connects("[fd77::1]:81"));
}

#[test]
fn a_line_may_be_about_another_namespace() {
    let Some(lab) = Lab::new() else { return };
    let netns = format!("/run/netns/{}", lab.node());
    // The loader runs where interfaces have other numbers.
    let elsewhere = lab.pod(XWING.1);
    let ok = |args: &[&str]| {
        let out = lab.loader_in(&elsewhere, args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    let batch = lab.state().with_file_name("batch");
    let lines = [DEATHSTAR, XWING]
        .map(|(name, interface, _)| format!("{}\n", json!({"endpoint": name, "interface": interface, "netns": netns})));
    std::fs::write(&batch, lines.concat()).unwrap();
    ok(&["endpoint", "add", "--batch", utf8(&batch)]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let status = ok(&["status"]);
    assert!(!status.contains("unknown ") && !status.contains("DETACHED"), "{status}");

    // Somebody took its programs away: the next `apply` puts them where they were.
    std::fs::remove_file(lab.root().join("endpoints/1/to_container")).unwrap();
    std::fs::remove_file(lab.root().join("endpoints/1/from_container")).unwrap();
    let gone = format!("DETACHED    endpoint 1 {}: nothing judges packets of vdeath; add it again", DEATHSTAR.0);
    assert!(ok(&["status"]).contains(&gone));
    ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
}

#[test]
fn a_hundred_endpoints_are_added_and_moved() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    let names = interfaces(&lab, 100);
    let input: String = names
        .iter()
        .enumerate()
        .map(|(n, interface)| {
            let labels = if n % 2 == 0 { "app=deathstar" } else { "app=fleet" };
            let line = json!({"labels": [labels], "name": format!("run/{n}"), "interface": interface,
                "addresses": [format!("10.80.0.{n}"), format!("fd80::{n}")]});
            format!("{line}\n")
        })
        .collect();
    let out = with_input(&lab, &["endpoint", "add", "--batch", "-", "-o", "json"], &input);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let answers = String::from_utf8_lossy(&out.stdout).into_owned();
    let answers = answers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut micros: Vec<u64> = answers.map(|answer| answer["micros"].as_u64().unwrap()).collect();
    micros.sort_unstable();
    // With --nocapture. The verifier's time is nearly all of it, so a busy machine says little: nothing is asserted.
    println!("endpoint add --batch: p50 {} us, p99 {} us", micros[50], micros[99]);
    let status: Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).unwrap();
    let endpoints = status["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 100);
    let attached = |endpoint: &Value| {
        ["from_container", "to_container"].iter().all(|hook| endpoint["programs"][hook]["state"] == "attached")
    };
    assert!(endpoints.iter().all(attached));
    assert!(lab.ok(&["ipcache", "get", "10.80.0.98"]).contains("identity 1257"));
    let start = Instant::now();
    lab.ok(&["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1]);
    println!("endpoint add in a process of its own, beside 100 others: {:?}", start.elapsed());
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    let list: Value = serde_json::from_str(&lab.ok(&["endpoint", "list", "-o", "json"])).unwrap();
    assert!(list.as_array().unwrap().iter().all(|endpoint| endpoint["record"]["generation"] == 2), "all were moved");
    assert!(!lab.connects("10.77.0.1:80"));
}
