//! The lab itself, without a program in it: everything gets through, and nothing stays behind.
//!
//! Needs root; skips with the reason, or fails under `CILIUMC_REQUIRE_KERNEL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::process::Command;

use xtask::flow::{self, Flow, Verdict};
use xtask::lab::Lab;
use xtask::report::Report;
use xtask::setup::{self, Need};
use xtask::suite;
use xtask::tools::Tools;
use xtask::traffic::{self, Servers};

const MANIFEST: &str = r#"{
  "schema": 1, "digest": "", "compiler": "", "clang": {"version": "", "flags": []}, "kernel": {"features": []},
  "datapath": {"ipv4": true, "ipv6": true, "world_ipv4": 9, "world_ipv6": 10},
  "maps": {}, "objects": {}, "tables": {}, "identities": [], "classes": [],
  "endpoints": {
    "a/x": {"kind": "Pod", "namespace": "a", "identity": 256, "classes": {}, "node": "n", "addresses": ["10.1.0.1", "fd01::1"]},
    "a/y": {"kind": "Pod", "namespace": "a", "identity": 256, "classes": {}, "node": "n", "addresses": ["10.1.0.2", "fd01::2"]},
    "a/z": {"kind": "Pod", "namespace": "a", "identity": 256, "classes": {}, "node": "m", "addresses": ["10.1.0.3"]}
  },
  "nodes": {"n": {"variant": 0, "addresses": ["10.2.0.1", "fd02::1"]}, "m": {"variant": 0, "addresses": ["10.2.0.2"]}},
  "files": {}
}"#;

const FLOWS: [&str; 10] = [
    "pod:a/x pod:a/y tcp4 80",
    "pod:a/x pod:a/y tcp6 80",
    "pod:a/y pod:a/x udp6 53",
    "pod:a/x ip:198.51.100.7 udp4 53",
    "ip:2001:db8::7 pod:a/x tcp6 80",
    "host pod:a/x ping6",
    "pod:a/x host ping4",
    "pod:a/x pod:a/y frag4 53",
    "pod:a/y pod:a/x frag6 54",
    "pod:a/x host tcp6 10250",
];

#[test]
fn an_empty_lab_forwards_everything_and_leaves_nothing() {
    if let Some(reason) = suite::skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    setup::ensure(Need::Kernel, Report::stdout()).expect("what the lab needs");
    let bundle = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(bundle.path().join("manifest.json"), MANIFEST).expect("a manifest");
    // No process has this pid: the kernel's limit is 2^22.
    let leftover = "ciliumc-labtest-4194305-node";
    assert!(Command::new("ip").args(["netns", "add", leftover]).status().expect("ip").success());

    let flows: Vec<Flow> = FLOWS.iter().map(|text| text.parse().expect("a flow")).collect();
    let tools = Tools { ciliumc: "true".into(), loader: "true".into() };
    let lab = Lab::wire("labtest", 0, &tools, bundle.path(), &flow::outside(&flows)).expect("a lab");
    let names = namespaces();
    assert!(!names.contains(leftover), "a leftover was not swept");
    assert_eq!(names.matches(&own()).count(), 5, "node, two pods, two outside: {names}");
    assert!(lab.netns(&"pod:a/z".parse().expect("a place")).is_err(), "a pod of another node has no place here");
    {
        let _servers = Servers::start(&lab, &flows).expect("servers");
        let verdicts = traffic::observe(&lab, &flows, &[Verdict::Allow; FLOWS.len()]).expect("packets");
        for (flow, verdict) in flows.iter().zip(verdicts) {
            assert_eq!(verdict, Verdict::Allow, "{flow}");
        }
    }
    let closed: Flow = "pod:a/x pod:a/y tcp4 81".parse().expect("a flow");
    let error = traffic::observe(&lab, &[closed], &[Verdict::Deny]).expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
    drop(lab);
    assert_eq!(namespaces().matches(&own()).count(), 0);
}

fn own() -> String {
    format!("ciliumc-labtest-{}-", std::process::id())
}

fn namespaces() -> String {
    let output = Command::new("ip").args(["netns", "list"]).output().expect("ip");
    String::from_utf8(output.stdout).expect("text")
}
