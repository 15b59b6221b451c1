//! `ciliumc test`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::args::{Engine, TestArgs, TestFormat};
use super::connections::port_words;
use super::{inputs, junit, packets, report};
use crate::connectivity::ports::ranges;
use crate::diag::{Diagnostic, FileId, Severity, Span};
use crate::driver::packets::FLOWS_MAX;
use crate::driver::policy_test::{self, Fixtures, Results};
use crate::driver::{self, Analysis, Failure};
use crate::eval::Verdict;
use crate::eval::flow::End;
use crate::front::FrontOptions;
use crate::ir::{EndName, PortSpan, RuleId};
use crate::policy_test::{Fault, Outcome, What};
use crate::resolve::Lock;
use crate::source::{self, SourceMap};
use crate::validate::packets::Sent;

/// Counterexamples that a test shows.
const SHOWN_MAX: usize = 5;

/// One test with its words.
pub struct Shown {
    /// Name.
    pub name: String,
    /// File of the test.
    pub file: String,
    /// `file:line` of what it expects.
    pub place: String,
    /// A line for each thing that is not as expected, up to a bound; none is a pass.
    pub faults: Vec<String>,
    /// What became of its packets, if it sent any.
    pub packets: Option<String>,
    /// The same as JSON.
    json: Value,
}

/// Runs the command.
pub fn run(args: &TestArgs) -> Result<u8, Failure> {
    let paths: Vec<String> = args.input.paths.iter().chain(&args.tests).cloned().collect();
    let mut sources = inputs::load_paths(&args.input, &paths)?;
    let mut analysis = inputs::analyse(&args.input, &sources, Lock::default())?;
    let fixtures = fixtures(args, &mut sources, &mut analysis)?;
    let found: usize = analysis.objects.tests.iter().map(|file| file.tests.len()).sum();
    let witnesses_max = if args.packets.is_some() { FLOWS_MAX } else { 0 };
    let results = match analysis.has_errors() && !args.input.keep_going {
        true => None,
        false => Some(policy_test::run(&analysis, &fixtures, args.engine == Engine::Tables, witnesses_max)?),
    };
    for tested in results.iter().flat_map(|results| &results.tested) {
        analysis.diagnostics.extend(tested.report.diagnostics.iter().cloned());
    }
    inputs::print_problems(&args.input, &analysis.diagnostics, &sources);
    inputs::refuse(&args.input, &analysis)?;
    let Some(results) = results.filter(|_| found > 0) else {
        return Err(Failure::Input(
            "no tests: a document of tests has `ciliumcTest: v1` and a list `tests`; name it with --tests".into(),
        ));
    };

    let sent = packets::send(args, &sources, &analysis, &results)?;
    let shown = shown(&sources, &analysis, &results, sent.as_deref());
    let coverage = Coverage::new(&sources, &analysis, &results);
    super::put(&match args.output {
        TestFormat::Text => text(&shown, &coverage, args.coverage),
        TestFormat::Json => format!("{:#}\n", json(&shown, &coverage)),
        TestFormat::Junit => junit::report(&shown),
    })?;
    let differences: usize = sent.iter().flatten().flatten().map(|sent| sent.differences.len()).sum();
    if differences > 0 && args.packets == Some(None) {
        let what = "packets were treated otherwise than the analysis says, by objects built of the same input";
        return Err(Failure::Bug(format!("{differences} {what}")));
    }
    let failed = shown.iter().any(|test| !test.faults.is_empty());
    let below = args.fail_under.is_some_and(|percent| coverage.percent() < f64::from(percent));
    if below {
        eprintln!("rule coverage is {:.1} %, below --fail-under", coverage.percent());
    }
    Ok(u8::from(failed || below || has_errors(&results)))
}

