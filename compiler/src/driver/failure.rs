//! Why a command ended without its result, and the exit code that says so.

use std::fmt;

/// A failure that is no diagnostic about the user's files.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for what cannot be. Exit code 2.
    Usage(String),
    /// The input was refused; diagnostics say why. Exit code 3.
    Refused,
    /// The input or a file that goes with it cannot be used. Exit code 3.
    Input(String),
    /// The machine: clang, kernel, privileges, I/O. Exit code 5.
    Machine(String),
    /// Our bug. Exit code 70.
    Bug(String),
}

impl Failure {
    /// The input cannot be used.
    pub fn input(error: impl fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    /// The machine cannot do it.
    pub fn machine(error: impl fmt::Display) -> Self {
        Self::Machine(error.to_string())
    }

    /// A stage's invariant does not hold.
    pub fn bug(stage: &'static str) -> impl FnOnce(String) -> Self {
        move |what| Self::Bug(format!("{stage}: {what}"))
    }

    /// Exit code (design: the same in both programs).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused | Self::Input(_) => 3,
            Self::Machine(_) => 5,
            Self::Bug(_) => 70,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the input was refused"),
            Self::Usage(text) | Self::Input(text) | Self::Machine(text) => f.write_str(text),
            Self::Bug(text) => {
                write!(f, "{text}\nthis is a bug in ciliumc; please report it with the input that shows it")
            }
        }
    }
}
