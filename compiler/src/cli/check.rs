//! `ciliumc check`.

use std::mem::ManuallyDrop;
use std::time::SystemTime;

use serde_json::json;

use super::args::{CheckArgs, FailOn, ReportFormat};
use super::inputs;
use crate::diag::{Severity, render};
use crate::driver::Failure;
use crate::lint::Day;
use crate::resolve::Lock;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let sources = inputs::load(&args.input)?;
    // The process ends with this command: taking a large cluster apart would be a tenth of its time.
    let mut analysis = ManuallyDrop::new(inputs::analyse(&args.input, &sources, Lock::default())?);
    // What was refused is missing from the input, and selectors that mean it would seem to mean nothing.
    if !analysis.has_errors() || args.input.keep_going {
        let found = analysis.lint(today().as_ref());
        analysis.diagnostics.extend(found);
    }
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

/// Today in UTC; none when the clock stands before 1970.
fn today() -> Option<Day> {
    let days = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs() / (24 * 60 * 60);
    Some(day_of(days))
}

/// The day of the Gregorian calendar that begins so many days after 1970-01-01.
fn day_of(days: u64) -> Day {
    // Years begin in March here, so that the odd day of a leap year is the last one. 400 years have 146097 days, and
    // 719468 lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_names() {
        let names = [(0, "1970-01-01"), (31 + 28, "1970-03-01"), (19_782, "2024-02-29"), (20_819, "2027-01-01")];
        for (days, name) in names {
            assert_eq!(day_of(days), name);
        }
    }
}
