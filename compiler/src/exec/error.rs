//! Why an object does not run here, and a loader that is patient with signals.

use std::io;

use aya::programs::{ProgramError, SchedClassifier};

/// Lines of the verifier's log that an error keeps: the end says what it did not like.
const LOG_LINES: usize = 20;

/// How often a program is loaded while signals come in; libbpf tries as often.
const ATTEMPTS: u32 = 5;

/// Why a program is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This process may not load BPF programs.
    #[error("this process may not load BPF programs ({0}); run as root (CAP_BPF and CAP_NET_ADMIN)")]
    NotPermitted(io::Error),
    /// The verifier refuses the program.
    #[error("the kernel's verifier refuses program `{program}` ({source})\n{log}")]
    Refused {
        /// Name of the program.
        program: String,
        /// What the system said.
        source: io::Error,
        /// The last lines of the verifier's log.
        log: String,
    },
    /// The object could not be prepared: its maps, its BTF, its program.
    #[error("cannot load the object: {0}")]
    Load(String),
    /// The kernel takes the program and runs no frame on it.
    #[error("this kernel runs no test packets (BPF_PROG_TEST_RUN: {0}); it needs Linux 5.16")]
    NoTestRun(String),
    /// The kernel does not say how many instructions it walked.
    #[error("this kernel does not count verified instructions; it needs Linux 5.16")]
    NoCount,
}

impl LoadError {
    /// Whether it is about this machine rather than about the object.
    pub fn is_machine(&self) -> bool {
        match self {
            Self::NotPermitted(_) | Self::NoTestRun(_) | Self::NoCount => true,
            Self::Refused { .. } | Self::Load(_) => false,
        }
    }

    pub(super) fn of_object(error: &aya::EbpfError) -> Self {
        Self::of(error)
    }

    pub(super) fn of_program(program: &str, error: ProgramError) -> Self {
        match error {
            // EACCES is the verifier's own word, so only EPERM means us.
            ProgramError::LoadError { io_error, .. } if is_permission(&io_error) => Self::NotPermitted(io_error),
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = last_lines(&verifier_log.to_string());
                Self::Refused { program: program.to_owned(), source: io_error, log }
            }
            error => Self::of(&error),
        }
    }

    /// Permission where the system said so, else the whole chain of causes.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        match io_cause(error) {
            Some(cause) if is_permission(cause) => Self::NotPermitted(copy(cause)),
            _ => Self::Load(chain(error)),
        }
    }
}

/// The verifier gives up with EAGAIN when a signal comes in, which says nothing about the program. aya would take it
/// for a refusal, and asks once more with a log, which is slow enough for the next signal.
pub(super) fn load_patiently(classifier: &mut SchedClassifier) -> Result<(), ProgramError> {
    for _ in 1..ATTEMPTS {
        match classifier.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return answer,
        }
    }
    classifier.load()
}

fn is_permission(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    error.raw_os_error() == Some(EPERM)
}

fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    last_lines(&text)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_to_its_end() {
        let log: String = (0..100).map(|n| format!("{n}\n\n")).collect();
        let cut = last_lines(&log);
        assert_eq!(cut.lines().count(), LOG_LINES);
        assert!(cut.ends_with("99"));
        assert_eq!(last_lines(""), "");
    }
}
