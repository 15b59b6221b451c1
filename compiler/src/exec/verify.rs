//! Asks this kernel's verifier.

use aya::programs::SchedClassifier;
use aya::{EbpfLoader, VerifierLogLevel};
use ciliumc_abi::names;
use ciliumc_abi::names::rodata;

use super::error::{LoadError, load_patiently};

/// Entries of the conntrack maps while we ask: the real number costs memory and changes nothing.
const CT_ENTRIES: u32 = 16;

/// Loads the object's program and returns how many instructions the verifier walked. `program` is its name.
pub fn verify(bytes: &[u8], program: &str) -> Result<u32, LoadError> {
    let number = 1_u32;
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .map_max_entries(names::CONNTRACK4, CT_ENTRIES)
        .map_max_entries(names::CONNTRACK6, CT_ENTRIES)
        .override_global(rodata::GENERATION, &number, true)
        .override_global(rodata::DEFAULT_CAUSE, &number, true)
        .load(bytes)
        .map_err(|error| LoadError::of_object(&error))?;
    let found = ebpf.program_mut(program).ok_or_else(|| LoadError::Load(format!("no program `{program}`")))?;
    let classifier: &mut SchedClassifier = found.try_into().map_err(|error| LoadError::of_program(program, error))?;
    load_patiently(classifier).map_err(|error| LoadError::of_program(program, error))?;
    let info = classifier.info().map_err(|error| LoadError::of_program(program, error))?;
    info.verified_instruction_count().ok_or(LoadError::NoCount)
}
