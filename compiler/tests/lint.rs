//! Lints against their cases: a line that one is about says so in a comment.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod marks;

use std::collections::BTreeSet;
use std::fs;

use ciliumc::diag::{Diagnostic, Severity};
use ciliumc::driver;
use ciliumc::front::FrontOptions;
use ciliumc::lint::LINTS;
use ciliumc::resolve::Lock;
use ciliumc::source::{LoadOptions, SourceMap, load};

fn lint(sources: &SourceMap) -> Vec<Diagnostic> {
    let analysis = driver::analyse(sources, &FrontOptions::default(), Lock::default()).unwrap();
    let errors: Vec<_> = analysis.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    analysis.lint(sources, Some(&"2026-06-01".to_owned())).found
}

#[test]
fn cases() {
    let paths = marks::files("lint");
    assert!(paths.len() >= 7, "{} cases", paths.len());
    let placed = |sources: &SourceMap| lint(sources).into_iter().filter(|d| d.span.is_some()).collect();
    let all = marks::differences(&paths, placed);
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn every_lint_has_a_case_and_a_place_in_the_order() {
    let cases: String = marks::files("lint").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let missing: Vec<_> =
        LINTS.iter().map(|lint| lint.code.0).filter(|code| !cases.contains(&format!("[{code}]"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let codes: Vec<&str> = LINTS.iter().map(|lint| lint.code.0).collect();
    let sorted: Vec<&str> = codes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(codes, sorted);
    assert!(LINTS.iter().all(|lint| lint.severity != Severity::Error));
}

#[test]
fn an_input_without_endpoints_says_so_once() {
    let policy = |name: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}}}, \
             spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, ingress: []}}}}"
        )
    };
    let codes = |text: String| -> Vec<&str> {
        lint(&SourceMap::from_texts([("a.yaml", text)])).iter().map(|d| d.code.0).collect()
    };
    assert_eq!(codes(format!("{}\n---\n{}", policy("a"), policy("b"))), ["CL000"]);
    assert!(codes("{apiVersion: v1, kind: Namespace, metadata: {name: a}}".to_owned()).is_empty());
}

/// What an annotation excuses is not said, and one object's excuse is not another's.
#[test]
fn an_excuse_is_for_one_object_and_one_code() {
    let policy = |name: &str, annotation: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
             metadata: {{name: {name}, annotations: {{{annotation}}}}}, \
             spec: {{podSelector: {{matchLabels: {{app: gone}}}}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}}}"
        )
    };
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: a}}, \
               spec: {containers: [{name: c, image: x}]}}";
    let excused = policy("a", "ciliumc.io/ignore: 'CL001, CL028 comes later'");
    let text = [pod, &excused, &policy("b", "")].join("\n---\n");
    let found = lint(&SourceMap::from_texts([("a.yaml", text)]));
    let found: Vec<(&str, &str)> =
        found.iter().map(|d| (d.code.0, d.object.as_ref().map_or("", |object| object.name.as_str()))).collect();
    assert!(found.contains(&("CL001", "b")) && !found.contains(&("CL001", "a")), "{found:?}");
    assert!(found.contains(&("CL028", "b")) && found.contains(&("CL042", "a")), "{found:?}");
}

/// What is said about manifests of real projects, and why it is right.
#[test]
fn real_projects_give_no_false_alarm() {
    let Some(examples) = std::env::var_os("CILIUMC_EXAMPLES") else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let expected: [(&str, &[&str]); 3] = [
        ("microservices-demo", &[]),
        // Its pods are on the host network, so the policy protects nobody.
        ("kube-prometheus", &["CL036 NetworkPolicy monitoring/node-exporter"]),
        ("argo-cd", &[]),
    ];
    for (project, expected) in expected {
        let path = std::path::Path::new(&examples).join("real").join(project);
        let exclude = vec!["**/application-controller-deployment/**".to_owned()];
        let sources = load(&LoadOptions { paths: vec![path.to_string_lossy().into_owned()], exclude }).unwrap();
        let found = lint(&sources);
        let found: Vec<String> = found.iter().map(|d| format!("{} {}", d.code, d.object.as_ref().unwrap())).collect();
        assert_eq!(found, expected, "{project}");
    }
}
