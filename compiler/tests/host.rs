//! Host policies under `enable-host-firewall`: whose host is asked about a flow, and what Cilium's own examples say then.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::fs;
use std::path::PathBuf;

use ciliumc::connectivity::Connectivity;
use ciliumc::connectivity::diff::{self, Cause, Version};
use ciliumc::diag::{Diagnostic, Severity};
use ciliumc::driver::{self, Analysis, build, connectivity, policy_test, warnings};
use ciliumc::eval::flow::{self, Judgement, Unknown};
use ciliumc::eval::{L4, Verdict, probe};
use ciliumc::front::{self, FrontOptions};
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;
use ciliumc::validate::tables;

fn analyse(documents: &[&str]) -> Analysis {
    let sources = SourceMap::from_texts([("a.yaml", documents.join("\n---\n"))]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let errors: Vec<_> = analysis.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    analysis
}

const ON: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, \
                  data: {enable-host-firewall: \"true\"}}";
const NODES: [&str; 2] = [
    "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {role: worker}}, \
     status: {addresses: [{type: InternalIP, address: 172.18.0.1}]}}",
    "{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {role: db}}, \
     status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}",
];
/// Of the worker nodes: in from `cli` on port 22, out to `cli` on port 80.
const WORKERS: &str = "{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: workers}, \
     spec: {nodeSelector: {matchLabels: {role: worker}}, \
     ingress: [{fromEndpoints: [{matchLabels: {app: cli}}], toPorts: [{ports: [{port: \"22\", protocol: TCP}]}]}], \
     egress: [{toEndpoints: [{matchLabels: {app: cli}}], toPorts: [{ports: [{port: \"80\", protocol: TCP}]}]}]}}";
/// Of every node: in from other nodes alone.
const EVERY: &str = "{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: every}, \
     spec: {nodeSelector: {}, ingress: [{fromEntities: [remote-node]}]}}";

fn pod(name: &str, node: &str, more: &str) -> String {
    let node = if node.is_empty() { String::new() } else { format!("nodeName: {node}, ") };
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}, \
         spec: {{{node}{more}containers: [{{name: c, image: x}}]}}}}"
    )
}

/// Two nodes, a pod on each, one whose node nobody knows, and one on the network of the second node.
fn documents(option: &str, policies: &[&str]) -> Analysis {
    let pods =
        [pod("web", "n1", ""), pod("cli", "n2", ""), pod("any", "", ""), pod("agent", "n2", "hostNetwork: true, ")];
    let mut all = vec![option];
    all.extend(NODES);
    all.extend(pods.iter().map(String::as_str));
    all.extend(policies);
    analyse(&all)
}

/// `A -> B PROTO/PORT`.
fn ask(analysis: &Analysis, flow: &str) -> Result<Judgement, Unknown> {
    let [from, _, to, port] = flow.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let end = |text: &str| {
        let name = front::parse::flow::end(text).unwrap();
        let found = flow::find(&analysis.cluster, &[], &name).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(found.len(), 1, "{text}");
        found[0]
    };
    let port = front::parse::flow::ports(port).unwrap();
    let l4 = L4::new(port.transport, port.first);
    flow::judge(&analysis.cluster, &analysis.resolved, end(from), end(to), l4)
}

/// Verdict and the ends that have a say: `allow shop/web node:n1`.
fn said(analysis: &Analysis, flow: &str) -> String {
    match ask(analysis, flow) {
        Ok(judgement) => {
            let names: Vec<String> = judgement.sides().map(|side| side.asked.name(&analysis.cluster)).collect();
            format!("{} {}", judgement.verdict().word(), names.join(" "))
        }
        Err(unknown) => format!("unknown: {unknown}"),
    }
}

