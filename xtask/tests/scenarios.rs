//! Real packets through real objects: every scenario of `testdata/scenarios`, compared with what `ciliumc trace` says
//! and with what somebody wrote down.
//!
//! Needs root and tcx; skips with the reason, or fails under `CILIUMC_REQUIRE_KERNEL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use xtask::flow::{self, Flow, Verdict};
use xtask::lab::Lab;
use xtask::report::Report;
use xtask::setup::{self, Need};
use xtask::tools::{self, Tools};
use xtask::traffic::{self, Servers};
use xtask::{process, suite};

/// Scenarios at a time: most of a scenario is waiting for packets that must not come.
const WORKERS: usize = 4;

#[test]
fn packets_do_what_trace_says() {
    if let Some(reason) = suite::skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    setup::ensure(Need::Kernel, Report::stdout()).expect("what the lab needs");
    let tools = tools::build().expect("the programs");
    let scenarios = scenarios();
    assert!(scenarios.len() >= 12, "only {} scenarios", scenarios.len());
    let (next, failures) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((number, folder)) = nth(&scenarios, next.fetch_add(1, Ordering::SeqCst)) {
                    let found = run(&tools, folder, number).unwrap_or_else(|error| vec![error.to_string()]);
                    let name = folder.file_name().expect("a name").to_string_lossy();
                    let named = found.into_iter().map(|failure| format!("{name}: {failure}"));
                    failures.lock().expect("no panic").extend(named);
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn nth(scenarios: &[PathBuf], index: usize) -> Option<(u32, &Path)> {
    Some((u32::try_from(index).ok()?, scenarios.get(index)?))
}

fn scenarios() -> Vec<PathBuf> {
    let folder = tools::root().join("testdata/scenarios");
    let entries = folder.read_dir().expect("testdata/scenarios").map(|entry| entry.expect("an entry").path());
    let mut scenarios: Vec<PathBuf> = entries.collect();
    scenarios.sort();
    scenarios
}

/// Builds, wires, loads and sends one scenario. Returns what differs.
fn run(tools: &Tools, folder: &Path, number: u32) -> xtask::error::Result<Vec<String>> {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let input = folder.join("input.yaml");
    let table = flow::read_table(&folder.join("flows.tsv"))?;
    let flows: Vec<Flow> = table.iter().map(|(flow, _)| flow.clone()).collect();
    let bundle = scratch.path().join("bundle");
    let mut build = Command::new(&tools.ciliumc);
    build.arg("build").arg(&input).arg("--out").arg(&bundle).arg("--lock").arg(scratch.path().join("lock"));
    process::stdout(&mut build)?;
    let traced = flow::expectations(tools, &input, scratch.path(), &flows)?;

    let lab = Lab::wire("test", number, tools, &bundle, &flow::outside(&flows))?;
    let servers = Servers::start(&lab, &flows)?;
    let open = traffic::observe(&lab, &flows, &vec![Verdict::Allow; flows.len()])?;
    lab.attach()?;
    lab.forget_neighbours()?;
    let observed = traffic::observe(&lab, &flows, &traced)?;
    drop(servers);

    let mut failures = Vec::new();
    for (index, (flow, written)) in table.iter().enumerate() {
        if open[index] != Verdict::Allow {
            failures.push(format!("{flow}: does not get through the lab even before a program is attached"));
        }
        let written = written.unwrap_or(traced[index]);
        if written != traced[index] || observed[index] != traced[index] {
            failures.push(format!("{flow}: written {written}, trace {}, packets {}", traced[index], observed[index]));
        }
    }
    Ok(failures)
}
