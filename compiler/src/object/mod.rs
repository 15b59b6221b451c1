//! Checks a built object offline: programs, maps, helpers, instruction counts.
//!
//! In: the bytes of one object and what it was built from. Out: an [`ObjectReport`], or what is not as it must be.
//! [`expected_maps`] is the one table of map layouts: objects are held against it and the manifest repeats it.
//!
//! The bytes are our own clang's: what was damaged on its way must be found by its digest before it comes here.

mod disasm;
mod maps;
pub mod text;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aya_obj::generated::bpf_insn;
use aya_obj::{Object, ProgramSection};
use ciliumc_abi::manifest::{Map, Scope};

use crate::codegen::program_name;
use crate::lower::shape::{NodeConfig, Shape};

pub use maps::expected_maps;

/// Bound of the instructions of one program, its functions included.
pub const INSTRUCTIONS_MAX: u32 = 4000;

/// The license that the kernel is told.
pub const LICENSE: &str = "Dual BSD/GPL";

/// Section of every program: aya takes no other name for tc.
pub const SECTION: &str = "classifier";

/// Name of the map of read-only data, which holds the values of the program.
const RODATA: &str = ".rodata";

/// What one object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReport {
    /// Name of the program.
    pub program: String,
    /// Its section.
    pub section: String,
    /// License.
    pub license: String,
    /// Maps by name, as declared, without read-only data.
    pub maps: BTreeMap<String, Map>,
    /// Names of the kernel helpers that it calls, sorted.
    pub helpers: Vec<String>,
    /// Instructions after linking.
    pub instructions: u32,
    /// The instructions as text, one a line.
    pub text: Vec<String>,
}

/// What is not as it must be. Always our bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The file cannot be read or linked.
    #[error("not a BPF object that can be linked: {0}")]
    Malformed(String),
    /// Other programs than the one of the shape.
    #[error("the object must hold the program `{expected}` alone, and holds {found:?}")]
    Programs {
        /// Name of the program.
        expected: String,
        /// Names of those that it holds, sorted.
        found: Vec<String>,
    },
    /// The program stands in another section.
    #[error("program `{program}` must be in section `{SECTION}`")]
    Section {
        /// Name of the program.
        program: String,
    },
    /// Another license.
    #[error("the license must be `{LICENSE}`, and is `{found}`")]
    License {
        /// The license.
        found: String,
    },
    /// A map that the shape has no use for.
    #[error("map `{name}` is not one of this shape")]
    UnknownMap {
        /// The map.
        name: String,
    },
    /// A map that the shape needs.
    #[error("map `{name}` is missing")]
    MissingMap {
        /// The map.
        name: String,
    },
    /// A map of another layout.
    #[error("map `{name}` must be {expected:?}, and is {found:?}")]
    MapLayout {
        /// The map.
        name: String,
        /// As it must be.
        expected: Box<Map>,
        /// As it is.
        found: Box<Map>,
    },
    /// A kernel helper that the datapath has no use for.
    #[error("call of kernel helper {id}, which is not on the list")]
    Helper {
        /// Its number.
        id: i32,
    },
    /// Too long a program.
    #[error("program `{program}` has {instructions} instructions, and {INSTRUCTIONS_MAX} are allowed")]
    TooLong {
        /// Name of the program.
        program: String,
        /// Its length.
        instructions: u32,
    },
}

/// Reads an object and holds it against what it was built from.
pub fn inspect(bytes: &[u8], shape: &Shape, node: &NodeConfig) -> Result<ObjectReport, ObjectError> {
    let mut object = Object::parse(bytes).map_err(malformed)?;
    let expected = program_name(shape.program);
    let mut found: Vec<String> = object.programs.keys().cloned().collect();
    found.sort();
    if found != [expected] {
        return Err(ObjectError::Programs { expected: expected.to_owned(), found });
    }
    let license = object.license.to_string_lossy().into_owned();
    if license != LICENSE {
        return Err(ObjectError::License { found: license });
    }

    let map_names = link(&mut object)?;
    let maps = check_maps(&object, maps::maps_of_shape(shape, node))?;
    let program = &object.programs[expected];
    if !matches!(program.section, ProgramSection::SchedClassifier) {
        return Err(ObjectError::Section { program: expected.to_owned() });
    }
    let function = object
        .functions
        .get(&program.function_key())
        .ok_or_else(|| ObjectError::Malformed(format!("no instructions of `{expected}`")))?;
    let instructions = function.instructions.len() as u32;
    if instructions > INSTRUCTIONS_MAX {
        return Err(ObjectError::TooLong { program: expected.to_owned(), instructions });
    }
    Ok(ObjectReport {
        program: expected.to_owned(),
        section: SECTION.to_owned(),
        license,
        maps,
        helpers: helpers(&function.instructions)?,
        instructions,
        text: disasm::lines(&function.instructions, &map_names),
    })
}

/// Links functions into the program; a map's file descriptor is its place in the answer.
fn link(object: &mut Object) -> Result<Vec<String>, ObjectError> {
    let mut maps: Vec<(String, aya_obj::Map)> = object.maps.clone().into_iter().collect();
    maps.sort_by(|a, b| a.0.cmp(&b.0));
    let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let numbered = maps.iter().enumerate().map(|(fd, (name, map))| (name.as_str(), fd as i32, map));
    // Maps first: relocate_calls() copies functions into the program, and what it copied is not looked at again.
    object.relocate_maps(numbered, &text_sections).map_err(malformed)?;
    object.relocate_calls(&text_sections).map_err(malformed)?;
    Ok(maps.into_iter().map(|(name, _)| name).collect())
}

fn check_maps(object: &Object, mut expected: BTreeMap<String, Map>) -> Result<BTreeMap<String, Map>, ObjectError> {
    let mut maps = BTreeMap::new();
    let mut names: Vec<&String> = object.maps.keys().filter(|name| *name != RODATA).collect();
    names.sort();
    for name in names {
        let Some(expected) = expected.remove(name) else {
            return Err(ObjectError::UnknownMap { name: name.clone() });
        };
        let found = layout(&object.maps[name], expected.scope);
        if found != expected {
            let (expected, found) = (Box::new(expected), Box::new(found));
            return Err(ObjectError::MapLayout { name: name.clone(), expected, found });
        }
        maps.insert(name.clone(), found);
    }
    match expected.pop_first() {
        Some((name, _)) => Err(ObjectError::MissingMap { name }),
        None => Ok(maps),
    }
}

fn layout(map: &aya_obj::Map, scope: Scope) -> Map {
    Map {
        map_type: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags(),
        scope,
    }
}

fn helpers(instructions: &[bpf_insn]) -> Result<Vec<String>, ObjectError> {
    let mut names = BTreeSet::new();
    for instruction in instructions.iter().filter(|instruction| disasm::is_helper_call(instruction)) {
        let name = disasm::helper_name(instruction.imm).ok_or(ObjectError::Helper { id: instruction.imm })?;
        names.insert(name.to_owned());
    }
    Ok(names.into_iter().collect())
}

fn malformed(error: impl std::fmt::Display) -> ObjectError {
    ObjectError::Malformed(error.to_string())
}
