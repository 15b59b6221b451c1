//! The command line: the only module that prints.
//!
//! Results go to standard output, diagnostics and progress to standard error. Exit codes, the same in both programs:
//! 0 ok; 1 findings; 2 usage; 3 input invalid or refused; 4 analysis incomplete under `--strict`; 5 the machine;
//! 70 our bug.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is this module's task")]

mod args;
mod build;
mod check;
mod connections;
mod diff;
mod explain;
mod graph;
mod inputs;
mod l7;
mod list;
mod man;
mod report;
mod trace;

use std::io::Write;
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
        Command::List(args) => list::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Explain { codes } => explain::run(codes),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ciliumc", &mut std::io::stdout());
            Ok(0)
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
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::machine(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
