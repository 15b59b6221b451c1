//! Why a chore stopped, and the exit code that says so.

use std::fmt;

/// Result of a chore.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a chore stopped. The exit codes are those of `ciliumc`.
#[derive(Debug)]
pub enum Error {
    /// Something was tried and came out wrong: exit code 1.
    Failed(String),
    /// The machine lacks something: exit code 5.
    Machine(String),
    /// Ctrl-C or SIGTERM: exit code 130.
    Interrupted,
}

impl Error {
    /// A file that could not be used.
    pub fn io(what: &str, path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Self {
        Error::Machine(format!("cannot {what} {}: {error}", path.as_ref().display()))
    }

    /// Exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Failed(_) => 1,
            Error::Machine(_) => 5,
            Error::Interrupted => 130,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(message) | Error::Machine(message) => f.write_str(message),
            Error::Interrupted => f.write_str("interrupted; everything that was made is removed"),
        }
    }
}

impl std::error::Error for Error {}
