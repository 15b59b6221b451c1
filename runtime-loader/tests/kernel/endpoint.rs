//! One endpoint's life.

use crate::handmade;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

#[test]
fn policy_holds_from_add_to_del() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    assert!(lab.connects("10.77.0.1:81") && lab.connects("[fd77::1]:81"), "the network works without policy");
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    assert!(lab.connects("10.77.0.1:80") && lab.connects("[fd77::1]:80"));
    assert!(!lab.connects("10.77.0.1:81") && !lab.connects("[fd77::1]:81"));
    assert!(lab.connects_back(), "replies pass by conntrack");

    let status = lab.ok(&["status"]);
    assert!(status.contains("default/deathstar") && status.contains("attached, program"), "{status}");
    let list: serde_json::Value = serde_json::from_str(&lab.ok(&["endpoint", "list", "-o", "json"])).unwrap();
    assert_eq!(list[0]["record"]["name"], "default/deathstar");
    assert!(list[0]["programs"]["to_container"]["packets"].as_u64().unwrap() > 0, "{list}");

    lab.ok(&["endpoint", "del", "--endpoint", "default/deathstar"]);
    assert!(lab.connects("10.77.0.1:81"), "nothing judges it any more");
    let refused = lab.fails(3, &["endpoint", "del", "--endpoint", "default/deathstar"]);
    assert!(refused.contains("no endpoint `default/deathstar`"), "{refused}");
}

#[test]
fn unload_leaves_nothing() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    let ids = lab.kernel_ids();
    let listing = lab.listing();
    let dry = lab.ok(&["unload", "--dry-run"]);
    assert_eq!(lab.listing(), listing, "a dry run changes nothing");
    let said = lab.ok(&["unload"]);
    assert!(said.starts_with(&dry), "the dry run said what is done:\n{dry}\n{said}");
    assert_eq!(lab.listing(), Vec::<String>::new());
    assert!(!lab.state().exists() && !lab.root().exists());
    lab.assert_gone(&ids);
    lab.ok(&["unload"]);
}

#[test]
fn a_second_add_renews_and_a_dry_run_changes_nothing() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let args = ["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    let dry = lab.ok(&[&args[..], &["--dry-run"]].concat());
    assert!(dry.contains("attach to_container of endpoint 1 to vdeath, tcx egress"), "{dry}");
    assert!(lab.listing().is_empty());
    lab.ok(&args);
    let listing = lab.listing();
    let first = lab.kernel_ids().1;
    lab.ok(&args);
    assert_eq!(lab.listing(), listing);
    assert_ne!(lab.kernel_ids().1, first, "the programs were renewed");
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
}

#[test]
fn an_address_decides_who_a_peer_is() {
    let Some(lab) = Lab::new() else { return };
    // Without xwing's addresses in the bundle its packets come from the world.
    let mut files = handmade::files(80, |path| crate::lab::objects()[path].clone());
    let mut manifest: ciliumc_abi::manifest::Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    files.insert("tables/ipcache.bin".to_owned(), Vec::new());
    let empty = ciliumc_abi::manifest::File { sha256: handmade::sha256(b""), size: 0 };
    manifest.files.insert("tables/ipcache.bin".to_owned(), empty);
    handmade::seal(&mut files, &manifest);
    let bundle = lab.write_bundle("strangers", &files);
    lab.add(&bundle, DEATHSTAR);
    assert!(!lab.connects("10.77.0.1:80") && !lab.connects("[fd77::1]:80"), "world may not");
    lab.add(&bundle, XWING);
    assert!(lab.connects("10.77.0.1:80") && lab.connects("[fd77::1]:80"), "xwing may, from the moment it is added");
    lab.ok(&["endpoint", "del", "--endpoint", XWING.0]);
    assert!(!lab.connects("10.77.0.1:80") && !lab.connects("[fd77::1]:80"), "nobody inherits its addresses");
}

