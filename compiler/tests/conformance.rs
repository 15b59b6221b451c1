//! Verdicts of the real Cilium engine, case by case: those of `testdata/conformance`, and those of the folder that
//! `CILIUMC_CORPUS` names. Every column is compared, from the model and from the tables, and which objects are refused.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ciliumc::diag::Severity;
use ciliumc::driver::{self, build};
use ciliumc::eval::{Decision, probe};
use ciliumc::front::FrontOptions;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions};
use ciliumc::validate::tables;

/// What is reported of an endpoint and refuses no policy.
const CONFLICTS: [&str; 5] = ["E-260", "E-261", "E-262", "E-263", "E-264"];

fn cases(corpus: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for suite in ["hand", "random", "spec"] {
        let Ok(entries) = fs::read_dir(corpus.join(suite)) else { continue };
        out.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("verdicts.tsv").is_file()));
    }
    out.sort();
    out
}

/// What differs.
fn compare(case: &Path) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
    let options = LoadOptions { paths: vec![case.display().to_string()], exclude: Vec::new() };
    let sources = source::load(&options).unwrap();
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let mut problems = Vec::new();

    let refused: BTreeSet<String> = analysis
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        // Rules that cannot be merged are a problem of the endpoint; its rows say `error`.
        .filter(|d| !CONFLICTS.contains(&d.code.0))
        .map(|d| d.object.as_ref().map_or(d.message.clone(), ToString::to_string))
        .collect();
    let expected: BTreeSet<String> = read("errors.tsv")
        .lines()
        .map(|line| {
            let mut fields = line.split('\t');
            format!("{} {}", fields.next().unwrap(), fields.next().unwrap())
        })
        .collect();
    // Refusing the policy with the unknown field, which a cluster prunes, is a fair choice.
    let extra: Vec<_> = refused.difference(&expected).filter(|name| !name.ends_with("/unknown-field")).collect();
    let missing: Vec<_> = expected.difference(&refused).collect();
    if !extra.is_empty() || !missing.is_empty() {
        problems.push(format!("refused too much: {extra:?}; too little: {missing:?}"));
    }

    let lowered = build::lower(&analysis).unwrap();
    let probes = probe::parse(&read("probes.tsv")).unwrap();
    let verdicts = read("verdicts.tsv");
    assert_eq!(probes.len(), verdicts.lines().count(), "{}", case.display());
    for (probe, line) in probes.iter().zip(verdicts.lines()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let model = probe::answer(&analysis.cluster, &analysis.resolved, probe);
        let tables = model.clone().map(|answer| tables::answer(&analysis.cluster, &lowered, probe, answer));
        for (engine, answer) in [("model", model), ("tables", tables)] {
            let decision = answer.as_ref().ok().map(|a| &a.decision);
            let got = [
                decision.map_or("unknown", |d| d.verdict.word()),
                decision.and_then(Decision::parser).unwrap_or("-"),
                decision.and_then(|d| d.auth.word()).unwrap_or("-"),
            ];
            if fields[5..8] != got {
                problems.push(format!("{engine}: {}, not as in: {line}", got.join(" ")));
            }
        }
    }
    problems
}

/// Compares every case below a folder; returns how many there are.
fn compare_all(corpus: &Path) -> usize {
    let cases = cases(corpus);
    let mut failed = 0;
    for case in &cases {
        let problems = compare(case);
        failed += usize::from(!problems.is_empty());
        for problem in problems.iter().take(5) {
            eprintln!("{}: {problem}", case.file_name().unwrap().display());
        }
    }
    eprintln!("{}: {} cases, {failed} differ", corpus.display(), cases.len());
    assert_eq!(failed, 0);
    cases.len()
}

#[test]
fn hand_written_cases() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("testdata/conformance");
    assert_eq!(compare_all(&corpus), 81);
}

#[test]
fn verdicts_of_the_real_engine() {
    let Some(corpus) = std::env::var_os("CILIUMC_CORPUS") else {
        eprintln!("skipped: CILIUMC_CORPUS does not name the folder of the real engine's verdicts");
        return;
    };
    assert!(compare_all(Path::new(&corpus)) > 0, "no case below {}", corpus.display());
}
