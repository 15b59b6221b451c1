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

/// Runs every test of the workspace; further words go to `cargo test`.
pub fn run(words: &[String], report: Report) -> Result<()> {
    let gap = setup::kernel_gap();
    setup::ensure(if gap.is_some() { Need::Test } else { Need::Kernel }, report)?;
    let begin = Instant::now();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--workspace", "--all-features"]).args(words).current_dir(tools::root());
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
