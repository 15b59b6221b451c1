//! Every document of tests, each with the pods and names that it adds to the input.

use std::collections::BTreeMap;

use super::{Analysis, Failure, build, question};
use crate::eval::flow::Side;
use crate::eval::{Decision, L4, Reason, Verdict};
use crate::front::objects::TestFile;
use crate::ir::{EndName, RuleId, fqdn};
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

/// Runs the tests of the input; with `check_tables` each decision is also asked from the tables as the object reads them,
/// and a contradiction is our bug. Each outcome keeps up to `witnesses_max` of its flows.
pub fn run(analysis: &Analysis, check_tables: bool, witnesses_max: usize) -> Result<Results, Failure> {
    let mut tested = Vec::new();
    for file in &analysis.objects.tests {
        let ends: Vec<EndName> = policy_test::ends(file).into_iter().chain(unresolved(analysis)).collect();
        let own = question::extend(analysis, &file.endpoints, &ends)?;
        let report = one(own.as_ref().unwrap_or(analysis), file, check_tables, witnesses_max)?;
        if let Some(contradiction) = report.contradictions.first() {
            return Err(Failure::Bug(format!("model and tables: {contradiction}")));
        }
        tested.push(Tested { analysis: own, report });
    }
    let coverage = policy_test::coverage(&analysis.cluster, tested.iter().map(|tested| &tested.report));
    Ok(Results { tested, coverage })
}

/// A name for each selector of names of which no address is known: what it lets pass has to have an identity.
fn unresolved(analysis: &Analysis) -> impl Iterator<Item = EndName> {
    let unknown = analysis.cluster.fqdn_addresses.iter().filter(|(_, addresses)| addresses.is_empty());
    unknown.map(|(selector, _)| {
        let text = fqdn::text(selector);
        let name = text.strip_prefix("**").map_or(text.to_owned(), |rest| format!("x{rest}")).replace('*', "x");
        EndName::Fqdn(name.trim_end_matches('.').to_owned())
    })
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
