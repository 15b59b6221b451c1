//! What can go wrong, and the exit code that says so.

use std::io;

use crate::bundle::BundleError;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The bundle is not what it says it is.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle or the node's state does not allow what was asked.
    #[error("{0}")]
    Refused(String),
    /// The machine lacks something: a feature, a privilege, an interface.
    #[error("{0}")]
    Machine(String),
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the thing it was tried on.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Whoever read the report closed it: no failure.
    #[error("the report was closed")]
    Closed,
    /// Cannot happen.
    #[error("{0}; this is a bug of ciliumc-loader")]
    Bug(String),
}

impl Error {
    /// Exit code: 2 usage, 3 input refused, 5 the machine, 70 our bug.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Usage(_) => 2,
            Self::Bundle(BundleError::Read { .. }) => 5,
            Self::Bundle(_) | Self::Refused(_) => 3,
            Self::Machine(_) | Self::Io { .. } => 5,
            Self::Bug(_) => 70,
        }
    }
}

/// Names what was tried when a system call fails.
pub trait Context<T> {
    /// Adds `what` to the error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}
