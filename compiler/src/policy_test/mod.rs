//! Tests of policies: what somebody expects of flows, held against the reference model.
//!
//! In: typed tests and a resolved cluster. Out: for each test its counterexamples, and the rules that the tests exercised.
//! A test is about every flow that its ends and ports describe, not about a sample: endpoints that nothing tells apart and
//! addresses of one identity are asked once, ports once for each run in which no filter begins or ends.
//!
//! **Invariant:** every verdict is one of [`eval::flow::judge`](crate::eval::flow::judge), which `trace` prints.

mod exact;
mod pieces;
mod universe;

use std::collections::BTreeSet;
use std::net::IpAddr;

use pieces::Pieces;
use universe::Selected;
pub use universe::Universe;

use crate::diag::{Code, Diagnostic, Span, Spanned};
use crate::eval::flow::{End, Judgement, Side, Unknown, is_asked};
use crate::eval::l7::Admission;
use crate::eval::{L4, Reason, Verdict};
use crate::front::objects::{Expectation, Expected, Test, TestFile};
use crate::ir::{Cluster, EndName, Ends, FqdnSelector, Peers, PortSpan, Ports, Requests, RuleId, Subject, Transport};
use crate::resolve::Resolved;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cluster, with what the tests add to it.
    pub cluster: &'a Cluster,
    /// The same with numbers.
    pub resolved: &'a Resolved,
    /// Addresses of DNS names.
    pub names: &'a [(String, Vec<IpAddr>)],
}

/// A second opinion on the decision of one end: what it says instead, if it contradicts.
pub type Referee<'a> = &'a dyn Fn(&Side, L4) -> Option<String>;

/// One test.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Name.
    pub name: String,
    /// Where what it expects was written.
    pub span: Span,
    /// Verdicts that were asked for: one for each pair of ends and run of ports.
    pub asked: usize,
    /// What is not as expected.
    pub faults: Vec<Fault>,
    /// The flows with their verdicts, as many as were asked for.
    pub witnesses: Vec<Witness>,
    /// Flows beyond that number.
    pub unwitnessed: usize,
}

/// Flows between two ends that have one verdict.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Source.
    pub source: End,
    /// Destination.
    pub destination: End,
    /// Ports, on which no filter begins or ends.
    pub ports: PortSpan,
    /// What both ends decide.
    pub judgement: Judgement,
}

/// What is not as expected, for one pair of ends.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Source.
    pub source: End,
    /// Destination.
    pub destination: End,
    /// Pairs of the same kind of ends, which nothing tells apart from this one.
    pub alike: usize,
    /// Ports.
    pub ports: Vec<PortSpan>,
    /// What is wrong with them.
    pub what: What,
    /// What both ends decide at the first of the ports.
    pub judgement: Option<Judgement>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Another verdict than the expected one.
    Verdict(Verdict, Expected),
    /// A proxy is on the way and lets requests pass that it should not, or the other way round: an example.
    Requests {
        /// The request.
        example: String,
        /// Whether it passes.
        passes: bool,
    },
    /// No verdict, and why.
    Unknown(String),
    /// None of the rules that decide is of the expected policy.
    Because(String),
    /// It passes and is not on the list.
    Unexpected,
    /// It is on the list and does not pass.
    Missing,
}

/// What came of the tests of a document.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Tests in the order written; those that could not be run are among the diagnostics.
    pub outcomes: Vec<Outcome>,
    /// What is wrong with the tests themselves.
    pub diagnostics: Vec<Diagnostic>,
    /// Rules that some flow of a test matched.
    pub exercised: BTreeSet<RuleId>,
    /// Contradictions of the referee: our bugs.
    pub contradictions: Vec<String>,
}

/// Every selector of DNS names that the tests are about.
pub fn names(file: &TestFile) -> Vec<FqdnSelector> {
    let mut out = Vec::new();
    each(file, &mut |ends| match ends {
        Ends::One(Spanned { value: EndName::Fqdn(name), .. }) => out.push(FqdnSelector::Name(name.clone())),
        Ends::Names(names) => out.push(names.value.clone()),
        Ends::One(_) | Ends::AnyOf(_) | Ends::Not(_) | Ends::Any | Ends::Net(_) | Ends::Pods { .. } => {}
    });
    out
}

