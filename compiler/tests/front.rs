//! `front` against its cases: a wrong line says in a comment what is wrong with it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod marks;

use std::fs;
use std::path::{Path, PathBuf};

use ciliumc::front::{self, FrontOptions, Outcome};
use ciliumc::source::{LoadOptions, SourceMap, load};
use regex::Regex;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/front")
}

#[test]
fn cases() {
    let paths = marks::files("front");
    assert!(paths.len() >= 25, "{} cases", paths.len());
    let all = marks::differences(&paths, |sources| front::read(sources, &FrontOptions::default()).diagnostics);
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// Each code of the stage has a case.
#[test]
fn every_code_has_a_case() {
    let codes = include_str!("../src/front/codes.rs");
    let code = Regex::new(r#"Code\("([EWF]-\d+)"\)"#).unwrap();
    let mut cases = String::new();
    for entry in fs::read_dir(testdata()).unwrap() {
        cases += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let all = code.captures_iter(codes).map(|found| found[1].to_owned());
    let missing: Vec<_> = all.filter(|code| !cases.contains(&format!("[{code}]"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn refused_objects_are_left_out_and_named() {
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: good}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: bad, namespace: ns}
spec: {podSelector: {}, policyTypes: [x]}
";
    let output = front::read(&SourceMap::from_texts([("a.yaml", text)]), &FrontOptions::default());
    let names: Vec<_> = output.objects.network_policies.iter().map(|policy| policy.meta.object.to_string()).collect();
    assert_eq!(names, ["NetworkPolicy default/good"]);
    let outcomes: Vec<_> = output.documents.iter().map(|document| document.outcome).collect();
    assert_eq!(outcomes, [Outcome::Read, Outcome::Refused]);
    let object = output.diagnostics[0].object.as_ref().map(ToString::to_string);
    assert_eq!(object.as_deref(), Some("NetworkPolicy ns/bad"));
}

#[test]
fn both_of_a_conflict_are_left_out() {
    let policy = |extra: &str| {
        let head = "apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}";
        format!("{{{head}, spec: {{podSelector: {{}}{extra}}}}}\n")
    };
    let read = |texts: [String; 2]| {
        let names = ["one.yaml", "two.yaml"];
        front::read(&SourceMap::from_texts(names.into_iter().zip(texts)), &FrontOptions::default())
    };
    assert_eq!(read([policy(""), policy("")]).objects.network_policies.len(), 1);
    let output = read([policy(""), policy(", egress: []")]);
    assert_eq!(output.objects.network_policies.len(), 0);
    assert_eq!(output.diagnostics[0].related[0].0.file.0, 0);
}

#[test]
fn the_default_namespace_is_for_those_that_name_none() {
    let text = "\
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a, namespace: own}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: a}, spec: {endpointSelector: {}, ingress: [{}]}}
";
    let namespaces = |default_namespace: Option<&str>| {
        let options =
            FrontOptions { default_namespace: default_namespace.map(str::to_owned), ..FrontOptions::default() };
        let output = front::read(&SourceMap::from_texts([("a.yaml", text)]), &options);
        assert!(output.diagnostics.is_empty());
        let policies = output.objects.cilium_policies.into_iter();
        policies.map(|policy| policy.meta.object.namespace).collect::<Vec<_>>()
    };
    assert_eq!(namespaces(None), ["default", "own", ""]);
    assert_eq!(namespaces(Some("team")), ["team", "own", ""]);
}

#[test]
fn folders_of_cases_load() {
    let paths = vec![testdata().to_string_lossy().into_owned()];
    let exclude = vec!["**/n*.yaml".to_owned()];
    let all = load(&LoadOptions { paths: paths.clone(), exclude: vec![] }).unwrap();
    let some = load(&LoadOptions { paths, exclude }).unwrap();
    assert!(some.len() < all.len());
}
