//! `ciliumc check`.

use std::mem::ManuallyDrop;

use serde_json::json;

use super::args::{CheckArgs, FailOn, ReportFormat};
use super::inputs;
use crate::diag::{Severity, render};
use crate::driver::Failure;
use crate::resolve::Lock;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let sources = inputs::load(&args.input)?;
    // The process ends with this command: taking a large cluster apart would be a tenth of its time.
    let analysis = ManuallyDrop::new(inputs::analyse(&args.input, &sources, Lock::default())?);
    match args.output {
        ReportFormat::Json => println!(
            "{:#}",
            json!({ "schema": "ciliumc/check/v1", "diagnostics": render::json(&analysis.diagnostics, &sources) })
        ),
        ReportFormat::Text => {
            inputs::print_diagnostics(&args.input, &analysis, &sources);
            let cluster = &analysis.cluster;
            println!("{} policies, {} endpoints checked", cluster.policies.len(), cluster.endpoints.len());
        }
    }
    if analysis.has_errors() && !args.input.keep_going {
        return Ok(3);
    }
    let worst = match args.fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Info => Severity::Info,
    };
    // Severities are ordered from the worst on. Refused objects alone are no finding under --keep-going.
    let found = analysis.diagnostics.iter().any(|d| d.severity <= worst && d.severity != Severity::Error);
    Ok(u8::from(found))
}
