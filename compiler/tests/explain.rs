//! Every code has a page, every page a code, and the examples of a page do what it says.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ciliumc::diag::{Diagnostic, Severity};
use ciliumc::driver::{self, policy_test, warnings};
use ciliumc::explain::{PAGES, Page};
use ciliumc::front::FrontOptions;
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;
use regex::Regex;

/// Codes whose example does not fit a page.
const NOT_SHOWN: &[&str] = &["F-003"];

/// Codes that the sources of the compiler use.
fn used() -> BTreeSet<String> {
    let code = Regex::new(r#"(?:Code|warning|info)\("([A-Z]-\d+|CL\d{3})""#).unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.extend(code.captures_iter(&text).map(|code| code[1].to_owned()));
            }
        }
    }
    assert!(found.len() > 50, "only {found:?}");
    found
}

/// What `check`, `test` and `build` report about a text, up to the point where clang would run.
fn reported(text: &str) -> Vec<Diagnostic> {
    let sources = SourceMap::from_texts([("example.yaml", text)]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    let later = warnings::warnings(&analysis);
    let lints = analysis.lint(&sources, Some(&"2026-06-01".to_owned())).found;
    let tested = policy_test::run(&analysis, &policy_test::Fixtures::new(), false, 0).unwrap().tested;
    let tests = tested.into_iter().flat_map(|tested| tested.report.diagnostics);
    analysis.diagnostics.into_iter().chain(later).chain(lints).chain(tests).collect()
}

fn has(diagnostics: &[Diagnostic], page: &Page) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.code.0 == page.code)
}

#[test]
fn codes_and_pages_are_the_same() {
    let used = used();
    let pages: BTreeSet<String> = PAGES.iter().map(|page| page.code.to_owned()).collect();
    assert_eq!(pages.len(), PAGES.len(), "a page is listed twice");
    let without_page: Vec<_> = used.difference(&pages).collect();
    assert!(without_page.is_empty(), "write compiler/src/explain/pages/CODE.md for {without_page:?}");
    let without_code: Vec<_> = pages.difference(&used).collect();
    assert!(without_code.is_empty(), "nothing reports {without_code:?}");
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explain/pages")).unwrap();
    assert_eq!(files.count(), pages.len(), "a page is not in the table");
}

#[test]
fn pages_have_their_parts() {
    for page in PAGES {
        assert!(page.text.starts_with(&format!("# {}: ", page.code)), "{}", page.code);
        assert!(page.title().len() > 5 && page.title().len() < 80, "{}", page.code);
        assert!(page.text.contains("\n\nWhy: "), "{}", page.code);
        let examples = page.examples().count();
        assert_eq!(examples, if NOT_SHOWN.contains(&page.code) { 0 } else { 2 }, "{}", page.code);
        let wide = |line: &&str| line.len() > 100 && !line.starts_with(' ');
        assert_eq!(page.text.lines().find(wide), None, "{}", page.code);
    }
}

#[test]
fn examples_do_what_their_page_says() {
    let mut faults = Vec::new();
    for page in PAGES {
        let examples: Vec<Vec<Diagnostic>> = page.examples().map(reported).collect();
        let [wrong, right] = examples.as_slice() else { continue };
        if !has(wrong, page) {
            let codes: Vec<_> = wrong.iter().map(|d| (d.code.0, d.message.as_str())).collect();
            faults.push(format!("{}: the wrong example gives {codes:?}", page.code));
        }
        // An error is the only one; a warning may stand beside another.
        let errors = wrong.iter().chain(right).filter(|d| d.severity == Severity::Error && d.code.0 != page.code);
        faults.extend(errors.map(|d| format!("{}: an example gives {} too: {}", page.code, d.code, d.message)));
        if has(right, page) {
            faults.push(format!("{}: the right example gives it, too", page.code));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