fn expect(analysis: &Analysis, flows: &[(&str, &str)]) {
    let wrong: Vec<String> = flows
        .iter()
        .map(|(flow, expected)| (flow, said(analysis, flow), expected))
        .filter(|(_, said, expected)| said != *expected)
        .map(|(flow, said, expected)| format!("{flow}: {said}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_host_of_a_flow_is_judged_on_its_own_node() {
    let analysis = documents(ON, &[WORKERS]);
    expect(
        &analysis,
        &[
            // The local host of a pod is the node that it runs on.
            ("shop/web -> entity:host tcp/22", "deny shop/web node:n1"),
            ("shop/cli -> entity:host tcp/22", "allow shop/cli node:n2"),
            ("shop/cli -> node:n1 tcp/22", "allow shop/cli node:n1"),
            ("shop/cli -> node:n1 tcp/23", "deny shop/cli node:n1"),
            ("shop/cli -> ip:172.18.0.1 tcp/22", "allow shop/cli node:n1"),
            ("shop/web -> ip:172.18.0.1 tcp/22", "deny shop/web node:n1"),
            // From a host on its way out.
            ("entity:host -> shop/web tcp/80", "deny node:n1 shop/web"),
            ("entity:host -> shop/cli tcp/80", "allow node:n2 shop/cli"),
            ("node:n1 -> shop/cli tcp/80", "allow node:n1 shop/cli"),
            ("node:n1 -> shop/cli tcp/81", "deny node:n1 shop/cli"),
            ("node:n1 -> ip:192.0.2.1 tcp/443", "deny node:n1"),
            ("node:n2 -> ip:192.0.2.1 tcp/443", "allow node:n2"),
            // Between nodes: each sees the other as a remote node.
            ("node:n2 -> node:n1 tcp/22", "deny node:n2 node:n1"),
            ("node:n1 -> node:n2 tcp/22", "deny node:n1 node:n2"),
            ("ip:192.0.2.1 -> ip:172.18.0.1 tcp/22", "deny node:n1"),
            ("ip:192.0.2.1 -> node:n2 tcp/22", "allow node:n2"),
            // A pod on the host network is its node.
            ("shop/web -> shop/agent tcp/22", "allow shop/web node:n2"),
            ("shop/agent -> node:n1 tcp/22", "deny node:n2 node:n1"),
            ("shop/agent -> shop/cli tcp/9", "allow node:n2 shop/cli"),
            // Of the types of ICMPv6 the host lets some pass to itself, whatever its policy.
            ("shop/web -> node:n1 icmpv6/135", "allow shop/web node:n1"),
            ("shop/web -> node:n2 icmpv6/139", "deny shop/web node:n2"),
        ],
    );
}

#[test]
fn what_is_forwarded_meets_no_host_policy() {
    let analysis = documents(ON, &[WORKERS, EVERY]);
    expect(
        &analysis,
        &[
            ("shop/web -> ip:192.0.2.1 tcp/443", "allow shop/web"),
            ("ip:192.0.2.1 -> shop/web tcp/443", "allow shop/web"),
            ("entity:world -> shop/web tcp/443", "allow shop/web"),
            ("shop/web -> shop/cli tcp/443", "allow shop/web shop/cli"),
            ("shop/cli -> shop/web icmpv6/139", "allow shop/cli shop/web"),
            // The same node as an end.
            ("ip:192.0.2.1 -> node:n1 tcp/443", "deny node:n1"),
        ],
    );
}

#[test]
fn a_node_that_nobody_can_tell_is_no_guess() {
    let analysis = documents(ON, &[WORKERS]);
    let which = |word: &str| format!("unknown: it depends on which node {word} is; name it: node:NAME");
    expect(
        &analysis,
        &[
            ("entity:host -> ip:192.0.2.1 tcp/443", &which("host")),
            ("entity:world -> entity:host tcp/22", &which("host")),
            ("shop/any -> entity:host tcp/22", "unknown: it depends on the node that shop/any runs on"),
            ("shop/any -> entity:remote-node tcp/22", &which("remote-node")),
            // Beside a pod of the one node another node is the other one.
            ("shop/web -> entity:remote-node tcp/22", "allow shop/web node:n2"),
            ("shop/cli -> entity:remote-node tcp/22", "allow shop/cli node:n1"),
            ("shop/cli -> entity:remote-node tcp/23", "deny shop/cli node:n1"),
            ("entity:remote-node -> shop/cli tcp/81", "deny node:n1 shop/cli"),
            ("node:n1 -> node:n1 tcp/22", "unknown: both ends are one host, and what stays on it meets no policy"),
            ("node:n1 -> entity:host tcp/22", "unknown: both ends are one host, and what stays on it meets no policy"),
        ],
    );
    // Where all nodes say the same, it does not matter which one it is.
    let analysis = documents(ON, &[EVERY]);
    expect(
        &analysis,
        &[
            ("entity:world -> entity:host tcp/22", "deny node:n1"),
            ("shop/any -> entity:host tcp/22", "deny shop/any node:n2"),
            ("entity:host -> ip:192.0.2.1 tcp/443", "allow node:n1"),
            ("entity:remote-node -> node:n1 tcp/22", "allow node:n2 node:n1"),
        ],
    );
}

/// Pods of a DaemonSet on the host network are wherever it runs.
#[test]
fn pods_on_the_network_of_any_node() {
    let set = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: set, namespace: shop}, spec: {selector: \
               {matchLabels: {app: set}}, template: {metadata: {labels: {app: set}}, spec: {hostNetwork: true, \
               containers: [{name: c, image: x}]}}}}";
    let depends = "unknown: it depends on the node that daemonset/shop/set runs on";
    let set_to = |analysis: &Analysis, to: &str| said(analysis, &format!("daemonset/shop/set -> {to}"));
    let analysis = documents(ON, &[WORKERS, set]);
    assert_eq!(set_to(&analysis, "shop/cli tcp/81"), depends);
    assert_eq!(set_to(&analysis, "shop/cli tcp/80"), "allow node:n1 shop/cli");
    assert_eq!(set_to(&analysis, "ip:192.0.2.1 tcp/80"), depends);
    // On another node than n1 it is denied there, on n1 itself nothing is asked.
    assert_eq!(
        set_to(&analysis, "node:n1 tcp/22"),
        "unknown: it depends on which node the host is; name it: node:NAME"
    );
    assert_eq!(said(&analysis, "node:n2 -> daemonset/shop/set tcp/22"), depends);
    // As another node it may come in, and on its own it may.
    let analysis = documents(ON, &[EVERY, set]);
    assert_eq!(set_to(&analysis, "node:n1 tcp/22"), "allow node:n2 node:n1");
    assert_eq!(
        set_to(&analysis, "entity:host tcp/22"),
        "unknown: both ends are one host, and what stays on it meets no policy"
    );
    assert_eq!(said(&analysis, "ip:192.0.2.1 -> daemonset/shop/set tcp/22"), "deny node:n1");
}