/// The input with the fixtures of each document that names some. What is a fixture is no part of the input any more, and
/// problems of fixtures are problems of the run.
fn fixtures(args: &TestArgs, sources: &mut SourceMap, analysis: &mut Analysis) -> Result<Fixtures, Failure> {
    let mut files: BTreeMap<Span, BTreeSet<FileId>> = BTreeMap::new();
    for file in analysis.objects.tests.iter().filter(|file| !file.fixtures.is_empty()) {
        let paths: Vec<&str> = file.fixtures.iter().map(|path| path.value.as_str()).collect();
        let found = source::load_fixtures(sources, file.span.file, &paths, &args.input.exclude).map_err(|errors| {
            let place = report::file_line(sources, file.fixtures.first().map_or(file.span, |path| path.span));
            let lines: Vec<String> = errors.iter().map(|error| format!("fixtures of {place}: {error}")).collect();
            Failure::Input(lines.join("\nerror: "))
        })?;
        files.insert(file.span, found);
    }
    if files.is_empty() {
        return Ok(Fixtures::new());
    }
    let before = analysis.objects.tests.len();
    *analysis = inputs::analyse(&args.input, sources, Lock::default())?;
    if analysis.objects.tests.len() != before {
        return Err(Failure::Input(
            "a fixture has tests of its own; fixtures are objects, name its tests with --tests".into(),
        ));
    }
    let mut out = Fixtures::new();
    for (span, fixtures) in files {
        let options = FrontOptions { fixtures, ..inputs::front_options(&args.input) };
        let own = driver::analyse(sources, &options, Lock::default())?;
        let new = own.diagnostics.iter().filter(|diagnostic| !analysis.diagnostics.contains(diagnostic));
        analysis.diagnostics.extend(new.cloned().collect::<Vec<_>>());
        out.insert(span, own);
    }
    Ok(out)
}

/// With `--keep-going` a test that could not be run has failed.
fn has_errors(results: &Results) -> bool {
    let diagnostics = results.tested.iter().flat_map(|tested| &tested.report.diagnostics);
    diagnostics.into_iter().any(|diagnostic: &Diagnostic| diagnostic.severity == Severity::Error)
}

fn shown(sources: &SourceMap, analysis: &Analysis, results: &Results, sent: Option<&[Vec<Sent>]>) -> Vec<Shown> {
    let of_file = results.tested.iter().enumerate().flat_map(|(file, tested)| {
        let analysis = tested.analysis.as_ref().unwrap_or(analysis);
        let sent = sent.and_then(|sent| sent.get(file));
        let outcomes = tested.report.outcomes.iter().enumerate();
        outcomes.map(move |(n, outcome)| one(sources, analysis, outcome, sent.and_then(|sent| sent.get(n))))
    });
    of_file.collect()
}

