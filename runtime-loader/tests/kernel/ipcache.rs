//! Pods of other nodes: who has an address, from the first packet and through a switch.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::handmade;
use crate::lab::{DEATHSTAR, Lab, loader, utf8};

/// A bundle without xwing's addresses: its packets come from the world.
pub fn strangers(lab: &Lab, name: &str, port: u8) -> std::path::PathBuf {
    let mut files = handmade::files(port, |path| crate::lab::objects()[path].clone());
    let manifest = serde_json::from_slice(&files["manifest.json"]);
    let mut manifest: ciliumc_abi::manifest::Manifest = manifest.expect("manifest");
    files.insert("tables/ipcache.bin".to_owned(), Vec::new());
    let empty = ciliumc_abi::manifest::File { sha256: handmade::sha256(b""), size: 0 };
    manifest.files.insert("tables/ipcache.bin".to_owned(), empty);
    handmade::seal(&mut files, &manifest);
    lab.write_bundle(name, &files)
}

/// Runs the loader with something on its standard input.
pub fn with_input(lab: &Lab, args: &[&str], input: impl AsRef<[u8]>) -> std::process::Output {
    let (root, state) = (lab.root(), lab.state());
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let input = input.as_ref().to_owned();
    lab.inside_node(move || {
        let mut command = Command::new(loader());
        command.arg("--root").arg(root).arg("--state-dir").arg(state).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the loader runs");
        // It may have refused its arguments and be gone.
        let _ = child.stdin.take().expect("stdin").write_all(&input);
        child.wait_with_output().expect("the loader ends")
    })
}

#[test]
fn an_address_of_another_node_is_known_until_it_is_taken_back() {
    let Some(lab) = Lab::new() else { return };
    let bundle = strangers(&lab, "strangers", 80);
    lab.add(&bundle, DEATHSTAR);
    assert!(!lab.connects("10.77.0.1:80"), "the world may not");
    assert!(lab.ok(&["ipcache", "get", "10.77.0.3"]).contains("identity 2 reserved:world (bundle)"));

    lab.ok(&["ipcache", "upsert", "10.77.0.3", "1256"]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "xwing may, on its port");
    assert!(!lab.connects("[fd77::1]:80"), "nobody spoke of that address");
    lab.ok(&["ipcache", "upsert", "fd77::3", "--labels", "app=xwing"]);
    assert!(lab.connects("[fd77::1]:80") && !lab.connects("[fd77::1]:81"));
    let get = lab.ok(&["ipcache", "get", "fd77::3"]);
    assert_eq!(get, "fd77::3 maps to identity 1256 k8s:app=xwing (ipcache upsert)\n");

    // Through a switch, a rollback, and another number of the same labels.
    let mut next = strangers(&lab, "next", 81);
    for (port, other) in [(81, 80), (80, 81)] {
        match port {
            81 => lab.ok(&["apply", "--bundle", utf8(&next)]),
            _ => lab.ok(&["rollback"]),
        };
        assert!(lab.connects(&format!("10.77.0.1:{port}")), "port {port} after the switch");
        assert!(!lab.connects(&format!("10.77.0.1:{other}")), "port {other} after the switch");
    }
    let mut files = handmade::files(82, |path| crate::lab::objects()[path].clone());
    let mut manifest: ciliumc_abi::manifest::Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    manifest.identities.iter_mut().filter(|i| i.identity.0 == 1256).for_each(|i| i.identity.0 = 4711);
    handmade::seal(&mut files, &manifest);
    next = lab.write_bundle("renumbered", &files);
    lab.ok(&["apply", "--bundle", utf8(&next)]);
    assert!(lab.ok(&["ipcache", "get", "10.77.0.3"]).contains("identity 4711 k8s:app=xwing (ipcache upsert)"));
    assert!(lab.connects("10.77.0.1:82"));

    lab.ok(&["rollback"]);
    lab.ok(&["ipcache", "delete", "10.77.0.3"]);
    assert!(!lab.connects("10.77.0.1:80"), "the world again, at once");
    assert!(lab.connects("[fd77::1]:80"), "the other one stays");
    lab.ok(&["rollback"]);
    assert!(lab.ok(&["ipcache", "get", "10.77.0.3"]).contains("xwing (bundle)"), "this bundle knows it by itself");
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let Some(lab) = Lab::new() else { return };
    lab.fails(3, &["ipcache", "upsert", "10.78.0.1", "1256"]);
    lab.add(&lab.bundle(80), DEATHSTAR);
    let many: String = (0..2000).map(|n| format!("10.78.{}.{} 1256\n", n / 250, n % 250)).collect();
    let out = with_input(&lab, &["ipcache", "upsert", "-"], format!("{many}fd78::1 1257\n"));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(lab.ok(&["ipcache", "get", "10.78.7.249"]).contains("identity 1256"));
    assert!(lab.ok(&["ipcache", "get", "fd78::1"]).contains("identity 1257"));
    assert_eq!(lab.ok(&["ipcache", "list"]).lines().count(), 1 + 4 + 2001);

    for (line, code) in [
        ("10.79.0.2 9999", 3),
        ("10.77.0.1 1256", 3),
        ("10.79.0.2 1", 3),
        ("10.79.0.2", 2),
        ("{\"address\": \"10.79.0.2\"}", 2),
        ("{\"address\": \"10.79.0.2\", \"labels\": {\"app\": \"droid\"}}", 3),
    ] {
        let out = with_input(&lab, &["ipcache", "upsert", "-"], format!("10.79.0.1 1256\n{line}\n"));
        assert_eq!(out.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(lab.ok(&["ipcache", "get", "10.79.0.1"]).contains("world"), "{line}: nothing was taken");
    }
    let json = "{\"address\": \"10.79.0.1\", \"labels\": {\"app\": \"xwing\"}}\n";
    assert!(with_input(&lab, &["ipcache", "upsert", "-"], json).status.success());
    assert!(lab.ok(&["ipcache", "get", "10.79.0.1"]).contains("xwing"));
    assert!(with_input(&lab, &["ipcache", "delete", "-"], "10.79.0.1\nfd78::1\n").status.success());
    assert!(lab.ok(&["ipcache", "get", "10.79.0.1"]).contains("world"));
    lab.fails(3, &["ipcache", "delete", "10.79.0.1"]);
}