#[test]
fn a_node_without_a_document_has_unknown_labels() {
    let web = pod("web", "n9", "");
    let no_labels = "unknown: which host policies select node:n9 is unknown: no Node of the input tells its labels";
    let analysis = analyse(&[ON, &web, WORKERS, EVERY]);
    expect(&analysis, &[("shop/web -> entity:host tcp/22", no_labels)]);
    let line = probe::parse("node:n9\tingress\tpod:shop/web\tTCP\t22\n").unwrap().remove(0);
    assert!(probe::answer(&analysis.cluster, &analysis.resolved, &line).is_err());
    // What selects every node needs no label.
    expect(&analyse(&[ON, &web, EVERY]), &[("shop/web -> entity:host tcp/22", "deny shop/web node:n9")]);
    expect(&analyse(&[ON, &web]), &[("shop/web -> entity:host tcp/22", "allow shop/web node:n9")]);
    // Without any node there is one that nobody described, and no other one.
    let nowhere = pod("web", "", "");
    let host = "the host of a node that the input does not describe";
    let unknown =
        format!("unknown: which host policies select {host} is unknown: no Node of the input tells its labels");
    for entity in ["host", "remote-node"] {
        let flow = format!("shop/web -> entity:{entity} tcp/22");
        expect(&analyse(&[ON, &nowhere, EVERY]), &[(&flow, &format!("deny shop/web {host}"))]);
        expect(&analyse(&[ON, &nowhere, EVERY, WORKERS]), &[(&flow, &unknown)]);
    }
    // Nor is there another node where the input has one alone.
    let flow = "shop/web -> entity:remote-node tcp/22";
    let web = pod("web", "n1", "");
    expect(&analyse(&[ON, NODES[0], &web, EVERY]), &[(flow, &format!("deny shop/web {host}"))]);
    expect(&analyse(&[ON, NODES[0], &web, WORKERS]), &[(flow, &unknown)]);
    expect(&analyse(&[ON, &nowhere]), &[("shop/web -> entity:remote-node tcp/22", &format!("allow shop/web {host}"))]);
}

