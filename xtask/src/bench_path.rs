//! `cargo xtask bench path`: what a packet costs.

use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::report::Report;
use crate::setup::{self, Need};
use crate::tools;

/// Builds and runs the benchmark, which prints its table and knows the limit. The kernel takes the times, so a debug
/// build will do.
pub fn run(report: Report) -> Result<()> {
    setup::ensure(Need::Kernel, report)?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["bench", "--profile", "dev", "--package", "ciliumc", "--bench", "path"]).current_dir(tools::root());
    if process::passthrough(&mut command)? {
        return Ok(());
    }
    Err(Error::Failed("the limit is broken, or the benchmark could not run: the lines above say which".to_owned()))
}
