//! Policies of Cilium, of the Kubernetes recipes and of real projects: `CILIUMC_EXAMPLES` names the folder. Each file
//! alone is accepted, or refused for a reason that the table tells.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ciliumc::diag::{Code, Severity};
use ciliumc::driver;
use ciliumc::front::{FrontOptions, codes};
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions};

/// Files that are refused, and by which codes (spec §8.1).
const REFUSED: [(&str, &str); 6] = [
    ("cilium/auth/auth.yaml", "E-001"), // `auth` became `authentication.mode`
    ("cilium/l3/entities/customnodes.json", "E-214"), // needs enable-node-selector-labels
    ("cilium/l3/entities/customnodes.yaml", "E-214"), // likewise
    ("cilium/l3/match-expressions/and-statement.yaml", "E-010"), // operator `in`
    ("cilium/l3/match-expressions/or-statement.yaml", "E-010"), // likewise
    // A patch of a StatefulSet, which is none.
    ("real/argo-cd/base/application-controller-deployment/argocd-application-controller-statefulset.yaml", "F-006"),
];

fn errors(path: &Path) -> BTreeSet<Code> {
    let options = LoadOptions { paths: vec![path.display().to_string()], exclude: Vec::new() };
    let sources = source::load(&options).unwrap();
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let errors = analysis.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    // Which kinds are not supported is a case of its own.
    errors.map(|d| d.code).filter(|code| *code != codes::UNSUPPORTED).collect()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            files(&path, out);
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            out.push(path);
        }
    }
}

#[test]
fn examples_are_read_or_refused_for_a_reason() {
    let Some(examples) = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let mut paths = Vec::new();
    files(&examples, &mut paths);
    // Templates of Go are no manifests yet.
    paths.retain(|path| !std::fs::read_to_string(path).unwrap().contains("{{"));
    assert!(paths.len() > 200, "{} files", paths.len());
    let mut refused = BTreeMap::new();
    for path in &paths {
        let errors: Vec<_> = errors(path).iter().map(ToString::to_string).collect();
        if !errors.is_empty() {
            refused.insert(path.strip_prefix(&examples).unwrap().display().to_string(), errors.join(" "));
        }
    }
    let expected: BTreeMap<_, _> =
        REFUSED.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect();
    assert_eq!(refused, expected);
}