/// An end that drops is enough, whoever the other one is.
#[test]
fn what_a_pod_drops_is_denied_whichever_node_it_is_about() {
    let isolated = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: shop}, \
                    spec: {podSelector: {matchLabels: {app: any}}, policyTypes: [Egress, Ingress]}}";
    let analysis = documents(ON, &[WORKERS, isolated]);
    expect(
        &analysis,
        &[
            ("shop/any -> entity:remote-node tcp/22", "deny shop/any"),
            ("entity:remote-node -> shop/any tcp/22", "deny shop/any"),
            ("shop/web -> entity:remote-node tcp/22", "allow shop/web node:n2"),
        ],
    );
}

#[test]
fn without_the_host_firewall_no_host_has_a_say() {
    let off = ON.replace("true", "false");
    let analysis = documents(&off, &[WORKERS, EVERY]);
    let neither = "unknown: neither end is an endpoint, so no policy of the input decides";
    expect(
        &analysis,
        &[
            ("shop/web -> entity:host tcp/22", "allow shop/web"),
            ("entity:host -> shop/web tcp/80", "allow shop/web"),
            ("shop/any -> node:n1 icmpv6/139", "allow shop/any"),
            ("node:n1 -> ip:192.0.2.1 tcp/443", neither),
            ("node:n1 -> node:n2 tcp/22", neither),
        ],
    );
    assert_eq!(analysis.diagnostics.iter().filter(|d| d.code.0 == "W-202").count(), 2);
    assert!(build::lower(&analysis).unwrap().hosts.is_none());
    assert!(warnings::warnings(&analysis).is_empty());
}

#[test]
fn build_warns_of_each_host_policy_and_has_nothing_of_it() {
    let analysis = documents(ON, &[WORKERS, EVERY]);
    let found = warnings::warnings(&analysis);
    let names: Vec<_> = found.iter().map(|d| (d.code.0, d.object.as_ref().unwrap().name.as_str())).collect();
    assert_eq!(names, [("F-304", "every"), ("F-304", "workers")]);
    assert!(analysis.diagnostics.iter().all(|d| d.code.0 != "W-202"));
    // Tables, causes and shapes of pods are those of the same input without host policies.
    let [with, without] = [&analysis, &documents(ON, &[])].map(|analysis| build::lower(analysis).unwrap());
    assert_eq!(with.causes, without.causes);
    assert_eq!(with.tables, without.tables);
    assert_eq!(with.classes, without.classes);
    assert_ne!(with.hosts.unwrap().causes, without.hosts.unwrap().causes);
    // In `never` mode they would have no effect in a cluster either.
    let never = ON.replace("data: {", "data: {enable-policy: never, ");
    assert!(warnings::warnings(&documents(&never, &[EVERY])).is_empty());
    let always = ON.replace("data: {", "data: {enable-policy: always, ");
    assert_eq!(warnings::warnings(&documents(&always, &[])).len(), 1);
}

