//! `cargo xtask bench front`: what `ciliumc check` costs on a large file.

use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::tools;

/// Builds and runs the benchmark, which prints its table and knows the limits.
pub fn run() -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["bench", "--package", "ciliumc", "--bench", "front"]).current_dir(tools::root());
    if process::passthrough(&mut command)? {
        return Ok(());
    }
    Err(Error::Failed("a limit is broken, or the benchmark could not run: the lines above say which".to_owned()))
}
