//! From an [`Analysis`] to a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ciliumc_abi::manifest;

use super::{Analysis, Failure, Stage};
use crate::bundle::{self, BuiltObject, Bundle};
use crate::clang::{self, ClangError, Toolchain};
use crate::codegen::{self, Unit};
use crate::exec;
use crate::ir::{self, Direction};
use crate::lower::shape::{NodeConfig, Shape};
use crate::lower::{self, Lowered};
use crate::object::{self, ObjectReport};
use crate::resolve;
use crate::source::SourceMap;

/// Budget of one program, far below the kernel's million: a new kernel walks more than an old one.
pub const VERIFIED_MAX: u32 = 200_000;

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions<'a> {
    /// clang processes side by side; 0 is one per processor.
    pub jobs: usize,
    /// Where built objects are kept between runs.
    pub cache: Option<&'a Path>,
    /// Load every program in this kernel and record what its verifier counted.
    pub verify: bool,
}

/// A built object with what was found in it.
pub struct Checked {
    /// The unit it was built from.
    pub unit: Unit,
    /// The ELF file.
    pub bytes: Vec<u8>,
    /// What was found in it.
    pub report: ObjectReport,
    /// Instructions the verifier walked, if it was asked.
    pub verified: Option<u32>,
    /// It came from the cache.
    pub cached: bool,
}

/// Tables and shapes, verified.
pub fn lower(analysis: &Analysis) -> Result<Lowered, Failure> {
    let lowered = lower::lower(&analysis.cluster.options, &analysis.resolved).map_err(Failure::input)?;
    lower::verify::verify(&lowered).map_err(Failure::bug("lower"))?;
    Ok(lowered)
}

/// The distinct units of a cluster, sorted by shape.
pub fn units(lowered: &Lowered) -> Vec<Unit> {
    let mut shapes: BTreeSet<Shape> = BTreeSet::new();
    for class in &lowered.classes {
        shapes.extend(Direction::ALL.map(|direction| class.direction(direction).shape));
    }
    shapes.iter().map(|shape| codegen::unit(shape, &lowered.node)).collect()
}

/// Compiles and checks every unit.
pub fn objects(
    toolchain: &Toolchain,
    node: &NodeConfig,
    units: Vec<Unit>,
    options: &BuildOptions<'_>,
) -> Result<Vec<Checked>, Failure> {
    let built = clang::compile_all(toolchain, &units, options.jobs, options.cache).map_err(clang_failure)?;
    let mut out = Vec::with_capacity(units.len());
    for (unit, built) in units.into_iter().zip(built) {
        let report = object::inspect(&built.object, &unit.shape, node)
            .map_err(|error| Failure::Bug(format!("object {}: {error}", unit.name)))?;
        let verified = match options.verify {
            true => Some(verified(&unit, &built.object, &report.program)?),
            false => None,
        };
        out.push(Checked { unit, bytes: built.object, report, verified, cached: built.cached });
    }
    Ok(out)
}

fn clang_failure(error: ClangError) -> Failure {
    if error.is_our_bug() { Failure::Bug(error.to_string()) } else { Failure::machine(error) }
}

/// What this kernel's verifier counts for an object, which must stay inside the budget.
fn verified(unit: &Unit, object: &[u8], program: &str) -> Result<u32, Failure> {
    let text = |error: &dyn std::fmt::Display| format!("object {}: {error}", unit.name);
    let count = exec::verify::verify(object, program).map_err(|error| match error.is_machine() {
        true => Failure::Machine(text(&error)),
        false => Failure::Bug(text(&error)),
    })?;
    if count > VERIFIED_MAX {
        let message = format!("the verifier walks {count} instructions, the budget is {VERIFIED_MAX}");
        return Err(Failure::Bug(text(&message)));
    }
    Ok(count)
}

/// Puts the bundle together.
pub fn bundle(
    sources: &SourceMap,
    analysis: &Analysis,
    lowered: &Lowered,
    toolchain: &Toolchain,
    objects: Vec<Checked>,
) -> Result<Bundle, Failure> {
    let objects: BTreeMap<Shape, BuiltObject> = objects
        .into_iter()
        .map(|checked| {
            let entry = manifest::Object {
                program: checked.report.program.clone(),
                shape: defines(&checked.unit.shape),
                maps: checked.report.maps.keys().cloned().collect(),
                helpers: checked.report.helpers.clone(),
                instructions: checked.report.instructions,
                verified: checked.verified,
            };
            (checked.unit.shape, BuiltObject { bytes: checked.bytes, entry })
        })
        .collect();
    let input = bundle::Input {
        sources,
        cluster: &analysis.cluster,
        resolved: &analysis.resolved,
        lowered,
        objects,
        maps: object::expected_maps(&lowered.node),
        clang: manifest::Clang {
            version: toolchain.version().to_string(),
            flags: clang::FLAGS.map(Into::into).to_vec(),
        },
    };
    bundle::assemble(input).map_err(|error| Failure::Bug(format!("bundle: {error}")))
}

/// The text of a stage.
pub fn emit(stage: Stage, analysis: &Analysis, lowered: &Lowered, objects: &[Checked]) -> String {
    match stage {
        Stage::Ir => ir::text::print(&analysis.cluster),
        Stage::Resolve => resolve::text::print(&analysis.cluster, &analysis.resolved),
        Stage::Lower => lower::text::print(lowered),
        Stage::Codegen => units(lowered).iter().map(codegen::text).collect(),
        Stage::Object => objects
            .iter()
            .map(|c| object::text::print(&c.unit.name, &c.report) + &object::text::code(&c.report))
            .collect(),
    }
}

fn defines(shape: &Shape) -> BTreeMap<String, String> {
    let defines = codegen::ep_defines(shape).into_iter();
    defines.map(|define| (define.name.to_string(), define.value.to_string())).collect()
}
