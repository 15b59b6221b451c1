//! The clang of this machine.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt, io, thread};

use super::frontend::Frontend;
use super::{ClangError, FLAGS, INCLUDE};

/// First accepted major version.
pub(super) const OLDEST: u32 = 16;
/// Last accepted major version.
pub(super) const NEWEST: u32 = 21;
/// The version that the snapshots are made with, and that is taken when there are several.
const PREFERRED: u32 = 19;

/// A version of clang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch level.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A clang that was found and has an accepted version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    path: PathBuf,
    version: Version,
    banner: String,
    frontend: Frontend,
}

impl Toolchain {
    /// The clang that CILIUMC_CLANG or CLANG_PATH names, else the best of PATH and `/usr/lib/llvm-*/bin`.
    pub fn find() -> Result<Self, ClangError> {
        for variable in ["CILIUMC_CLANG", "CLANG_PATH"] {
            if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
                return Self::at(Path::new(&path));
            }
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let debian = versions().map(|version| PathBuf::from(format!("/usr/lib/llvm-{version}/bin")));
        Self::search(&env::split_paths(&path).chain(debian).collect::<Vec<_>>())
    }

    /// Begins to look for clang and goes on in the background, for clang takes its time to say its version. What this
    /// returns waits for the answer of [`Toolchain::find`].
    pub fn find_ahead() -> impl FnOnce() -> Result<Self, ClangError> {
        let search = thread::spawn(Self::find);
        move || search.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The clang at a path, or of a name that PATH resolves. It says its version and how it compiles in one go.
    pub fn at(path: &Path) -> Result<Self, ClangError> {
        let output = Command::new(path)
            .arg("-###")
            .args(FLAGS)
            .args(INCLUDE)
            .args(["-x", "c", "/dev/null"])
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("LC_ALL", "C")
            .output()
            .map_err(|source| ClangError::Run { path: path.to_owned(), source })?;
        let text = String::from_utf8_lossy(&output.stderr);
        let banner = text.lines().next().unwrap_or_default().to_owned();
        let Some(version) = parse_version(&banner) else {
            return Err(ClangError::NotClang { path: path.to_owned(), said: banner });
        };
        if !(OLDEST..=NEWEST).contains(&version.major) {
            return Err(ClangError::Version { path: path.to_owned(), version });
        }
        let frontend = Frontend::parse(&text).ok_or_else(|| ClangError::NoCall { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), version, banner, frontend })
    }

    /// The best clang of some folders. A `clang` of another version does not hide a `clang-19`.
    pub fn search(folders: &[PathBuf]) -> Result<Self, ClangError> {
        let mut names: Vec<String> = versions().map(|version| format!("clang-{version}")).collect();
        names.insert(1, "clang".to_owned());
        let mut refused = None;
        for name in &names {
            // An empty folder in PATH means the current one, whose programs we do not run.
            for folder in folders.iter().filter(|folder| !folder.as_os_str().is_empty()) {
                let path = folder.join(name);
                // Most folders have none, and a process that cannot start is not free.
                if !path.exists() {
                    continue;
                }
                match Self::at(&path) {
                    Ok(toolchain) => return Ok(toolchain),
                    Err(ClangError::Run { source, .. }) if is_absent(&source) => {}
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| ClangError::NotFound { searched: names.join(", ") }))
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// First line that it prints, as for `--version`: tells builds of one version apart.
    pub(super) fn banner(&self) -> &str {
        &self.banner
    }

    /// Its compiler.
    pub(super) fn frontend(&self) -> &Frontend {
        &self.frontend
    }
}

/// Accepted major versions, the best first.
fn versions() -> impl Iterator<Item = u32> {
    [PREFERRED].into_iter().chain((OLDEST..=NEWEST).rev().filter(|&version| version != PREFERRED))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// Reads `Debian clang version 19.1.7 (3)`.
fn parse_version(banner: &str) -> Option<Version> {
    let (_, rest) = banner.split_once("clang version ")?;
    let number = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some(Version { major: parts.next()??, minor: parts.next()??, patch: parts.next().flatten().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let version = |text| parse_version(text).map(|v| v.to_string());
        assert_eq!(version("Debian clang version 19.1.7 (3)").as_deref(), Some("19.1.7"));
        assert_eq!(version("clang version 20.1.0-rc2").as_deref(), Some("20.1.0"));
        assert_eq!(version("Ubuntu clang version 18.1").as_deref(), Some("18.1.0"));
        assert_eq!(version("gcc (Debian 12.2.0) 12.2.0"), None);
        assert_eq!(version("clang version x"), None);
        assert_eq!(version(""), None);
    }
}
