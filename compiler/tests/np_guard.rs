//! Plain Kubernetes semantics against the expected outputs of netpol-analyzer, as sets of lines: lists, the list part of
//! exposure files, and differences. They are in the folder that `CILIUMC_CORPUS` names.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

struct Corpus {
    dir: PathBuf,
    manifest: Value,
}

impl Corpus {
    fn find() -> Option<Self> {
        let dir = std::env::var_os("CILIUMC_CORPUS").map(|corpus| PathBuf::from(corpus).join("np-guard"));
        let Some(dir) = dir.filter(|dir| dir.join("MANIFEST.json").is_file()) else {
            eprintln!("skipped: CILIUMC_CORPUS names no folder with np-guard/MANIFEST.json");
            return None;
        };
        let manifest = fs::read_to_string(dir.join("MANIFEST.json")).unwrap();
        Some(Self { manifest: serde_json::from_str(&manifest).unwrap(), dir })
    }

    fn cases(&self, kind: &str) -> &[Value] {
        let cases = self.manifest[kind].as_array().unwrap();
        assert!(cases.len() > 10, "the manifest has only {} cases of {kind}", cases.len());
        cases
    }

    fn input(&self, case: &Value, field: &str) -> String {
        self.dir.join("tests").join(case[field].as_str().unwrap()).display().to_string()
    }

    /// The lines before the exposure part.
    fn expected(&self, case: &Value) -> BTreeSet<String> {
        let text = fs::read_to_string(self.dir.join("expected").join(case["file"].as_str().unwrap())).unwrap();
        lines(text.split("Exposure Analysis Result:").next().unwrap())
    }

    /// What differs, each line with the side that has it.
    fn compare(&self, case: &Value, args: &[&str]) -> Vec<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_ciliumc"))
            .args(args)
            .args(["--semantics", "kubernetes", "-o", "np-guard"])
            .output()
            .unwrap();
        let file = case["file"].as_str().unwrap();
        let code = output.status.code();
        let expected = self.expected(case);
        let differs = args.first() == Some(&"diff") && !expected.is_empty();
        if code != Some(i32::from(differs)) {
            return vec![format!("{file}: exit code {code:?}: {}", String::from_utf8_lossy(&output.stderr))];
        }
        let found = lines(&String::from_utf8(output.stdout).unwrap());
        let missing = expected.difference(&found).map(|line| format!("{file}: missing: {line}"));
        missing.chain(found.difference(&expected).map(|line| format!("{file}: extra: {line}"))).collect()
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn report(total: usize, faults: Vec<Vec<String>>) {
    let wrong = faults.iter().filter(|faults| !faults.is_empty()).count();
    let shown: Vec<&str> = faults.iter().flat_map(|faults| faults.iter().take(12)).map(String::as_str).collect();
    assert!(wrong == 0, "{wrong} of {total} differ:\n{}", shown.join("\n"));
    eprintln!("{total} equal");
}

#[test]
fn lists_are_those_of_netpol_analyzer() {
    let Some(corpus) = Corpus::find() else { return };
    for kind in ["connlist", "exposure"] {
        let cases = corpus.cases(kind);
        let compare = |case| corpus.compare(case, &["list", &corpus.input(case, "dir")]);
        report(cases.len(), cases.iter().map(compare).collect());
    }
}

#[test]
fn differences_are_those_of_netpol_analyzer() {
    let Some(corpus) = Corpus::find() else { return };
    let cases = corpus.cases("diff");
    let compare = |case| corpus.compare(case, &["diff", &corpus.input(case, "ref1"), &corpus.input(case, "ref2")]);
    report(cases.len(), cases.iter().map(compare).collect());
}
