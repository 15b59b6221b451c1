//! Lints against their cases: a line that one is about says so in a comment.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod marks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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

/// The folder of real manifests, where there is one.
fn examples() -> Option<PathBuf> {
    let folder = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
    }
    folder
}

/// Code and object of everything that is said about a path, sorted and once.
fn said(path: &Path, exclude: &[&str]) -> Vec<String> {
    let exclude = exclude.iter().map(|glob| (*glob).to_owned()).collect();
    let sources = load(&LoadOptions { paths: vec![path.to_string_lossy().into_owned()], exclude }).unwrap();
    let about = |d: &Diagnostic| d.object.as_ref().map_or(d.code.to_string(), |object| format!("{} {object}", d.code));
    lint(&sources).iter().map(about).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is said about manifests of real projects, and why it is right.
#[test]
fn real_projects_give_no_false_alarm() {
    let Some(examples) = examples() else { return };
    let expected: [(&str, &[&str]); 6] = [
        ("microservices-demo", &[]),
        // Its pods are on the host network, so the policy protects nobody.
        ("kube-prometheus", &["CL036 NetworkPolicy monitoring/node-exporter"]),
        ("argo-cd", &[]),
        // Probes make their own pods at run time.
        ("cyclonus", &["CL000"]),
        // The pods come from templates that a script fills in, and their labels and namespaces with them.
        (
            "npv",
            &[
                "CL001 CiliumClusterwideNetworkPolicy l3-baseline",
                "CL001 CiliumNetworkPolicy test/l3-self",
                "CL001 CiliumNetworkPolicy test/l4-self",
                "CL002 CiliumClusterwideNetworkPolicy l3-baseline",
                "CL002 CiliumNetworkPolicy test-l3/l3-ingress-explicit-allow-all",
                "CL002 CiliumNetworkPolicy test-l3/l3-ingress-explicit-deny-all",
                "CL002 CiliumNetworkPolicy test-l4/l4-ingress-explicit-allow-any",
                "CL002 CiliumNetworkPolicy test-l4/l4-ingress-explicit-allow-tcp",
                "CL002 CiliumNetworkPolicy test-l4/l4-ingress-explicit-deny-any",
                "CL002 CiliumNetworkPolicy test-l4/l4-ingress-explicit-deny-udp",
                "CL027 CiliumNetworkPolicy test-l3/l3-ingress-explicit-allow-all",
                "CL027 CiliumNetworkPolicy test-l4/l4-ingress-all-allow-tcp",
            ],
        ),
        // Its admin policies are of a draft of their API and refused, so they are left out. Two demonstrations in one folder
        // have the same policy under two names, and a pod of one has none.
        ("policy-assistant", &["CL028 NetworkPolicy demo/deny-to-pod-a", "CL029 Pod demo/b"]),
    ];
    for (project, expected) in expected {
        let path = examples.join("real").join(project);
        let exclude = ["**/application-controller-deployment/**", "**/anp?.yaml", "**/banp.yaml"];
        assert_eq!(said(&path, &exclude), expected, "{project}");
    }
}

/// The examples of Cilium's documentation, each file by itself. They are about policies alone, so all but these have
/// CL000 at most.
#[test]
fn examples_of_cilium_give_no_false_alarm() {
    let Some(examples) = examples() else { return };
    let expected: [(&str, &str); 11] = [
        // All of 0.0.0.0/0, the metadata address included.
        ("connectivity-manifests/allow-all-egress.yaml", "CL030 CiliumNetworkPolicy default/allow-all-egress"),
        // What they show is how to let the world in.
        (
            "connectivity-manifests/host-firewall-ingress.yaml",
            "CL030 CiliumClusterwideNetworkPolicy host-firewall-ingress",
        ),
        ("host/lock-down-dev-vms-remote-node.yaml", "CL030 CiliumClusterwideNetworkPolicy lock-down-dev-vms"),
        ("host/lock-down-gke.yaml", "CL030 CiliumClusterwideNetworkPolicy lock-down-gke"),
        ("l3/entities/world.json", "CL030 Rule 7ec6291ea993"),
        ("l3/entities/world.yaml", "CL030 CiliumNetworkPolicy default/from-world-to-role-public"),
        // Kafka rules are gone in 1.20.
        ("getting-started/kafka.yaml", "CL033 CiliumNetworkPolicy default/rule2"),
        ("l7/kafka/kafka-role.json", "CL033 Rule b25478259cc0"),
        ("l7/kafka/kafka-role.yaml", "CL033 CiliumNetworkPolicy default/rule1"),
        ("l7/kafka/kafka.json", "CL033 Rule bccd234bd66d"),
        ("l7/kafka/kafka.yaml", "CL033 CiliumNetworkPolicy default/rule1"),
    ];
    let root = examples.join("cilium");
    let sources = load(&LoadOptions { paths: vec![root.to_string_lossy().into_owned()], exclude: vec![] }).unwrap();
    let mut found = BTreeSet::new();
    let mut checked = 0;
    for (_, file) in sources.files() {
        let sources = SourceMap::from_texts([(file.name.as_str(), file.text.as_str())]);
        let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
        // `check` runs no lint on what is refused.
        if analysis.has_errors() {
            continue;
        }
        checked += 1;
        let name = Path::new(&file.name).strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        found.extend(said(Path::new(&file.name), &[]).into_iter().filter(|s| s != "CL000").map(|s| (name.clone(), s)));
    }
    assert!(checked > 100, "only {checked} files");
    let expected: BTreeSet<_> = expected.iter().map(|(file, said)| ((*file).to_owned(), (*said).to_owned())).collect();
    assert_eq!(found, expected);
}