/// Every end that the tests name.
pub fn ends(file: &TestFile) -> Vec<EndName> {
    let mut out = Vec::new();
    each(file, &mut |ends| match ends {
        Ends::One(name) => out.push(name.value.clone()),
        Ends::AnyOf(_) | Ends::Not(_) | Ends::Any | Ends::Net(_) | Ends::Names(_) | Ends::Pods { .. } => {}
    });
    out
}

/// Every description of ends, and those inside of it.
fn each<'f>(file: &'f TestFile, visit: &mut dyn FnMut(&'f Ends)) {
    fn walk<'f>(ends: &'f Ends, visit: &mut dyn FnMut(&'f Ends)) {
        visit(ends);
        match ends {
            Ends::AnyOf(list) => list.iter().for_each(|ends| walk(ends, visit)),
            Ends::Not(ends) => walk(ends, visit),
            Ends::Any | Ends::One(_) | Ends::Net(_) | Ends::Names(_) | Ends::Pods { .. } => {}
        }
    }
    for test in &file.tests {
        walk(&test.from.value, visit);
        walk(&test.to.value, visit);
        if let Expectation::Exactly(rows) = &test.expectation.value {
            rows.iter().for_each(|row| walk(&row.end.value, visit));
        }
    }
}

/// Runs the tests of a document. Each outcome keeps up to `witnesses_max` of its flows.
pub fn run(input: Input<'_>, file: &TestFile, referee: Option<Referee<'_>>, witnesses_max: usize) -> Report {
    let universe = Universe::new(input);
    let mut ctx = Ctx {
        input,
        universe: &universe,
        pieces: Pieces::new(input),
        referee,
        witnesses_max,
        witnesses: Vec::new(),
        unwitnessed: 0,
        report: Report::default(),
    };
    for test in &file.tests {
        ctx.test(test);
    }
    ctx.report
}

/// Rules that tests can exercise: those of host policies under the host firewall alone.
pub fn rules(cluster: &Cluster) -> BTreeSet<RuleId> {
    let is_inert =
        |id: RuleId| !cluster.options.host_firewall && matches!(cluster.policy_of(id).subject, Subject::Nodes(_));
    cluster.rules().map(|(id, _)| id).filter(|id| !is_inert(*id)).collect()
}

struct Ctx<'a> {
    input: Input<'a>,
    universe: &'a Universe<'a>,
    pieces: Pieces<'a>,
    referee: Option<Referee<'a>>,
    witnesses_max: usize,
    witnesses: Vec<Witness>,
    unwitnessed: usize,
    report: Report,
}

/// A run of ports with what becomes of it.
type Judged = (PortSpan, Result<Judgement, Unknown>);

