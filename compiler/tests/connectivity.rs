//! `list` and `diff` against the reference model: what they say of a flow is what `eval` says of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folders;

use std::collections::BTreeSet;
use std::path::Path;

use ciliumc::connectivity::diff::{self, Class, Edit, Version};
use ciliumc::connectivity::ports::{Outcome, Ports, Transport};
use ciliumc::connectivity::{Connectivity, Party, cilium};
use ciliumc::driver::connectivity::{self, Semantics};
use ciliumc::driver::{self, Analysis};
use ciliumc::eval::{Decision, Flow, L4, Verdict, decide};
use ciliumc::front::FrontOptions;
use ciliumc::ir::{Direction, Protocol};
use ciliumc::resolve::{AuthType, ClassIndex, Lock};
use ciliumc::source::{self, LoadOptions, SourceMap};
use folders::cases;

fn load(path: &Path) -> SourceMap {
    source::load(&LoadOptions { paths: vec![path.display().to_string()], exclude: Vec::new() }).unwrap()
}

/// Ports at which outcomes can change, and their neighbours.
fn edges(ports: &Ports) -> BTreeSet<(Transport, u16)> {
    ports.segments().flat_map(|(transport, s)| [(transport, s.first), (transport, s.last)]).collect()
}

fn at(ports: &Ports, transport: Transport, port: u16) -> &Outcome {
    let mut segments = ports.segments().filter(|(t, s)| *t == transport && (s.first..=s.last).contains(&port));
    let (_, segment) = segments.next().unwrap();
    assert!(segments.next().is_none(), "port {port} has two outcomes");
    &segment.outcome
}

fn l4(transport: Transport, port: u16) -> L4 {
    match transport {
        Transport::Icmp => L4::Icmp(port as u8),
        Transport::Icmp6 => L4::Icmp6(port as u8),
        Transport::Sctp => L4::Port(Protocol::Sctp, port),
        Transport::Tcp => L4::Port(Protocol::Tcp, port),
        Transport::Udp => L4::Port(Protocol::Udp, port),
    }
}

/// Position of an endpoint, where the party is one pod.
fn endpoint(analysis: &Analysis, party: &Party) -> Option<usize> {
    let Party::Workload { namespace, name, kind } = party else { return None };
    let full = format!("{namespace}/{name}");
    let position = analysis.cluster.endpoints.iter().position(|e| e.kind == *kind && e.name == full)?;
    (analysis.resolved.endpoints[position].classes.len() == 1).then_some(position)
}

fn ask(analysis: &Analysis, at: usize, direction: Direction, peer: usize, l4: L4) -> Decision {
    let endpoints = &analysis.resolved.endpoints;
    let ClassIndex(class) = *endpoints[at].classes.values().next().unwrap();
    let policy = analysis.resolved.classes[class as usize].policy(direction);
    let addresses = &analysis.cluster.endpoints[peer].addresses;
    let located = addresses.iter().find_map(|address| analysis.resolved.addresses.at(*address));
    decide(&analysis.resolved, policy, Flow { peer: located.unwrap_or(endpoints[peer].identity), l4 })
}

/// What the model says of both ends.
fn agrees(outcome: &Outcome, egress: &Decision, ingress: &Decision) -> bool {
    let passes = |d: &Decision| matches!(d.verdict, Verdict::Allow | Verdict::Redirect);
    let Some(treatment) = &outcome.passes else { return !(passes(egress) && passes(ingress)) };
    let ends = [egress, ingress];
    let l7 = ends.iter().filter_map(|d| d.ruleset.clone()).collect();
    let auth = ends.iter().map(|d| d.auth).filter(|auth| *auth != AuthType::None).collect();
    let rules: BTreeSet<u32> = ends.iter().flat_map(|d| &d.rules).map(|rule| rule.0).collect();
    let listed: BTreeSet<u32> = outcome.rules.iter().map(|rule| rule.0).collect();
    passes(egress) && passes(ingress) && treatment.l7 == l7 && treatment.auth == auth && rules == listed
}

