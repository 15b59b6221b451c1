//! The command `ciliumc-loader`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ciliumc_loader::cli::main()
}