fn connected(sources: &SourceMap) -> (Connectivity, Vec<Diagnostic>) {
    let input = connectivity::read(sources, &FrontOptions::default(), connectivity::Semantics::Cilium).unwrap();
    connectivity::connect(vec![input]).unwrap().remove(0)
}

/// `list`, `diff` and `graph` say that they leave host policies out.
#[test]
fn connectivity_says_what_it_leaves_out() {
    let reported = |option: &str, policies: &[&str]| -> usize {
        let mut documents = vec![option];
        documents.extend(policies);
        let sources = SourceMap::from_texts([("a.yaml", documents.join("\n---\n"))]);
        let (_, found) = connected(&sources);
        found.iter().filter(|d| d.code.0 == "F-304").count()
    };
    assert_eq!(reported(ON, &[WORKERS, EVERY]), 1);
    assert_eq!(reported(ON, &[]), 0);
    assert_eq!(reported(&ON.replace("true", "false"), &[WORKERS]), 0);
    assert_eq!(reported(&ON.replace("data: {", "data: {enable-policy: always, "), &[]), 1);
    assert_eq!(reported(&ON.replace("data: {", "data: {enable-policy: never, "), &[EVERY]), 0);
}

/// What an edit of a host policy changes is not compared, and nobody says that it has no effect.
#[test]
fn an_edited_host_policy_is_a_difference() {
    let read = |option: &str, policies: &[&str]| {
        let mut documents = vec![option];
        documents.extend(policies);
        let sources = SourceMap::from_texts([("a.yaml", documents.join("\n---\n"))]);
        let (connectivity, _) = connected(&sources);
        (sources, connectivity)
    };
    let off = ON.replace("true", "false");
    let edited = WORKERS.replace("22", "23");
    let said = |old: (&str, &[&str]), new: (&str, &[&str])| {
        let (old, new) = (read(old.0, old.1), read(new.0, new.1));
        let version = |(sources, connectivity)| Version { connectivity, sources };
        let diff = diff::diff(version((&old.0, &old.1)), version((&new.0, &new.1)));
        let words = |causes: &[Cause<'_>]| -> Vec<String> {
            causes.iter().map(|cause| format!("{} {}", cause.rule.object.name, cause.edit.word())).collect()
        };
        (words(&diff.of_hosts), words(&diff.without_effect))
    };
    let one = |text: &str| (vec![text.to_owned()], vec![]);
    assert_eq!(said((ON, &[WORKERS]), (ON, &[WORKERS])), (vec![], vec![]));
    assert_eq!(said((ON, &[WORKERS]), (ON, &[WORKERS, EVERY])), one("every added"));
    assert_eq!(said((ON, &[WORKERS, EVERY]), (ON, &[WORKERS])), one("every removed"));
    assert_eq!(said((ON, &[WORKERS]), (ON, &[&edited])), one("workers policy changed"));
    // The option alone.
    assert_eq!(said((&off, &[EVERY]), (ON, &[EVERY])), one("every changed"));
    assert_eq!(said((ON, &[EVERY]), (&off, &[EVERY])), one("every changed"));
    // While it is off nothing of it matters.
    assert_eq!(said((&off, &[WORKERS]), (&off, &[WORKERS, EVERY])), (vec![], vec!["every added".to_owned()]));
}