#[test]
fn every_pair_of_pods_is_as_the_model_says() {
    let mut asked = [0, 0];
    for case in cases() {
        let sources = load(&case);
        let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
        let connectivity = cilium::connect(&analysis.cluster, &analysis.resolved, &cilium::Names::new());
        for (source, destination, ports) in connectivity.pairs() {
            let (Some(from), Some(to)) = (endpoint(&analysis, source), endpoint(&analysis, destination)) else {
                continue;
            };
            for (transport, port) in edges(ports) {
                let outcome = at(ports, transport, port);
                let egress = ask(&analysis, from, Direction::Egress, to, l4(transport, port));
                let ingress = ask(&analysis, to, Direction::Ingress, from, l4(transport, port));
                let told = agrees(outcome, &egress, &ingress);
                let flow = format!("{}: {source} -> {destination} {transport:?} {port}", case.display());
                assert!(told, "{flow}: {outcome:?}\nmodel: {egress:?}\n{ingress:?}");
                asked[usize::from(outcome.passes.is_some())] += 1;
            }
        }
    }
    assert!(asked.iter().all(|count| *count > 100), "flows dropped and passed: {asked:?}");
}

/// Replicas on nodes of different kinds, which policies of the host tell apart.
#[test]
fn replicas_on_different_nodes_are_one_party() {
    let mut text = String::new();
    for n in 1..=3 {
        text += &format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n{n}, labels: {{zone: z{n}}}}}, status: {{addresses: [{{type: InternalIP, address: 192.0.2.{n}}}]}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: web-{n}, namespace: shop, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u}}]}}, spec: {{nodeName: n{n}, containers: [{{name: c, image: x}}]}}}}\n---\n"
        );
    }
    let connectivity = read(&SourceMap::from_texts([("a.yaml", text)]));
    let workloads: Vec<String> = connectivity.workloads.iter().map(ToString::to_string).collect();
    assert_eq!(workloads, ["shop/web[ReplicaSet]"]);
}

const PODS: &str = "
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

/// An input with a policy of the cart whose rules are given.
fn version(rules: &str) -> SourceMap {
    let policy = format!(
        "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: cart, namespace: shop}}
spec:
  endpointSelector: {{matchLabels: {{app: cart}}}}
  ingress:
{rules}"
    );
    SourceMap::from_texts([("pods.yaml", PODS.to_string()), ("cart.yaml", policy)])
}

fn read(sources: &SourceMap) -> Connectivity {
    let input = connectivity::read(sources, &FrontOptions::default(), Semantics::Cilium).unwrap();
    let (connectivity, diagnostics) = connectivity::connect(vec![input]).unwrap().remove(0);
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == ciliumc::diag::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    connectivity
}

/// Class, sources, gained ports, lost ports and edits of a row.
type Seen = (Class, String, Vec<(u16, u16)>, Vec<(u16, u16)>, Vec<Edit>);

/// Each row of the difference.
fn rows(old: &str, new: &str) -> Vec<Seen> {
    let (old_sources, new_sources) = (version(old), version(new));
    let (old, new) = (read(&old_sources), read(&new_sources));
    let diff = diff::diff(
        Version { connectivity: &old, sources: &old_sources },
        Version { connectivity: &new, sources: &new_sources },
    );
    let ranges = |parts: &[diff::Part]| parts.iter().flat_map(|part| part.ranges.clone()).collect();
    let rows = diff.rows.iter().map(|row| {
        let sources: Vec<String> = row.sources.iter().map(ToString::to_string).collect();
        let edits = row.causes.iter().map(|cause| cause.edit).collect();
        (row.class, sources.join(","), ranges(&row.gained), ranges(&row.lost), edits)
    });
    rows.collect()
}

const FROM_WEB: &str = "  - fromEndpoints: [{matchLabels: {app: web}}]\n    toPorts: [{ports: [{port: '80', endPort: 90, protocol: TCP}]}]\n";

