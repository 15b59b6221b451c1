//! Finds clang and runs it; the only module that starts a process.
//!
//! In: [`Unit`]s. Out: for each one an object with its BTF and without DWARF, the same bytes whatever the folder, the
//! number of threads or the environment.

mod cache;
mod frontend;
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
/// Paths are relative and the folder is named `.`, because BTF repeats them; the units' own do not get there.
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

/// Where the headers are: below the folder in which clang runs.
const INCLUDE: [&str; 2] = ["-I", "include"];

/// Units that one process compiles, at most: it gives no memory back before its end.
const GROUP_MAX: usize = 8;

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
    /// A clang that we cannot ask how it compiles.
    #[error("{} does not tell how it compiles (`-###`); name another clang in CILIUMC_CLANG", path.display())]
    NoCall {
        /// The program.
        path: PathBuf,
    },
    /// A program that does not say it is clang.
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
            | Self::NoCall { .. }
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

/// Compiles units side by side, `jobs` processes at a time (0: as many as there are processors). The answer has the
/// order of `units`. `cache` is a folder that may be shared with other runs; what it cannot give or take is compiled.
pub fn compile_all(
    toolchain: &Toolchain,
    units: &[Unit],
    jobs: usize,
    cache: Option<&Path>,
) -> Result<Vec<Built>, ClangError> {
    let keys: Vec<String> = units.iter().map(|unit| cache::key(toolchain, &codegen::digest(unit))).collect();
    let mut built: Vec<Built> = keys
        .iter()
        .map(|key| cache.and_then(|folder| cache::get(folder, key)))
        .map(|found| Built { cached: found.is_some(), object: found.unwrap_or_default() })
        .collect();
    let missing: Vec<usize> = (0..units.len()).filter(|&number| !built[number].cached).collect();
    if missing.is_empty() {
        return Ok(built);
    }

    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| ClangError::Threads { jobs, reason: error.to_string() })?;
    let workspace = Workspace::new()?;
    let compiled = pool.install(|| {
        groups(&missing, pool.current_num_threads())
            .into_par_iter()
            .map(|group| workspace.compile(toolchain, units, group))
            .collect::<Result<Vec<_>, _>>()
    });
    if let Err(ClangError::Rejected { .. }) = &compiled {
        workspace.keep();
    }
    for (number, object) in compiled?.into_iter().flatten() {
        if let Some(folder) = cache {
            cache::put(folder, &keys[number], &object);
        }
        built[number].object = object;
    }
    Ok(built)
}

/// Deals numbers of units to as many processes as may run at a time, or more when these would have too much.
fn groups(numbers: &[usize], jobs: usize) -> Vec<Vec<usize>> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let count = jobs.min(numbers.len()).max(numbers.len().div_ceil(GROUP_MAX));
    let mut groups = vec![Vec::new(); count];
    // Neighbours are alike and grow in length, so the second lap goes backwards.
    for lap in numbers.chunks(2 * count) {
        let (forth, back) = lap.split_at(count.min(lap.len()));
        forth.iter().enumerate().for_each(|(place, number)| groups[place].push(*number));
        back.iter().enumerate().for_each(|(place, number)| groups[count - 1 - place].push(*number));
    }
    groups
}

/// Stands among the headers where a unit has a file of its own, which it includes before any of them.
const OWN: &str = "/* The unit has included its own. */\n";

/// A temporary folder with the headers and one folder for each unit.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new() -> Result<Self, ClangError> {
        let folder =
            tempfile::Builder::new().prefix("ciliumc-").tempdir().map_err(ClangError::io(&std::env::temp_dir()))?;
        for (path, text) in HEADERS.iter().chain(&[("ep_config.h", OWN), ("node_config.h", OWN)]) {
            write(&folder.path().join("include").join(path), text)?;
        }
        Ok(Self { folder })
    }

    /// Leaves the folder where it is.
    fn keep(self) {
        let _: PathBuf = self.folder.keep();
    }

    /// Folder of a unit.
    fn unit(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("unit{number}"))
    }

    /// Compiles some units in one process: their numbers and objects.
    fn compile(
        &self,
        toolchain: &Toolchain,
        units: &[Unit],
        numbers: Vec<usize>,
    ) -> Result<Vec<(usize, Vec<u8>)>, ClangError> {
        for &number in &numbers {
            let folder = self.unit(number);
            write(&folder.join("ep_config.h"), &units[number].ep_config)?;
            write(&folder.join("node_config.h"), &units[number].node_config)?;
            write(&folder.join("unit.c"), &units[number].source)?;
        }
        let frontend = toolchain.frontend();
        let output = Command::new(&frontend.program)
            .args(&frontend.arguments)
            .args(numbers.iter().map(|number| format!("unit{number}/unit.c")))
            .current_dir(self.folder.path())
            .env_clear()
            .env("LC_ALL", "C")
            // glibc: large pages for the heap, or a tenth of the time is spent on page faults.
            .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            .output()
            .map_err(|source| ClangError::Run { path: frontend.program.clone(), source })?;
        let object = |number| self.unit(number).join("unit.o");
        if !output.status.success() {
            // The compiler goes on behind the first unit that it rejects, but writes no more objects.
            let rejected = numbers.iter().find(|number| !object(**number).exists()).unwrap_or(&numbers[0]);
            return Err(self::rejected(toolchain, &units[*rejected], self.unit(*rejected), &output));
        }
        let read = |number| {
            let object = object(number);
            let bytes = fs::read(&object).map_err(ClangError::io(&object))?;
            let stripped = strip::strip(&bytes)
                .map_err(|reason| ClangError::Object { unit: units[number].name.clone(), reason })?;
            Ok((number, stripped))
        };
        numbers.into_iter().map(read).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_dealt_to_all_processes() {
        assert_eq!(groups(&[3, 4, 5, 6], 2), [[3, 6], [4, 5]]);
        assert_eq!(groups(&[0, 1, 2, 3, 4], 2), [vec![0, 3, 4], vec![1, 2]]);
        assert_eq!(groups(&[0, 1], 8), [[0], [1]]);
        assert_eq!(groups(&(0..GROUP_MAX + 1).collect::<Vec<_>>(), 1).len(), 2);
        assert!(groups(&[], 2).is_empty());
    }
}
