//! `ciliumc check`.

use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::args::{CheckArgs, CheckFormat, FailOn};
use super::baseline::{Baseline, Entry};
use super::sarif::{self, Report};
use super::{fix, github, inputs};
use crate::diag::{Diagnostic, Severity, render};
use crate::driver::{Analysis, Failure};
use crate::lint::Day;
use crate::resolve::Lock;
use crate::source::SourceMap;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<u8, Failure> {
    if args.output.iter().filter(|output| output.file.is_none()).count() > 1 {
        let message = "several reports for standard output; give all but one a file: `-o sarif=FILE`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut sources = inputs::load(&args.input)?;
    let mut checked = Checked::new(args, &sources)?;
    if args.fix {
        refuse_unwritable(args)?;
        let changes = fix::plan(&sources, &checked.analysis.diagnostics);
        if args.dry_run {
            super::put(&fix::patch(&changes))?;
            if checked.complete {
                return Ok(0);
            }
            // What stands in the way of findings and of their edits.
            let errors = checked.analysis.diagnostics.iter().filter(|found| found.severity == Severity::Error);
            inputs::print_all(&args.input, &errors.cloned().collect::<Vec<_>>(), &sources);
            return Err(Failure::Refused);
        }
        for change in &changes {
            fix::write(change)?;
        }
        let (edits, files) = (changes.iter().map(|change| change.count).sum::<usize>(), changes.len());
        eprintln!("edits: {edits}, files: {files}");
        if files > 0 {
            drop(changes);
            sources = inputs::load(&args.input)?;
            checked = Checked::new(args, &sources)?;
        }
    }
    if let Some(path) = args.baseline.as_ref().filter(|_| checked.complete || !args.write_baseline) {
        checked.compare(path, args.write_baseline, &sources)?;
    }
    for output in &args.output {
        match &output.file {
            Some(file) => super::replace_file(file, &checked.report(output.format, &sources))?,
            None => checked.print(args, output.format, &sources)?,
        }
    }
    Ok(checked.exit_code(args))
}

/// What --fix cannot write back.
fn refuse_unwritable(args: &CheckArgs) -> Result<(), Failure> {
    let is_file = |path: &&String| *path != "-" && !path.starts_with("git:");
    match args.input.paths.iter().find(|path| !is_file(path)) {
        Some(path) => Err(Failure::Usage(format!("--fix writes files, and `{path}` is none; name files or folders"))),
        None => Ok(()),
    }
}

/// What was looked at, and what of it is accepted.
struct Checked {
    // The process ends with this command: taking a large cluster apart would be a tenth of its time.
    analysis: ManuallyDrop<Analysis>,
    /// Whether the lints ran.
    complete: bool,
    excused: Vec<(Diagnostic, String)>,
    known: Vec<Diagnostic>,
    stale: Vec<Entry>,
}

impl Checked {
    fn new(args: &CheckArgs, sources: &SourceMap) -> Result<Self, Failure> {
        let mut analysis = ManuallyDrop::new(inputs::analyse(&args.input, sources, Lock::default())?);
        let mut excused = Vec::new();
        // What was refused is missing from the input, and selectors that mean it would seem to mean nothing.
        let complete = !analysis.has_errors() || args.input.keep_going;
        if complete {
            let findings = analysis.lint(sources, today().as_ref());
            analysis.diagnostics.extend(findings.found);
            excused = findings.excused;
        }
        Ok(Self { analysis, complete, excused, known: Vec::new(), stale: Vec::new() })
    }

    /// Sets apart what the baseline knows; with `write`, makes it know everything. Of refused input nobody knows everything.
    fn compare(&mut self, path: &Path, write: bool, sources: &SourceMap) -> Result<(), Failure> {
        let baseline = if write {
            let baseline = Baseline::of(&self.analysis.diagnostics, sources);
            super::replace_file(path, &baseline.text()?)?;
            eprintln!("{} findings in {}", baseline.len(), path.display());
            baseline
        } else {
            Baseline::read(path)?
        };
        let compared = baseline.compare(std::mem::take(&mut self.analysis.diagnostics), sources);
        self.analysis.diagnostics = compared.new;
        self.known = compared.known;
        // What was not looked for may be there all the same.
        if self.complete {
            self.stale = compared.stale;
        }
        for Entry { code, object, message, count, .. } in &self.stale {
            eprintln!("{}: stale: {count} x {code} {object}: {message}", path.display());
        }
        Ok(())
    }

    fn print(&self, args: &CheckArgs, format: CheckFormat, sources: &SourceMap) -> Result<(), Failure> {
        match format {
            // What a linter finds is its result.
            CheckFormat::Text => {
                let colour = inputs::colour(&args.input, std::io::stdout().is_terminal());
                super::put(&(inputs::rendered(&self.analysis.diagnostics, sources, colour) + &self.summary()))
            }
            CheckFormat::Json | CheckFormat::Sarif | CheckFormat::Github => super::put(&self.report(format, sources)),
        }
    }

    /// The whole report as a text.
    fn report(&self, format: CheckFormat, sources: &SourceMap) -> String {
        let found = &self.analysis.diagnostics;
        match format {
            CheckFormat::Text => inputs::rendered(found, sources, false) + &self.summary(),
            CheckFormat::Json => format!("{:#}\n", self.json(sources)),
            CheckFormat::Sarif => {
                let report = Report { found, excused: &self.excused, known: &self.known };
                format!("{:#}\n", sarif::log(&report, sources))
            }
            CheckFormat::Github => github::annotations(found, sources),
        }
    }

    fn summary(&self) -> String {
        let cluster = &self.analysis.cluster;
        let counted = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let policies = counted(cluster.policies.len(), "policy", "policies");
        let mut out = format!("{policies}, {} checked", counted(cluster.endpoints.len(), "endpoint", "endpoints"));
        for (count, word) in [(self.excused.len(), "excused"), (self.known.len(), "known")] {
            if count > 0 {
                out += &format!(", {count} findings {word}");
            }
        }
        out + "\n"
    }

    fn json(&self, sources: &SourceMap) -> Value {
        let excused = self.excused.iter().map(|(diagnostic, reason)| {
            let mut entry = render::entry(diagnostic, sources);
            entry["reason"] = json!(reason);
            entry
        });
        json!({
            "schema": "ciliumc/check/v1",
            "diagnostics": render::json(&self.analysis.diagnostics, sources),
            "excused": excused.collect::<Vec<_>>(),
            "known": self.known.len(),
            "stale": self.stale,
        })
    }

    fn exit_code(&self, args: &CheckArgs) -> u8 {
        if self.analysis.has_errors() && !args.input.keep_going {
            return 3;
        }
        let worst = match args.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Info => Severity::Info,
        };
        // Severities are ordered from the worst on. Refused objects alone are no finding under --keep-going.
        let counts = |d: &Diagnostic| d.severity <= worst && d.severity != Severity::Error;
        u8::from(self.analysis.diagnostics.iter().any(counts))
    }
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
