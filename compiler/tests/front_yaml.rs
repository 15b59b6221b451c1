//! The YAML tree against `serde_yaml`, and against whatever bytes chance brings.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::path::{Path, PathBuf};
use std::{fs, io};

use ciliumc::diag::{FileId, Severity, render};
use ciliumc::front::yaml::{Arena, Kind, Node, Value, parse};
use ciliumc::front::{self, FrontOptions};
use ciliumc::source::SourceMap;
use proptest::prelude::*;
use serde::Deserialize;
use serde_yaml::Value as Oracle;

/// Files that hold what `serde_yaml` refuses or reads by other rules, and why.
const EXCEPTIONS: [(&str, &str); 9] = [
    ("alias-bomb.yaml", "refused, by both"),
    ("alias-of-itself.yaml", "refused, by both"),
    ("not-yaml.yaml", "refused, by both"),
    ("too-deep.yaml", "refused, by both"),
    ("duplicate-keys.yaml", "the whole text is an error to serde_yaml"),
    ("lists.yaml", "holds a key twice"),
    ("heads.yaml", "holds a key twice"),
    ("merge-keys.yaml", "serde_yaml does not expand merge keys in a value"),
    ("yaml-words.yaml", "yes, no and on are strings to serde_yaml, which reads YAML 1.2"),
];

fn corpus() -> io::Result<Vec<PathBuf>> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let root = std::env::var_os("CILIUMC_CORPUS").map_or(testdata, PathBuf::from);
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn agree(ours: &Node<'_>, theirs: &Oracle) -> Result<(), String> {
    let differ = || Err(format!("{ours:?} is not {theirs:?}"));
    match (&ours.kind, theirs) {
        (Kind::Sequence(left), Oracle::Sequence(right)) if left.len() == right.len() => {
            left.iter().zip(right).try_for_each(|(left, right)| agree(left, right))
        }
        (Kind::Mapping(left), Oracle::Mapping(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .try_for_each(|(entry, (key, value))| agree(&entry.key, key).and(agree(&entry.value, value))),
        (Kind::Scalar(scalar), theirs) => {
            let equal = match (scalar.value(), theirs) {
                (Value::Null, Oracle::Null) => true,
                (Value::Bool(left), Oracle::Bool(right)) => left == *right,
                (Value::Int(left), Oracle::Number(right)) => {
                    right.as_i64().map(i128::from) == Some(left) || right.as_u64().map(i128::from) == Some(left)
                }
                (Value::Float(left), Oracle::Number(right)) => {
                    right.as_f64().is_some_and(|right| left == right || (left.is_nan() && right.is_nan()))
                }
                (Value::Str(left), Oracle::String(right)) => left == right,
                // YAML 1.1 against 1.2: words, octal numbers and underscores.
                (Value::Bool(_), Oracle::String(word)) => {
                    ["y", "n", "yes", "no", "on", "off"].contains(&word.to_lowercase().as_str())
                }
                (Value::Int(_) | Value::Float(_), Oracle::String(word)) => word.starts_with('0') || word.contains('_'),
                _ => false,
            };
            if equal { Ok(()) } else { differ() }
        }
        _ => differ(),
    }
}

#[test]
fn the_tree_is_what_serde_yaml_reads() {
    let files = corpus().unwrap();
    let mut compared = 0;
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if EXCEPTIONS.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let theirs: Result<Vec<Oracle>, _> =
            serde_yaml::Deserializer::from_str(&text).map(Oracle::deserialize).collect();
        let arena = Arena::new();
        let ours = parse(FileId(0), &text, &arena);
        assert_eq!(
            ours.fatal.is_some(),
            theirs.is_err(),
            "{}: {:?} against {:?}",
            path.display(),
            ours.fatal,
            theirs.err()
        );
        let Ok(theirs) = theirs else { continue };
        assert_eq!(ours.documents.len(), theirs.len(), "{}", path.display());
        for (ours, theirs) in ours.documents.iter().zip(&theirs) {
            // A key that is no scalar is refused; serde_yaml has a value for it.
            if ours.problems.iter().any(|problem| problem.message == "a key must be text") {
                continue;
            }
            agree(&ours.root, theirs).unwrap_or_else(|difference| panic!("{}: {difference}", path.display()));
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared} documents");
}

/// Reads, renders, and checks that every place lies inside of the text.
fn survive(text: &str) {
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    let output = front::read(&sources, &FrontOptions::default());
    for diagnostic in &output.diagnostics {
        for span in diagnostic.span.iter().chain(diagnostic.related.iter().map(|(span, _)| span)) {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} in {text:?}");
        }
        assert!(!diagnostic.message.is_empty() && diagnostic.severity <= Severity::Info);
    }
    render::text(&output.diagnostics, &sources, false);
    render::json(&output.diagnostics, &sources);
}

/// Policies that hold every construct.
const POLICIES: [&str; 10] = [
    include_str!("../../testdata/front/selectors.yaml"),
    include_str!("../../testdata/front/cidr-sets.yaml"),
    include_str!("../../testdata/front/services.yaml"),
    include_str!("../../testdata/front/fqdns.yaml"),
    include_str!("../../testdata/front/l7.yaml"),
    include_str!("../../testdata/front/http.yaml"),
    include_str!("../../testdata/front/kafka.yaml"),
    include_str!("../../testdata/front/tls.yaml"),
    include_str!("../../testdata/front/listeners.yaml"),
    include_str!("../../testdata/front/raw-rules.yaml"),
];

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn yaml_like_text_is_survived(text in "([-:?,\\[\\]{}#&*!|>'\"%@` \n\tab0.~<ä]{1,4}){0,40}") {
        survive(&text);
    }

    #[test]
    fn mutated_policies_are_survived(
        file in 0..POLICIES.len(),
        at in any::<prop::sample::Index>(),
        replacement in "[-:?,\\[\\]{}#&*!|>'\"% \n\ta0é]{0,3}",
        cut in 0usize..12,
    ) {
        let mut text: Vec<char> = POLICIES[file].chars().collect();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, replacement.chars());
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn odd_values_everywhere_are_survived(value in "(null|~|5|1.5|true|no|\\[\\]|\\{\\}|\\[1\\]|\\{a: 1\\}|x|''|\\[\\[\\]\\])", file in 0..POLICIES.len(), field in 0usize..200) {
        // Replaces one value after a colon by one of another type.
        let text = POLICIES[file];
        let colons: Vec<usize> = text.match_indices(": ").map(|(at, _)| at).collect();
        let at = colons[field % colons.len()] + 2;
        let end = text[at..].find(['\n', ',', '}']).map_or(text.len(), |len| at + len);
        survive(&format!("{}{value}{}", &text[..at], &text[end..]));
    }
}
