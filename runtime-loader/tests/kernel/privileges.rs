//! With which rights the loader works, and what it says without them. `docs/node.md` tells it to the operator.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Output};

use crate::lab::{DEATHSTAR, Lab, XWING, loader, utf8};

/// Somebody without any right of his own.
const NOBODY: u32 = 61_234;
const ALL: [&str; 3] = ["bpf", "net_admin", "perfmon"];

/// Runs the loader in the node's namespace as a user who has these capabilities and can get no others.
fn run(lab: &Lab, uid: u32, capabilities: &[&str], args: &[&str]) -> Output {
    let (root, state, program) = (lab.root(), lab.state(), lab.state().with_file_name("loader"));
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let set: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    lab.inside_node(move || {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={uid}")]).arg("--clear-groups");
        for kind in ["inh-caps", "ambient-caps", "bounding-set"] {
            command.arg(format!("--{kind}=-all{set}"));
        }
        command.arg("--no-new-privs").arg(program).arg("--root").arg(root).arg("--state-dir").arg(state);
        command.args(args).output().expect("setpriv")
    })
}

/// Gives the node's folders to a user, and the loader a place where everybody may run it.
fn give(lab: &Lab, uid: u32) {
    let folder = lab.state().parent().expect("a folder").to_owned();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::copy(loader(), folder.join("loader")).expect("a copy");
    std::fs::create_dir_all(lab.state()).expect("a folder");
    for owned in [lab.state().as_path(), lab.root().parent().expect("a folder")] {
        chown(owned, Some(uid), Some(uid)).expect("chown");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn three_capabilities_are_enough_from_apply_to_unload() {
    // Root without the others is what a service manager or a container makes of it; a user needs folders of his own.
    for uid in [0, NOBODY] {
        let Some(lab) = Lab::new() else { return };
        give(&lab, uid);
        let bundles = [lab.bundle(80), lab.bundle(81)];
        let ok = |args: &[&str]| {
            let output = run(&lab, uid, &ALL, args);
            assert!(output.status.success(), "user {uid}: {args:?}: {}", said(&output));
            said(&output)
        };
        ok(&["apply", "--bundle", utf8(&bundles[0])]);
        for (name, interface, _) in [DEATHSTAR, XWING] {
            ok(&["endpoint", "add", "--endpoint", name, "--interface", interface]);
        }
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "user {uid}");
        // Replacing programs is what CAP_SYS_ADMIN would compare before.
        ok(&["apply", "--bundle", utf8(&bundles[1])]);
        assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"), "user {uid}");
        ok(&["rollback"]);
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("[fd77::1]:81"), "user {uid}");
        ok(&["ipcache", "upsert", "10.78.0.1", "1256"]);
        ok(&["ipcache", "delete", "10.78.0.1"]);
        assert!(ok(&["monitor", "--type", "drop", "--timeout", "1"]).contains("Policy denied"), "user {uid}");
        // Who only looks needs the files and no capability at all.
        for args in [
            &["status"][..],
            &["endpoint", "list"],
            &["policy", "get", DEATHSTAR.0],
            &["identity", "list"],
            &["ipcache", "list"],
            &["ct", "list"],
            &["map", "list"],
            &["metrics", "--prometheus"],
            &["monitor", "--timeout", "1"],
        ] {
            let output = run(&lab, uid, &[], args);
            assert!(output.status.success(), "user {uid}: {args:?}: {}", said(&output));
        }
        ok(&["endpoint", "del", "--endpoint", XWING.0]);
        ok(&["unload"]);
        assert!(lab.listing().iter().all(|path| path == utf8(&lab.state())), "{:?}", lab.listing());
        assert!(lab.connects("10.77.0.1:81"), "user {uid}: nothing guards deathstar");
    }
}

#[test]
fn what_is_missing_is_named_and_nothing_happens() {
    let Some(lab) = Lab::new() else { return };
    give(&lab, NOBODY);
    let bundle = lab.bundle(80);
    let apply = ["apply", "--bundle", utf8(&bundle)];
    let before = lab.listing();
    for missing in ALL {
        let others: Vec<&str> = ALL.into_iter().filter(|name| *name != missing).collect();
        let output = run(&lab, NOBODY, &others, &apply);
        let name = format!("lacks CAP_{}", missing.to_uppercase());
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        assert!(said(&output).contains(&name), "{}", said(&output));
        assert_eq!(lab.listing(), before);
    }
    // Another user's folders are another user's.
    let output = run(&lab, NOBODY + 1, &ALL, &apply);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("Permission denied"), "{}", said(&output));
    assert_eq!(lab.listing(), before);
    let output = run(&lab, NOBODY, &ALL, &apply);
    assert!(output.status.success(), "{}", said(&output));
    // Not to be allowed to look is not to see nothing.
    for args in
        [&["status"][..], &["metrics"], &["metrics", "--prometheus"], &["ct", "list"], &["monitor", "--timeout", "1"]]
    {
        let output = run(&lab, NOBODY + 1, &[], args);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {}", said(&output));
        assert!(said(&output).contains("Permission denied"), "{args:?}: {}", said(&output));
    }
    let listing = lab.listing();
    let netns = format!("/run/netns/{}", lab.pod(XWING.1));
    let add = ["endpoint", "add", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    let output = run(&lab, NOBODY, &ALL, &[&add[..], &["--netns", &netns]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("takes CAP_SYS_ADMIN"), "{}", said(&output));
    assert_eq!(lab.listing(), listing);
    // Grace periods then stay as long as they are.
    let output = run(&lab, NOBODY, &ALL, &[&add[..], &["--expedite-rcu"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("note: cannot set /sys/kernel/rcu_expedited"), "{}", said(&output));
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let output = run(&lab, NOBODY, &[], &["status", "--root", "/tmp"]);
    assert!(said(&output).contains("is not on a BPF file system"), "{}", said(&output));
}
