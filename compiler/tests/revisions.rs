//! `git:REF[:PATH]` against real repositories.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PODS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: c, image: x}]}
";

fn policy(port: u16) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  \
         podSelector: {{matchLabels: {{app: cart}}}}\n  ingress:\n  - from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]\n    \
         ports: [{{port: {port}}}]\n"
    )
}

struct Repository(tempfile::TempDir);

impl Repository {
    /// One commit with `k8s/`, and a change of it in the working tree.
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("k8s/pods.yaml", PODS);
        repository.write("k8s/policies/cart.yaml", &policy(80));
        repository.write("README.md", "no manifest");
        repository.commit();
        repository.write("k8s/policies/cart.yaml", &policy(81));
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn git(&self, words: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(words).current_dir(self.0.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=more"]);
    }

    fn run_in(&self, folder: &Path, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ciliumc")).args(words).current_dir(folder).output().unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        self.run_in(self.0.path(), words)
    }

    fn says(&self, code: i32, words: &[&str]) -> String {
        says(&self.run(words), code)
    }
}

fn says(output: &Output, code: i32) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_revision_is_compared_with_the_working_tree() {
    let repository = Repository::new();
    let text = repository.says(1, &["diff", "git:main:k8s", "k8s"]);
    assert!(text.contains("gained TCP 81") && text.contains("lost   TCP 80"), "{text}");
    assert!(text.contains("k8s/policies/cart.yaml:"), "{text}");
    repository.commit();
    assert_eq!(repository.says(0, &["diff", "git:HEAD:k8s", "k8s"]), "no difference\n");
    let text = repository.says(1, &["diff", "git:HEAD~1:k8s", "git:HEAD:k8s"]);
    assert!(text.contains("git:HEAD:k8s/policies/cart.yaml:"), "{text}");
}

#[test]
fn every_command_reads_a_revision_and_its_path_is_below_the_current_folder() {
    let repository = Repository::new();
    let list = ["list", "git:main:k8s", "-o", "np-guard", "--semantics", "kubernetes"];
    let expected = repository.says(0, &list);
    assert!(expected.contains("TCP 80"), "{expected}");
    repository.says(0, &["check", "git:main"]);
    let below = repository.path("k8s");
    for path in ["git:main", "git:main:.", "git:main:../k8s"] {
        let words = [&["list", path], &list[2..]].concat();
        assert_eq!(says(&repository.run_in(&below, &words), 0), expected, "{path}");
    }
    let one = repository.says(0, &["check", "git:main:k8s/pods.yaml", "-o", "json"]);
    assert!(!one.contains("cart.yaml"), "{one}");
    let without = ["list", "git:main:k8s", "--exclude", "k8s/policies", "--semantics", "kubernetes", "-o", "np-guard"];
    let without = repository.says(0, &without);
    assert!(without.contains("shop/web[Pod] => shop/cart[Pod] : All Connections"), "{without}");
}

#[test]
fn what_cannot_be_read_is_named_with_the_remedy() {
    let repository = Repository::new();
    let text = repository.says(3, &["check", "git:no-such:k8s"]);
    assert!(text.contains("git:no-such:k8s: `no-such` is no revision here") && text.contains("git fetch"), "{text}");
    let text = repository.says(3, &["check", "git:main:gone"]);
    assert!(text.contains("`gone` is not in revision `main`"), "{text}");
    let text = repository.says(3, &["check", "git:main:../.."]);
    assert!(text.contains("leads out of the repository"), "{text}");
    // An option is no revision.
    repository.says(3, &["check", "git:--help:k8s"]);
    repository.says(3, &["check", "git:"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let text = says(&repository.run_in(elsewhere.path(), &["check", "git:main"]), 3);
    assert!(text.contains("not a git repository"), "{text}");
}

#[test]
fn links_are_followed_as_on_disk_and_end() {
    let repository = Repository::new();
    repository.write("shared/more.yaml", &policy(90).replace("name: cart", "name: more"));
    symlink("../shared/more.yaml", repository.path("k8s/more.yaml")).unwrap();
    symlink("../../k8s", repository.path("k8s/policies/again")).unwrap();
    repository.commit();
    assert_eq!(repository.says(0, &["diff", "git:main:k8s", "k8s"]), "no difference\n");
    let list = repository.says(0, &["list", "git:main:k8s", "--semantics", "kubernetes", "-o", "np-guard"]);
    assert!(list.contains("TCP 81,90"), "{list}");
    symlink("nowhere", repository.path("k8s/dangling.yaml")).unwrap();
    repository.commit();
    let text = repository.says(3, &["check", "git:main:k8s"]);
    assert!(text.contains("`k8s/dangling.yaml` is a link to nothing"), "{text}");
}

#[test]
fn nothing_of_the_repository_runs() {
    let repository = Repository::new();
    let trap = repository.path("trap");
    fs::write(&trap, format!("#!/bin/sh\ntouch {}\ncat\n", repository.path("sprung").display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    repository.write(".gitattributes", "* filter=trap diff=trap\n");
    repository.commit();
    let trap = trap.display().to_string();
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.editor",
        "filter.trap.smudge",
        "filter.trap.clean",
        "filter.trap.process",
        "diff.trap.textconv",
        "diff.external",
        "pager.ls-tree",
        "alias.ls-tree",
        "uploadpack.packObjectsHook",
    ] {
        repository.git(&["config", key, &trap]);
    }
    for hook in ["post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"] {
        fs::copy(&trap, repository.path(&format!(".git/hooks/{hook}"))).unwrap();
    }
    repository.says(0, &["check", "git:main:k8s"]);
    assert!(!repository.path("sprung").exists());
}
