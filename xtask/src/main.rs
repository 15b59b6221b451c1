//! `cargo xtask`: see [`xtask`].

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use xtask::report::{self, Report};
use xtask::setup::Need;
use xtask::{bench, bench_analysis, bench_front, bench_loader, bench_path, demo, fuzz, kernels, process, setup, suite};

/// Chores of this project. Each one installs what it needs where it may, else says what to run.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "Examples:\n  cargo xtask demo          from policies to dropped packets\n  cargo xtask test          every test"
)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what is missing: clang, llvm-strip, libclang, bpftool, ip, curl, ping, python3, the BPF file system
    #[command(after_help = "Example:\n  cargo xtask setup")]
    Setup,
    /// Compile the Star Wars scenario, load it and send real packets through it
    #[command(
        after_help = "Example:\n  cargo xtask demo\n\nWithout root or on a kernel before 6.6 it stops after the offline half."
    )]
    Demo,
    /// Run every test of the workspace
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test -- --test cases      only what snapshots tell\n  \
                      CILIUMC_REQUIRE_KERNEL=1 cargo xtask test      a test that must skip fails\n  \
                      cargo xtask test --whole -- --test kernel leak::     10 000 cycles\n  \
                      cargo xtask test --whole -- --test kernel kill::     the whole kill matrix"
    )]
    Test {
        /// Do all where else a sample is taken: 10 000 cycles of endpoints, a kill at every system call, a million
        /// packets, 1 000 switches
        #[arg(long)]
        whole: bool,
        /// Words for `cargo test`
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Measure against what was promised: build time and sizes, the check of 20 MB of policy (`front`), the
    /// offline commands on 10 000 pods (`analysis`), endpoints that come and policies that change (`loader`), or what
    /// a packet costs (`path`)
    #[command(
        after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench front\n  cargo xtask bench analysis\n  cargo xtask bench loader\n  cargo xtask bench path"
    )]
    Bench {
        /// What to measure
        #[arg(value_enum, default_value_t = Measured::Build)]
        what: Measured,
    },
    /// Run the fuzz targets for a while; a finding fails
    #[command(after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz --seconds 600 --jobs 1 documents\n\n\
                      A finding is kept below target/fuzz/findings; what was learnt, below target/fuzz/corpus.")]
    Fuzz(fuzz::Arguments),
    /// Boot Debian's kernels under qemu and have them take every object; takes a quarter of an hour
    #[command(
        after_help = "Example:\n  cargo xtask kernels\n\nDownloads two kernels from deb.debian.org and installs qemu-system-x86."
    )]
    Kernels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// Time of `ciliumc build` and the loader's size
    Build,
    /// Time and memory of `ciliumc check`, beside serde_yaml
    Front,
    /// Time of `check`, `diff`, `list` and `trace` on a generated cluster
    Analysis,
    /// Time and memory of `ciliumc-loader endpoint add` and `apply` for a hundred endpoints
    Loader,
    /// Nanoseconds that a packet costs, beside a bare connection table
    Path,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = Report::stdout();
    let result = process::catch_interrupts().and_then(|()| match arguments.chore {
        Chore::Setup => setup::ensure(Need::Kernel, report),
        Chore::Demo => demo::run(report),
        Chore::Test { whole, words } => suite::run(&words, whole, report),
        Chore::Bench { what: Measured::Build } => bench::run(report),
        Chore::Bench { what: Measured::Front } => bench_front::run(),
        Chore::Bench { what: Measured::Analysis } => bench_analysis::run(report),
        Chore::Bench { what: Measured::Loader } => bench_loader::run(report),
        Chore::Bench { what: Measured::Path } => bench_path::run(report),
        Chore::Kernels => kernels::run(report),
        Chore::Fuzz(arguments) => fuzz::run(&arguments, report),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}
