//! The command line: the only module that prints.
//!
//! Results go to standard output, diagnostics and progress to standard error. Exit codes, the same in both programs:
//! 0 ok; 1 findings; 2 usage; 3 input invalid or refused; 4 analysis incomplete under `--strict`; 5 the machine;
//! 70 our bug.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is this module's task")]

mod args;
mod baseline;
mod build;
mod check;
mod connections;
mod diff;
mod explain;
mod fix;
mod flow;
mod github;
mod graph;
mod inputs;
mod junit;
mod l7;
mod list;
mod man;
mod packets;
mod report;
mod sarif;
mod suggest;
mod test;
mod trace;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::driver::Failure;
use args::{Cli, Command};

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows where help and errors go; a closed pipe is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let code = match &cli.command {
        Command::Build(args) => build::run(args),
        Command::Check(args) => check::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Test(args) => test::run(args),
        Command::List(args) => list::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Explain { codes } => explain::run(codes),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ciliumc", &mut script);
            put_bytes(&script).map(|()| 0)
        }
        Command::Man { dir } => man::run(dir.as_deref()),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Writes a result. A reader that has had enough is no failure.
fn put(text: &str) -> Result<(), Failure> {
    put_bytes(text.as_bytes())
}

fn put_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Machine(format!("standard output cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file aside, with the permissions of the one that is there, and renames it: whoever reads it sees all or nothing.
fn replace_file(path: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Machine(format!("{}: cannot be written: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".ciliumc-").tempfile_in(folder).map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    let permissions = match std::fs::metadata(path) {
        Ok(meta) => meta.permissions(),
        Err(_) => PermissionsExt::from_mode(NEW_FILE_MODE),
    };
    file.as_file().set_permissions(permissions).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error)).map(drop)
}

/// Everyone may read a report.
const NEW_FILE_MODE: u32 = 0o644;
