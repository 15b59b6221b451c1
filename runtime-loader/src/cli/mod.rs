//! The command line: the only module that prints.

mod args;
mod batch;
mod change;
mod hurry;
mod ipcache;
mod metrics;
mod monitor;
mod policy;
mod show;
mod status;
mod table;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;

use crate::error::Error;
use crate::pins::Pins;
use args::{Cli, Command, Ct, Endpoint, Identity, Ipcache, Map, Policy};

/// The command line's description, for man pages and completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command that the arguments ask for, of which the first is the program's name; returns the exit code.
pub fn main(arguments: Vec<OsString>) -> u8 {
    let cli = Cli::parse_from(arguments);
    let mut out = io::stdout().lock();
    match run(&cli, &mut out) {
        Ok(()) | Err(Error::Closed) => 0,
        Err(error) => {
            // Nobody is left to tell when stderr is closed, too.
            let _ = writeln!(io::stderr(), "ciliumc-loader: {error}");
            error.exit_code()
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Error> {
    let global = &cli.global;
    let pins = Pins { root: global.root.clone(), state: global.state_dir.clone() };
    match &cli.command {
        Command::Apply(apply) => change::apply(global, &pins, apply, out),
        Command::Rollback(rollback) => change::rollback(global, &pins, rollback, out),
        Command::Endpoint(Endpoint::Add(add)) => change::add(global, &pins, add, out),
        Command::Endpoint(Endpoint::Del(del)) => change::del(global, &pins, del, out),
        Command::Endpoint(Endpoint::Get(which)) => status::get(global, &pins, which, out),
        Command::Endpoint(Endpoint::List) => status::list(global, &pins, out),
        Command::Ipcache(Ipcache::Get(args)) => ipcache::get(global, &pins, args, out),
        Command::Ipcache(Ipcache::Upsert(args)) => ipcache::upsert(global, &pins, args, out),
        Command::Ipcache(Ipcache::Delete(args)) => ipcache::delete(global, &pins, args, out),
        Command::Ipcache(Ipcache::List) => ipcache::list(global, &pins, out),
        Command::Policy(Policy::Get(args)) => policy::get(global, &pins, args, out),
        Command::Identity(Identity::List) => show::identities(global, &pins, out),
        Command::Identity(Identity::Get(args)) => show::identity(global, &pins, args, out),
        Command::Ct(Ct::List(args)) => show::connections(global, &pins, args, out),
        Command::Ct(Ct::Flush(args)) => show::flush(global, &pins, args, out),
        Command::Map(Map::List) => show::maps(global, &pins, out),
        Command::Metrics(args) => metrics::run(global, &pins, args, out),
        Command::Status => status::status(global, &pins, out),
        Command::Monitor(monitor) => monitor::run(global, &pins, monitor, out),
        Command::Unload(unload) => change::unload(global, &pins, unload, out),
    }
}

/// Writes to standard output.
fn print(out: &mut dyn Write, text: impl std::fmt::Display) -> Result<(), Error> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|source| match source.kind() {
        io::ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Io { what: "cannot write the report".to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::command;

    fn examples(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example"), "`{path}` has no example");
        command.get_subcommands().for_each(|command| examples(command, &path));
    }

    #[test]
    fn every_command_has_an_example() {
        let command = command();
        command.clone().debug_assert();
        examples(&command, "");
    }
}