impl Ctx<'_> {
    fn test(&mut self, test: &Test) {
        let (from, to) = (self.select(&test.from.value, test.from.span), self.select(&test.to.value, test.to.span));
        let (Some(from), Some(to)) = (from, to) else { return };
        let outcome = match &test.expectation.value {
            Expectation::Each(expected) => Some(self.each(test, *expected, &from, &to)),
            Expectation::Exactly(rows) => self.exactly(test, rows, &from, &to),
        };
        let (witnesses, unwitnessed) = (std::mem::take(&mut self.witnesses), std::mem::take(&mut self.unwitnessed));
        let Some((asked, faults)) = outcome else { return };
        if asked == 0 {
            let message = format!("test {:?} is about no flow that a policy decides", test.name);
            let hint = "one of the ends has to be an endpoint of the input, and not the other one";
            self.report.diagnostics.push(Diagnostic::error(NOBODY, test.span, message).hint(hint));
            return;
        }
        let (name, span) = (test.name.clone(), test.expectation.span);
        self.report.outcomes.push(Outcome { name, span, asked, faults, witnesses, unwitnessed });
    }

    /// The ends, or a diagnostic.
    fn select(&mut self, ends: &Ends, span: Span) -> Option<Vec<Selected>> {
        match self.universe.select(ends) {
            Ok(selected) if !selected.is_empty() => Some(selected),
            Ok(_) => {
                let message = "nobody in the input is meant by it, so the test proves nothing";
                let hint = "check names and labels, or describe the pods under `endpoints`";
                self.report.diagnostics.push(Diagnostic::error(NOBODY, span, message).hint(hint));
                None
            }
            Err((span, message)) => {
                self.report.diagnostics.push(Diagnostic::error(NOBODY, span, message));
                None
            }
        }
    }

    /// Every flow has the expected verdict.
    fn each(&mut self, test: &Test, expected: Expected, from: &[Selected], to: &[Selected]) -> (usize, Vec<Fault>) {
        // What a proxy does with requests is no part of "redirect".
        let requests = test.requests.as_ref().filter(|_| expected != Expected::Redirect);
        // No policy keeps the local host out, so it is a counterexample only where somebody names it.
        let is_spared = |judged: &Result<Judgement, Unknown>| {
            expected == Expected::Deny && !is_named(&test.from.value) && judged.as_ref().is_ok_and(is_forced)
        };
        // Requests that no port is named for go over every port that can carry them.
        let carrying = test.requests.as_ref().map(carriers);
        let ports = test.ports.as_deref().or(carrying.as_deref());
        let mut asked = 0;
        let mut faults: Vec<Fault> = Vec::new();
        for (source, destination) in self.pairs(from, to) {
            let mut here: Vec<Fault> = Vec::new();
            for (ports, judged) in self.judge(source.end, destination.end, ports, &[]) {
                asked += 1;
                if is_spared(&judged) {
                    continue;
                }
                let what = wrong(&judged, expected, requests)
                    .or_else(|| self.because(test.because.as_ref().map(|b| b.value.as_str()), judged.as_ref().ok()?));
                let Some(what) = what else { continue };
                push(&mut here, source, destination, ports, what, judged.ok());
            }
            faults.append(&mut here);
        }
        (asked, faults)
    }

    /// Asks both ends on every run of the ports; `cuts` are ports at which runs begin besides.
    fn judge(&mut self, source: End, destination: End, ports: Option<&[PortSpan]>, cuts: &[PortSpan]) -> Vec<Judged> {
        let judged = self.pieces.judge(source, destination, ports, cuts);
        for (ports, judgement) in &judged {
            let Ok(judgement) = judgement else { continue };
            self.witness(source, destination, *ports, judgement);
            for side in judgement.sides() {
                self.exercise(side);
                let contradiction = self.referee.and_then(|referee| referee(side, judgement.l4));
                self.report.contradictions.extend(contradiction);
            }
        }
        judged
    }

    fn witness(&mut self, source: End, destination: End, ports: PortSpan, judgement: &Judgement) {
        if self.witnesses.len() < self.witnesses_max {
            self.witnesses.push(Witness { source, destination, ports, judgement: judgement.clone() });
        } else {
            self.unwitnessed += 1;
        }
    }

    /// A rule is exercised by a flow that it matches; one that matches nothing, by a flow that it keeps out.
    fn exercise(&mut self, side: &Side) {
        let rules = side.decision.rules.iter().copied();
        match side.decision.reason {
            Reason::AllowRule | Reason::DenyRule => self.report.exercised.extend(rules),
            Reason::DefaultDeny | Reason::UnknownPeer => {
                let cluster = self.input.cluster;
                let is_empty = |id: &RuleId| {
                    let rule = cluster.rule(*id);
                    rule.peers == Peers::Nobody || matches!(&rule.ports, Ports::AnyOf(ports) if ports.is_empty())
                };
                self.report.exercised.extend(rules.filter(is_empty));
            }
            Reason::NotEnforced
            | Reason::LocalHost
            | Reason::DefaultAllow
            | Reason::Conflict
            | Reason::ProtocolDisabled
            | Reason::HostIcmp6 => {}
        }
    }

    /// Pairs of ends with something between them that a policy decides.
    fn pairs<'s>(&self, from: &'s [Selected], to: &'s [Selected]) -> Vec<(&'s Selected, &'s Selected)> {
        let Input { cluster, resolved, .. } = self.input;
        let asked = |ends: &'s [Selected]| -> Vec<(&'s Selected, bool)> {
            ends.iter().map(|selected| (selected, is_asked(cluster, resolved, selected.end))).collect()
        };
        let (from, to) = (asked(from), asked(to));
        let meets = |(source, first): (&Selected, bool), (destination, second): (&Selected, bool)| {
            // One pod talks to itself without any policy; replicas of it do not.
            let is_itself = source.end == destination.end && !source.has_replicas;
            (first || second) && !is_itself
        };
        let mut out = Vec::new();
        for source in from {
            out.extend(to.iter().filter(|destination| meets(source, **destination)).map(|(to, _)| (source.0, *to)));
        }
        out
    }

    /// Whether the policy is among those that decide: that of either end for what passes, of the one that drops else.
    fn because(&self, policy: Option<&str>, judgement: &Judgement) -> Option<What> {
        let policy = policy?;
        let verdict = judgement.verdict();
        let drops = matches!(verdict, Verdict::Deny | Verdict::Error);
        let deciding = judgement.sides().filter(|side| !drops || side.decision.verdict == verdict);
        let mut rules = deciding.flat_map(|side| &side.decision.rules);
        let is_it = |id: &RuleId| {
            let object = &self.input.cluster.policy_of(*id).object;
            let qualified = match object.namespace.as_str() {
                "" => object.name.clone(),
                namespace => format!("{namespace}/{}", object.name),
            };
            [&object.name, &qualified, &format!("{} {qualified}", object.kind)].contains(&&policy.to_owned())
        };
        (!rules.any(is_it)).then(|| What::Because(policy.to_owned()))
    }
}

