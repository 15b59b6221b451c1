//! Manifests of real users, file by file: `CILIUMC_EXAMPLES` names the folder. The table `testdata/examples/table.snap`
//! says what is accepted and what is refused, and why; `INSTA_UPDATE=always cargo test -p ciliumc --test examples` writes it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ciliumc::diag::{Diagnostic, Severity};
use ciliumc::driver;
use ciliumc::front::FrontOptions;
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;

/// Every YAML and JSON file below a folder, sorted by path.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if ["yaml", "yml", "json"].iter().any(|known| extension == *known) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// `ok` or `refused`, with the codes of errors and warnings.
fn outcome(text: &str) -> String {
    let sources = SourceMap::from_texts([("example", text)]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let codes = |severity| -> BTreeSet<&str> {
        let of: fn(&Diagnostic) -> &str = |diagnostic| diagnostic.code.0;
        analysis.diagnostics.iter().filter(|d| d.severity == severity).map(of).collect()
    };
    let mut out = if analysis.has_errors() { "refused" } else { "ok" }.to_owned();
    for code in codes(Severity::Error).into_iter().chain(codes(Severity::Warning)) {
        out += " ";
        out += code;
    }
    out
}

#[test]
fn manifests_of_real_users() {
    let Some(root) = std::env::var_os("CILIUMC_EXAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: CILIUMC_EXAMPLES does not name the folder of real manifests");
        return;
    };
    let files = files(&root);
    assert!(files.len() > 300, "{} files below {}", files.len(), root.display());
    let mut table = String::new();
    for path in files {
        let outcome = outcome(&fs::read_to_string(&path).unwrap());
        writeln!(table, "{}\t{outcome}", path.strip_prefix(&root).unwrap().display()).unwrap();
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/examples"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("table", table));
}
