//! The program as users run it: exit codes, messages, and that nothing half-written is ever left.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod project;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use project::Project;

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cli, namespace: shop, labels: {app: cli}}
spec: {containers: [{name: c, image: x}]}
status: {podIPs: [{ip: 10.0.0.2}, {ip: \"fd00::2\"}]}
";

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: cli}}}]
    ports: [{port: http}]
";

const OTHER_POLICY: &str = "\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cli, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: cli}}
  egress:
  - toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]
  - toEndpoints: [{matchLabels: {app: web}}]
";

impl Project {
    fn new() -> Self {
        let policies = format!("{POLICY}---\n{OTHER_POLICY}");
        Self::with(&[("in/pods.yaml", PODS), ("in/policy.yaml", &policies)], Path::new("cache"))
    }

    fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "cache")
            .collect();
        names.sort();
        names
    }
}

#[track_caller]
fn assert_code(output: &Output, code: i32) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}\n{err}", String::from_utf8_lossy(&output.stdout));
    err
}

/// Every file below a folder, by path.
fn tree(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                out.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

#[test]
fn two_folders_and_two_thread_counts_give_the_same_bytes() {
    let (one, two) = (Project::new(), Project::new());
    assert_code(&one.run(&["build", "in", "--out", "bundle", "--jobs", "1"]), 0);
    fs::copy(one.path("identities.lock"), two.path("identities.lock")).unwrap();
    assert_code(&two.run(&["build", "in", "--out", "bundle", "--jobs", "4", "--locked"]), 0);
    assert_eq!(tree(&one.path("bundle")), tree(&two.path("bundle")));
    // And once more over the old one, from the cache, as a tar too.
    assert_code(&one.run(&["build", "in", "--out", "bundle"]), 0);
    assert_eq!(tree(&one.path("bundle")), tree(&two.path("bundle")));
    assert_code(&one.run(&["build", "in", "--out", "b.tar"]), 0);
    assert_code(&two.run(&["build", "in", "--out", "b.tar"]), 0);
    assert_eq!(fs::read(one.path("b.tar")).unwrap(), fs::read(two.path("b.tar")).unwrap());
}

#[test]
fn shuffled_documents_change_the_provenance_alone() {
    let (one, two) = (Project::new(), Project::new());
    assert_code(&one.run(&["build", "in", "--out", "bundle"]), 0);
    fs::remove_dir_all(two.path("in")).unwrap();
    let (web, cli) = PODS.split_once("---\n").unwrap();
    two.write("in/a.yaml", &format!("{OTHER_POLICY}---\n{cli}"));
    two.write("in/sub/b.yml", &format!("# moved\n{web}---\n{POLICY}"));
    assert_code(&two.run(&["build", "in", "--out", "bundle"]), 0);
    assert_eq!(fs::read(one.path("identities.lock")).unwrap(), fs::read(two.path("identities.lock")).unwrap());

    let without_provenance = |project: &Project| -> Vec<(String, Vec<u8>)> {
        let mut files = tree(&project.path("bundle"));
        files.retain(|(name, _)| name != "provenance.json");
        for (name, bytes) in &mut files {
            if name == "manifest.json" {
                let mut manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                manifest["files"].as_object_mut().unwrap().remove("provenance.json").unwrap();
                *bytes = manifest.to_string().into_bytes();
            }
        }
        files
    };
    assert_eq!(without_provenance(&one), without_provenance(&two));
    let provenance = |project: &Project| fs::read_to_string(project.path("bundle/provenance.json")).unwrap();
    assert!(provenance(&one).contains("policy.yaml"));
    assert!(provenance(&two).contains("b.yml"));
}

#[test]
fn the_lock_keeps_numbers_and_locked_refuses_new_ones() {
    let project = Project::new();
    assert_code(&project.run(&["build", "in", "--out", "bundle"]), 0);
    let first = fs::read_to_string(project.path("identities.lock")).unwrap();
    let before = tree(&project.path("bundle"));

    // A label set that sorts first must not move the others.
    project.write(
        "in/new.yaml",
        &PODS
            .split("---")
            .next()
            .unwrap()
            .replace("web", "aaa")
            .replace("10.0.0.1", "10.0.0.9")
            .replace("fd00::1", "fd00::9"),
    );
    let err = assert_code(&project.run(&["build", "in", "--out", "bundle", "--locked"]), 3);
    assert!(err.contains("identities.lock would change"), "{err}");
    assert_eq!(fs::read_to_string(project.path("identities.lock")).unwrap(), first);
    assert_eq!(tree(&project.path("bundle")), before);

    assert_code(&project.run(&["build", "in", "--out", "bundle"]), 0);
    let second = fs::read_to_string(project.path("identities.lock")).unwrap();
    assert!(second.starts_with(first.trim_end()), "{first}\n{second}");
}

#[test]
fn a_refused_object_gives_no_bundle_and_names_every_problem() {
    let project = Project::new();
    project.write(
        "in/bad.yaml",
        &POLICY.replace("port: http", "port: 8080, endPort: 80").replace("name: web", "name: bad"),
    );
    project.write("in/worse.yaml", "kind: [\n");
    let err = assert_code(&project.run(&["build", "in", "--out", "bundle"]), 3);
    assert!(err.contains("E-105") && err.contains("bad.yaml") && err.contains("worse.yaml"), "{err}");
    assert_eq!(project.entries(), ["in"]);

    let json = project.run(&["check", "in", "-o", "json"]);
    assert_code(&json, 3);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let codes: Vec<&str> =
        report["diagnostics"].as_array().unwrap().iter().map(|d| d["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"E-105"), "{codes:?}");
}

#[test]
fn lints_count_for_fail_on_until_they_are_excused() {
    let project = Project::new();
    let policy = |annotation: &str| {
        let head = POLICY.replace("name: web,", &format!("name: typo, annotations: {{{annotation}}},"));
        head.replace("{app: cli}", "{app: clj}")
    };
    assert_code(&project.run(&["check", "in", "--fail-on", "warning"]), 0);
    project.write("in/typo.yaml", &policy(""));
    let output = project.run(&["check", "in", "--fail-on", "warning"]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(assert_code(&output, 1), "", "findings are the result");
    assert!(out.contains("CL003") && out.contains("did you mean app=cli"), "{out}");
    assert_code(&project.run(&["check", "in"]), 0);
    project.write("in/typo.yaml", &policy("ciliumc.io/ignore: CL003 it comes later"));
    assert_code(&project.run(&["check", "in", "--fail-on", "warning"]), 0);
    // Other commands say nothing of them.
    project.write("in/typo.yaml", &policy(""));
    let err = assert_code(&project.run(&["trace", "in", "--probes", "/dev/null"]), 0);
    assert!(!err.contains("CL003"), "{err}");

    // Pods that were refused are no reason to say that nobody is selected.
    project.write("in/pods.yaml", &PODS.replace("containers: [{name: c, image: x}]", "containers: x"));
    let output = project.run(&["check", "in"]);
    assert_code(&output, 3);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("error[") && !out.contains("CL0"), "{out}");
}

#[test]
fn what_the_machine_cannot_do_is_five_and_leaves_nothing() {
    let project = Project::new();
    // No clang anywhere.
    let output = project
        .command(&["build", "in", "--out", "bundle", "--no-cache"])
        .env("PATH", "/nonexistent")
        .env("CILIUMC_CLANG", "/nonexistent/clang")
        .output()
        .unwrap();
    let err = assert_code(&output, 5);
    assert!(err.contains("clang"), "{err}");
    // A place that cannot be a folder.
    project.write("file", "x");
    let err = assert_code(&project.run(&["build", "in", "--out", "file/bundle"]), 5);
    assert!(err.contains("file"), "{err}");
    // A folder that is no bundle.
    let err = assert_code(&project.run(&["build", "in", "--out", "in"]), 5);
    assert!(err.contains("is not a bundle"), "{err}");
    let mut left = project.entries();
    left.retain(|name| name != "identities.lock");
    assert_eq!(left, ["file", "in"]);
}

#[test]
fn a_full_or_read_only_folder_is_five_and_leaves_nothing() {
    let project = Project::new();
    let place = project.path("mounted");
    fs::create_dir(&place).unwrap();
    for (options, reason) in [("size=16k", "space"), ("ro", "ead-only")] {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place).status().unwrap();
        if !mounted.success() {
            assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "cannot mount a small tmpfs");
            eprintln!("skipped: a full folder needs a small tmpfs, and this process may not mount one");
            return;
        }
        let output = project.run(&["build", "in", "--out", "mounted/bundle"]);
        let left = fs::read_dir(&place).unwrap().count();
        assert!(Command::new("umount").arg(&place).status().unwrap().success());
        let err = assert_code(&output, 5);
        assert!(err.contains("mounted") && err.contains(reason), "{err}");
        assert_eq!(left, 0, "{options}");
    }
}

#[test]
fn c_that_clang_refuses_is_our_bug() {
    let project = Project::new();
    // A compiler of the right version that refuses everything.
    let fake = "#!/bin/sh\n\
                case \"$*\" in *-###*)\n\
                printf 'clang version 19.1.7\\n \"%s\" \"-cc1\" \"-x\" \"c\" \"/dev/null\"\\n' \"$0\" >&2; exit 0;;\n\
                esac\necho 'unit.c:1:1: error: nonsense' >&2\nexit 1\n";
    project.write("clang", fake);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(project.path("clang"), mode).unwrap();
    let output = project
        .command(&["build", "in", "--out", "bundle", "--no-cache"])
        .env("CILIUMC_CLANG", project.path("clang"))
        .output()
        .unwrap();
    let err = assert_code(&output, 70);
    assert!(err.contains("nonsense") && err.contains("bug in ciliumc"), "{err}");
    assert!(!project.path("bundle").exists());
}

#[test]
fn usage_is_two_and_help_shows_examples() {
    let project = Project::new();
    assert_code(&project.run(&["build", "in"]), 2);
    assert_code(&project.run(&["frobnicate"]), 2);
    let err = assert_code(&project.run(&["build", "missing", "--out", "bundle"]), 3);
    assert!(err.contains("missing"), "{err}");
    for command in [
        vec!["--help"],
        vec!["build", "--help"],
        vec!["check", "--help"],
        vec!["trace", "--help"],
        vec!["list", "--help"],
        vec!["diff", "--help"],
        vec!["graph", "--help"],
        vec!["completions", "--help"],
        vec!["man", "--help"],
    ] {
        let output = project.run(&command);
        assert_code(&output, 0);
        assert!(String::from_utf8_lossy(&output.stdout).contains("Example"), "{command:?}");
    }
    assert_code(&project.run(&["completions", "bash"]), 0);
    assert_code(&project.run(&["man", "--dir", "man"]), 0);
    assert!(project.path("man/ciliumc-build.1").is_file());
}

#[test]
fn trace_answers_with_rule_file_and_line() {
    let project = Project::new();
    project.write(
        "probes.tsv",
        "shop/web\tingress\tpod:shop/cli\tTCP\t8080\nshop/web\tingress\tpod:shop/cli\tTCP\t8081\n",
    );
    for engine in ["model", "tables"] {
        let output = project.run(&["trace", "in", "--probes", "probes.tsv", "--engine", engine]);
        assert_code(&output, 0);
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("allow") && lines[0].contains("in/policy.yaml:7"), "{text}");
        assert!(lines[1].starts_with("deny") && lines[1].contains("NetworkPolicy shop/web"), "{text}");
    }
    let output = project.run(&["trace", "in", "--probes", "probes.tsv", "--expect", "allow"]);
    assert_code(&output, 1);
    project.write("probes.tsv", "shop/gone\tingress\tpod:shop/cli\tTCP\t8080\n");
    let output = project.run(&["trace", "in", "--probes", "probes.tsv", "-o", "tsv", "--strict"]);
    assert_code(&output, 4);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\tunknown\t"));
}

