//! Asks this kernel's verifier.
//!
//! A program is loaded, looked at, and gone again: nothing is attached and nothing is pinned.

use std::io;

use aya::programs::{ProgramError, SchedClassifier};
use aya::{EbpfLoader, VerifierLogLevel};
use ciliumc_abi::names;
use ciliumc_abi::names::rodata;

/// Lines of the verifier's log that an error keeps: the end says what it did not like.
const LOG_LINES: usize = 20;

/// Entries of the conntrack maps while we ask: the real number costs memory and changes nothing.
const CT_ENTRIES: u32 = 16;

/// How often a program is loaded while signals come in; libbpf tries as often.
const ATTEMPTS: u32 = 5;

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// This process may not load BPF programs.
    #[error("this process may not load BPF programs ({0}); run as root, or leave out --verify")]
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
    /// The kernel does not say how many instructions it walked.
    #[error("this kernel does not count verified instructions; it needs 5.16")]
    NoCount,
}

/// Loads the object's program and returns how many instructions the verifier walked. `program` is its name.
pub fn verify(bytes: &[u8], program: &str) -> Result<u32, VerifyError> {
    let number = 1_u32;
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .map_max_entries(names::CONNTRACK4, CT_ENTRIES)
        .map_max_entries(names::CONNTRACK6, CT_ENTRIES)
        .override_global(rodata::GENERATION, &number, true)
        .override_global(rodata::DEFAULT_CAUSE, &number, true)
        .load(bytes)
        .map_err(load_error)?;
    let found = ebpf.program_mut(program).ok_or_else(|| VerifyError::Load(format!("no program `{program}`")))?;
    let classifier: &mut SchedClassifier = found.try_into().map_err(|error| program_error(program, error))?;
    load_patiently(classifier).map_err(|error| program_error(program, error))?;
    let info = classifier.info().map_err(|error| program_error(program, error))?;
    info.verified_instruction_count().ok_or(VerifyError::NoCount)
}

/// The verifier gives up with EAGAIN when a signal comes in, which says nothing about the program. aya would take it
/// for a refusal, and asks once more with a log, which is slow enough for the next signal.
fn load_patiently(classifier: &mut SchedClassifier) -> Result<(), ProgramError> {
    for _ in 1..ATTEMPTS {
        match classifier.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return answer,
        }
    }
    classifier.load()
}

fn load_error(error: aya::EbpfError) -> VerifyError {
    match io_cause(&error) {
        Some(cause) if is_permission(cause) => VerifyError::NotPermitted(copy(cause)),
        _ => VerifyError::Load(chain(&error)),
    }
}

fn program_error(program: &str, error: ProgramError) -> VerifyError {
    match error {
        // EACCES is the verifier's own word, so only EPERM means us.
        ProgramError::LoadError { io_error, .. } if is_permission(&io_error) => VerifyError::NotPermitted(io_error),
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = last_lines(&verifier_log.to_string());
            VerifyError::Refused { program: program.to_owned(), source: io_error, log }
        }
        error => match io_cause(&error) {
            Some(cause) if is_permission(cause) => VerifyError::NotPermitted(copy(cause)),
            _ => VerifyError::Load(chain(&error)),
        },
    }
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

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
