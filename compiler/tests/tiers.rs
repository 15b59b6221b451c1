//! What tiers must not do to the rest, and what is said about policies of equal priority.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ciliumc::diag::Code;
use ciliumc::driver::{self, Analysis, build};
use ciliumc::eval::probe::{self, Answer};
use ciliumc::front::FrontOptions;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions, SourceMap};
use ciliumc::validate::tables;
use ipnet::IpNet;
use proptest::prelude::*;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/cases");
    let mut out: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    out.sort();
    out
}

fn analyse(sources: &SourceMap) -> Analysis {
    driver::analyse(sources, &FrontOptions::default(), Lock::default()).unwrap()
}

/// The sources of a case, and a file beside them.
fn sources(case: &Path, extra: Option<&Path>) -> SourceMap {
    let files = [Some(case.join("input.yaml")), extra.map(Path::to_owned)];
    let paths = files.into_iter().flatten().map(|path| path.display().to_string()).collect();
    let mut sources = source::load(&LoadOptions { paths, exclude: Vec::new() }).unwrap();
    let groups = case.join("groups.yaml");
    if groups.is_file() {
        source::load_groups(&mut sources, &groups.display().to_string()).unwrap();
    }
    sources
}

/// Passes everything on, last of all, and names prefixes around, between and inside of those that other policies name.
const PASSES: &str = r#"
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: zz-passes}
spec:
  priority: 1000
  subject: {namespaces: {}}
  egress:
  - {action: Pass, to: [{networks: [0.0.0.0/0]}], ports: [{portNumber: {port: 7}}]}
  - {action: Pass, to: [{networks: ["::/0", 10.0.0.0/8, 10.0.1.8/29, 198.51.0.0/16, 198.51.100.128/26, 203.0.113.1/32]}]}
  - {action: Pass, to: [{nodes: {}}, {networks: ["2001:db8::/33", 192.0.2.0/31, 172.18.0.0/31]}]}
  - {action: Pass, to: [{namespaces: {}}], ports: [{namedPort: http}]}
"#;