#[test]
fn a_redirect_is_traced_warned_of_and_in_the_bundle() {
    let project = Project::new();
    project.write(
        "in/l7.yaml",
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: l7, namespace: shop}\nspec:\n  \
         endpointSelector: {matchLabels: {app: web}}\n  ingress:\n  - authentication: {mode: required}\n    \
         fromEntities: [remote-node]\n  - toPorts: [{ports: [{port: \"9\", protocol: TCP}], \
         rules: {http: [{path: /a, method: GET}]}}]\n",
    );
    project.write(
        "probes.tsv",
        "shop/web\tingress\tpod:shop/cli\tTCP\t9\nshop/web\tingress\tentity:remote-node\tTCP\t9\n\
         shop/web\tingress\tentity:remote-node\tTCP\t8\nshop/web\tingress\tentity:health\tTCP\t8\n",
    );
    for engine in ["model", "tables"] {
        let trace = |more: &[&str]| {
            let output = project.run(&[&["trace", "in", "--probes", "probes.tsv", "--engine", engine], more].concat());
            assert_code(&output, 0);
            String::from_utf8(output.stdout).unwrap()
        };
        let tsv = trace(&["-o", "tsv"]);
        let columns: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').skip(5).take(3).collect()).collect();
        let expected =
            [["redirect", "http", "-"], ["redirect", "http", "spire"], ["allow", "-", "spire"], ["deny", "-", "-"]];
        assert_eq!(columns, expected);

        // What the policy says, and what a node without proxy and handshake does.
        let json: serde_json::Value = serde_json::from_str(&trace(&["-o", "json", "--rules"])).unwrap();
        let reasons: Vec<_> = (0..4).map(|n| json["flows"][n]["node"]["dropReason"].as_u64()).collect();
        assert_eq!(reasons, [Some(178), Some(189), Some(189), Some(133)]);
        assert_eq!(json["flows"][0]["l7"], "http");
        let considered = json["flows"][0]["considered"].as_array().unwrap();
        let path = |rule: &serde_json::Value| rule["rule"]["path"].as_str().map(str::to_owned);
        let matching: Vec<_> = considered.iter().filter(|r| r["peer"] == true && r["l4"] == true).map(path).collect();
        assert_eq!(matching, [Some("spec.ingress[1]".to_owned())]);
        // The local host's own allow, both rules above, and that of the other policy.
        assert_eq!(considered.len(), 4);
    }

    let output = project.run(&["build", "in", "--out", "bundle"]);
    let err = assert_code(&output, 0);
    assert!(err.contains("F-302") && err.contains("F-303"), "{err}");
    let rulesets: serde_json::Value =
        serde_json::from_slice(&fs::read(project.path("bundle/rulesets.json")).unwrap()).unwrap();
    assert_eq!(rulesets["rulesets"][0]["id"], 1);
    assert_eq!(rulesets["rulesets"][0]["parser"], "http");
    let grants = &rulesets["rulesets"][0]["grants"];
    assert_eq!(grants[0]["http"][0], serde_json::json!({ "path": "/a", "method": "GET" }));
    // Of peers with a plain allow beside: the local host and remote nodes.
    assert_eq!(rulesets["rulesets"][1]["grants"][0]["everything"], true);
    assert!(rulesets["rulesets"].as_array().unwrap().len() == 2, "{rulesets:#}");
}

#[test]
fn the_groups_file_answers_what_no_object_tells() {
    let project = Project::new();
    project.write(
        "in/names.yaml",
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: names, namespace: shop}\nspec:\n  \
         endpointSelector: {}\n  egress:\n  - toFQDNs: [{matchPattern: \"**.b.io\"}]\n",
    );
    project.write(
        "groups.yaml",
        "dns:\n- {name: x.b.io, addresses: [192.0.2.1]}\n- {name: x.y.b.io, addresses: [192.0.2.2]}\n",
    );
    project.write("probes.tsv", "shop/web\tegress\tip:192.0.2.1\tTCP\t1\nshop/web\tegress\tip:192.0.2.2\tTCP\t1\n");
    let verdicts = |more: &[&str]| {
        let output = project.run(&[&["trace", "in", "--probes", "probes.tsv", "-o", "tsv"], more].concat());
        assert_code(&output, 0);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split('\t').nth(5).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&[]), ["deny", "deny"]);
    assert_eq!(verdicts(&["--groups", "groups.yaml"]), ["allow", "deny"]);
    assert_eq!(verdicts(&["--groups", "groups.yaml", "--fqdn-double-star", "1.19"]), ["allow", "allow"]);

    assert!(
        assert_code(&project.run(&["check", "in", "--groups", "gone.yaml"]), 3).contains("gone.yaml: no such file")
    );
    project.write("groups.yaml", "dns: [{name: x.b.io}]\n");
    let output = project.run(&["check", "in", "--groups", "groups.yaml"]);
    assert_code(&output, 3);
    assert!(String::from_utf8_lossy(&output.stdout).contains("groups.yaml:1"));
}

#[test]
fn a_difference_is_a_finding_unless_told_otherwise() {
    let project = Project::new();
    let wider = POLICY.replace("port: http", "port: 80, endPort: 90");
    project.write("wide/pods.yaml", PODS);
    project.write("wide/policy.yaml", &format!("{wider}---\n{OTHER_POLICY}"));
    let code = |old: &str, new: &str, fail_on: &str| {
        let output = project.run(&["diff", old, new, "--fail-on", fail_on]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    // 8080 is lost, 80-90 are gained: both.
    for (fail_on, expected) in [("any", 1), ("widened", 1), ("narrowed", 1), ("none", 0)] {
        let (found, text) = code("in", "wide", fail_on);
        assert_eq!(found, Some(expected), "{fail_on}");
        assert!(text.contains("changed shop/cli -> shop/web\n  gained TCP 80-90\n  lost   TCP 8080\n"), "{text}");
        assert!(text.contains("wide/policy.yaml:7), changed\n"), "{text}");
    }
    assert_eq!(code("in", "in", "any"), (Some(0), "no difference\n".into()));

    project.write("more/pods.yaml", PODS);
    project.write("more/policy.yaml", OTHER_POLICY);
    for (old, new, fail_on, expected) in [
        ("in", "more", "widened", 1),
        ("in", "more", "narrowed", 0),
        ("more", "in", "widened", 0),
        ("more", "in", "narrowed", 1),
    ] {
        assert_eq!(code(old, new, fail_on).0, Some(expected), "{old} {new} {fail_on}");
    }
    assert_code(&project.run(&["diff", "in"]), 2);
    assert_code(&project.run(&["diff", "in", "gone"]), 3);
}

#[test]
fn reports_of_list_and_diff_have_a_schema_and_the_rules() {
    let project = Project::new();
    project.write("more/pods.yaml", PODS);
    project.write("more/policy.yaml", OTHER_POLICY);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&project.run(&[args, &["-o", "json"]].concat()).stdout).unwrap()
    };
    let list = json(&["list", "in"]);
    assert_eq!(list["schema"], "ciliumc/list/v1");
    let is_pair = |row: &&serde_json::Value| row["source"]["name"] == "cli" && row["destination"]["name"] == "web";
    let row = list["rows"].as_array().unwrap().iter().find(is_pair).unwrap();
    assert_eq!(row["connections"][0]["ports"], serde_json::json!([[8080, 8080]]));
    let kinds: Vec<_> = row["connections"][0]["rules"].as_array().unwrap().iter().map(|rule| &rule["kind"]).collect();
    assert_eq!(kinds, ["CiliumNetworkPolicy", "NetworkPolicy"]);

    let diff = json(&["diff", "in", "more"]);
    assert_eq!(diff["schema"], "ciliumc/diff/v1");
    let causes = diff["rows"][0]["causes"].as_array().unwrap();
    assert_eq!((&causes[0]["version"], &causes[0]["edit"]), (&"old".into(), &"removed".into()));

    let markdown = project.run(&["diff", "in", "more", "-o", "md", "--fail-on", "none"]);
    assert_code(&markdown, 0);
    assert!(String::from_utf8(markdown.stdout).unwrap().starts_with("<!-- ciliumc-diff:v1 -->\n"));
}

#[test]
fn a_reader_that_stops_is_no_failure_and_a_full_disk_is_one() {
    let project = Project::new();
    let commands: [&[&str]; 6] = [
        &["explain"],
        &["explain", "CL003"],
        &["completions", "bash"],
        &["man"],
        &["list", "in"],
        &["check", "in", "-o", "json"],
    ];
    for args in commands {
        // The reader is gone before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = project.command(args).stdout(writer).output().unwrap();
        assert_eq!(assert_code(&output, 0), "", "{args:?}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = project.command(args).stdout(full).output().unwrap();
        assert!(
            assert_code(&output, 5)
                .ends_with("standard output cannot be written: No space left on device (os error 28)\n")
        );
    }
}

#[test]
fn a_trace_without_a_flow_says_what_it_lacks() {
    let project = Project::new();
    let err = assert_code(&project.run(&["trace", "in"]), 2);
    assert!(err.contains("--from END --to END --port PROTO/PORT, or --probes FILE"), "{err}");
}

#[test]
fn a_patch_of_refused_input_is_refused() {
    let project = Project::new();
    project.write(
        "in/wrong.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelectr: {}}\n",
    );
    let output = project.run(&["check", "in", "--fix", "--dry-run"]);
    let err = assert_code(&output, 3);
    assert!(err.contains("did you mean `podSelector`?") && output.stdout.is_empty(), "{err}");
}

#[test]
fn an_input_that_says_nothing_is_said_to() {
    let project = Project::new();
    fs::create_dir(project.path("empty")).unwrap();
    let err = assert_code(&project.run(&["check", "empty"]), 0);
    assert_eq!(err, "warning: no manifest is in empty: *.yaml, *.yml and *.json are read\n");
    for (name, port) in [("one/a.yaml", "80"), ("two/a.yaml", "81")] {
        project.write(name, &POLICY.replace("port: http", &format!("port: {port}")));
    }
    let err = assert_code(&project.run(&["diff", "one", "two"]), 0);
    assert!(err.starts_with("warning: the input has policies and no endpoint"), "{err}");
    assert_eq!(assert_code(&project.run(&["diff", "in", "in"]), 0), "");
}
