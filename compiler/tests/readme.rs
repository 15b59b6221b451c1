//! The README's examples: every command of it runs in a clone, one after the other, and says what the README shows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// A command with what the README shows of its output.
struct Example {
    command: String,
    shown: Vec<String>,
}

/// Lines that are indented and begin with `$`, each with those behind it.
fn examples(text: &str) -> Vec<Example> {
    let mut out: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) if line.starts_with("$ ") => {
                out.push(Example { command: line[2..].to_owned(), shown: Vec::new() });
                inside = true;
            }
            Some(line) if inside => out.last_mut().unwrap().shown.push(line.trim_end().to_owned()),
            Some(_) => {}
            None if line.is_empty() && inside => out.last_mut().unwrap().shown.push(String::new()),
            None => inside = false,
        }
    }
    for example in &mut out {
        while example.shown.last().is_some_and(String::is_empty) {
            example.shown.pop();
        }
    }
    out
}

/// Whether lines are those shown, of which `...` is any number; figures of time are not compared.
fn is_as_shown(shown: &[String], lines: &[String]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "..." => {
            (0..=lines.len()).any(|skipped| is_as_shown(rest, &lines[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => plain(first) == plain(line) && is_as_shown(rest, others),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// A line without what differs from run to run: milliseconds, and how much was in the cache.
fn plain(line: &str) -> String {
    let words = line.split(' ').collect::<Vec<_>>();
    let is_figure = |at: usize| words.get(at + 1).is_some_and(|next| *next == "ms" || *next == "cached)");
    let kept = words.iter().enumerate().map(|(at, word)| if is_figure(at) { "N" } else { word });
    kept.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[test]
fn every_command_of_the_readme_says_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let examples = examples(&std::fs::read_to_string(root.join("README.md")).unwrap());
    assert!(examples.len() > 6, "only {} commands", examples.len());
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("testdata"), folder.path().join("testdata")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_ciliumc")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for Example { command, shown } in examples {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} 2>&1")]).current_dir(folder.path()).env("PATH", &path);
        let output = shell.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{command}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        assert!(
            is_as_shown(&shown, &lines),
            "$ {command}\n{text}\n--- is not what the README shows:\n{}",
            shown.join("\n")
        );
    }
}

#[test]
fn a_line_that_differs_is_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let said = lines("a: 3 objects (3 cached) in 512 ms\nb\nc\nd");
    assert!(is_as_shown(&lines("a: 3 objects (0 cached) in 7 ms\n...\nd"), &said));
    assert!(is_as_shown(&lines("a: 3 objects (0 cached) in 7 ms\nb\n..."), &said));
    assert!(!is_as_shown(&lines("a: 4 objects (0 cached) in 7 ms\n...\nd"), &said));
    assert!(!is_as_shown(&lines("a: 3 objects (0 cached) in 7 ms\nb\nd"), &said));
    assert!(!is_as_shown(&lines("...\nc"), &said));
    assert!(!is_as_shown(&[], &said));
}
