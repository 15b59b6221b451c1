//! Finds clang and runs it; the only module that starts a process.
//!
//! In: [`Unit`]s. Out: for each one an object with its BTF and without DWARF, the same bytes whatever the folder, the
//! number of threads or the environment.

mod cache;
mod strip;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use ciliumc_abi::headers::HEADERS;
use rayon::prelude::*;

use crate::codegen::{self, Unit};
pub use toolchain::{Toolchain, Version};

/// Flags of every run, without paths.
///
/// `-g` is there for BTF, without which the maps cannot be created. `-gcodeview` says that the debug format is
/// Windows', which no ELF file holds: so clang spends nothing on DWARF, and BTF keeps all but columns, which the verifier's log does not show.
/// Assignment tracking serves variables in a debugger, which nobody will see. `-O1` without aliasing by type makes code
/// that is as fast as that of `-O2`, in less time.
///
/// Paths are relative and the folder is named `.`, because BTF repeats them.
pub const FLAGS: [&str; 28] = [
    "-target",
    "bpf",
    "-mcpu=v3",
    "-std=gnu11",
    "-O1",
    "-fno-strict-aliasing",
    "-g",
    "-gcodeview",
    "-Xclang",
    "-fexperimental-assignment-tracking=disabled",
    "-ffreestanding",
    "-nostdinc",
    "-fno-addrsig",
    "-fno-ident",
    "-fdebug-compilation-dir=.",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Wundef",
    "-Wstrict-prototypes",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Werror",
    "-fno-color-diagnostics",
    "-fno-caret-diagnostics",
    "-ferror-limit=20",
    "-c",
];

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The ELF file.
    pub object: Vec<u8>,
    /// Whether it came out of the cache.
    pub cached: bool,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum ClangError {
    /// The machine has no clang.
    #[error(
        "no clang found (looked for {searched}); install one with `apt-get install clang-19` or `cargo xtask setup`, \
         or name one in CILIUMC_CLANG"
    )]
    NotFound {
        /// The names that were tried.
        searched: String,
    },
    /// CILIUMC_CLANG or CLANG_PATH names something that does not run.
    #[error("cannot run clang {}: {source}; name another one in CILIUMC_CLANG", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program whose `--version` is not clang's.
    #[error("{} does not say that it is clang: `{said}`; name another one in CILIUMC_CLANG", path.display())]
    NotClang {
        /// The program.
        path: PathBuf,
        /// First line that it printed.
        said: String,
    },
    /// A clang that we do not accept.
    #[error(
        "{} is clang {version}, and versions {} to {} are accepted; install one with `apt-get install clang-19` or \
         `cargo xtask setup`, or name one in CILIUMC_CLANG",
        path.display(), toolchain::OLDEST, toolchain::NEWEST
    )]
    Version {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: Version,
    },
    /// A clang that was built without the target.
    #[error("{} cannot compile for BPF; install one that can with `apt-get install clang-19`", path.display())]
    NoBpf {
        /// The program.
        path: PathBuf,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The threads could not be started.
    #[error("cannot start {jobs} threads: {reason}; try fewer with --jobs")]
    Threads {
        /// How many.
        jobs: usize,
        /// What rayon said.
        reason: String,
    },
    /// clang refuses C that we generated.
    #[error("clang rejects generated C of {unit}, which is a bug in ciliumc; files kept in {}\n{output}", kept.display())]
    Rejected {
        /// Name of the unit.
        unit: String,
        /// Folder with the unit and its headers.
        kept: PathBuf,
        /// What clang printed.
        output: String,
    },
    /// clang wrote an object that we cannot read.
    #[error("clang's object for {unit} is not what ciliumc expects, which is a bug in ciliumc: {reason}")]
    Object {
        /// Name of the unit.
        unit: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClangError {
    /// Whether we are to blame, and not the machine.
    pub fn is_our_bug(&self) -> bool {
        match self {
            Self::Rejected { .. } | Self::Object { .. } => true,
            Self::NotFound { .. }
            | Self::Run { .. }
            | Self::NotClang { .. }
            | Self::Version { .. }
            | Self::NoBpf { .. }
            | Self::Io { .. }
            | Self::Threads { .. } => false,
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Compiles units side by side, `jobs` at a time (0: as many as there are processors). The answer has the order of
/// `units`. `cache` is a folder that may be shared with other runs; what it cannot give or take is compiled.
pub fn compile_all(
    toolchain: &Toolchain,
    units: &[Unit],
    jobs: usize,
    cache: Option<&Path>,
) -> Result<Vec<Built>, ClangError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| ClangError::Threads { jobs, reason: error.to_string() })?;
    let keys: Vec<String> = units.iter().map(|unit| cache::key(toolchain, &codegen::digest(unit))).collect();
    let found: Vec<Option<Vec<u8>>> = keys.iter().map(|key| cache.and_then(|folder| cache::get(folder, key))).collect();
    if found.iter().all(Option::is_some) {
        return Ok(found.into_iter().flatten().map(|object| Built { object, cached: true }).collect());
    }

    let workspace = Workspace::new()?;
    let built = pool.install(|| {
        units
            .par_iter()
            .zip(&keys)
            .zip(found)
            .enumerate()
            .map(|(number, ((unit, key), found))| {
                if let Some(object) = found {
                    return Ok(Built { object, cached: true });
                }
                let object = workspace.compile(toolchain, unit, number)?;
                if let Some(folder) = cache {
                    cache::put(folder, key, &object);
                }
                Ok(Built { object, cached: false })
            })
            .collect::<Result<Vec<_>, _>>()
    });
    if let Err(ClangError::Rejected { .. }) = &built {
        workspace.keep();
    }
    built
}

/// A temporary folder with the headers and one folder for each unit.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new() -> Result<Self, ClangError> {
        let folder =
            tempfile::Builder::new().prefix("ciliumc-").tempdir().map_err(ClangError::io(&std::env::temp_dir()))?;
        for (path, text) in HEADERS {
            write(&folder.path().join("include").join(path), text)?;
        }
        Ok(Self { folder })
    }

    /// Leaves the folder where it is.
    fn keep(self) {
        let _: PathBuf = self.folder.keep();
    }

    fn compile(&self, toolchain: &Toolchain, unit: &Unit, number: usize) -> Result<Vec<u8>, ClangError> {
        let folder = self.folder.path().join(format!("unit{number}"));
        let source = format!("{}.c", codegen::program_name(unit.shape.program));
        write(&folder.join("ep_config.h"), &unit.ep_config)?;
        write(&folder.join("node_config.h"), &unit.node_config)?;
        write(&folder.join(&source), &unit.source)?;

        let output = Command::new(toolchain.path())
            .args(FLAGS)
            .args(["-I", "../include", "-I", ".", "-o", "unit.o", &source])
            .current_dir(&folder)
            .env_clear()
            .env("LC_ALL", "C")
            // glibc: large pages for the heap, or a tenth of the time is spent on page faults.
            .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            .output()
            .map_err(|source| ClangError::Run { path: toolchain.path().to_owned(), source })?;
        if !output.status.success() {
            return Err(rejected(toolchain, unit, folder, &output));
        }
        let object = folder.join("unit.o");
        let bytes = fs::read(&object).map_err(ClangError::io(&object))?;
        strip::strip(&bytes).map_err(|reason| ClangError::Object { unit: unit.name.clone(), reason })
    }
}

fn rejected(toolchain: &Toolchain, unit: &Unit, kept: PathBuf, output: &std::process::Output) -> ClangError {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("unable to create target") || text.contains("unknown target triple") {
        return ClangError::NoBpf { path: toolchain.path().to_owned() };
    }
    let output = if text.is_empty() { output.status.to_string() } else { text };
    ClangError::Rejected { unit: unit.name.clone(), kept, output }
}

fn write(path: &Path, text: &str) -> Result<(), ClangError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(ClangError::io(folder))?;
    fs::write(path, text).map_err(ClangError::io(path))
}
