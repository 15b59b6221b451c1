//! Inputs that say in a comment what is wrong with a line: `# error[E-105]: the message or its beginning`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ciliumc::diag::Diagnostic;
use ciliumc::source::SourceMap;
use regex::Regex;

/// What is reported on one line: severity, code, and the message or its beginning.
type Reports = Vec<(String, String, String)>;

fn expected(marker: &Regex, text: &str) -> BTreeMap<usize, Reports> {
    let mut lines: BTreeMap<usize, Reports> = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        let marks: Vec<_> = marker.find_iter(line).collect();
        for (index, mark) in marks.iter().enumerate() {
            let end = marks.get(index + 1).map_or(line.len(), |next| next.start());
            let (severity, rest) = mark.as_str().split_once('[').unwrap_or_default();
            let code = rest.trim_end_matches("]: ");
            let severity = severity.trim_start_matches("# ");
            let message = line[mark.end()..end].trim_end();
            let report = (severity.to_owned(), code.to_owned(), message.to_owned());
            lines.entry(number).or_default().push(report);
        }
    }
    lines
}

/// What was reported, by line of the first file.
fn by_line(name: &str, sources: &SourceMap, diagnostics: Vec<Diagnostic>) -> BTreeMap<usize, Reports> {
    let mut lines: BTreeMap<usize, Reports> = BTreeMap::new();
    for diagnostic in diagnostics {
        let span = diagnostic.span.unwrap_or_else(|| panic!("{name}: no place: {}", diagnostic.message));
        let report = (diagnostic.severity.to_string(), diagnostic.code.to_string(), diagnostic.message);
        lines.entry(sources.line_col(span).line).or_default().push(report);
    }
    lines
}

/// Every `*.yaml` of a folder below `testdata`, sorted.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

/// Pairs what a reader reports for each file with its marks; what is left on either side is a difference.
pub fn differences(paths: &[PathBuf], read: impl Fn(&SourceMap) -> Vec<Diagnostic>) -> Vec<String> {
    let marker = Regex::new(r"# (error|warning|info)\[(?:[EWF]-\d+|CL\d{3})\]: ").unwrap();
    let mut all = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(path).unwrap();
        let sources = SourceMap::from_texts([(name.as_ref(), text.as_str())]);
        let reported = by_line(&name, &sources, read(&sources));
        all.extend(compare(&name, expected(&marker, &text), reported));
    }
    all
}

fn compare(name: &str, mut expected: BTreeMap<usize, Reports>, reported: BTreeMap<usize, Reports>) -> Vec<String> {
    let mut differences = Vec::new();
    for (line, reports) in reported {
        let wanted = expected.entry(line).or_default();
        for (severity, code, message) in reports {
            let found =
                wanted.iter().position(|(s, c, m)| *s == severity && *c == code && message.starts_with(m.as_str()));
            match found {
                Some(index) => drop(wanted.remove(index)),
                None => differences.push(format!("{name}:{line}: not expected: {severity}[{code}]: {message}")),
            }
        }
    }
    for (line, wanted) in expected {
        for (severity, code, message) in wanted {
            differences.push(format!("{name}:{line}: not reported: {severity}[{code}]: {message}"));
        }
    }
    differences
}
