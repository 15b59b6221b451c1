//! `ciliumc build`.

use std::time::Instant;

use serde_json::json;

use super::args::{BuildArgs, ReportFormat, StageArg};
use super::inputs;
use crate::bundle::write;
use crate::clang::Toolchain;
use crate::diag::render;
use crate::driver::build::{self, BuildOptions};
use crate::driver::{self, Failure, Stage};
use crate::resolve::Lock;
use crate::source;

/// Runs the command.
pub fn run(args: &BuildArgs) -> Result<u8, Failure> {
    let begin = Instant::now();
    let stages: Vec<Stage> = args.emit.iter().map(|stage| self::stage(*stage)).collect();
    let needs_objects = args.out.is_some() || stages.contains(&Stage::Object);
    let toolchain = needs_objects.then(Toolchain::find_ahead);
    let lock_text = source::optional(&args.lock).map_err(Failure::machine)?;
    let lock = match &lock_text {
        Some(text) => Lock::parse(text).map_err(|error| Failure::Input(format!("{}: {error}", args.lock.display())))?,
        None => Lock::default(),
    };
    let sources = inputs::load(&args.input)?;
    let mut analysis = inputs::analyse(&args.input, &sources, lock.clone())?;
    let warnings = driver::warnings::warnings(&analysis);
    analysis.diagnostics.extend(warnings);
    if args.output == ReportFormat::Text {
        inputs::print_problems(&args.input, &analysis.diagnostics, &sources);
    }
    if let Err(failure) = inputs::refuse(&args.input, &analysis) {
        if args.output == ReportFormat::Json {
            println!(
                "{:#}",
                json!({ "schema": "ciliumc/build/v1", "diagnostics": render::json(&analysis.diagnostics, &sources) })
            );
        }
        return Err(failure);
    }
    if args.locked && analysis.resolved.lock != lock {
        return Err(Failure::Input(format!(
            "{} would change and --locked is given: run `ciliumc build` without --locked and commit the file",
            args.lock.display()
        )));
    }

    let lowered = build::lower(&analysis)?;
    let cache = if args.no_cache { None } else { inputs::cache_dir() };
    let options = BuildOptions { jobs: args.jobs, cache: cache.as_deref(), verify: args.verify };
    let mut objects = Vec::new();
    let toolchain = toolchain.map(|found| found()).transpose().map_err(Failure::machine)?;
    if let Some(toolchain) = &toolchain {
        objects = build::objects(toolchain, &lowered.node, build::units(&lowered), &options)?;
    }
    for stage in &stages {
        print!("{}", build::emit(*stage, &analysis, &lowered, &objects));
    }
    let (Some(out), Some(toolchain)) = (&args.out, toolchain) else {
        return Ok(0);
    };
    let built = objects.len();
    let from_cache = objects.iter().filter(|object| object.cached).count();
    let bundle = build::bundle(&sources, &analysis, &lowered, &toolchain, objects)?;
    // The lock first: numbers without a bundle harm nobody, a bundle whose numbers are nowhere written down does.
    if analysis.resolved.lock != lock || lock_text.is_none() {
        write::file(&args.lock, analysis.resolved.lock.to_text().as_bytes()).map_err(Failure::machine)?;
    }
    write::write(&bundle, out).map_err(Failure::machine)?;

    let m = &bundle.manifest;
    match args.output {
        ReportFormat::Json => println!(
            "{:#}",
            json!({
                "schema": "ciliumc/build/v1",
                "out": out.display().to_string(),
                "endpoints": m.endpoints.len(), "identities": m.identities.len(), "classes": m.classes.len(),
                "objects": m.objects.len(), "tables": m.tables.len(),
                "diagnostics": render::json(&analysis.diagnostics, &sources),
            })
        ),
        ReportFormat::Text => println!(
            "{}: {} policies, {} endpoints in {} classes, {} identities, {} tables, {built} objects ({from_cache} cached) in {} ms",
            out.display(),
            analysis.cluster.policies.len(),
            m.endpoints.len(),
            m.classes.len(),
            m.identities.len(),
            m.tables.len(),
            begin.elapsed().as_millis()
        ),
    }
    Ok(0)
}

fn stage(stage: StageArg) -> Stage {
    match stage {
        StageArg::Ir => Stage::Ir,
        StageArg::Resolve => Stage::Resolve,
        StageArg::Lower => Stage::Lower,
        StageArg::Codegen => Stage::Codegen,
        StageArg::Object => Stage::Object,
    }
}
