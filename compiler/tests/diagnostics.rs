//! What only the whole cluster shows: a wrong line of `testdata/cluster` says in a comment what is wrong with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod marks;

use std::collections::BTreeSet;

use ciliumc::diag::Severity;
use ciliumc::driver::{self, Analysis};
use ciliumc::front::FrontOptions;
use ciliumc::front::objects::Choices;
use ciliumc::ir::{Direction, Peers};
use ciliumc::resolve::{Lock, PeerSet};
use ciliumc::source::SourceMap;

fn analyse(sources: &SourceMap, options: &FrontOptions) -> Analysis {
    driver::analyse(sources, options, Lock::default()).unwrap()
}

#[test]
fn cases() {
    let paths = marks::files("cluster");
    assert!(paths.len() >= 4, "{} cases", paths.len());
    let all = marks::differences(&paths, |sources| analyse(sources, &FrontOptions::default()).diagnostics);
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// An object that is refused for what only `ir` sees is left out with all of its rules, and the others are not.
#[test]
fn refused_objects_are_left_out() {
    for path in marks::files("cluster") {
        let text = std::fs::read_to_string(&path).unwrap();
        let analysis = analyse(&SourceMap::from_texts([("a.yaml", text)]), &FrontOptions::default());
        let refused: BTreeSet<_> = analysis
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| d.object.clone().unwrap())
            .collect();
        for policy in &analysis.cluster.policies {
            assert!(!refused.contains(&policy.object), "{}: {}", path.display(), policy.object);
        }
        assert!(analysis.cluster.policies.iter().any(|policy| policy.object.name == "good"), "{}", path.display());
    }
}

const GHOST: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: ns1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: ns1, labels: {app: a}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: ns1}
spec:
  endpointSelector: {}
  egress:
  - toServices: [{k8sService: {serviceName: ghost}}]
    toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]
";

#[test]
fn a_service_that_is_not_there_opens_only_when_asked_for() {
    let sources = SourceMap::from_texts([("a.yaml", GHOST)]);
    let peers = |literal_to_services| {
        let choices = Choices { literal_to_services, ..Choices::default() };
        let analysis = analyse(&sources, &FrontOptions { choices, ..FrontOptions::default() });
        let filters = analysis.resolved.classes[0].policy(Direction::Egress).filters.clone();
        (analysis.cluster.rules[0].peers.clone(), filters.iter().any(|f| f.peers == PeerSet::Everyone))
    };
    assert_eq!(peers(false), (Peers::Nobody, false));
    assert_eq!(peers(true), (Peers::Everyone, true));
}
