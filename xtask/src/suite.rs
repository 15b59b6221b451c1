//! `cargo xtask test`: the whole test suite, with what it needs.

use std::process::Command;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::process;
use crate::report::{Report, Tone};
use crate::setup::{self, Need};
use crate::tools;

/// Set to 1: a test that needs root, tcx or clang fails instead of skipping.
pub const REQUIRE_KERNEL: &str = "CILIUMC_REQUIRE_KERNEL";

/// What makes tests that else take a sample do all of it. The figures are those of the promises.
const WHOLE: [(&str, &str); 4] = [
    ("CILIUMC_LEAK_CYCLES", "10000"),
    ("CILIUMC_KILL_ALL", "1"),
    ("CILIUMC_FUZZ_PACKETS", "1000000"),
    ("CILIUMC_SWITCHES", "1000"),
];
/// The loader that its own tests run, where it is not the one built for them.
const LOADER: &str = "CILIUMC_LOADER";

/// Runs every test of the workspace; further words go to `cargo test`. `whole`: without samples, and with the loader that
/// nodes get.
pub fn run(words: &[String], whole: bool, report: Report) -> Result<()> {
    let gap = setup::kernel_gap();
    setup::ensure(if gap.is_some() { Need::Test } else { Need::Kernel }, report)?;
    let begin = Instant::now();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--workspace", "--all-features"]).args(words).current_dir(tools::root());
    if whole {
        command.envs(WHOLE).env(LOADER, tools::build()?.loader);
    }
    let passed = process::passthrough(&mut command)?;
    report.heading("Summary");
    if let Some(gap) = &gap {
        report.line(format!("without packets: {gap}"));
    }
    if !passed {
        return Err(Error::Failed("tests failed; the lines above say which".to_owned()));
    }
    let words = format!("all tests passed in {} s", begin.elapsed().as_secs());
    report.line(report.paint(Tone::Good, &words));
    Ok(())
}

/// Why a test that sends packets cannot run here.
///
/// # Panics
/// When it cannot and [`REQUIRE_KERNEL`] is 1.
#[must_use]
pub fn skip_reason() -> Option<String> {
    let gap = setup::kernel_gap()?;
    assert!(std::env::var(REQUIRE_KERNEL).as_deref() != Ok("1"), "{REQUIRE_KERNEL}=1, but {gap}");
    Some(gap)
}
