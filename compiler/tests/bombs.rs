//! Texts that are small and want to become large are refused before they do: what is built of them stays bounded.
//!
//! Time is measured by `cargo xtask bench front`; here the work is counted, which no busy machine changes.

use std::fs;
use std::path::Path;

use ciliumc::diag::{Code, FileId, Severity};
use ciliumc::front::yaml::{self, ALIAS_NODES_MAX, Arena, DEPTH_MAX, Kind, Node};
use ciliumc::front::{self, FrontOptions};
use ciliumc::source::SourceMap;

const ALIAS: Code = Code("F-004");
const DEPTH: Code = Code("F-003");

/// Nodes that a walk over everything that was built meets, aliases followed; and the depth it reaches.
fn walk(node: &Node<'_>) -> (u64, usize) {
    let children: Vec<&Node<'_>> = match &node.kind {
        Kind::Scalar(_) => return (1, 0),
        Kind::Sequence(items) => items.iter().collect(),
        Kind::Mapping(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
    };
    children.into_iter().map(walk).fold((1, 1), |all, one| (all.0 + one.0, all.1.max(one.1 + 1)))
}

/// The text is refused with this code, and little was built of it.
fn refused(text: &str, code: Code) {
    let arena = Arena::new();
    let parsed = yaml::parse(FileId(0), text, &arena);
    assert_eq!(parsed.fatal.map(|diagnostic| diagnostic.code), Some(code), "{:.60}", text);
    for document in &parsed.documents {
        bounded(text, &document.root);
    }
    let read = front::read(&SourceMap::from_texts([("bomb.yaml", text)]), &FrontOptions::default());
    let errors = read.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(errors.map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), [code]);
}

fn bounded(text: &str, root: &Node<'_>) {
    let (nodes, depth) = walk(root);
    assert!(nodes <= text.len() as u64 + ALIAS_NODES_MAX, "{nodes} nodes of {} bytes", text.len());
    assert!(depth <= DEPTH_MAX, "{depth} levels");
}

/// A level is nine times the one before it.
fn laughs(levels: usize) -> String {
    let mut text = "a0: &a0 [lol]\n".to_owned();
    for level in 1..levels {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", "));
    }
    text
}

#[test]
fn bombs_of_the_test_data_are_refused() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/front").join(name);
        fs::read_to_string(path).expect("a case")
    };
    refused(&read("alias-bomb.yaml"), ALIAS);
    refused(&read("alias-of-itself.yaml"), ALIAS);
    refused(&read("too-deep.yaml"), DEPTH);
}

#[test]
fn aliases_of_aliases_are_counted_as_what_they_expand_to() {
    refused(&laughs(30), ALIAS);
    let mappings = laughs(30).replace('[', "{x: [").replace(']', "]}");
    refused(&mappings, ALIAS);
    // A single level, often: each alias is small, all together are not.
    let often = format!("a: &a [{}]\nb: [{}]\n", ["x"; 1000].join(", "), ["*a"; 200].join(", "));
    refused(&often, ALIAS);
}

#[test]
fn merge_keys_are_counted_too() {
    let fields: Vec<String> = (0..1000).map(|n| format!("k{n}: v")).collect();
    let merges: String = (0..200).map(|n| format!("m{n}: {{<<: *a}}\n")).collect();
    refused(&format!("a: &a {{{}}}\n{merges}", fields.join(", ")), ALIAS);
}

#[test]
fn a_few_aliases_are_fine() {
    let text = laughs(4);
    let arena = Arena::new();
    let parsed = yaml::parse(FileId(0), &text, &arena);
    assert!(parsed.fatal.is_none());
    let (nodes, _) = walk(&parsed.documents[0].root);
    assert!(nodes > 9 * 9 * 9);
    bounded(&text, &parsed.documents[0].root);
}

#[test]
fn depth_is_refused_however_it_is_written() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[{a: ", "}]")] {
        refused(&open.repeat(50_000), DEPTH);
        // One level more than is allowed, and closed again.
        let levels = DEPTH_MAX / open.matches(['[', '{', '-', '?']).count();
        if !close.is_empty() {
            refused(&format!("{}x{}", open.repeat(levels + 1), close.repeat(levels + 1)), DEPTH);
            let fits = format!("{}x{}", open.repeat(levels), close.repeat(levels));
            assert!(yaml::parse(FileId(0), &fits, &Arena::new()).fatal.is_none(), "{open}");
        }
    }
    let steps: String = (0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    refused(&steps, DEPTH);
}

#[test]
fn depth_is_not_hidden_by_aliases() {
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for level in 1..2 * DEPTH_MAX {
        tower += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    refused(&tower, DEPTH);
}
