//! The `ciliumc` program: see [`ciliumc::cli`].

fn main() -> std::process::ExitCode {
    ciliumc::cli::main()
}
