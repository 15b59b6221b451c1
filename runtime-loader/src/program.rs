//! Loading a program of a bundle: its values into `.rodata`, every map bound to a pin that was checked.
//!
//! aya-obj reads and relocates the object. The rest of aya's loader is not used: it reads all types of the kernel
//! (13 ms and 20 MB, for relocations that our objects have none of), and makes a map whose pin it cannot open.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_insn;
use aya_obj::{EbpfSectionKind, Features, Map, Object};
use ciliumc_abi::names::rodata;

use crate::error::{Context, Error};
use crate::maps;
use crate::sys::bpf::{self, Layout};
use crate::sys::load::{self, DebugInfo, Refused};

/// Lines of the verifier's log that an error shows: the end says why.
const VERIFIER_LINES: usize = 8;
/// All that Linux 5.13 has, which the datapath needs anyway; our objects use no newer kind of type.
const BTF: BtfFeatures = BtfFeatures::new(true, true, true, true, true, false, false, false);
const FEATURES: Features = Features::new(true, true, true, true, true, true, true, None);

/// A map of an object and the pin that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name of the map.
    pub map: String,
    /// Its pin, already there.
    pub path: PathBuf,
}

/// The `.rodata` scalars of a program ([`rodata`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scalars {
    /// Generation of the bundle.
    pub generation: u32,
    /// Cause of drops that no table decides.
    pub default_cause: u32,
}

impl Scalars {
    /// Each value by the name of its symbol, as the program has it in memory.
    fn symbols(&self) -> [(&'static str, [u8; 4]); 2] {
        [(rodata::GENERATION, self.generation.to_ne_bytes()), (rodata::DEFAULT_CAUSE, self.default_cause.to_ne_bytes())]
    }
}

/// Loads programs; an object that many of them are made from is read once.
#[derive(Default)]
pub struct Loader {
    objects: BTreeMap<String, (Object, Option<OwnedFd>)>,
}

impl Loader {
    /// Loads the one program of an object. `path` names the object, also in errors.
    pub fn load(
        &mut self,
        path: &str,
        object: &[u8],
        program: &str,
        scalars: &Scalars,
        bindings: &[Binding],
    ) -> Result<OwnedFd, Error> {
        if !self.objects.contains_key(path) {
            self.objects.insert(path.to_owned(), read(path, object)?);
        }
        let (object, types) = self.objects.get(path).ok_or_else(|| Error::Bug(format!("`{path}` was just read")))?;
        let wrong = |error: &dyn std::error::Error| {
            Error::Refused(format!("cannot read the object `{path}`: {}", chain(error)))
        };
        let mut object = object.clone();
        let values = scalars.symbols();
        // A shape that does not use a value has no such symbol.
        let symbols = values.iter().map(|(name, bytes)| (*name, (bytes.as_slice(), false)));
        object.patch_map_data(symbols.collect::<HashMap<_, _>>()).map_err(|error| wrong(&error))?;

        let taken = std::mem::take(&mut object.maps);
        let mut opened = Vec::new();
        for (name, map) in &taken {
            opened.push((name.as_str(), open(path, name, map, bindings)?, map));
        }
        let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let bound = opened.iter().map(|(name, fd, map)| (*name, fd.as_raw_fd(), *map));
        object.relocate_maps(bound, &sections).map_err(|error| wrong(&error))?;
        object.relocate_calls(&sections).map_err(|error| wrong(&error))?;
        object.sanitize_functions(&FEATURES);

        let entry = object.programs.get(program);
        let function = entry.and_then(|entry| object.functions.get(&entry.function_key()));
        let missing = || Error::Refused(format!("object `{path}` has no program `{program}`"));
        let function = function.ok_or_else(missing)?;
        let code: Vec<u64> = function.instructions.iter().map(word).collect();
        let (functions, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
        let info = types.as_ref().map(|types| DebugInfo {
            btf: types.as_fd(),
            functions: &functions,
            function_size: function.func_info_rec_size as u32,
            lines: &lines,
            line_size: function.line_info_rec_size as u32,
        });
        load::program(&code, program, info).map_err(|refused| program_error(path, &refused))
    }
}

/// Reads an object and loads its types.
fn read(path: &str, bytes: &[u8]) -> Result<(Object, Option<OwnedFd>), Error> {
    let wrong =
        |error: &dyn std::error::Error| Error::Refused(format!("cannot read the object `{path}`: {}", chain(error)));
    let mut object = Object::parse(bytes).map_err(|error| wrong(&error))?;
    let types = object.fixup_and_sanitize_btf(&BTF).map_err(|error| wrong(&error))?;
    let types = types.map(|types| load::btf(&types.to_bytes()));
    let types = types.transpose().context(|| format!("cannot load the types of `{path}`"))?;
    Ok((object, types))
}

/// The pin of a map, or a new map for a section of the object itself.
fn open(path: &str, name: &str, map: &Map, bindings: &[Binding]) -> Result<OwnedFd, Error> {
    if let Some(binding) = bindings.iter().find(|binding| binding.map == name) {
        return maps::open(&binding.path);
    }
    if map.section_kind() == EbpfSectionKind::BtfMaps || map.section_kind() == EbpfSectionKind::Maps {
        return Err(Error::Refused(format!("the map `{name}` of `{path}` is not in the manifest")));
    }
    let layout = Layout {
        map_type: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags(),
    };
    let cannot = || format!("cannot create the map `{name}` of `{path}`");
    let made = bpf::map_create(&layout, name).context(cannot)?;
    if !map.data().is_empty() {
        bpf::array_write(made.as_fd(), 0, map.data()).context(cannot)?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        bpf::map_freeze(made.as_fd()).context(cannot)?;
    }
    Ok(made)
}

/// An instruction as the kernel reads it.
fn word(insn: &bpf_insn) -> u64 {
    let registers = insn.src_reg() << 4 | insn.dst_reg();
    let (offset, immediate) = (insn.off.to_ne_bytes(), insn.imm.to_ne_bytes());
    let [i0, i1, i2, i3] = immediate;
    u64::from_ne_bytes([insn.code, registers, offset[0], offset[1], i0, i1, i2, i3])
}

fn program_error(path: &str, refused: &Refused) -> Error {
    let lines: Vec<_> = refused.log.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(VERIFIER_LINES)..].join("\n  ");
    Error::Machine(format!("the kernel refuses `{path}`: {}; the verifier ends with\n  {end}", refused.source))
}

/// The message with those of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
