//! What goes wrong on a node by itself: each time a sentence that helps, the right exit code, and nothing half done.

use std::path::Path;
use std::process::Command;

use crate::ipcache::with_input;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().expect("it runs").success(), "{program} {args:?}");
}

fn add<'a>((name, interface, _): (&'a str, &'a str, u8)) -> [&'a str; 6] {
    ["endpoint", "add", "--endpoint", name, "--interface", interface]
}

#[test]
fn without_a_bundle_in_force_there_is_nothing_to_say() {
    let Some(lab) = Lab::new() else { return };
    for args in [
        &add(DEATHSTAR)[..],
        &["endpoint", "add", "--batch", "/dev/null"],
        &["ipcache", "get", "10.77.0.1"],
        &["ipcache", "upsert", "10.77.0.1", "1256"],
        &["identity", "list"],
    ] {
        let error = lab.fails(3, args);
        assert!(error.contains("no bundle is in force here; `apply` one first"), "{args:?}: {error}");
    }
    assert!(lab.fails(3, &["rollback"]).contains("no generation to go back to"));
    assert!(lab.fails(5, &["monitor"]).contains("`apply` a bundle"));
    let file = lab.state().with_file_name("policy.yaml");
    std::fs::write(&file, "kind: NetworkPolicy\n".repeat(100)).unwrap();
    assert!(lab.fails(3, &["apply", "--bundle", utf8(&file)]).contains("does not begin as a tar archive does"));
    assert!(!lab.root().exists());
}

#[test]
fn an_interface_that_went_is_told_from_one_that_nobody_guards() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    lab.ok(&add(DEATHSTAR));
    assert!(!lab.ok(&["status"]).contains("DETACHED"));
    assert!(lab.ok(&["metrics", "--prometheus"]).contains("\nciliumc_endpoint_detached 0\n"));
    let notes = |port| {
        let out = lab.loader(&["apply", "--bundle", utf8(&lab.bundle(port))]);
        assert!(out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    run("ip", &["-n", lab.node(), "link", "del", DEATHSTAR.1]);
    let gone = format!("endpoint 1 {}: its interface vdeath is gone; `endpoint del --id 1` forgets it", DEATHSTAR.0);
    assert!(lab.ok(&["status"]).contains(&format!("DETACHED    {gone}")));
    assert!(notes(81).contains(&format!("note: {gone}")));
    assert!(lab.ok(&["metrics", "--prometheus"]).contains("\nciliumc_endpoint_detached 1\n"));

    // Another one with its name: it is another interface, and nobody was told whose.
    run("ip", &["-n", lab.node(), "link", "add", DEATHSTAR.1, "type", "veth", "peer", "name", "vother"]);
    let open = format!("endpoint 1 {}: nothing judges packets of vdeath; add it again", DEATHSTAR.0);
    assert!(lab.ok(&["status"]).contains(&format!("DETACHED    {open}")));
    assert!(notes(80).contains(&format!("note: {open}")));
    lab.ok(&add(DEATHSTAR));
    assert!(!lab.ok(&["status"]).contains("DETACHED"));
}

#[test]
fn an_interface_has_one_endpoint_whatever_it_is_called() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    lab.ok(&add(DEATHSTAR));
    run("ip", &["-n", lab.node(), "link", "property", "add", "dev", DEATHSTAR.1, "altname", "deathstar0"]);
    let error = lab.fails(3, &add((XWING.0, "deathstar0", 0)));
    assert!(error.contains("interface deathstar0 is endpoint 1 default/deathstar"), "{error}");
    // The kernel reads a name up to the colon.
    assert!(lab.fails(5, &add((XWING.0, "vdeath:1", 0))).contains("there is no interface `vdeath:1`"));
    let gone = lab.fails(5, &[&add(XWING)[..], &["--netns", "/run/netns/nowhere"]].concat());
    assert!(gone.contains("`/run/netns/nowhere`: No such file") && !gone.contains("CAP_SYS_ADMIN"), "{gone}");
    lab.ok(&add((DEATHSTAR.0, "deathstar0", 0)));
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
}

/// Takes all room of a file system.
fn fill(folder: &Path) {
    let file = folder.join("fill");
    std::fs::write(&file, vec![0; 8 << 20]).expect_err("it is full");
    assert!(file.metadata().expect("a file").len() > 0);
}

#[test]
fn a_full_disk_stops_a_command_and_leaves_nothing_of_it() {
    let Some(lab) = Lab::new() else { return };
    std::fs::create_dir(lab.state()).unwrap();
    let mount = Mount::new(&lab);
    let empty = [format!("{}/fill", utf8(&lab.state()))];
    fill(&lab.state());
    let bundle = lab.bundle(80);
    let apply = ["apply", "--bundle", utf8(&bundle)];
    let full = |args: &[&str]| {
        let error = lab.fails(5, args);
        assert!(error.contains("No space left on device"), "{error}");
    };
    full(&apply);
    assert_eq!(lab.listing(), empty);
    let room = || std::fs::remove_file(lab.state().join("fill")).unwrap();
    room();
    lab.ok(&apply);
    fill(&lab.state());
    let listing = lab.listing();
    full(&add(DEATHSTAR));
    full(&["ipcache", "upsert", "10.78.0.1", "1256"]);
    full(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert_eq!(lab.listing(), listing);
    assert!(lab.connects("10.77.0.1:81"), "not half attached");
    room();
    lab.ok(&add(DEATHSTAR));
    fill(&lab.state());
    full(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "the old policy holds");
    let line = format!("{{\"endpoint\": \"{}\", \"interface\": \"{}\"}}\n", XWING.0, XWING.1);
    let out = with_input(&lab, &["endpoint", "add", "--batch", "-", "--expedite-rcu"], line);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(5) && said.contains("/rcu_expedited`: No space left"), "{said}");
    lab.ok(&["endpoint", "del", "--id", "1"]);
    lab.ok(&["unload"]);
    assert_eq!(lab.listing(), empty);
    drop(mount);
}

/// A small file system for the state.
struct Mount<'a>(&'a Lab);

impl<'a> Mount<'a> {
    fn new(lab: &'a Lab) -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=1m,mode=700", "none", utf8(&lab.state())]);
        Self(lab)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // The folder goes with the lab.
        let _ = Command::new("umount").arg(self.0.state()).status();
    }
}
