//! `test --packets`: what tests say of flows, held against the built objects and tables in this kernel.
//!
//! Needs root; without it the tests say so and pass, unless `CILIUMC_REQUIRE_KERNEL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod folders;
mod project;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;

use ciliumc::clang::Toolchain;
use ciliumc::driver::build::BuildOptions;
use ciliumc::driver::packets::{self, Origin};
use ciliumc::driver::{self, Failure, policy_test};
use ciliumc::front::FrontOptions;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions};
use folders::cases;
use project::Project;

/// Flows of a case that are sent: some cases have thousands.
const FLOWS: usize = 60;

const CLUSTER: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cli, namespace: shop}
spec: {selector: {matchLabels: {app: cli}}, template: {metadata: {labels: {app: cli}}, spec: {containers: [{name: c, image: x}]}}}
";

const POLICY: &str = "\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: cli}}]
    toPorts: [{ports: [{port: http, protocol: TCP}]}]
  - fromEndpoints: [{matchLabels: {app: cli}}]
    toPorts: [{ports: [{port: \"9090\", protocol: TCP}], rules: {http: [{path: /metrics}]}}]
  - fromCIDR: [192.0.2.0/24]
    toPorts: [{ports: [{port: \"8000\", endPort: 8099, protocol: TCP}]}]
";

const TESTS: &str = "\
ciliumcTest: v1
tests:
- {name: the client is served, from: shop/cli, to: shop/web, ports: [tcp/8080], expect: allow}
- {name: not elsewhere, from: shop/cli, to: shop/web, ports: [tcp/8081], expect: deny}
- {name: metrics, from: shop/cli, to: shop/web, ports: [tcp/9090], http: {method: GET, path: /metrics}, expect: allow}
- {name: nobody else, from: {not: [shop/cli, {cidr: 192.0.2.0/24}]}, to: shop/web, expect: deny}
";

impl Project {
    fn new() -> Self {
        let files = [("in/cluster.yaml", CLUSTER), ("in/policy.yaml", POLICY), ("tests.yaml", TESTS)];
        Self::with(&files, Path::new(env!("CARGO_TARGET_TMPDIR")))
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether the machine lets us load programs; said aloud where it does not.
fn permitted() -> bool {
    let project = Project::new();
    let output = project.run(&["test", "in", "--tests", "tests.yaml", "--packets"]);
    if code(&output) == 5 {
        assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "{}", text(&output));
        eprintln!("skipped: {}", text(&output));
    }
    code(&output) != 5
}

#[test]
fn packets_do_what_the_tests_expect() {
    if !permitted() {
        return;
    }
    let project = Project::new();
    let output = project.run(&["test", "in", "--tests", "tests.yaml", "--packets"]);
    let text = text(&output);
    assert_eq!(code(&output), 0, "{text}");
    // IPv4 and IPv6; the client's addresses are made up, for it is a Deployment without pods.
    assert!(text.contains("ok   the client is served (tests.yaml:3)\n     2 packets: 2 pass\n"), "{text}");
    assert!(text.contains("     2 packets: 2 dropped (133 Policy denied)\n"), "{text}");
    assert!(text.contains("     2 packets: 2 dropped for want of a proxy (178)\n"), "{text}");
    assert!(text.contains("4 tests, 0 failed"), "{text}");

    let json = project.run(&["test", "in", "--tests", "tests.yaml", "--packets", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let first = &json["tests"][0]["packets"];
    assert_eq!(first["packets"], 2);
    assert_eq!(first["asExpected"], serde_json::json!([{ "passes": true, "dropReason": null, "packets": 2 }]));
    assert_eq!(first["differences"], serde_json::json!([]));
    let junit = project.run(&["test", "in", "--tests", "tests.yaml", "--packets", "-o", "junit"]);
    assert!(self::text(&junit).contains("<system-out>2 packets: 2 pass</system-out>"));
    // Without the option nothing is sent and nothing said.
    let plain = project.run(&["test", "in", "--tests", "tests.yaml"]);
    assert!(!self::text(&plain).contains("packets"));
}

#[test]
fn a_failing_test_fails_with_packets_too() {
    if !permitted() {
        return;
    }
    let project = Project::new();
    project.write("tests.yaml", &TESTS.replace("ports: [tcp/8081], expect: deny", "ports: [tcp/8081], expect: allow"));
    let output = project.run(&["test", "in", "--tests", "tests.yaml", "--packets"]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    // The counterexample is sent as well, and the objects drop it.
    assert!(text(&output).contains("FAIL not elsewhere"), "{}", text(&output));
    assert!(text(&output).contains("     2 packets: 2 dropped (133 Policy denied)\n"), "{}", text(&output));
}

#[test]
fn a_bundle_of_another_policy_is_found_out() {
    if !permitted() {
        return;
    }
    let project = Project::new();
    let build = project.run(&["build", "in", "--out", "same"]);
    assert_eq!(code(&build), 0, "{}", text(&build));
    let same = project.run(&["test", "in", "--tests", "tests.yaml", "--packets=same"]);
    assert_eq!(code(&same), 0, "{}", text(&same));

    // One port more, one port less, and a label that gives identities other numbers.
    project.write(
        "other/cluster.yaml",
        &format!(
            "{CLUSTER}---\n{}",
            CLUSTER.replace("web", "aaa").replace("0.1", "0.9").replace("::1", "::9").replace("cli", "aab")
        ),
    );
    project.write("other/policy.yaml", &POLICY.replace("port: http", "port: \"8081\""));
    let build = project.run(&["build", "other", "--out", "other.tar", "--lock", "other.lock"]);
    assert_eq!(code(&build), 0, "{}", text(&build));
    let other = project.run(&["test", "in", "--tests", "tests.yaml", "--packets=other.tar"]);
    let found = text(&other);
    assert_eq!(code(&other), 1, "{found}");
    assert!(found.contains("FAIL the client is served"), "{found}");
    let dropped = "-> 10.0.0.1 8080/TCP is dropped (133 Policy denied) at ingress of shop/web; by the policy it passes";
    assert!(found.contains(dropped), "{found}");
    let passes = "-> fd00::1 8081/TCP passes at ingress of shop/web; by the policy it is dropped (133 Policy denied)";
    assert!(found.contains(passes), "{found}");
    assert!(found.contains("ok   metrics"), "{found}");
    assert!(found.contains("ok   nobody else"), "{found}");

    // One that does not know an end at all.
    project.write("few/cluster.yaml", &CLUSTER.replace("web", "shop"));
    let build = project.run(&["build", "few", "--out", "fewer", "--lock", "few.lock"]);
    assert_eq!(code(&build), 0, "{}", text(&build));
    let few = project.run(&["test", "in", "--tests", "tests.yaml", "--packets=fewer"]);
    assert_eq!(code(&few), 1, "{}", text(&few));
    assert!(text(&few).contains("the bundle does not have the endpoint"), "{}", text(&few));
}

#[test]
fn who_may_not_load_programs_is_told_what_is_missing() {
    // Only root can become somebody else.
    if !permitted() {
        return;
    }
    let project = Project::new();
    fs::create_dir(project.path("cache")).unwrap();
    for (folder, mode) in [("", 0o755), ("cache", 0o777)] {
        fs::set_permissions(project.path(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = project.command(&["test", "in", "--tests", "tests.yaml", "--packets"]);
    command.env("XDG_CACHE_HOME", project.path("cache")).uid(65_534).gid(65_534);
    // Somebody else may not reach the program at all.
    let Ok(output) = command.output() else { return };
    assert_eq!(code(&output), 5, "{}", text(&output));
    assert!(text(&output).contains("run as root (CAP_BPF and CAP_NET_ADMIN)"), "{}", text(&output));
}

#[test]
fn every_case_does_in_the_kernel_what_the_model_says() {
    if !permitted() {
        return;
    }
    let toolchain = Toolchain::find().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
    let folder = tempfile::tempdir().unwrap();
    let everything = folder.path().join("tests.yaml");
    fs::write(&everything, "ciliumcTest: v1\ntests: [{name: everything, expect: deny}]\n").unwrap();
    let (mut frames, mut outcomes) = (0, std::collections::BTreeSet::new());
    let mut faults = Vec::new();
    for case in cases() {
        let paths = vec![case.join("input.yaml").display().to_string(), everything.display().to_string()];
        let mut sources = source::load(&LoadOptions { paths, exclude: Vec::new() }).unwrap();
        let groups = case.join("groups.yaml");
        if groups.is_file() {
            source::load_groups(&mut sources, &groups.display().to_string()).unwrap();
        }
        let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
        let results = policy_test::run(&analysis, &policy_test::Fixtures::new(), true, FLOWS).unwrap();
        let options = BuildOptions { cache: Some(&cache), ..BuildOptions::default() };
        let sent = packets::run(&sources, &analysis, &results, &Origin::Built(&toolchain, options));
        let sent = sent.unwrap_or_else(|error: Failure| panic!("{}: {error}", case.display()));
        for sent in sent.iter().flatten() {
            frames += sent.frames();
            outcomes.extend(sent.as_expected.keys().copied());
            let shown = sent.differences.iter().take(3);
            faults.extend(shown.map(|difference| format!("{}: {difference:?}", case.display())));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(frames > 3_000, "{frames}");
    assert!([0, 133, 178, 181, 189].iter().all(|outcome| outcomes.contains(outcome)), "{outcomes:?}");
    println!("{frames} packets");
}