/// Every port of the protocols that requests go over.
fn carriers(requests: &Requests) -> Vec<PortSpan> {
    let every = |transport: &Transport| PortSpan { transport: *transport, first: 0, last: transport.last() };
    requests.transports().iter().map(every).collect()
}

/// Whether a description names ends one by one.
fn is_named(ends: &Ends) -> bool {
    match ends {
        Ends::One(_) => true,
        Ends::AnyOf(list) => list.iter().any(is_named),
        Ends::Any | Ends::Net(_) | Ends::Names(_) | Ends::Pods { .. } | Ends::Not(_) => false,
    }
}

/// Whether it passes because the local host may always reach its endpoints.
fn is_forced(judgement: &Judgement) -> bool {
    judgement.verdict() == Verdict::Allow
        && judgement.ingress.as_ref().is_some_and(|side| side.decision.reason == Reason::LocalHost)
}

/// An end of a test that means nobody.
const NOBODY: Code = Code("F-504");

/// What is wrong with a verdict.
fn wrong(judged: &Result<Judgement, Unknown>, expected: Expected, requests: Option<&Requests>) -> Option<What> {
    let verdict = match judged {
        Ok(judgement) => match (judgement.verdict(), requests.map(|requests| judgement.admission(requests))) {
            // Among many requests one that is treated otherwise is a counterexample.
            (Verdict::Redirect, Some(Admission::Some { passes, refused })) => {
                return Some(match expected {
                    Expected::Allow => What::Requests { example: refused, passes: false },
                    Expected::Deny | Expected::Redirect => What::Requests { example: passes, passes: true },
                });
            }
            _ => judgement.outcome(requests),
        },
        Err(unknown) => Err(unknown.to_string()),
    };
    match (verdict, expected) {
        (Ok(Verdict::Allow), Expected::Allow)
        | (Ok(Verdict::Deny), Expected::Deny)
        | (Ok(Verdict::Redirect), Expected::Redirect) => None,
        (Ok(verdict), _) => Some(What::Verdict(verdict, expected)),
        (Err(why), _) => Some(What::Unknown(why)),
    }
}

/// Adds ports to a fault of the same kind, or a fault.
fn push(
    faults: &mut Vec<Fault>,
    source: &Selected,
    destination: &Selected,
    ports: PortSpan,
    what: What,
    judgement: Option<Judgement>,
) {
    if let Some(fault) = faults.iter_mut().find(|fault| fault.what == what) {
        match fault.ports.last_mut() {
            Some(last) if last.transport == ports.transport && last.last.checked_add(1) == Some(ports.first) => {
                last.last = ports.last;
            }
            Some(_) | None => fault.ports.push(ports),
        }
        return;
    }
    let alike = source.alike * destination.alike - 1;
    let (source, destination) = (source.end, destination.end);
    faults.push(Fault { source, destination, alike, ports: vec![ports], what, judgement });
}
