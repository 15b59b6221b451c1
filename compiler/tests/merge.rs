//! Rules of one endpoint that exclude each other (spec §2.14): what is reported, of whom, and what is left of its policy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ciliumc::diag::{Diagnostic, Severity};
use ciliumc::driver::{self, Analysis, build};
use ciliumc::eval::{Verdict, probe};
use ciliumc::front::FrontOptions;
use ciliumc::ir::Direction;
use ciliumc::lower::shape::PolicyMode;
use ciliumc::resolve::{Lock, Ruleset};
use ciliumc::source::SourceMap;
use ciliumc::validate::tables;

const CLUSTER: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: ns}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: ns, labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cli, namespace: ns, labels: {app: cli}}, spec: {containers: [{name: c, image: x}]}}
";

/// Selectors, as peers of a rule in either direction.
const CLI: &str = "Endpoints: [{matchLabels: {app: cli}}]";
const HOST: &str = "Entities: [host]";

/// Port items.
const PLAIN: &str = "";
const HTTP: &str = ", rules: {http: [{method: GET}]}";
const OTHER_HTTP: &str = ", rules: {http: [{method: PUT}]}";
const KAFKA: &str = ", rules: {kafka: [{topic: t}]}";
const DNS: &str = ", rules: {dns: [{matchName: a.example}]}";
const SNI: &str = ", serverNames: [a.example]";
const OTHER_SNI: &str = ", serverNames: [b.example]";
const TLS: &str = ", terminatingTLS: {secret: {name: a}}";
const OTHER_TLS: &str = ", terminatingTLS: {secret: {name: b}}";
const LISTENER: &str = ", listener: {name: l, priority: 5, envoyConfig: {name: a}}";
const EQUAL_LISTENER: &str = ", listener: {name: l, priority: 5, envoyConfig: {name: b}}";
const BETTER_LISTENER: &str = ", listener: {name: l, priority: 4, envoyConfig: {name: b}}";

/// A rule of `ns/web`: who, the port, what its item adds.
fn rule(peer: &str, port: &str, item: &str) -> String {
    format!("{{to{peer}, toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]{item}}}]}}")
}

fn analyse(allows: &[String], denies: &[String]) -> Analysis {
    let policy = |name: &str, field: &str, rules: &[String]| {
        format!(
            "---\n{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: {name}, namespace: ns}}, \
             spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, {field}: [{}]}}}}\n",
            rules.join(", ")
        )
    };
    let mut text = CLUSTER.to_string();
    // One policy for each rule: they need not stand in one object.
    for (n, allow) in allows.iter().enumerate() {
        text += &policy(&format!("allow-{n}"), "egress", std::slice::from_ref(allow));
    }
    if !denies.is_empty() {
        text += &policy("deny", "egressDeny", denies);
    }
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap()
}

fn errors(analysis: &Analysis) -> Vec<&Diagnostic> {
    analysis.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect()
}

/// Codes of two rules for the same peer and port, in either order.
fn codes(a: &str, b: &str) -> Vec<&'static str> {
    let of = |first: &str, second: &str| -> Vec<&'static str> {
        let analysis = analyse(&[rule(CLI, "443", first), rule(CLI, "443", second)], &[]);
        errors(&analysis).iter().map(|d| d.code.0).collect()
    };
    let found = of(a, b);
    assert_eq!(found, of(b, a), "{a} and {b}");
    found
}

