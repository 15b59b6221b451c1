//! Endpoints that the bundle does not know: refused, cut off, and free again when it knows them.

use serde_json::Value;

use crate::handmade;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn an_unknown_endpoint_is_cut_off_until_a_bundle_knows_it() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    lab.add(&bundle, XWING);
    assert!(lab.connects("10.77.0.1:81") && lab.connects_back(), "nothing guards it yet");
    let args = ["endpoint", "add", "--endpoint", "default/droid", "--interface", DEATHSTAR.1];
    let address = ["--address", "10.77.0.1", "--address", "fd77::1"];
    let refused = lab.fails(3, &[&args[..], &address].concat());
    assert!(refused.contains("no endpoint `default/droid`; it has default/deathstar"), "{refused}");
    assert!(refused.contains("vdeath drops everything (deny-all, endpoint 2)"), "{refused}");
    for there in ["10.77.0.1:80", "10.77.0.1:81", "[fd77::1]:80"] {
        assert!(!lab.connects(there), "{there} is cut off");
    }
    assert!(!lab.connects_back(), "nor does it reach anybody");

    let list = lab.ok(&["endpoint", "list"]);
    let line = list.lines().find(|line| line.contains("default/droid")).unwrap();
    assert!(line.contains("Deny-all") && line.ends_with("deny-all"), "{list}");
    let status = lab.ok(&["status"]);
    assert!(status.contains("DENY-ALL    endpoint 2 default/droid: the bundle does not know it"), "{status}");
    let get = json(&lab.ok(&["endpoint", "get", "--endpoint", "default/droid", "-o", "json"]));
    assert!(get["programs"]["to_container"]["packets"].as_u64().unwrap() > 0, "drops are counted: {get}");
    assert!(get["programs"]["from_container"]["packets"].as_u64().unwrap() > 0, "drops are counted: {get}");
    assert_eq!(get["record"]["identity"], 0);
    assert_eq!(json(&lab.ok(&["status", "-o", "json"]))["deny_all"], serde_json::json!([2]));

    // The bundle in force still does not know it; one that does sets it free, to its policy and no further.
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    assert!(!lab.connects("10.77.0.1:80"));
    let mut files = handmade::files(81, |path| crate::lab::objects()[path].clone());
    let mut manifest: ciliumc_abi::manifest::Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let mut droid = manifest.endpoints.remove(DEATHSTAR.0).unwrap();
    droid.addresses.clear();
    manifest.endpoints.insert("default/droid".to_owned(), droid);
    handmade::seal(&mut files, &manifest);
    lab.ok(&["apply", "--bundle", utf8(&lab.write_bundle("droid", &files))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    assert!(lab.connects_back());
    assert!(lab.ok(&["status"]).contains("endpoints   2"));
}

#[test]
fn unknown_labels_are_refused_and_known_ones_lead_to_their_class() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    lab.add(&bundle, XWING);
    let add = |labels: &'static str| {
        vec![
            "endpoint",
            "add",
            "--labels",
            labels,
            "--name",
            "run/time",
            "--interface",
            DEATHSTAR.1,
            "--address",
            "10.77.0.1",
        ]
    };
    let refused = lab.fails(3, &add("app=deathstar,class=executor"));
    assert!(refused.contains("no identity of the bundle has the label `k8s:class=executor`"), "{refused}");
    assert!(!lab.connects("10.77.0.1:80"), "cut off");
    lab.fails(2, &["endpoint", "add", "--labels", "app=deathstar", "--interface", DEATHSTAR.1]);

    lab.ok(&add("app=deathstar"));
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "deathstar's policy, no other");
    let get = lab.ok(&["endpoint", "get", "--endpoint", "run/time"]);
    assert!(get.contains("identity 1257") && get.contains("k8s:app=deathstar"), "{get}");
    let identity = lab.ok(&["ipcache", "get", "10.77.0.1"]);
    assert_eq!(identity, "10.77.0.1 maps to identity 1257 k8s:app=deathstar (endpoint 2 run/time)\n");
    // A generation switch finds it by its labels.
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    let refused = lab.fails(3, &add("app=droid"));
    assert!(refused.contains("deny-all"), "{refused}");
    assert!(!lab.connects("10.77.0.1:81"), "what was under policy is cut off by a renewal that names nobody");
}