#[test]
fn a_workload_s_instance_gets_its_address_from_the_node() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let add = |more: &[&str]| {
        let args = ["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", "default/fleet", "--interface"];
        lab.loader(&[&args[..], more].concat()).status.code()
    };
    assert_eq!(add(&[XWING.1]), Some(2), "no address");
    assert_eq!(add(&[XWING.1, "--address", "10.77.0.3", "--address", "10.77.0.4"]), Some(2), "two of a family");
    assert_eq!(add(&[XWING.1, "--address", "10.77.0.3", "--address", "fd77::3"]), Some(0));
    assert_eq!(add(&[DEATHSTAR.1, "--address", "10.77.0.3"]), Some(3), "an address has one owner");
    assert_eq!(add(&[DEATHSTAR.1, "--address", "10.77.0.1"]), Some(0), "a second instance");
    assert_eq!(lab.loader(&["endpoint", "del", "--endpoint", "default/fleet"]).status.code(), Some(2));
    lab.ok(&["endpoint", "del", "--id", "1"]);
    lab.ok(&["endpoint", "del", "--endpoint", "default/fleet"]);
    assert_eq!(lab.ok(&["endpoint", "list"]).lines().count(), 1, "the head alone");
}

#[test]
fn the_monitor_names_the_rule() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    assert!(!lab.connects("10.77.0.1:81"));
    assert!(lab.connects("10.77.0.1:80"));
    // The kernel's own multicast is dropped and reported, too.
    let lines = lab.ok(&["monitor", "--type", "drop", "--timeout", "1"]);
    let line = lines.lines().find(|line| line.contains("default/xwing")).unwrap();
    assert!(line.starts_with("drop  ingress  default/xwing (id 1256, 10.77.0.3:"), "{line}");
    assert!(line.contains("-> default/deathstar (id 1257, 10.77.0.1:81) tcp  Policy denied (133)"), "{line}");
    assert!(line.ends_with("by CiliumNetworkPolicy default/rule80 spec.ingress[0] policies.yaml:12"), "{line}");

    assert!(lab.connects("[fd77::1]:80"));
    let select = ["--type", "verdict", "--endpoint", "default/deathstar", "--count", "1", "--timeout", "5"];
    let json = lab.ok(&[&["monitor", "-o", "json"], &select[..]].concat());
    let flow = &crate::hubble::read(json.trim()).unwrap()["flow"];
    assert_eq!((&flow["verdict"], &flow["traffic_direction"]), (&"FORWARDED".into(), &"INGRESS".into()));
    assert_eq!((&flow["source"]["labels"][0], &flow["destination"]["ID"]), (&"k8s:app=xwing".into(), &1.into()));
    assert_eq!(flow["ingress_allowed_by"][0]["labels"][4], "ciliumc:file=policies.yaml:12");
    assert!(flow["time"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')), "{flow}");
    // A packet that passes is traced, its reply too; one that is dropped is not.
    lab.ok(&["monitor", "--timeout", "1"]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let traces = lab.ok(&["monitor", "--type", "trace", "--endpoint", "default/deathstar", "--timeout", "1"]);
    let first = traces.lines().find(|line| line.contains(" state new")).unwrap();
    assert!(first.starts_with("trace  ingress  default/xwing (id 1256, 10.77.0.3:"), "{first}");
    assert!(
        first.contains("-> default/deathstar (id 1257, 10.77.0.1:80) tcp  to-endpoint state new  by Cilium"),
        "{first}"
    );
    let reply = traces.lines().find(|line| line.contains(" state reply")).unwrap();
    assert!(reply.starts_with("trace  egress  default/deathstar (id 1257, 10.77.0.1:80) -> default/xwing"), "{reply}");
    assert!(reply.ends_with(" tcp  to-stack state reply"), "{reply}");
    assert!(!traces.contains(":81)") && !traces.contains("drop  "), "{traces}");
    // Every line of a stream is one.
    assert!(!lab.connects("10.77.0.1:81") && lab.connects("[fd77::1]:80"));
    let stream = lab.ok(&["monitor", "-o", "json", "--timeout", "1"]);
    assert!(stream.lines().count() > 1, "{stream}");
    for line in stream.lines() {
        crate::hubble::read(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn an_interface_may_lie_in_another_namespace() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let netns = format!("/run/netns/{}", lab.node());
    let args = ["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    let elsewhere = |more: &[&str]| lab.loader_in(&lab.pod(XWING.1), &[&args[..], more].concat());
    assert_eq!(elsewhere(&[]).status.code(), Some(5), "there is no such interface here");
    assert_eq!(elsewhere(&["--netns", "/run/netns/nosuch"]).status.code(), Some(5));
    assert!(lab.listing().is_empty());
    assert_eq!(elsewhere(&["--netns", &netns]).status.code(), Some(0));
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"), "links need no namespace");
}
