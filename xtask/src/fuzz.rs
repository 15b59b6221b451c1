//! `cargo xtask fuzz`: what reads bytes from outside, under libFuzzer.
//!
//! The targets are those of `fuzz/`, built by the pinned toolchain with the coverage that `cargo fuzz` asks for, but without
//! a sanitizer: nothing of what they call is unsafe code, and a panic is found without one. `cargo fuzz` itself can be
//! used beside it, as `cargo fuzz run --sanitizer none TARGET`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;
use crate::report::{Report, Tone, columns};
use crate::setup::{self, Need};
use crate::tools;

/// Targets, and where their first inputs are, below the root.
const TARGETS: [(&str, &[&str]); 6] = [
    ("yaml", &["fuzz/seeds/yaml", "testdata/front", "testdata/cases"]),
    ("selectors", &["fuzz/seeds/selectors"]),
    ("cidrs", &["fuzz/seeds/cidrs"]),
    ("ports", &["fuzz/seeds/ports"]),
    ("fqdns", &["fuzz/seeds/fqdns"]),
    ("documents", &["fuzz/seeds/documents", "testdata/front", "testdata/cases"]),
];

/// Words of the language, so that whole fields need not be guessed.
const WORDS: &str = "fuzz/words.dict";
/// One input may take this long; the slowest seed takes a hundredth.
const INPUT_SECS_MAX: u32 = 5;
/// A process may grow to this, with libFuzzer's own tables.
const RSS_MAX_MB: u32 = 1024;
/// Bytes of an input: what is longer only repeats itself.
const INPUT_BYTES_MAX: u32 = 8192;

/// Coverage of edges and comparisons, as libFuzzer wants it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Targets side by side; 0 is one per processor
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Only these: yaml, selectors, cidrs, ports, fqdns, documents
    targets: Vec<String>,
}

/// Builds the targets, runs them, and fails when one finds something.
pub fn run(arguments: &Arguments, report: Report) -> Result<()> {
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| arguments.targets.is_empty() || arguments.targets.iter().any(|wanted| wanted == name))
        .collect();
    if let Some(unknown) = arguments.targets.iter().find(|wanted| !TARGETS.iter().any(|(name, _)| name == wanted)) {
        return Err(Error::Failed(format!("there is no target `{unknown}`")));
    }
    setup::ensure(Need::Fuzz, report)?;
    let programs = build()?;
    let jobs = match arguments.jobs {
        0 => thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let queue = Mutex::new(chosen.into_iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                // A poisoned lock is another thread's panic, which the scope passes on.
                while let Some((name, seeds)) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                    let result = one(&programs, name, seeds, arguments.seconds);
                    if let Ok(mut done) = done.lock() {
                        done.push((*name, result));
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();
    let mut rows = Vec::new();
    let mut findings = Vec::new();
    for (name, result) in done {
        match result? {
            Ok(summary) => rows.push(vec![name.to_owned(), summary, report.paint(Tone::Good, "nothing found")]),
            Err(finding) => {
                rows.push(vec![name.to_owned(), String::new(), report.paint(Tone::Bad, "FOUND")]);
                findings.push(format!("{name}:\n{finding}"));
            }
        }
    }
    for line in columns(&rows) {
        report.line(line);
    }
    if findings.is_empty() { Ok(()) } else { Err(Error::Failed(findings.join("\n"))) }
}

/// Builds every target and tells where they are.
fn build() -> Result<PathBuf> {
    let target = tools::target().join("fuzz");
    let host = process::stdout(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(tools::root()))?;
    let host = host.trim();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With a target named, build scripts and macros are not instrumented.
    command.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--bins",
        "--target",
        host,
        "--manifest-path",
        "fuzz/Cargo.toml",
    ]);
    command.arg("--target-dir").arg(&target).env("RUSTFLAGS", FLAGS).current_dir(tools::root());
    if process::passthrough(&mut command)? {
        return Ok(target.join(host).join("release"));
    }
    Err(Error::Failed("the fuzz targets do not build".to_owned()))
}

/// Runs one target: what it did, or what it found.
fn one(programs: &Path, name: &str, seeds: &[&str], seconds: u64) -> Result<std::result::Result<String, String>> {
    let folder = |kind: &str| -> Result<PathBuf> {
        let folder = tools::target().join("fuzz").join(kind).join(name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("make", &folder, &e))?;
        Ok(folder)
    };
    let (corpus, findings) = (folder("corpus")?, folder("findings")?);
    let mut command = Command::new(programs.join(name));
    command.arg(&corpus).args(seeds).current_dir(tools::root()).env("RAYON_NUM_THREADS", "1");
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECS_MAX}"),
        format!("-rss_limit_mb={RSS_MAX_MB}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-dict={WORDS}"),
        "-print_final_stats=1".to_owned(),
    ]);
    // Reading a large corpus does not count for the fuzzer; a target that hangs there is stopped all the same.
    let output = process::capture_within(&mut command, Duration::from_secs(2 * seconds + 120))?;
    if output.success() {
        return Ok(Ok(summary(&output.stderr)));
    }
    let lines: Vec<&str> = output.stderr.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    Ok(Err(format!("{tail}\nthe input is in {}", findings.display())))
}

/// `1234 runs, 56 MB` from libFuzzer's last lines.
fn summary(text: &str) -> String {
    let stat = |name: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.map_or("?", |rest| rest.trim_start_matches(':').trim()).to_owned()
    };
    format!("{} runs, peak {} MB", stat("number_of_executed_units"), stat("peak_rss_mb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_stats_are_read() {
        let text =
            "Done 5 runs in 1 second(s)\nstat::number_of_executed_units: 5\nstat::peak_rss_mb:              41\n";
        assert_eq!(summary(text), "5 runs, peak 41 MB");
        assert_eq!(summary(""), "? runs, peak ? MB");
    }

    #[test]
    fn every_target_has_seeds_and_a_program() {
        let manifest = std::fs::read_to_string(tools::root().join("fuzz/Cargo.toml")).unwrap();
        for (name, seeds) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            for folder in seeds {
                assert!(tools::root().join(folder).is_dir(), "{folder}");
            }
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
