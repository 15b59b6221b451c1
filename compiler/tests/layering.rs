//! Who may use whom. The table is short on purpose: a new line deserves a sentence in its commit.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each module of the compiler may take from the others, tests aside.
const IMPORTS: [(&str, &[&str]); 22] = [
    ("diag", &["source"]), // to print the lines that a span means
    ("source", &["diag"]),
    ("front", &["diag", "source"]),
    ("ir", &["diag", "front"]),
    ("resolve", &["diag", "ir"]),
    ("eval", &["ir", "language", "resolve"]), // knows nothing of lower or codegen: it judges them
    ("lower", &["ir", "resolve"]),            // of `ir` protocols, directions and rule ids; never a label
    ("codegen", &["ir", "lower"]),
    ("clang", &["codegen"]),
    ("object", &["codegen", "lower"]),
    ("exec", &[]), // bytes of objects, maps and frames, whatever they mean
    ("bundle", &["diag", "ir", "lower", "resolve", "source"]),
    ("language", &[]), // strings and automata, whatever they are for
    // NetworkPolicy alone is read from `front`, which also knows the proxy's patterns; a bundle is compared by its tables
    ("connectivity", &["bundle", "diag", "front", "ir", "language", "lower", "resolve", "source"]),
    // the only one that sees both readings, in tables and in a bundle that it runs
    ("validate", &["bundle", "eval", "exec", "ir", "lower", "object", "resolve"]),
    // what is written, letter by letter; what it means; whom it selects; and which expression is inside of which
    ("lint", &["diag", "front", "ir", "language", "resolve", "source"]),
    ("suggest", &["diag", "eval", "front", "ir", "resolve", "source"]), // texts with their places, and what is denied
    ("policy_test", &["diag", "eval", "front", "ir", "resolve"]),       // what is expected, and what the model says
    ("explain", &[]),                                                   // pages, by the text of a code
    ("driver", PIPELINE),
    ("cli", PIPELINE),
    ("main", &["cli"]),
];

/// Everything below the driver, and the driver itself.
const PIPELINE: &[&str] = &[
    "bundle",
    "clang",
    "codegen",
    "connectivity",
    "diag",
    "driver",
    "eval",
    "exec",
    "explain",
    "front",
    "ir",
    "language",
    "lint",
    "lower",
    "object",
    "policy_test",
    "resolve",
    "source",
    "suggest",
    "validate",
];

/// What of the machine is reserved, and for whom.
const MACHINE: [(&str, &[&str]); 3] = [
    ("std::process", &["clang", "source", "cli", "main"]), // `source` asks git; `cli` and `main` exit
    ("std::fs", &["source", "clang", "bundle", "cli"]),
    ("std::env", &["source", "clang", "cli"]),
];

/// Macros that only `cli` may call.
const PRINTING: [&str; 4] = ["println!", "eprintln!", "print!", "eprint!"];

#[test]
fn modules_take_only_what_the_table_grants() {
    let mut faults = Vec::new();
    for (module, text) in modules() {
        let Some((_, granted)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("module `{module}` is not in the table"));
            continue;
        };
        for taken in first_segments(&text, "crate") {
            if taken != module && !granted.contains(&taken.as_str()) {
                faults.push(format!("`{module}` takes from `{taken}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_machine_is_touched_in_few_places() {
    let mut faults = Vec::new();
    for (module, text) in modules() {
        let used = first_segments(&text, "std");
        for (thing, owners) in MACHINE {
            let segment = thing.trim_start_matches("std::");
            if used.contains(segment) && !owners.contains(&module.as_str()) {
                faults.push(format!("`{module}` uses {thing}"));
            }
        }
        for word in PRINTING {
            if module != "cli" && text.contains(word) {
                faults.push(format!("`{module}` calls {word}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn compiler_and_loader_do_not_know_each_other() {
    for (manifest, other) in [("Cargo.toml", "ciliumc-loader"), ("../runtime-loader/Cargo.toml", "ciliumc")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let depends = |line: &str| line.split([' ', '=', '.']).next() == Some(other);
        assert!(!text.lines().any(depends), "{manifest} depends on {other}");
    }
}

/// Source of every module without comments and unit tests, by name.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::<String, String>::new();
    for path in rust_files(&root) {
        let inside = path.strip_prefix(&root).expect("under src");
        let name = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let name = name.trim_end_matches(".rs");
        if name != "lib" {
            let text = std::fs::read_to_string(&path).expect("a source file");
            modules.entry(name.to_owned()).or_default().push_str(&code(&text));
        }
    }
    assert!(modules.len() > 10, "the walk found only {:?}", modules.keys());
    modules
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_stem().is_some_and(|s| s != "tests") {
            files.push(path);
        }
    }
    files
}

/// Unit tests stand at the end of a file.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// What follows `root::`, one by one or in braces.
fn first_segments(text: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices(&format!("{root}::")) {
        let before = text[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue; // `mycrate::`
        }
        let rest = &text[start + root.len() + 2..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(heads(list)),
            None => found.extend([word(rest)]),
        }
    }
    found
}

/// First words of a brace list, nested ones skipped.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut heads, mut fresh) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                heads.push(word(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_reader_of_imports_reads() {
    let text = code(
        "use crate::ir;\n// crate::no\nuse crate::{\n diag::{A, B}, front,\n};\nlet x = crate::eval::f();\n#[cfg(test)]\nuse crate::lower;",
    );
    let found: Vec<String> = first_segments(&text, "crate").into_iter().collect();
    assert_eq!(found, ["diag", "eval", "front", "ir"]);
    assert!(first_segments("use mycrate::a; std::fs::read()", "crate").is_empty());
}
