//! Loading a program: values of one endpoint into `.rodata`, every map bound to a pin that was checked.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use aya::programs::{ProgramError, SchedClassifier};
use aya::{EbpfError, EbpfLoader};
use ciliumc_abi::names::rodata;

use crate::error::{Context, Error};

/// Lines of the verifier's log that an error shows: the end says why.
const VERIFIER_LINES: usize = 8;

/// A map of an object and the pin that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name of the map.
    pub map: String,
    /// Its pin, already there.
    pub path: PathBuf,
    /// Its capacity.
    pub max_entries: u32,
}

/// The `.rodata` scalars of one endpoint's program ([`rodata`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scalars {
    /// Number of the endpoint on this node.
    pub endpoint_id: u32,
    /// Identity index.
    pub endpoint_index: u32,
    /// Numeric identity.
    pub endpoint_identity: u32,
    /// IPv4 address, network order; 0 for none.
    pub ipv4_be: u32,
    /// First half of the IPv6 address, as the packet has it; 0 for none.
    pub ipv6_hi_be: u64,
    /// Second half of the IPv6 address, as the packet has it; 0 for none.
    pub ipv6_lo_be: u64,
    /// Generation of the bundle.
    pub generation: u32,
    /// Cause of drops that no table decides.
    pub default_cause: u32,
}

impl Scalars {
    /// Puts the endpoint's addresses in.
    pub fn with_addresses(mut self, addresses: &[IpAddr]) -> Self {
        for address in addresses {
            match address {
                IpAddr::V4(v4) => self.ipv4_be = u32::from_ne_bytes(v4.octets()),
                IpAddr::V6(v6) => {
                    let [hi, lo] = [0, 8].map(|first| {
                        let mut half = [0; 8];
                        half.copy_from_slice(&v6.octets()[first..first + 8]);
                        u64::from_ne_bytes(half)
                    });
                    (self.ipv6_hi_be, self.ipv6_lo_be) = (hi, lo);
                }
            }
        }
        self
    }
}

/// Loads objects. One for all: making it reads the kernel's BTF, which takes longer than a program.
pub struct Loader<'a> {
    ebpf: EbpfLoader<'a>,
}

impl Default for Loader<'_> {
    fn default() -> Self {
        Self { ebpf: EbpfLoader::new() }
    }
}

impl<'a> Loader<'a> {
    /// Loads the one program of `object`. `path` names the object in errors.
    pub fn load(
        &mut self,
        path: &str,
        object: &[u8],
        program: &str,
        scalars: &'a Scalars,
        bindings: &'a [Binding],
    ) -> Result<OwnedFd, Error> {
        // A shape that does not use a value has no such symbol.
        self.ebpf
            .override_global(rodata::ENDPOINT_ID, &scalars.endpoint_id, false)
            .override_global(rodata::ENDPOINT_INDEX, &scalars.endpoint_index, false)
            .override_global(rodata::ENDPOINT_IDENTITY, &scalars.endpoint_identity, false)
            .override_global(rodata::ENDPOINT_IPV4_BE, &scalars.ipv4_be, false)
            .override_global(rodata::ENDPOINT_IPV6_HI_BE, &scalars.ipv6_hi_be, false)
            .override_global(rodata::ENDPOINT_IPV6_LO_BE, &scalars.ipv6_lo_be, false)
            .override_global(rodata::GENERATION, &scalars.generation, false)
            .override_global(rodata::DEFAULT_CAUSE, &scalars.default_cause, false);
        for binding in bindings {
            self.ebpf
                .map_max_entries(&binding.map, binding.max_entries)
                .map_pin_path(&binding.map, binding.path.as_path());
        }
        let mut loaded = self.ebpf.load(object).map_err(|error| load_error(path, &error))?;
        let program: &mut SchedClassifier = loaded
            .program_mut(program)
            .ok_or_else(|| Error::Refused(format!("object `{path}` has no program `{program}`")))?
            .try_into()
            .map_err(|error| Error::Refused(format!("program `{program}` of `{path}`: {error}")))?;
        program.load().map_err(|error| program_error(path, &error))?;
        let fd = program.fd().map_err(|error| program_error(path, &error))?;
        fd.as_fd().try_clone_to_owned().context(|| format!("cannot keep the program of `{path}`"))
    }
}

fn load_error(path: &str, error: &EbpfError) -> Error {
    match error {
        EbpfError::ProgramError(error) => program_error(path, error),
        EbpfError::MapError(error) => Error::Machine(format!("cannot use the maps of `{path}`: {}", chain(error))),
        error => Error::Refused(format!("cannot read the object `{path}`: {}", chain(error))),
    }
}

fn program_error(path: &str, error: &ProgramError) -> Error {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return Error::Machine(format!("cannot load `{path}`: {}", chain(error)));
    };
    let log = verifier_log.to_string();
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(VERIFIER_LINES)..].join("\n  ");
    Error::Machine(format!("the kernel refuses `{path}`: {io_error}; the verifier ends with\n  {end}"))
}

/// The message with those of its sources, which aya leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
