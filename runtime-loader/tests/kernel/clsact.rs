//! clsact filters, as on kernels without tcx.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ciliumc_loader::sys::{load, net, tc};
use serde_json::Value;

use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

fn add(lab: &Lab, (name, interface, _): (&str, &str, u8)) -> String {
    lab.ok(&["endpoint", "add", "--attach", "clsact", "--endpoint", name, "--interface", interface])
}

/// What `tc` says of an interface: its clsact qdisc and its filters.
fn filters(lab: &Lab, interface: &str) -> String {
    let show = |what: &[&str]| {
        let args = [&["-n", lab.node()], what].concat();
        String::from_utf8_lossy(&Command::new("tc").args(args).output().expect("tc").stdout).into_owned()
    };
    let qdisc = show(&["qdisc", "show", "dev", interface]);
    let filters = ["ingress", "egress"].map(|side| show(&["filter", "show", "dev", interface, side]));
    [qdisc, filters.concat()].concat()
}

fn program(lab: &Lab) -> u64 {
    let get = lab.ok(&["endpoint", "get", "--endpoint", DEATHSTAR.0, "-o", "json"]);
    let get: Value = serde_json::from_str(&get).expect("JSON");
    get["programs"]["to_container"]["program"].as_u64().expect("a program")
}

#[test]
fn policy_holds_with_filters_from_add_to_del() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    add(&lab, DEATHSTAR);
    add(&lab, XWING);
    assert!(lab.connects("10.77.0.1:80") && lab.connects("[fd77::1]:80"));
    assert!(!lab.connects("10.77.0.1:81") && !lab.connects("[fd77::1]:81"));
    assert!(lab.connects_back(), "replies pass by conntrack");
    let shown = filters(&lab, DEATHSTAR.1);
    assert!(shown.contains("clsact") && shown.contains("ciliumc:1:to_container direct-action"), "{shown}");
    assert!(!lab.root().join("endpoints/1/to_container").exists(), "there is no link");
    let status = lab.ok(&["status"]);
    assert!(status.contains("to_container (clsact egress): attached, program"), "{status}");

    // Renewed and replaced where it is, whatever --attach says now.
    let before = program(&lab);
    lab.ok(&["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1]);
    assert_ne!(program(&lab), before);
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    lab.ok(&["rollback"]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    assert_eq!(filters(&lab, DEATHSTAR.1).matches("ciliumc:1:").count(), 2, "one filter for each direction");

    lab.ok(&["endpoint", "del", "--endpoint", DEATHSTAR.0]);
    assert!(lab.connects("10.77.0.1:81"), "nothing judges it any more");
    assert!(!filters(&lab, DEATHSTAR.1).contains("clsact"), "the qdisc went with the last filter");
    lab.fails(3, &["endpoint", "add", "--attach", "clsact", "--endpoint", "default/droid", "--interface", DEATHSTAR.1]);
    assert!(!lab.connects("10.77.0.1:80"), "deny-all is a filter, too");
    lab.ok(&["unload"]);
    assert!(lab.connects("10.77.0.1:81") && lab.listing().is_empty());
    assert!(!filters(&lab, XWING.1).contains("clsact"));
}

#[test]
fn a_foreign_filter_is_neither_replaced_nor_removed() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    lab.inside_node(|| {
        let ifindex = net::ifindex(DEATHSTAR.1).unwrap();
        // Returns TC_ACT_UNSPEC: everything passes.
        let passes = load::program(&[0xffff_ffff_0000_00b7, 0x95], "passes", None).unwrap();
        tc::ensure_qdisc(ifindex).unwrap();
        tc::replace(ifindex, tc::EGRESS, passes.as_fd(), "somebody").unwrap();
    });
    let before = filters(&lab, DEATHSTAR.1);
    let args = ["endpoint", "add", "--attach", "clsact", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    let refused = lab.fails(3, &args);
    assert!(refused.contains("vdeath (clsact egress) has a filter `somebody`"), "{refused}");
    assert_eq!(filters(&lab, DEATHSTAR.1), before, "not half attached");
    lab.inside_node(|| tc::remove(net::ifindex(DEATHSTAR.1).unwrap(), tc::EGRESS).unwrap());
    lab.ok(&args);
    assert!(!lab.connects("10.77.0.1:81"));
}

#[test]
fn a_filter_in_another_namespace_is_found() {
    let Some(lab) = Lab::new() else { return };
    let netns = format!("/run/netns/{}", lab.node());
    let elsewhere = |args: &[&str]| {
        let out = lab.loader_in(&lab.pod(XWING.1), args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    elsewhere(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    let add = ["endpoint", "add", "--attach", "clsact", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    elsewhere(&[&add[..], &["--netns", &netns]].concat());
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    assert!(elsewhere(&["status"]).contains("to_container (clsact egress): attached"));
    elsewhere(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    elsewhere(&["unload"]);
    assert!(!filters(&lab, DEATHSTAR.1).contains("clsact"));
}

#[test]
fn no_packet_slips_through_while_filters_are_replaced() {
    let Some(lab) = Lab::new() else { return };
    let bundles = [lab.bundle(80), lab.bundle(81)];
    lab.ok(&["apply", "--bundle", utf8(&bundles[0])]);
    add(&lab, DEATHSTAR);
    add(&lab, XWING);
    let forbidden: SocketAddr = "10.77.0.1:90".parse().unwrap();
    let listener = lab.inside(&lab.pod(DEATHSTAR.1), move || TcpListener::bind(forbidden).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let hammer = {
        let (stop, pod) = (stop.clone(), lab.pod(XWING.1));
        std::thread::spawn(move || {
            ciliumc_loader::sys::net::enter_netns(&std::path::Path::new("/run/netns").join(pod)).unwrap();
            let (mut tried, mut passed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                tried += 1;
                passed += u32::from(TcpStream::connect_timeout(&forbidden, Duration::from_millis(2)).is_ok());
            }
            (tried, passed)
        })
    };
    for round in 0..10 {
        lab.ok(&["apply", "--bundle", utf8(&bundles[(round + 1) % 2])]);
    }
    stop.store(true, Ordering::Relaxed);
    let (tried, passed) = hammer.join().unwrap();
    drop(listener);
    assert!(tried > 50 && passed == 0, "{passed} of {tried} connections passed");
}
