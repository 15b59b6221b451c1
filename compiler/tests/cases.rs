//! Every case of `testdata/cases`: one snapshot for each stage in `snapshots/<case>/`, and the verdicts that somebody
//! wrote down in `expected.tsv`, asked from the model and from the tables.
//!
//! `INSTA_UPDATE=always cargo test --test cases` accepts. Instructions depend on the clang: they are compared under
//! clang 19 alone and stand once for each distinct unit in `snapshots/instructions/`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ciliumc::bundle::sha256;
use ciliumc::clang::Toolchain;
use ciliumc::driver::build::{self, BuildOptions, Checked};
use ciliumc::driver::{self, Analysis, Stage};
use ciliumc::eval::probe;
use ciliumc::front::FrontOptions;
use ciliumc::object;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions};
use ciliumc::validate::tables;

fn root(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder)
}

fn cases() -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        fs::read_dir(root("testdata/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    out.sort();
    out
}

fn name(case: &Path) -> String {
    case.file_name().unwrap().to_string_lossy().into_owned()
}

fn analyse(case: &Path) -> Analysis {
    let options = LoadOptions { paths: vec![case.join("input.yaml").display().to_string()], exclude: Vec::new() };
    let mut sources = source::load(&options).unwrap();
    let groups = case.join("groups.yaml");
    if groups.is_file() {
        source::load_groups(&mut sources, &groups.display().to_string()).unwrap();
    }
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    assert!(!analysis.has_errors(), "{}: {:?}", name(case), analysis.diagnostics);
    analysis
}

/// clang, or the reason why nothing that needs it is compared.
fn toolchain() -> Option<Toolchain> {
    match Toolchain::find() {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "{error}");
            eprintln!("object stage skipped: {error}");
            None
        }
    }
}

/// File name of a distinct unit: its name, and what sets it apart from others of that name.
fn unit_name(checked: &Checked) -> String {
    let config = checked.unit.ep_config.clone() + &checked.unit.node_config;
    let digest = sha256(config.as_bytes());
    format!("{}-{}", checked.unit.name, &digest[..8])
}

#[test]
fn snapshots() {
    let toolchain = toolchain();
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("objects");
    let options = BuildOptions { cache: Some(&cache), ..BuildOptions::default() };
    let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
    let mut failed = Vec::new();
    let mut check = |folder: &str, snapshot: &str, text: String| {
        expected.insert(root("snapshots").join(folder).join(format!("{snapshot}.snap")));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(root("snapshots").join(folder));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let compare = || settings.bind(|| insta::assert_snapshot!(snapshot, text));
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).is_err() {
            failed.push(format!("{folder}/{snapshot}"));
        }
    };
    let mut instructions: BTreeMap<String, String> = BTreeMap::new();
    for case in cases() {
        let analysis = analyse(&case);
        let lowered = build::lower(&analysis).unwrap();
        let name = name(&case);
        for (stage, word) in
            [(Stage::Ir, "ir"), (Stage::Resolve, "resolve"), (Stage::Lower, "lower"), (Stage::Codegen, "codegen")]
        {
            check(&name, word, build::emit(stage, &analysis, &lowered, &[]));
        }
        let Some(toolchain) = &toolchain else { continue };
        let objects = build::objects(toolchain, &lowered.node, build::units(&lowered), &options).unwrap();
        let text: String = objects.iter().map(|o| object::text::print(&unit_name(o), &o.report)).collect();
        check(&name, "object", text);
        for checked in &objects {
            instructions.insert(unit_name(checked), object::text::code(&checked.report));
        }
    }
    match &toolchain {
        Some(found) if found.version().major == 19 => {
            for (unit, text) in instructions {
                check("instructions", &unit, text);
            }
        }
        Some(found) => eprintln!("instructions skipped: they are those of clang 19, and this is {}", found.version()),
        None => {}
    }
    assert!(failed.is_empty(), "snapshots differ: {failed:?}");

    if toolchain.is_some_and(|found| found.version().major == 19) {
        let unreferenced: Vec<PathBuf> =
            files(&root("snapshots")).into_iter().filter(|path| !expected.contains(path)).collect();
        assert!(unreferenced.is_empty(), "no case makes these: {unreferenced:?}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.push(path);
        }
    }
    out
}

#[test]
fn verdicts() {
    let cases = cases();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut problems = Vec::new();
    for case in &cases {
        let analysis = analyse(case);
        let lowered = build::lower(&analysis).unwrap();
        let probes = probe::parse(&fs::read_to_string(case.join("probes.tsv")).unwrap()).unwrap();
        let expected = fs::read_to_string(case.join("expected.tsv")).unwrap();
        assert_eq!(probes.len(), expected.lines().count(), "{}", name(case));
        for (probe, line) in probes.iter().zip(expected.lines()) {
            let model = probe::answer(&analysis.cluster, &analysis.resolved, probe).unwrap();
            let tables = tables::answer(&analysis.cluster, &lowered, probe, model.clone());
            for (engine, answer) in [("model", model), ("tables", tables)] {
                let decision = &answer.decision;
                let mut got = vec![decision.verdict.word()];
                // Proxy and authentication are written where there is one of them.
                if decision.parser().is_some() || decision.auth.word().is_some() {
                    got.extend([decision.parser().unwrap_or("-"), decision.auth.word().unwrap_or("-")]);
                }
                if line.split('\t').skip(5).ne(got.iter().copied()) {
                    problems.push(format!("{}: {engine} says {}, not as in: {line}", name(case), got.join(" ")));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