/// Tests ask hosts too, from model and tables, and count the rules of host policies.
#[test]
fn tests_of_policies_ask_hosts() {
    let tests = "ciliumcTest: v1\ntests:\n\
                 - {name: ssh, from: shop/cli, to: \"node:n1\", ports: [tcp/22], expect: allow, because: workers}\n\
                 - {name: world, from: \"entity:world\", to: \"node:n1\", expect: deny}\n\
                 - {name: nobody else, from: shop/web, to: \"node:n1\", ports: [tcp], expect: deny}\n\
                 - {name: wrong, from: shop/cli, to: \"node:n1\", ports: [tcp/22-23], expect: deny}\n\
                 - {name: out, from: \"node:n1\", to: shop/cli, ports: [tcp/80], expect: allow}\n\
                 - {name: which, from: \"entity:host\", to: \"ip:192.0.2.1\", ports: [tcp/80], expect: allow}";
    let outcomes = |option: &str| {
        let analysis = documents(option, &[WORKERS, tests]);
        let results = policy_test::run(&analysis, &policy_test::Fixtures::new(), true, 0).unwrap();
        let report = results.tested.into_iter().next().unwrap().report;
        let rules: Vec<bool> = results.coverage.values().copied().collect();
        (report.outcomes, report.diagnostics.len(), rules)
    };
    let (found, refused, rules) = outcomes(ON);
    let passed: Vec<(&str, bool)> = found.iter().map(|o| (o.name.as_str(), o.faults.is_empty())).collect();
    let expected =
        [("ssh", true), ("world", false), ("nobody else", true), ("wrong", false), ("out", true), ("which", false)];
    assert_eq!((passed.as_slice(), refused), (&expected[..], 0));
    assert_eq!(rules, [true, true]);
    // Of everything from the world those types of ICMPv6 pass that no policy decides.
    let passing = &found[1].faults[0].ports;
    let types: Vec<_> = passing.iter().map(|span| (span.transport.name(), span.first, span.last)).collect();
    let icmp6 = [(1, 4), (130, 136), (141, 143), (148, 149), (151, 153)];
    assert_eq!(types, icmp6.map(|(first, last)| ("ICMPv6", first, last)));
    assert_eq!(found[3].faults[0].ports.iter().map(|span| (span.first, span.last)).collect::<Vec<_>>(), [(22, 22)]);
    // Without the host firewall nobody decides about the world and a node, and no test can exercise a host policy.
    let (found, refused, rules) = outcomes(&ON.replace("true", "false"));
    assert_eq!((found.len(), refused, rules.len()), (4, 2, 0));
}

/// Rules of a host that exclude each other are an error of the node.
#[test]
fn rules_of_a_host_that_conflict_are_an_error_of_the_node() {
    let policy = |name: &str, rules: &str| {
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {{name: {name}}}, \
             spec: {{nodeSelector: {{matchLabels: {{role: db}}}}, egress: [{{toEntities: [world], \
             authentication: {{mode: {rules}}}}}]}}}}"
        )
    };
    let [a, b] = [policy("a", "required"), policy("b", "disabled")];
    let text = [ON, NODES[0], NODES[1], &a, &b].join("\n---\n");
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let errors: Vec<String> = analysis
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| format!("{} {}", d.code, d.object.as_ref().unwrap()))
        .collect();
    assert_eq!(errors, ["E-262 Node n2"]);
    let verdict = |node: &str| {
        let line = probe::parse(&format!("node:{node}\tegress\tentity:world-ipv4\tTCP\t1\n")).unwrap().remove(0);
        probe::answer(&analysis.cluster, &analysis.resolved, &line).unwrap().decision.verdict
    };
    assert_eq!([verdict("n1"), verdict("n2")], [Verdict::Allow, Verdict::Error]);
}

/// File, label of the node that it selects, and what it says there.
type Example = (&'static str, &'static str, &'static [(&'static str, Verdict)]);

