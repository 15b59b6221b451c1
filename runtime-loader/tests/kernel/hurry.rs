//! When grace periods are expedited, and that what was set before is set again.
//!
//! The switch is one for the whole machine, so these tests have another file in its place, each its own.
#![expect(unsafe_code, reason = "a mount namespace for one thread")]

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use ciliumc_loader::sys::rcu::SWITCH;
use serde_json::json;

use crate::batch::interfaces;
use crate::ipcache::with_input;
use crate::kill::{killed_at, moments};
use crate::lab::{DEATHSTAR, Lab, utf8};

/// What a lab's processes find in place of the kernel's switch.
#[derive(Clone)]
pub enum Switch {
    /// This file.
    File(PathBuf),
    /// This file, which nobody can write.
    ReadOnly(PathBuf),
    /// Nothing: a container without sysfs.
    Missing,
}

impl Switch {
    /// Puts it in place for the calling thread, and for what it starts.
    pub fn install(&self) {
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
        mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE);
        match self {
            Self::Missing => mount(None, c"/sys/kernel", 0),
            Self::File(path) | Self::ReadOnly(path) => {
                let switch = CString::new(SWITCH).expect("a path");
                mount(Some(&CString::new(utf8(path)).expect("a path")), &switch, libc::MS_BIND);
                if matches!(self, Self::ReadOnly(_)) {
                    mount(None, &switch, libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY);
                }
            }
        }
    }
}

/// Without a source and without flags: an empty tmpfs.
fn mount(source: Option<&CStr>, target: &CStr, flags: libc::c_ulong) {
    let source = source.unwrap_or(c"none").as_ptr();
    // SAFETY: all texts are terminated and outlive the call; there are no options.
    let done = unsafe { libc::mount(source, target.as_ptr(), c"tmpfs".as_ptr(), flags, std::ptr::null()) };
    assert_eq!(done, 0, "{target:?}: {}", std::io::Error::last_os_error());
}

/// A lab with a bundle in force and a switch that is off, and the lines of a batch for `count` interfaces.
fn lab(count: usize) -> Option<(Lab, PathBuf, String)> {
    let mut lab = Lab::new()?;
    let file = lab.state().with_file_name("switch");
    fs::write(&file, "0\n").expect("a file");
    lab.switch = Some(Switch::File(file.clone()));
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    let lines = interfaces(&lab, count).into_iter().enumerate().map(|(n, interface)| {
        let address = format!("10.80.0.{n}");
        json!({"labels": ["app=fleet"], "name": format!("run/{n}"), "interface": interface, "addresses": [address]})
    });
    let lines = lines.map(|line| format!("{line}\n")).collect();
    Some((lab, file, lines))
}

fn says(file: &std::path::Path) -> String {
    fs::read_to_string(file).expect("a file").trim().to_owned()
}

#[test]
fn several_endpoints_hurry_and_one_does_not_unless_told() {
    let Some((lab, file, lines)) = lab(3) else { return };
    let note = lab.state().join("rcu_expedited");
    let was_set = |work: &dyn Fn()| {
        File::options().write(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        work();
        assert_eq!((says(&file).as_str(), note.exists()), ("0", false), "it is as before");
        file.metadata().unwrap().modified().unwrap() != SystemTime::UNIX_EPOCH
    };
    let batch = |when: &'static [&'static str], lines: &str| {
        let args = [&["endpoint", "add", "--batch", "-"], when].concat();
        was_set(&|| assert!(with_input(&lab, &args, lines).status.success()))
    };
    let alone = |when: &'static [&'static str]| {
        let args = ["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
        was_set(&|| drop(lab.ok(&[&args, when].concat())))
    };
    let (first, _) = lines.split_once('\n').unwrap();
    assert!(!batch(&[], first), "one line is no batch");
    assert!(batch(&[], &lines) && !batch(&["--expedite-rcu=never"], &lines));
    assert!(!alone(&[]) && alone(&["--expedite-rcu"]) && alone(&["--expedite-rcu=always"]));
    assert!(!alone(&["--expedite-rcu=auto"]));
    let refused = ["endpoint", "add", "--expedite-rcu", "--endpoint", "default/droid", "--interface", "lo"];
    assert!(was_set(&|| drop(lab.fails(3, &refused))), "a failure is an end, too");
    assert!(!was_set(&|| drop(lab.ok(&["endpoint", "del", "--endpoint", "run/0"]))));
    assert!(!was_set(&|| drop(lab.ok(&["unload", "--dry-run"]))));
    assert!(was_set(&|| drop(lab.ok(&["unload"]))), "all are detached");
    lab.fails(2, &["status", "--expedite-rcu=perhaps"]);
}

#[test]
fn what_somebody_else_set_stays() {
    let Some((lab, file, lines)) = lab(2) else { return };
    fs::write(&file, "1\n").unwrap();
    assert!(with_input(&lab, &["endpoint", "add", "--batch", "-"], &lines).status.success());
    assert_eq!((says(&file).as_str(), lab.state().join("rcu_expedited").exists()), ("1", false));
}

#[test]
fn a_switch_that_cannot_be_written_is_a_note_and_no_failure() {
    let Some((mut lab, file, lines)) = lab(3) else { return };
    for (switch, why) in [(Switch::ReadOnly(file.clone()), "Read-only"), (Switch::Missing, "No such file")] {
        lab.switch = Some(switch);
        for (when, notes) in [("--expedite-rcu=auto", 1), ("--expedite-rcu", 1), ("--expedite-rcu=never", 0)] {
            let out = with_input(&lab, &["endpoint", "add", "--batch", "-", when], &lines);
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{said}");
            assert_eq!(said.matches("note: cannot set /sys/kernel/rcu_expedited: ").count(), notes, "{said}");
            assert_eq!(said.matches(why).count(), notes, "{said}");
            assert!(!lab.state().join("rcu_expedited").exists());
        }
        // A command was killed, and somebody took the switch away: others go on and the note stays.
        let note = lab.state().join("rcu_expedited");
        fs::write(&note, "0\n").unwrap();
        let out = lab.loader(&["endpoint", "del", "--endpoint", "run/0"]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains("note: cannot restore /sys/kernel/rcu_expedited"), "{said}");
        assert!(note.exists());
        fs::remove_file(&note).unwrap();
    }
}

#[test]
fn what_a_killed_batch_left_the_next_command_restores() {
    let Some((lab, file, lines)) = lab(2) else { return };
    let batch = lab.state().with_file_name("batch");
    fs::write(&batch, lines).unwrap();
    let bundle = lab.bundle(80);
    let (apply, batch) = (["apply", "--bundle", utf8(&bundle)], ["endpoint", "add", "--batch", utf8(&batch)]);
    let mut left = 0;
    for at in moments(4, 1) {
        let killed = killed_at(&lab, &batch, at);
        let note = lab.state().join("rcu_expedited");
        if says(&file) != "0" {
            assert!(note.exists(), "killed at call {at}: nobody knows what was there before");
            left += usize::from(says(&file) == "1");
        }
        lab.ok(&apply);
        assert_eq!((says(&file).as_str(), note.exists()), ("0", false), "killed at call {at}");
        lab.ok(&["unload"]);
        lab.ok(&apply);
        if !killed {
            break;
        }
    }
    assert!(left > 0, "no call was hit while the switch was on");
}
