//! Manifests of real projects: `CILIUMC_EXAMPLES` names the folder. Each gives a bundle, and every object of it is taken
//! by a second loader, so that nothing depends on ours.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths below the folder, with what is left out.
const INPUTS: [(&[&str], &[&str]); 5] = [
    (&["real/microservices-demo"], &[]),
    (&["real/kube-prometheus"], &[]),
    // That folder holds a patch of a Deployment, which is no Deployment.
    (&["real/argo-cd"], &["**/application-controller-deployment/**"]),
    (&["cilium/star-wars/http-sw-app.yaml", "cilium/star-wars/sw_deny_policy.yaml"], &[]),
    (&["cilium/star-wars/http-sw-app.yaml", "cilium/star-wars/sw_l3_l4_policy.yaml"], &[]),
];

fn build(examples: &Path, dir: &Path, paths: &[&str], excludes: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ciliumc"));
    command.arg("build").args(paths.iter().map(|path| examples.join(path))).args(["--out", "bundle"]);
    for glob in excludes {
        command.args(["--exclude", glob]);
    }
    command.current_dir(dir).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output().unwrap()
}

#[test]
fn bundles_of_real_projects_load() {
    let Some(examples) = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let pins = Path::new("/sys/fs/bpf");
    let may_load = Command::new("bpftool").args(["prog", "show"]).output().is_ok_and(|out| out.status.success());
    if !may_load {
        assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "bpftool cannot be used");
        eprintln!("objects are not loaded: bpftool is missing or may not be used");
    }
    let mut loaded = 0;
    for (number, (paths, excludes)) in INPUTS.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let output = build(&examples, dir.path(), paths, excludes);
        assert!(output.status.success(), "{paths:?}: {}", String::from_utf8_lossy(&output.stderr));
        for entry in fs::read_dir(dir.path().join("bundle/objects")).unwrap().filter(|_| may_load) {
            let object = entry.unwrap().path();
            let pin = pins.join(format!("ciliumc-test-{}-{number}-{loaded}", std::process::id()));
            let args: [&OsStr; 4] = ["prog".as_ref(), "loadall".as_ref(), object.as_ref(), pin.as_ref()];
            let output = Command::new("bpftool").args(args).output().unwrap();
            let _ = fs::remove_dir_all(&pin);
            assert!(output.status.success(), "{}: {}", object.display(), String::from_utf8_lossy(&output.stderr));
            loaded += 1;
        }
    }
    assert!(loaded > 0 || !may_load);
}

#[test]
fn a_partial_patch_is_refused() {
    let Some(examples) = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = build(&examples, dir.path(), &["real/argo-cd"], &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("application-controller-deployment"));
    assert!(!dir.path().join("bundle").exists());
}
