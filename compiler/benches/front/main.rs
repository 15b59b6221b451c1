//! What `ciliumc check` costs on 20 MB of policy in one file, on one core, beside `serde_yaml` reading the same text.
//!
//! `cargo xtask bench front`. Everything is measured in turn, several times over, so that a busy machine slows all alike;
//! medians and their ratios count. Times are those of the processor, which on one core of a quiet machine are those of the
//! clock. Bombs, which must be refused at once, are at the end of the table.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement is printed")]

mod policies;

use std::fmt::Display;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use ciliumc::diag::{FileId, render};
use ciliumc::driver;
use ciliumc::front::{self, FrontOptions, yaml};
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;
use serde::Deserialize;

const ROUNDS: usize = 5;
/// `ciliumc check` of the whole text, as a process.
const CHECK_MAX: Duration = Duration::from_secs(3);
/// Its memory.
const CHECK_RSS_MAX_MB: u64 = 1500;
/// A bomb is refused in this time.
const BOMB_MAX: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(5)
        }
    }
}

fn measure() -> Result<bool, String> {
    pin()?;
    let text = policies::text();
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().map_err(because("no temporary file"))?;
    std::fs::write(file.path(), &text).map_err(because("cannot write the input"))?;
    let sources = SourceMap::from_texts([("policies.yaml", text.as_str())]);

    let (mut check, mut oracle, mut tree, mut read, mut analyse) = (vec![], vec![], vec![], vec![], vec![]);
    let mut shown = String::new();
    for _ in 0..ROUNDS {
        let before = used(UsageWho::RUSAGE_CHILDREN)?;
        run_check(file.path())?;
        check.push(used(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before));
        oracle.push(time(|| serde_yaml_reads(&text))?.0);
        tree.push(time(|| yaml::parse(FileId(0), &text, &yaml::Arena::new()).documents.len())?.0);
        read.push(time(|| front::read(&sources, &FrontOptions::default()))?.0);
        let (taken, analysis) = time(|| driver::analyse(&sources, &FrontOptions::default(), Lock::default()))?;
        analyse.push(taken);
        shown = render::text(&analysis.map_err(because("the input cannot be analysed"))?.diagnostics, &sources, false);
    }
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(because("no resource usage"))?;
    let rss_mb = u64::try_from(children.max_rss()).unwrap_or(u64::MAX) / 1024;

    let megabytes = text.len() as f64 / 1e6;
    let oracle = median(oracle);
    println!("{} policies, {megabytes:.1} MB, one core, median of {ROUNDS}", policies::POLICIES);
    println!("{:28} {:>9} {:>7} {:>14}", "what", "time", "MB/s", "to serde_yaml");
    let row = |what: &str, time: Duration| {
        let seconds = time.as_secs_f64();
        println!("{what:28} {seconds:>7.3} s {:>7.1} {:>14.2}", megabytes / seconds, seconds / oracle.as_secs_f64());
    };
    row("serde_yaml, values only", oracle);
    row("yaml: tree with spans", median(tree));
    row("front: objects", median(read));
    row("analyse: front, ir, resolve", median(analyse));
    let check = median(check);
    row("ciliumc check, the process", check);
    println!("ciliumc check: peak {rss_mb} MB; limits {} s, {CHECK_RSS_MAX_MB} MB", CHECK_MAX.as_secs());
    println!("diagnostics: {} lines", shown.lines().count());
    let bombs = bombs().into_iter().map(|(name, text)| bomb(name, &text)).collect::<Result<Vec<Duration>, String>>()?;
    Ok(check < CHECK_MAX && rss_mb < CHECK_RSS_MAX_MB && bombs.iter().all(|time| *time < BOMB_MAX))
}

/// One core for this process, its threads and its children.
fn pin() -> Result<(), String> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).map_err(because("no affinity"))?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(last).and_then(|()| sched_setaffinity(this, &one)).map_err(because("cannot stay on one core"))
}

/// The whole command, its text thrown away; the input has refused objects.
fn run_check(file: &Path) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ciliumc"));
    command.arg("check").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(because("cannot run ciliumc"))?;
    if status.code() == Some(3) { Ok(()) } else { Err(format!("ciliumc check ended with {status}")) }
}

fn serde_yaml_reads(text: &str) -> usize {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents.filter_map(|document| serde_yaml::Value::deserialize(document).ok().map(black_box)).count()
}

fn bombs() -> [(&'static str, String); 2] {
    let mut aliases = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..20 {
        aliases += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    }
    [("alias bomb", aliases), ("depth bomb", "[".repeat(1_000_000))]
}

fn bomb(name: &str, text: &str) -> Result<Duration, String> {
    let sources = SourceMap::from_texts([(name, text)]);
    let (taken, read) = time(|| front::read(&sources, &FrontOptions::default()))?;
    println!("{name}: refused after {:.1} ms ({} diagnostics)", taken.as_secs_f64() * 1e3, read.diagnostics.len());
    Ok(taken)
}

/// What this process needs for some work, and for throwing the result away where the caller does.
fn time<T>(work: impl FnOnce() -> T) -> Result<(Duration, T), String> {
    let before = used(UsageWho::RUSAGE_SELF)?;
    let result = black_box(work());
    Ok((used(UsageWho::RUSAGE_SELF)?.saturating_sub(before), result))
}

/// Processor time, of user and system, so far.
fn used(who: UsageWho) -> Result<Duration, String> {
    let usage = getrusage(who).map_err(because("no resource usage"))?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn because<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