/// Cilium's own host policies, on a node that each selects and on one that it does not.
#[test]
fn host_policies_of_cilium() {
    let Some(root) = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let node = |name: &str, label: &str, n: u8| {
        format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{{label}}}}}, \
             status: {{addresses: [{{type: InternalIP, address: 172.18.0.{n}}}]}}}}"
        )
    };
    let dns = "{apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}, \
               spec: {nodeName: n1, containers: [{name: c, image: x}]}}";
    let files: [Example; 4] = [
        (
            "demo-host-policy.yaml",
            "node-access: ssh",
            &[
                ("ingress entity:world-ipv4 TCP 22", Verdict::Allow),
                ("ingress entity:world-ipv4 TCP 23", Verdict::Deny),
                ("ingress entity:world-ipv4 ICMP 8", Verdict::Allow),
                ("ingress entity:world-ipv4 ICMP 13", Verdict::Deny),
                ("ingress entity:world-ipv6 ICMPv6 128", Verdict::Deny),
                ("ingress pod:kube-system/dns TCP 23", Verdict::Allow),
                ("egress entity:world-ipv4 TCP 23", Verdict::Allow),
            ],
        ),
        (
            "lock-down-dev-vms-remote-node.yaml",
            "any: thing",
            &[
                ("ingress entity:world-ipv4 TCP 22", Verdict::Allow),
                ("ingress entity:world-ipv4 TCP 6443", Verdict::Deny),
                ("ingress entity:remote-node UDP 8472", Verdict::Allow),
                ("ingress entity:host TCP 6443", Verdict::Deny),
                ("ingress pod:kube-system/dns TCP 6443", Verdict::Allow),
                ("ingress pod:kube-system/dns TCP 22", Verdict::Deny),
                ("egress ip:8.8.8.8 UDP 53", Verdict::Allow),
                ("egress ip:8.8.8.8 TCP 53", Verdict::Deny),
                ("egress ip:9.9.9.9 UDP 53", Verdict::Deny),
                ("egress ip:9.9.9.9 UDP 123", Verdict::Allow),
            ],
        ),
        (
            "lock-down-gke.yaml",
            "type: worker",
            &[
                ("ingress entity:world-ipv4 TCP 3389", Verdict::Allow),
                ("ingress entity:world-ipv4 TCP 10250", Verdict::Deny),
                ("ingress entity:remote-node TCP 10250", Verdict::Allow),
                ("egress ip:169.254.169.254 UDP 67", Verdict::Allow),
                ("egress ip:169.254.169.254 TCP 443", Verdict::Allow),
                ("egress ip:169.254.169.253 UDP 67", Verdict::Deny),
                ("egress pod:kube-system/dns UDP 53", Verdict::Allow),
                ("egress pod:kube-system/dns TCP 53", Verdict::Deny),
            ],
        ),
        (
            "lock-down-ingress.yaml",
            "type: ingress-worker",
            &[
                ("ingress entity:world-ipv4 TCP 4240", Verdict::Allow),
                ("ingress entity:world-ipv4 UDP 4240", Verdict::Deny),
                ("ingress entity:health TCP 1", Verdict::Allow),
                ("ingress entity:host TCP 1", Verdict::Deny),
                ("egress entity:world-ipv4 TCP 1", Verdict::Allow),
            ],
        ),
    ];
    for (file, label, flows) in files {
        let text = fs::read_to_string(root.join("cilium/host").join(file)).unwrap();
        let analysis = analyse(&[ON, &node("n1", label, 1), &node("n2", "other: node", 2), dns, &text]);
        assert!(analysis.diagnostics.iter().all(|d| d.code.0 != "W-202"), "{file}");
        let lowered = build::lower(&analysis).unwrap();
        let selects_all = file.contains("dev-vms");
        for (flow, expected) in flows {
            for (node, expected) in [("n1", *expected), ("n2", if selects_all { *expected } else { Verdict::Allow })] {
                let line = format!("node:{node}\t{}\n", flow.replace(' ', "\t"));
                let line = probe::parse(&line).unwrap().remove(0);
                let model = probe::answer(&analysis.cluster, &analysis.resolved, &line).unwrap();
                let read = tables::answer(&analysis.cluster, &lowered, &line, model.clone());
                let got = (model.decision.verdict, read.decision.verdict);
                assert_eq!(got, (expected, expected), "{file}: {node} {flow}");
            }
        }
    }
}
