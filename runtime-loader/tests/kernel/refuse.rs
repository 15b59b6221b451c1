//! What is refused, with its exit code, and nothing changed.

use std::process::Command;

use crate::handmade;
use crate::lab::{DEATHSTAR, Lab, XWING, objects, utf8};

#[test]
fn a_failed_add_leaves_nothing() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let missing = lab
        .fails(5, &["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", DEATHSTAR.0, "--interface", "nosuch0"]);
    assert!(missing.contains("no interface `nosuch0`"), "{missing}");
    assert!(lab.listing().is_empty());
    // The second program is an object that the kernel refuses: what was made until then goes again.
    let broken = handmade::files(80, |path| {
        let mut object = objects()[path].clone();
        if path == "objects/to-tables.o" {
            break_program(&mut object);
        }
        object
    });
    let broken = lab.write_bundle("broken", &broken);
    let error = lab.fails(
        5,
        &["endpoint", "add", "--bundle", utf8(&broken), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1],
    );
    assert!(error.contains("the kernel refuses `objects/to-tables.o`") && error.len() < 4000, "{error}");
    assert!(lab.listing().is_empty(), "{:?}", lab.listing());
    assert!(lab.connects("10.77.0.1:81"), "not half attached");
}

/// Makes a program read a register that holds nothing: its first instruction becomes `r1 = r5`.
fn break_program(elf: &mut [u8]) {
    let number =
        |at: usize, len: usize| elf[at..at + len].iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let header = |section: usize| number(40, 8) + 64 * section;
    let names = number(header(number(62, 2)) + 24, 8);
    let is_code = |section: &usize| elf[names + number(header(*section), 4)..].starts_with(b"classifier\0");
    let section = (0..number(60, 2)).find(is_code).expect("section `classifier`");
    let code = number(header(section) + 24, 8);
    elf[code..code + 8].copy_from_slice(&[0xbf, 0x51, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_flipped_byte_is_refused_before_anything_happens() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    for file in ["objects/to-tables.o", "tables/deathstar-ingress.bin", "manifest.json", "provenance.json"] {
        let path = bundle.join(file);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 4;
        std::fs::write(&path, &bad).unwrap();
        let error = lab.fails(3, &["apply", "--bundle", utf8(&bundle)]);
        assert!(error.contains(file), "{error}");
        std::fs::write(&path, &good).unwrap();
    }
    assert!(!lab.root().exists() && !lab.state().exists());
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
}

#[test]
fn a_root_outside_bpffs_is_refused_with_the_remedy() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let error = lab.fails(5, &["apply", "--bundle", utf8(&bundle), "--root", "/tmp/nowhere"]);
    assert!(error.contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
    assert!(!std::path::Path::new("/tmp/nowhere").exists());
}

#[test]
fn maps_of_another_layout_are_not_reused() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.ok(&["apply", "--bundle", utf8(&bundle)]);
    let pin = lab.root().join("node/conntrack4");
    std::fs::remove_file(&pin).unwrap();
    let args = ["type", "hash", "key", "16", "value", "24", "entries", "4096", "name", "conntrack4", "flags", "1"];
    let made = Command::new("bpftool").args(["map", "create", utf8(&pin)]).args(args).status().unwrap();
    assert!(made.success());
    let listing = lab.listing();
    let error = lab.fails(
        3,
        &["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1],
    );
    assert!(error.contains("conntrack4") && error.contains("value size 24, the bundle needs 32"), "{error}");
    assert_eq!(lab.listing(), listing);
}

#[test]
fn a_held_lock_says_who_holds_it() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    std::fs::create_dir(lab.state()).unwrap();
    let lock = ciliumc_loader::sys::lock::take(&lab.state().join("lock"), "the test", std::time::Duration::ZERO);
    let held = lock.expect("free");
    let error = lab.fails(5, &["apply", "--bundle", utf8(&bundle), "--lock-timeout", "0"]);
    assert!(error.contains("is held by the test"), "{error}");
    drop(held);
    lab.ok(&["apply", "--bundle", utf8(&bundle), "--lock-timeout", "0"]);
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let Some(lab) = Lab::new() else { return };
    let bundles = [lab.bundle(80), lab.bundle(81)];
    lab.add(&bundles[0], DEATHSTAR);
    lab.add(&bundles[0], XWING);
    std::thread::scope(|scope| {
        for bundle in &bundles {
            scope.spawn(|| {
                for _ in 0..5 {
                    lab.ok(&["apply", "--bundle", utf8(bundle), "--lock-timeout", "60"]);
                }
            });
        }
    });
    crate::crash::assert_settled(&lab, "after both");
    assert_ne!(lab.connects("10.77.0.1:80"), lab.connects("10.77.0.1:81"), "one policy or the other");
}

#[test]
fn too_little_memory_is_said_and_nothing_is_left() {
    let Some(lab) = Lab::new() else { return };
    let mut files = handmade::files(80, |path| objects()[path].clone());
    let mut manifest: ciliumc_abi::manifest::Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    // Half a gigabyte of buckets.
    manifest.maps.get_mut("conntrack4").unwrap().max_entries = 1 << 25;
    handmade::seal(&mut files, &manifest);
    let bundle = lab.write_bundle("large", &files);
    let Some(group) = crate::cgroup::Cgroup::new(lab.node()) else { return };
    group.limit(64 << 20);
    let program = crate::lab::loader();
    let mut command = group.enter(utf8(&program));
    command.arg("--root").arg(lab.root()).arg("--state-dir").arg(lab.state()).args([
        "apply",
        "--bundle",
        utf8(&bundle),
    ]);
    let out = lab.inside_node(move || command.output().expect("the loader runs"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(5), "{said}");
    assert!(said.contains("conntrack4") && said.contains("Cannot allocate memory"), "{said}");
    assert!(lab.listing().iter().all(|path| path == utf8(&lab.state())), "{:?}", lab.listing());
    lab.add(&lab.bundle(80), DEATHSTAR);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
}