#[test]
fn what_can_be_merged_and_what_cannot() {
    for (a, b, expected) in [
        (HTTP, OTHER_HTTP, None),
        (HTTP, PLAIN, None),
        (HTTP, KAFKA, Some("E-260")),
        (HTTP, LISTENER, Some("E-260")),
        (HTTP, ", rules: {l7proto: two}", Some("E-260")),
        (", rules: {l7proto: one}", ", rules: {l7proto: two}", Some("E-260")),
        // TLS interception goes with any parser but DNS and listeners.
        (HTTP, TLS, None),
        (KAFKA, TLS, None),
        (DNS, TLS, Some("E-260")),
        (LISTENER, TLS, Some("E-260")),
        (TLS, TLS, None),
        (TLS, OTHER_TLS, Some("E-261")),
        (SNI, OTHER_SNI, None),
        (SNI, HTTP, Some("E-263")),
        (LISTENER, LISTENER, None),
        (LISTENER, EQUAL_LISTENER, Some("E-264")),
        (LISTENER, BETTER_LISTENER, None),
    ] {
        assert_eq!(codes(a, b), Vec::from_iter(expected), "{a} and {b}");
    }
    // With termination the names may stand beside L7 rules.
    assert!(codes(&format!("{SNI}{TLS}"), HTTP).is_empty());
}

#[test]
fn authentication_is_one_or_inherited() {
    let with = |mode: &str| format!("{{to{CLI}, authentication: {{mode: {mode}}}}}");
    let two = |a: &str, b: &str| errors(&analyse(&[with(a), with(b)], &[])).len();
    assert_eq!(two("required", "disabled"), 1);
    assert_eq!(two("required", "required"), 0);
    let absent = analyse(&[with("required"), format!("{{to{CLI}}}")], &[]);
    assert!(errors(&absent).is_empty());
}

#[test]
fn only_the_same_port_and_selector_conflict() {
    let count = |a: String, b: String| errors(&analyse(&[a, b], &[])).len();
    assert_eq!(count(rule(CLI, "443", HTTP), rule(CLI, "443", KAFKA)), 1);
    assert_eq!(count(rule(CLI, "443", HTTP), rule(CLI, "444", KAFKA)), 0);
    assert_eq!(count(rule(CLI, "443", HTTP), rule("Entities: [cluster]", "443", KAFKA)), 0);
    // An entity is its reserved labels, however they are written; `none` is nobody.
    assert_eq!(count(rule(HOST, "443", HTTP), rule("Entities: [cluster]", "443", KAFKA)), 1);
    let label = "Endpoints: [{matchLabels: {\"reserved:host\": \"\"}}]";
    assert_eq!(count(rule(HOST, "443", HTTP), rule(label, "443", KAFKA)), 1);
    assert_eq!(count(rule("Entities: [none]", "443", HTTP), rule("Entities: [none]", "443", KAFKA)), 0);
    // A wildcard swallows its neighbours.
    assert_eq!(count(rule("Entities: [host, all]", "443", HTTP), rule(HOST, "443", KAFKA)), 0);
    assert_eq!(count(rule("Entities: [host, all]", "443", HTTP), rule("Entities: [all]", "443", KAFKA)), 1);
}

#[test]
fn a_deny_of_the_same_selector_ends_the_quarrel() {
    let allows = [rule(CLI, "443", HTTP), rule(CLI, "443", KAFKA)];
    assert!(errors(&analyse(&allows, &[rule(CLI, "443", PLAIN)])).is_empty());
    assert_eq!(errors(&analyse(&allows, &[rule(CLI, "444", PLAIN)])).len(), 1);
    assert_eq!(errors(&analyse(&allows, &[rule(HOST, "443", PLAIN)])).len(), 1);
}

