//! Programs of somebody else at an endpoint's interface: in front of ours they decide first, which is said.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use ciliumc_loader::sys::bpf::{self, TCX_EGRESS};
use ciliumc_loader::sys::{load, net, tc};
use serde_json::Value;

use crate::lab::{DEATHSTAR, Lab, utf8};

/// Returns TCX_PASS (0): what comes passes, and no program behind it sees it.
const PASSES: [u64; 2] = [0x0000_0000_0000_00b7, 0x95];

fn passes() -> OwnedFd {
    load::program(&PASSES, "lets_all_pass", None).expect("a program")
}

/// A foreign tcx program in front of all others where deathstar's packets come to it; gone with the link. And its
/// number.
fn in_front(lab: &Lab) -> (OwnedFd, u32) {
    lab.inside_node(|| {
        let program = passes();
        let ifindex = net::ifindex(DEATHSTAR.1).expect("interface");
        let link = bpf::tcx_attach(program.as_fd(), ifindex, TCX_EGRESS).expect("a link");
        (link, bpf::prog_id(program.as_fd()).expect("a number"))
    })
}

fn add(lab: &Lab, more: &[&str]) {
    let add = ["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    lab.ok(&[&add[..], more].concat());
}

fn ahead(lab: &Lab) -> Value {
    let status: Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).expect("JSON");
    let programs = &status["endpoints"][0]["programs"];
    assert_eq!(programs["from_container"]["ahead"], Value::Array(Vec::new()), "nobody is there");
    programs["to_container"]["ahead"].clone()
}

#[test]
fn a_program_in_front_of_ours_is_named_and_one_behind_is_not() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    let (behind, _) = in_front(&lab);
    add(&lab, &[]);
    assert!(!lab.connects("10.77.0.1:81"), "ours goes first when it comes");
    assert_eq!(ahead(&lab), Value::Array(Vec::new()));
    assert!(!lab.ok(&["status"]).contains("AHEAD"));

    let (link, id) = in_front(&lab);
    assert!(lab.connects("10.77.0.1:81"), "what stands in front decides");
    assert_eq!(ahead(&lab), serde_json::json!([{"program": id, "name": "lets_all_pass"}]));
    let expected = format!(
        "endpoint 1 {}: program {id} `lets_all_pass` stands before to_container at vdeath (tcx egress), so ",
        DEATHSTAR.0
    );
    let status = lab.ok(&["status"]);
    assert_eq!(status.matches(&format!("AHEAD       {expected}")).count(), 1, "{status}");
    assert_eq!(status.matches("AHEAD").count(), 1, "{status}");
    let applied = lab.loader(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    let notes = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success() && notes.contains(&format!("note: {expected}")), "{notes}");
    assert!(lab.ok(&["metrics", "--prometheus"]).contains("\nciliumc_endpoint_overtaken 1\n"));

    drop(link);
    lab.ok(&["endpoint", "list"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while ahead(&lab) != Value::Array(Vec::new()) {
        assert!(std::time::Instant::now() < end, "the kernel lets go of a link behind its last descriptor");
    }
    assert!(!lab.connects("10.77.0.1:80") && lab.connects("10.77.0.1:81"), "ours decides again, by the new bundle");
    assert!(lab.ok(&["metrics", "--prometheus"]).contains("\nciliumc_endpoint_overtaken 0\n"));
    drop(behind);
}

#[test]
fn a_filter_in_front_of_ours_is_named_and_one_behind_is_not() {
    let Some(lab) = Lab::new() else { return };
    let pin = lab.root().with_file_name("passes");
    let to = pin.clone();
    let id = lab.inside_node(move || {
        let program = passes();
        bpf::obj_pin(program.as_fd(), &to).expect("a pin");
        tc::ensure_qdisc(net::ifindex(DEATHSTAR.1).expect("interface")).expect("a qdisc");
        bpf::prog_id(program.as_fd()).expect("a number")
    });
    let tc = |what: &str, place: &[&str], program: &[&str]| {
        let side = ["-n", lab.node(), "filter", what, "dev", DEATHSTAR.1, "egress", "protocol", "all"];
        let args = [&side[..], place, &["bpf"], program].concat();
        assert!(Command::new("tc").args(&args).status().expect("tc").success(), "{args:?}");
    };
    let pinned = ["da", "pinned", utf8(&pin)];
    // No packet gets to a chain that no filter leads to.
    tc("add", &["pref", "1", "chain", "4"], &pinned);
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    add(&lab, &["--attach", "clsact"]);
    tc("add", &["pref", "2"], &pinned);
    assert!(!lab.connects("10.77.0.1:81"));
    assert_eq!(ahead(&lab), Value::Array(Vec::new()));

    // At our own priority, which is the first that there is: the newer one stands in front.
    tc("add", &["pref", "1", "handle", "2"], &pinned);
    assert!(lab.connects("10.77.0.1:81"), "what stands in front decides");
    let seen = ahead(&lab);
    assert_eq!((seen.as_array().map(Vec::len), &seen[0]["program"]), (Some(1), &id.into()), "{seen}");
    assert!(lab.ok(&["status"]).contains("stands before to_container at vdeath (clsact egress), so "));
    tc("del", &["pref", "1", "handle", "2"], &[]);
    assert_eq!(ahead(&lab), Value::Array(Vec::new()));
    assert!(!lab.connects("10.77.0.1:81"));

    // All of tcx stands before any filter.
    let (_link, id) = in_front(&lab);
    assert_eq!(ahead(&lab)[0]["program"], id);
    assert_eq!(lab.inside_node(|| tc::ahead(net::ifindex(DEATHSTAR.1).unwrap(), tc::EGRESS).unwrap()), []);
}