/// A network has rows of its own, but no rule of the regular tier can see them: with the policy above every verdict of
/// every case is what it was, for both engines.
#[test]
fn a_network_changes_nothing_for_other_rules() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("passes.yaml");
    fs::write(&file, PASSES).unwrap();
    let mut problems = Vec::new();
    let mut parted = 0;
    for case in cases() {
        let (plain, with) = (analyse(&sources(&case, None)), analyse(&sources(&case, Some(&file))));
        let lowered = build::lower(&with).unwrap();
        parted += usize::from(with.resolved.identities.len() > plain.resolved.identities.len());
        for probe in probe::parse(&fs::read_to_string(case.join("probes.tsv")).unwrap()).unwrap() {
            let answer = |analysis: &Analysis| probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap();
            let (before, model) = (answer(&plain), answer(&with));
            let tables = tables::answer(&with.cluster, &lowered, &probe, model.clone());
            let says = |answer: &Answer| {
                let decision = &answer.decision;
                (decision.verdict, decision.auth, decision.ruleset.clone(), decision.audited)
            };
            for (engine, after) in [("model", model), ("tables", tables)] {
                if says(&before) != says(&after) {
                    problems.push(format!("{}: {engine}: {probe:?}", case.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(parted > 20, "only {parted} cases had an identity in two places");
}

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: ns1, labels: {app: web}}
spec: {containers: [{name: main, image: registry.example/web:1}]}
status: {podIPs: [{ip: 10.0.1.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cli, namespace: ns2, labels: {app: cli}}
spec: {containers: [{name: main, image: registry.example/cli:1}]}
status: {podIPs: [{ip: 10.0.2.11}]}
---
"#;

fn policy(name: &str, priority: u16, rule: &str) -> String {
    let head = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\n";
    let spec = format!("spec: {{priority: {priority}, subject: {{namespaces: {{}}}}, ingress: [{rule}]}}\n");
    format!("{head}metadata: {{name: {name}}}\n{spec}---\n")
}

fn ties(policies: &[String]) -> Vec<String> {
    let text = PODS.to_owned() + &policies.concat();
    let diagnostics = analyse(&SourceMap::from_texts([("a.yaml", text.as_str())])).diagnostics;
    let ties = diagnostics.into_iter().filter(|d| d.code == Code("W-301"));
    ties.map(|d| format!("{}: {}", d.object.unwrap(), d.message)).collect()
}

#[test]
fn equal_priorities_with_different_actions_are_said_where_they_meet() {
    let everyone = "{namespaces: {}}";
    let rule = |action: &str, peer: &str, ports: &str| format!("{{action: {action}, from: [{peer}]{ports}}}");
    let deny = policy("b", 5, &rule("Deny", everyone, ""));
    let allow = policy("a", 5, &rule("Allow", everyone, ", ports: [{portNumber: {port: 80}}]"));
    let message = "AdminNetworkPolicy a has the same priority and does something else to the same traffic";
    // In any order of the documents it is the later one by name that is told of the other.
    let expected = [format!("AdminNetworkPolicy b: {message}")];
    assert_eq!(ties(&[deny.clone(), allow.clone()]), expected);
    assert_eq!(ties(&[allow, deny.clone()]), expected);

    let other_priority = policy("a", 6, &rule("Allow", everyone, ""));
    let same_action = policy("a", 5, &rule("Deny", everyone, ""));
    let nobody = policy("a", 5, &rule("Allow", "{namespaces: {matchLabels: {no: one}}}", ""));
    for quiet in [other_priority, same_action, nobody] {
        assert!(ties(&[deny.clone(), quiet]).is_empty());
    }
    let at = |action: &str, name: &str, ports: &str| policy(name, 5, &rule(action, everyone, ports));
    let low = at("Allow", "a", ", ports: [{portRange: {start: 1, end: 79}}]");
    let high = at("Deny", "b", ", ports: [{portNumber: {port: 80}}]");
    let udp = at("Pass", "c", ", ports: [{portNumber: {protocol: UDP, port: 80}}]");
    assert!(ties(&[low, high, udp]).is_empty());
}

#[test]
fn a_place_keeps_its_index() {
    let deny = |net: &str, name: &str| {
        let spec = format!("{{action: Deny, to: [{{networks: [{net}]}}]}}");
        policy(name, 5, "").replace("ingress: []", &format!("egress: [{spec}]"))
    };
    let world = |policies: &[String], lock: Lock| {
        let text = PODS.to_owned() + &policies.concat();
        let sources = SourceMap::from_texts([("a.yaml", text.as_str())]);
        let resolved = driver::analyse(&sources, &FrontOptions::default(), lock).unwrap().resolved;
        let index = resolved.addresses.lookup("192.0.2.1".parse().unwrap());
        (index, Lock::parse(&resolved.lock.to_text()).unwrap(), resolved)
    };
    let (first, lock, resolved) = world(&[deny("192.0.2.0/24", "a")], Lock::default());
    assert!(first.0 > 255 && resolved.identities[&first].numeric.0 == 9, "{first:?}");
    // A smaller network that sorts before the other one, and a pod: nothing moves.
    let more = [deny("192.0.2.0/24", "a"), deny("10.0.2.0/24", "b")];
    let (second, lock, _) = world(&more, lock);
    assert_eq!(first, second);
    let (outside, _, _) = world(&[], lock.clone());
    assert_eq!(outside.0, 9);
    assert_eq!(world(&[deny("192.0.2.0/24", "a")], lock).0, first);
}

const NETWORKS: [&str; 12] = [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.0.0.0/29",
    "10.0.0.2/31",
    "10.0.0.3/32",
    "172.18.0.0/31",
    "192.0.2.0/24",
    "fd00::/16",
    "fd00::2/127",
    "fd00:18::1/128",
    "2001:db8::/32",
];

/// Pods (of two identities), both nodes, the world, and what lies between.
const ADDRESSES: [&str; 16] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "fd00::4",
    "172.18.0.1",
    "172.18.0.2",
    "fd00:18::1",
    "fd00:18::2",
    "192.0.2.1",
    "10.9.9.9",
    "2001:db8::1",
    "2001:db9::1",
];

fn cluster() -> String {
    let mut out = String::new();
    for n in 1..3 {
        let addresses =
            format!("[{{type: InternalIP, address: 172.18.0.{n}}}, {{type: InternalIP, address: \"fd00:18::{n}\"}}]");
        writeln!(out, "apiVersion: v1\nkind: Node\nmetadata: {{name: n{n}}}\nstatus: {{addresses: {addresses}}}\n---")
            .unwrap();
    }
    for n in 1..5 {
        let meta = format!("{{name: p{n}, namespace: ns, labels: {{app: a{}}}}}", n % 2);
        let spec = "{nodeName: n1, containers: [{name: main, image: registry.example/a:1}]}";
        let status = format!("{{podIPs: [{{ip: 10.0.0.{n}}}, {{ip: \"fd00::{n}\"}}]}}");
        writeln!(out, "apiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {spec}\nstatus: {status}\n---").unwrap();
    }
    out
}

fn rules() -> impl Strategy<Value = Vec<(&'static str, Vec<&'static str>)>> {
    let networks = prop::sample::subsequence(NETWORKS.to_vec(), 1..5);
    prop::collection::vec((prop::sample::select(vec!["Allow", "Deny", "Pass"]), networks), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Spec §6.4: networks compare addresses, whoever has them; the first match counts.
    #[test]
    fn networks_are_about_addresses(rules in rules()) {
        let list: Vec<String> = rules
            .iter()
            .map(|(action, nets)| format!("{{action: {action}, to: [{{networks: {nets:?}}}]}}"))
            .collect();
        let policy = policy("a", 1, "").replace("ingress: []", &format!("egress: [{}]", list.join(", ")));
        let text = cluster() + &policy;
        let analysis = analyse(&SourceMap::from_texts([("a.yaml", text.as_str())]));
        prop_assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
        let lowered = build::lower(&analysis).unwrap();
        for address in ADDRESSES {
            let parsed: IpAddr = address.parse().unwrap();
            let first = rules.iter().find(|(_, nets)| {
                nets.iter().any(|net| net.parse::<IpNet>().unwrap().contains(&parsed))
            });
            let expected = if first.is_some_and(|(action, _)| *action == "Deny") { "deny" } else { "allow" };
            let probe = &probe::parse(&format!("ns/p1\tegress\tip:{address}\tTCP\t80\n")).unwrap()[0];
            let model = probe::answer(&analysis.cluster, &analysis.resolved, probe).unwrap();
            let tables = tables::answer(&analysis.cluster, &lowered, probe, model.clone());
            prop_assert_eq!(model.decision.verdict.word(), expected, "model: {}", address);
            prop_assert_eq!(tables.decision.verdict.word(), expected, "tables: {}", address);
        }
    }
}
