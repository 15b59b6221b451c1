//! Every document of tests, each with the pods and names that it adds to the input.

use std::collections::{BTreeMap, BTreeSet};

use super::connectivity::{example, name_parties};
use super::{Analysis, Failure, build, question};
use crate::diag::Span;
use crate::eval::flow::Side;
use crate::eval::{Decision, L4, Reason, Verdict};
use crate::front::objects::TestFile;
use crate::ir::{Cluster, EndName, RuleId};
use crate::policy_test::{self, Input, Report};
use crate::validate::tables;

/// The tests of one document.
pub struct Tested {
    /// The input with what the tests add to it; `None` when they add nothing.
    pub analysis: Option<Analysis>,
    /// What came of them.
    pub report: Report,
}

/// What came of all tests.
pub struct Results {
    /// By document, in the order of the input.
    pub tested: Vec<Tested>,
    /// Whether a flow of some test matched the rule.
    pub coverage: BTreeMap<RuleId, bool>,
}

/// Inputs with the fixtures of a document of tests, by the place of the document.
pub type Fixtures = BTreeMap<Span, Analysis>;

/// Runs the tests of the input; with `check_tables` each decision is also asked from the tables as the object reads them,
/// and a contradiction is our bug. Each outcome keeps up to `witnesses_max` of its flows.
pub fn run(
    analysis: &Analysis,
    fixtures: &Fixtures,
    check_tables: bool,
    witnesses_max: usize,
) -> Result<Results, Failure> {
    let mut tested = Vec::new();
    let mut exercised = BTreeSet::new();
    for file in &analysis.objects.tests {
        let base = fixtures.get(&file.span).unwrap_or(analysis);
        // A name for each set of names that selectors tell apart: what one lets pass has to have an identity.
        let names = name_parties(&[base], policy_test::names(file))?;
        let unresolved = names.iter().filter_map(example).map(|name| EndName::Fqdn(name.to_owned()));
        let ends: Vec<EndName> = policy_test::ends(file).into_iter().chain(unresolved).collect();
        let own = question::extend(base, &file.endpoints, &ends)?;
        let own = own.or_else(|| fixtures.get(&file.span).cloned());
        let report = one(own.as_ref().unwrap_or(analysis), file, check_tables, witnesses_max)?;
        if let Some(contradiction) = report.contradictions.first() {
            return Err(Failure::Bug(format!("model and tables: {contradiction}")));
        }
        // Fixtures may have policies: then a rule has another number, and the same object, path and place.
        let cluster = &own.as_ref().unwrap_or(analysis).cluster;
        exercised.extend(report.exercised.iter().map(|id| key(cluster, *id)));
        tested.push(Tested { analysis: own, report });
    }
    let coverage = policy_test::rules(&analysis.cluster).into_iter();
    let coverage = coverage.map(|id| (id, exercised.contains(&key(&analysis.cluster, id)))).collect();
    Ok(Results { tested, coverage })
}

/// What a rule has in every input that it is in.
fn key(cluster: &Cluster, id: RuleId) -> (Span, String) {
    let rule = cluster.rule(id);
    (rule.span, rule.path.clone())
}

fn one(analysis: &Analysis, file: &TestFile, check_tables: bool, witnesses_max: usize) -> Result<Report, Failure> {
    let Analysis { cluster, resolved, objects, .. } = analysis;
    let input = Input { cluster, resolved, names: &objects.answers.dns };
    if !check_tables {
        return Ok(policy_test::run(input, file, None, witnesses_max));
    }
    let lowered = build::lower(analysis)?;
    let referee = |side: &Side, l4: L4| {
        let said = &side.decision;
        let (lowered, direction) = lowered.of(side.class, side.direction)?;
        let read = tables::decide(lowered, direction, side.peer, l4);
        let same = read.verdict == before_audit(said) && read.auth == said.auth && read.ruleset == said.ruleset;
        let name = side.asked.name(cluster);
        // Before any table the program drops a protocol that is off, a host looks at types of ICMPv6, and an endpoint in
        // conflict has none.
        let is_read = !matches!(said.reason, Reason::ProtocolDisabled | Reason::HostIcmp6 | Reason::Conflict);
        (is_read && !same).then(|| format!("{name} {} {l4:?}: {said:?}, {read:?}", side.direction.word()))
    };
    Ok(policy_test::run(input, file, Some(&referee), witnesses_max))
}

/// The tables do not know audit mode.
fn before_audit(decision: &Decision) -> Verdict {
    if decision.audited { Verdict::Deny } else { decision.verdict }
}