#[test]
fn the_endpoint_is_named_and_has_no_policy_in_either_direction() {
    let analysis = analyse(&[rule(CLI, "443", HTTP), rule(CLI, "443", KAFKA)], &[]);
    let errors = errors(&analysis);
    let object = errors[0].object.as_ref().unwrap();
    assert_eq!((object.kind.as_str(), object.to_string().as_str()), ("Pod", "Pod ns/web"));
    let places: Vec<&str> = errors[0].related.iter().map(|(_, text)| text.as_str()).collect();
    let place = |n| format!("spec.egress[0] of CiliumNetworkPolicy ns/allow-{n}");
    assert_eq!(places, [place(0), place(1)]);

    let lowered = build::lower(&analysis).unwrap();
    let probes = "ns/web\tegress\tpod:ns/cli\tTCP\t443\nns/web\tingress\tpod:ns/cli\tTCP\t1\nns/cli\tegress\tpod:ns/web\tTCP\t1\n";
    let verdicts = [Verdict::Error, Verdict::Error, Verdict::Allow];
    for (probe, verdict) in probe::parse(probes).unwrap().iter().zip(verdicts) {
        let model = probe::answer(&analysis.cluster, &analysis.resolved, probe).unwrap();
        let read = tables::answer(&analysis.cluster, &lowered, probe, model.clone());
        assert_eq!((model.decision.verdict, read.decision.verdict), (verdict, verdict), "{probe:?}");
        // What is built for such an endpoint lets nothing pass.
        let mode = lowered.of(model.class, Direction::Egress).unwrap().1.shape.mode;
        assert_eq!(mode == PolicyMode::DenyAll, verdict == Verdict::Error);
    }
}

#[test]
fn rules_that_a_cluster_never_enforces_do_not_conflict() {
    let config = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, \
                  data: {enable-policy: never}}\n";
    let rules = [rule(CLI, "443", HTTP), rule(CLI, "443", KAFKA)].join(", ");
    let text = format!(
        "{CLUSTER}{config}---\n{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: p, namespace: ns}}, \
         spec: {{endpointSelector: {{}}, egress: [{rules}]}}}}\n"
    );
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    assert!(errors(&analysis).is_empty());
}

#[test]
fn options_switch_constructs_off() {
    let with = |option: &str, rule: &str| {
        let text = format!(
            "{CLUSTER}---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: cilium-config, namespace: kube-system}}, \
             data: {{{option}}}}}\n---\n{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, \
             metadata: {{name: p, namespace: ns}}, spec: {{endpointSelector: {{}}, egress: [{rule}]}}}}\n"
        );
        let sources = SourceMap::from_texts([("a.yaml", text)]);
        let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
        assert_eq!(errors(&analysis).is_empty(), !analysis.cluster.policies.is_empty());
        errors(&analysis).first().map(|d| d.code.0)
    };
    let http = rule(CLI, "443", HTTP);
    let icmp = "{icmps: [{fields: [{type: 8}]}]}";
    assert_eq!(with("enable-l7-proxy: \"false\"", &http), Some("E-242"));
    assert_eq!(with("enable-l7-proxy: \"false\"", &rule(CLI, "443", PLAIN)), None);
    assert_eq!(with("enable-l7-proxy: \"true\"", &http), None);
    assert_eq!(with("enable-icmp-rules: \"false\"", icmp), Some("F-204"));
    assert_eq!(with("enable-icmp-rules: \"true\"", icmp), None);
}

#[test]
fn a_flow_is_given_every_rule_that_covers_it() {
    let any = rule("Entities: [all]", "443", OTHER_HTTP);
    let analysis = analyse(&[rule(CLI, "443", HTTP), any, format!("{{to{HOST}}}")], &[]);
    let ruleset = |peer: &str| -> Ruleset {
        let probe = probe::parse(&format!("ns/web\tegress\t{peer}\tTCP\t443\n")).unwrap().remove(0);
        let answer = probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap();
        answer.decision.ruleset.unwrap().as_ref().clone()
    };
    let items = |peer: &str| {
        let ruleset = ruleset(peer);
        let items = ruleset.grants.values().next().unwrap().clone();
        (ruleset.grants.len(), items.http.len(), items.everything)
    };
    // Its own rules and those of any peer; the host has a plain allow beside.
    assert_eq!(items("pod:ns/cli"), (1, 2, false));
    assert_eq!(items("pod:ns/web"), (1, 1, false));
    assert_eq!(items("entity:host"), (1, 1, true));
    let lowered = build::lower(&analysis).unwrap();
    assert_eq!(lowered.rulesets.len(), 3);
}