fn one(sources: &SourceMap, analysis: &Analysis, outcome: &Outcome, sent: Option<&Sent>) -> Shown {
    let place = sources.line_col(outcome.span);
    let file = sources.name(outcome.span.file).to_owned();
    let faults = outcome.faults.iter().map(|fault| self::fault(sources, analysis, fault)).collect::<Vec<_>>();
    let details: Vec<Value> = outcome
        .faults
        .iter()
        .zip(&faults)
        .map(|(fault, text)| {
            json!({
                "from": end(analysis, fault.source), "to": end(analysis, fault.destination), "alike": fault.alike,
                "ports": fault.ports.iter().map(|span| json!({
                    "protocol": span.transport.name(), "first": span.first, "last": span.last,
                })).collect::<Vec<_>>(),
                "verdict": fault.judgement.as_ref().map(|judgement| judgement.verdict().word()),
                "message": text,
                "rules": fault.judgement.iter().flat_map(|j| j.sides()).flat_map(|side| &side.decision.rules)
                    .map(|rule| report::rule(sources, &analysis.cluster, *rule)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let differences = sent.iter().flat_map(|sent| &sent.differences);
    let differences: Vec<String> = differences.map(|own| packets::difference(&analysis.cluster, own)).collect();
    let mut json = json!({
        "name": outcome.name, "file": file, "line": place.line, "column": place.column,
        "passed": faults.is_empty() && differences.is_empty(), "asked": outcome.asked, "faults": details,
    });
    if let Some(sent) = sent {
        json["packets"] = packets::json(&analysis.cluster, sent, outcome.unwitnessed);
    }
    let packets = sent.map(|sent| packets::summary(sent, outcome.unwitnessed));
    let faults = first(faults).into_iter().chain(first(differences)).collect();
    Shown { name: outcome.name.clone(), place: report::file_line(sources, outcome.span), file, faults, packets, json }
}

/// The first lines, and how many there are more.
fn first(lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN_MAX);
    let mut shown: Vec<String> = lines.into_iter().take(SHOWN_MAX).collect();
    shown.extend((more > 0).then(|| format!("and {more} more")));
    shown
}

/// One counterexample.
fn fault(sources: &SourceMap, analysis: &Analysis, fault: &Fault) -> String {
    let ports = ports(&fault.ports);
    let alike = if fault.alike > 0 { format!(" (and {} pairs alike)", fault.alike) } else { String::new() };
    let flow = format!("{} -> {} {ports}{alike}", end(analysis, fault.source), end(analysis, fault.destination));
    let what = match &fault.what {
        What::Verdict(verdict, expected) => format!("is {}, expected {}", verdict.word(), expected.word()),
        What::Requests { example, passes: true } => format!("lets `{example}` pass, expected deny"),
        What::Requests { example, passes: false } => format!("refuses `{example}`, expected allow"),
        What::Unknown(why) => format!("is unknown: {why}"),
        What::Because(policy) => format!("is not decided by {policy}"),
        What::Unexpected => "passes and is not on the list".into(),
        What::Missing => "is on the list and does not pass".into(),
    };
    let Some(judgement) = &fault.judgement else { return format!("{flow} {what}") };
    let verdict = judgement.verdict();
    let drops = matches!(verdict, Verdict::Deny | Verdict::Error);
    let deciding = judgement.sides().filter(|side| !drops || side.decision.verdict == verdict);
    let why = deciding
        .map(|side| format!("{} {}", side.direction.word(), report::why(sources, &analysis.cluster, &side.decision)));
    format!("{flow} {what}: {}", why.collect::<Vec<_>>().join("; "))
}

/// An end; of an identity its prefixes or its word.
fn end(analysis: &Analysis, end: End) -> String {
    if let End::Address(address) = end {
        let names = analysis.objects.answers.dns.iter().filter(|(_, addresses)| addresses.contains(&address));
        let name = names.map(|(name, _)| EndName::Fqdn(name.clone())).next();
        return report::end(&analysis.cluster, end, name.as_ref());
    }
    let End::Entity(index) = end else { return report::end(&analysis.cluster, end, None) };
    let nets: Vec<String> =
        analysis.resolved.addresses.rows().filter(|(_, of)| *of == index).map(|(net, _)| net.to_string()).collect();
    let labels = analysis.resolved.identities.get(&index).map(|identity| &identity.labels);
    let of_source = |source: &str| labels.and_then(|labels| labels.iter().find(|label| label.source == source));
    if let Some(label) = of_source("fqdn") {
        return format!("fqdn:{}", label.key);
    }
    let word = of_source("reserved");
    match (nets.as_slice(), word) {
        ([], Some(label)) => format!("entity:{}", label.key),
        ([], None) => format!("identity:{index}"),
        ([net], _) => format!("cidr:{net}"),
        ([net, rest @ ..], _) => format!("cidr:{net} (and {} prefixes alike)", rest.len()),
    }
}

/// `TCP 80,443; UDP 53`.
fn ports(spans: &[PortSpan]) -> String {
    let joined = ranges(spans.iter().map(|span| (span.transport, span.first, span.last)));
    let words = joined.iter().map(|(transport, list)| format!("{} {}", transport.name(), port_words(*transport, list)));
    words.collect::<Vec<_>>().join("; ")
}

/// Which rules the tests exercised.
struct Coverage {
    covered: usize,
    total: usize,
    /// Words and JSON of each rule that no test exercised.
    rest: Vec<(String, Value)>,
}

impl Coverage {
    fn new(sources: &SourceMap, analysis: &Analysis, results: &Results) -> Self {
        let missing: BTreeSet<RuleId> =
            results.coverage.iter().filter(|(_, exercised)| !**exercised).map(|(id, _)| *id).collect();
        let rest = missing
            .iter()
            .map(|id| (report::place(sources, &analysis.cluster, *id), report::rule(sources, &analysis.cluster, *id)));
        let total = results.coverage.len();
        Self { covered: total - missing.len(), total, rest: rest.collect() }
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 rules are many")]
    fn percent(&self) -> f64 {
        if self.total == 0 { 100.0 } else { 100.0 * self.covered as f64 / self.total as f64 }
    }
}

fn text(shown: &[Shown], coverage: &Coverage, list: bool) -> String {
    let mut out = String::new();
    for test in shown {
        let word = if test.faults.is_empty() { "ok  " } else { "FAIL" };
        out += &format!("{word} {} ({})\n", test.name, test.place);
        out.extend(test.faults.iter().chain(&test.packets).map(|line| format!("     {line}\n")));
    }
    let failed = shown.iter().filter(|test| !test.faults.is_empty()).count();
    out += &format!(
        "{} tests, {failed} failed; {} of {} rules exercised\n",
        shown.len(),
        coverage.covered,
        coverage.total
    );
    if list {
        out.extend(coverage.rest.iter().map(|(rule, _)| format!("not exercised: {rule}\n")));
    }
    out
}

fn json(shown: &[Shown], coverage: &Coverage) -> Value {
    let rest: Vec<&Value> = coverage.rest.iter().map(|(_, rule)| rule).collect();
    json!({
        "schema": "ciliumc/test/v1",
        "tests": shown.iter().map(|test| &test.json).collect::<Vec<_>>(),
        "coverage": { "exercised": coverage.covered, "rules": coverage.total, "notExercised": rest },
    })
}