#[test]
fn an_input_does_not_differ_from_itself() {
    assert_eq!(rows(FROM_WEB, FROM_WEB), []);
    let spread = FROM_WEB.replace(": [", ":  [");
    assert_eq!(rows(FROM_WEB, &spread), []);
}

#[test]
fn a_port_more_is_a_widening_by_the_rule_that_changed() {
    let wider = FROM_WEB.replace("90", "95");
    let web = "shop/web[Pod]".to_string();
    assert_eq!(rows(FROM_WEB, &wider), [(Class::Widened, web.clone(), vec![(91, 95)], vec![], vec![Edit::Changed])]);
    assert_eq!(rows(&wider, FROM_WEB), [(Class::Narrowed, web, vec![], vec![(91, 95)], vec![Edit::Changed])]);
}

#[test]
fn a_rule_more_is_named_and_one_in_front_of_another_changes_nothing_else() {
    let more = "  - fromEntities: [remote-node]\n    toPorts: [{ports: [{port: '22', protocol: TCP}]}]\n";
    let both = format!("{more}{FROM_WEB}");
    let rows = rows(FROM_WEB, &both);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let (class, sources, gained, lost, edits) = &rows[0];
    assert_eq!((*class, gained.as_slice(), lost.len()), (Class::Widened, [(22, 22)].as_slice(), 0));
    assert!(sources.contains("remote-node") && !sources.contains("web"), "{sources}");
    assert_eq!(edits, &[Edit::Added]);
}

#[test]
fn a_proxy_narrows_and_another_path_is_both() {
    let http = |path: &str| {
        format!(
            "  - fromEndpoints: [{{matchLabels: {{app: web}}}}]\n    toPorts:\n    - ports: [{{port: '80', protocol: TCP}}]\n      rules: {{http: [{path}]}}\n"
        )
    };
    let plain =
        "  - fromEndpoints: [{matchLabels: {app: web}}]\n    toPorts: [{ports: [{port: '80', protocol: TCP}]}]\n";
    let classes = |old: &str, new: &str| rows(old, new).iter().map(|row| row.0).collect::<Vec<_>>();
    let (one, other) = (http("{path: /a}"), http("{path: /b}"));
    assert_eq!(classes(plain, &one), [Class::Narrowed]);
    assert_eq!(classes(&one, plain), [Class::Widened]);
    assert_eq!(classes(&one, &other), [Class::L7]);
    assert_eq!(classes(&http("{path: '/a|/b'}"), &http("{path: /b}, {path: /a}")), []);
    assert_eq!(classes(&one, &http("{path: /a}, {path: /b}")), [Class::Widened]);
    assert_eq!(classes(&one, &one), []);
}

#[test]
fn a_prefix_is_compared_with_the_one_that_held_it() {
    let from = |cidr: &str| format!("  - fromCIDR: [{cidr}]\n");
    let rows = rows(&from("10.0.0.0/8"), &from("10.1.0.0/16"));
    assert_eq!(rows.len(), 1, "{rows:?}");
    // The rest of 10.0.0.0/8 is lost; 10.1.0.0/16 passes in both.
    assert_eq!((rows[0].0, rows[0].1.as_str()), (Class::Narrowed, "10.0.0.0/8"));
}

#[test]
fn a_policy_edited_without_effect_is_said() {
    let again = format!("{FROM_WEB}{}", FROM_WEB.replace("'80', endPort: 90", "'85'"));
    let (old_sources, new_sources) = (version(FROM_WEB), version(&again));
    let (old, new) = (read(&old_sources), read(&new_sources));
    let (old, new) =
        (Version { connectivity: &old, sources: &old_sources }, Version { connectivity: &new, sources: &new_sources });
    let diff = diff::diff(old, new);
    let edited: Vec<String> = diff.without_effect.iter().map(|cause| cause.rule.object.to_string()).collect();
    assert_eq!((diff.rows.len(), edited), (0, vec!["CiliumNetworkPolicy shop/cart".to_string()]));
    assert!(diff::diff(old, old).without_effect.is_empty());
}
