//! `ciliumc trace --from A --to B --port P`: one flow, asked at both ends.

use serde_json::{Value, json};

use super::args::{Expect, TraceArgs, TraceFormat};
use super::{inputs, l7, report, suggest};
use crate::driver::{self, Analysis, Failure, question};
use crate::eval::flow::{self, End, Judgement, Side, Unknown};
use crate::eval::l7::Admission;
use crate::eval::near::{self, Examined};
use crate::eval::{L4, Verdict};
use crate::ir::{EndName, HttpRequests, PortSpan, Requests};
use crate::lower::Lowered;
use crate::lower::shape::PolicyMode;
use crate::source::SourceMap;
use crate::validate::tables;

/// A flow with its answer, and how many others have the same.
struct Traced {
    source: End,
    destination: End,
    answer: Result<Judgement, Unknown>,
    alike: usize,
}

/// Everything that a report needs.
struct Report<'a> {
    sources: &'a SourceMap,
    analysis: &'a Analysis,
    lowered: Option<Lowered>,
    from: &'a EndName,
    to: &'a EndName,
    port: PortSpan,
    requests: Option<Requests>,
}

/// Runs the command.
pub fn run(args: &TraceArgs) -> Result<u8, Failure> {
    let (Some(from), Some(to), Some(port)) = (&args.from, &args.to, args.port) else {
        return Err(Failure::Usage("say which flow: --from END --to END --port PROTO/PORT, or --probes FILE".into()));
    };
    let requests = requests(args);
    if let Some(wrong) = requests.as_ref().and_then(|requests| requests.refuse(&[port])) {
        return Err(Failure::Usage(format!("--port: {wrong}")));
    }
    let sources = inputs::load(&args.input)?;
    let ends = [from.clone(), to.clone()];
    let analysis = question::analyse_for(&sources, &inputs::front_options(&args.input), &[], &ends)?;
    inputs::print_problems(&args.input, &analysis.diagnostics, &sources);
    inputs::refuse(&args.input, &analysis)?;

    let find = |option: &str, name: &EndName| {
        let found = flow::find(&analysis.cluster, &analysis.objects.answers.dns, name);
        found.map_err(|problem| Failure::Input(format!("{option}: {problem}")))
    };
    let traced = trace(&analysis, &find("--from", from)?, &find("--to", to)?, L4::new(port.transport, port.first));
    // What has no tables has no cells to show; the verdict does not depend on them. A line of `tsv` shows none.
    let lowered = match args.output {
        TraceFormat::Tsv => None,
        TraceFormat::Text | TraceFormat::Json => driver::build::lower(&analysis).ok(),
    };
    let report = Report { sources: &sources, analysis: &analysis, lowered, from, to, port, requests };

    match args.output {
        TraceFormat::Text => {
            let mut text: String = traced.iter().map(|traced| report.text(traced)).collect();
            if args.suggest {
                for traced in traced.iter().filter(|traced| report.verdict(traced) == Ok(Verdict::Deny)) {
                    text += &suggest::text(&args.input, &sources, &analysis, &ends, report.denied(traced))?;
                }
            }
            super::put(&text)?;
        }
        TraceFormat::Tsv => super::put(&traced.iter().map(|traced| report.tsv(traced)).collect::<String>())?,
        TraceFormat::Json => {
            let mut flows = Vec::new();
            for traced in &traced {
                let mut flow = report.json(traced);
                if args.suggest && report.verdict(traced) == Ok(Verdict::Deny) {
                    flow["suggest"] = suggest::json(&args.input, &sources, &analysis, &ends, report.denied(traced))?;
                }
                flows.push(flow);
            }
            super::put(&format!("{:#}\n", json!({ "schema": "ciliumc/trace-flow/v1", "flows": flows })))?;
        }
    }
    let expected = args.expect.map(|expected| match expected {
        Expect::Allow => Verdict::Allow,
        Expect::Deny => Verdict::Deny,
        Expect::Redirect => Verdict::Redirect,
    });
    if expected.is_some_and(|expected| traced.iter().any(|traced| report.verdict(traced) != Ok(expected))) {
        return Ok(1);
    }
    let unknown = traced.iter().any(|traced| report.verdict(traced).is_err());
    Ok(if unknown && args.strict { 4 } else { 0 })
}

/// Asks each pair of ends; those with one answer are told once.
fn trace(analysis: &Analysis, from: &[End], to: &[End], l4: L4) -> Vec<Traced> {
    let mut out: Vec<Traced> = Vec::new();
    let decisions = |answer: &Result<Judgement, Unknown>| match answer {
        Ok(judgement) => Ok(judgement.sides().map(|side| side.decision.clone()).collect::<Vec<_>>()),
        Err(unknown) => Err(unknown.clone()),
    };
    for &source in from {
        for &destination in to {
            let answer = flow::judge(&analysis.cluster, &analysis.resolved, source, destination, l4);
            match out.iter_mut().find(|traced| decisions(&traced.answer) == decisions(&answer)) {
                Some(traced) => traced.alike += 1,
                None => out.push(Traced { source, destination, answer, alike: 0 }),
            }
        }
    }
    out
}

fn requests(args: &TraceArgs) -> Option<Requests> {
    if let Some(name) = &args.dns {
        return Some(Requests::Dns(name.to_ascii_lowercase()));
    }
    if let Some(kafka) = &args.kafka {
        return Some(Requests::Kafka(kafka.clone()));
    }
    let (method, path) = args.http.as_ref()?;
    let literal = |text: &str| Some(regex::escape(text));
    Some(Requests::Http(HttpRequests {
        method: literal(method),
        path: literal(path),
        host: args.host.as_deref().and_then(literal),
        headers: args.header.clone(),
    }))
}

impl Report<'_> {
    fn verdict(&self, traced: &Traced) -> Result<Verdict, String> {
        traced.answer.as_ref().map_err(ToString::to_string)?.outcome(self.requests.as_ref())
    }

    /// A flow that is denied, for a suggestion.
    fn denied<'t>(&self, traced: &'t Traced) -> suggest::Denied<'t> {
        suggest::Denied {
            source: traced.source,
            destination: traced.destination,
            judgement: traced.answer.as_ref().ok(),
        }
    }

    fn flow(&self, traced: &Traced) -> String {
        let cluster = &self.analysis.cluster;
        let [from, to] = [(traced.source, self.from), (traced.destination, self.to)]
            .map(|(end, name)| report::end(cluster, end, Some(name)));
        format!("{from} -> {to} {}/{}", self.port.first, self.port.transport.name())
    }

    fn text(&self, traced: &Traced) -> String {
        let word = self.verdict(traced).map_or("unknown", Verdict::word);
        let mut out = format!("{word:8} {}: {}\n", self.flow(traced), self.chain(traced));
        for side in traced.answer.iter().flat_map(|judgement| judgement.sides()) {
            out += &self.side(side, L4::new(self.port.transport, self.port.first));
        }
        if traced.alike > 0 {
            out += &format!("and {} more that are decided alike\n", traced.alike);
        }
        out
    }

    /// The decisions in the order in which a packet meets them, in one line.
    fn chain(&self, traced: &Traced) -> String {
        let judgement = match &traced.answer {
            Ok(judgement) => judgement,
            Err(unknown) => return unknown.to_string(),
        };
        let step = |side: &Side| {
            let mut policies: Vec<String> = Vec::new();
            for rule in &side.decision.rules {
                let object = self.analysis.cluster.policy_of(*rule).object.to_string();
                if !policies.contains(&object) {
                    policies.push(object);
                }
            }
            let by = if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) };
            let reason = report::reason(side.decision.reason);
            format!("{} {} ({reason}{by})", side.direction.word(), side.decision.verdict.word())
        };
        let mut steps: Vec<String> = judgement.sides().map(step).collect();
        if let (Some(requests), Verdict::Redirect) = (&self.requests, judgement.verdict()) {
            steps.push(admission_text(&judgement.admission(requests)));
        }
        steps.join(" -> ")
    }

    /// One end: why, every rule, and the cell of the tables that says so on a node.
    fn side(&self, side: &Side, l4: L4) -> String {
        let Analysis { cluster, resolved, .. } = self.analysis;
        let name = side.asked.name(cluster);
        let why = report::why(self.sources, cluster, &side.decision);
        let mut out = format!("{} of {name}: {}, {why}\n", side.direction.word(), side.decision.verdict.word());
        let mut rows = Vec::new();
        for examined in near::examine(cluster, resolved, side, l4) {
            rows.push(self.examined(side, &examined));
        }
        out += &rows.concat();
        if let Some(ruleset) = &side.decision.ruleset {
            out += &format!("  proxy  {}\n", l7::text(ruleset));
        }
        if side.asked.endpoint().is_none() {
            return out + "  node   enforces no host policy (F-304)\n";
        }
        out + &self.cell(side, l4).map(|cell| format!("  table  {cell}\n")).unwrap_or_default()
    }

    fn examined(&self, side: &Side, examined: &Examined) -> String {
        let mark = match examined.rule.is_some_and(|rule| side.decision.rules.binary_search(&rule).is_ok()) {
            true if examined.matches() => '*',
            true => '!',
            false => ' ',
        };
        let rule = examined
            .rule
            .map_or("the local host's allow".into(), |rule| report::place(self.sources, &self.analysis.cluster, rule));
        let misses: Vec<&str> = examined.peer.iter().chain(&examined.l4).map(String::as_str).collect();
        let about = if misses.is_empty() { "matches".into() } else { misses.join("; ") };
        let near = if examined.near { " (nearly)" } else { "" };
        format!("  {mark} {:5} {rule}: {about}{near}\n", examined.action.word())
    }

    /// Where the built object reads this decision. A host has none.
    fn cell(&self, side: &Side, l4: L4) -> Option<String> {
        side.asked.endpoint()?;
        let (lowered, direction) = self.lowered.as_ref()?.of(side.class, side.direction)?;
        let built = match (direction.shape.mode, direction.tables) {
            (PolicyMode::AllowAll, _) => return Some("none: the object lets everything pass".into()),
            (PolicyMode::DenyAll, _) => {
                return Some(format!("none: the object drops everything, cause {}", direction.default_cause));
            }
            (PolicyMode::L3Only | PolicyMode::Tables, index) => lowered.tables.get(index?.0 as usize)?,
        };
        let (directory, port) = tables::place(l4);
        let cell = built.cell(side.peer, directory, port);
        let class = match direction.shape.mode {
            PolicyMode::Tables => format!("port_class[{} {port}] = {}, ", self.port.transport.name(), cell.class),
            PolicyMode::L3Only | PolicyMode::AllowAll | PolicyMode::DenyAll => String::new(),
        };
        let action = crate::lower::text::action(built.actions.get(usize::from(cell.action))?);
        Some(format!(
            "id_row[{}] = {}, {class}verdict[{}] = {} (map verdict, key {}, cell {}): {action}",
            side.peer,
            cell.row,
            cell.place,
            cell.action,
            cell.place >> 8,
            cell.place & 255
        ))
    }

    fn tsv(&self, traced: &Traced) -> String {
        let cluster = &self.analysis.cluster;
        let word = self.verdict(traced).map_or("unknown", Verdict::word);
        let judgement = traced.answer.as_ref().ok();
        let of = |side: Option<&Side>| side.map_or("-", |side| side.decision.verdict.word());
        format!(
            "{}\t{}\t{}\t{}\t{word}\t{}\t{}\n",
            report::end(cluster, traced.source, Some(self.from)),
            report::end(cluster, traced.destination, Some(self.to)),
            self.port.transport.name(),
            self.port.first,
            of(judgement.and_then(|judgement| judgement.egress.as_ref())),
            of(judgement.and_then(|judgement| judgement.ingress.as_ref())),
        )
    }

    fn json(&self, traced: &Traced) -> Value {
        let Analysis { cluster, resolved, .. } = self.analysis;
        let l4 = L4::new(self.port.transport, self.port.first);
        let stage = |side: &Side| {
            let rules: Vec<Value> =
                side.decision.rules.iter().map(|rule| report::rule(self.sources, cluster, *rule)).collect();
            let considered = near::examine(cluster, resolved, side, l4).into_iter().map(|examined| {
                json!({
                    "rule": examined.rule.map(|rule| report::rule(self.sources, cluster, rule)),
                    "action": examined.action.word(), "matches": examined.matches(),
                    "peer": examined.peer, "port": examined.l4, "near": examined.near,
                })
            });
            json!({
                "direction": side.direction.word(), "endpoint": side.asked.name(cluster),
                "verdict": side.decision.verdict.word(), "reason": report::reason(side.decision.reason),
                "audited": side.decision.audited, "auth": side.decision.auth.word(),
                "l7": side.decision.ruleset.as_ref().map(|ruleset| l7::text(ruleset)),
                "rules": rules, "considered": considered.collect::<Vec<_>>(),
                "node": side.asked.endpoint().map(|_| report::node_json(&cluster.options, &side.decision)),
                "peerIdentity": resolved.identities.get(&side.peer).map(|identity| identity.labels.to_string()),
                "table": self.cell(side, l4),
            })
        };
        let verdict = self.verdict(traced);
        let request = self.requests.as_ref().zip(traced.answer.as_ref().ok());
        json!({
            "from": report::end(cluster, traced.source, Some(self.from)),
            "to": report::end(cluster, traced.destination, Some(self.to)),
            "protocol": self.port.transport.name(), "port": self.port.first,
            "verdict": verdict.as_ref().map_or("unknown", |verdict| verdict.word()), "unknown": verdict.err(),
            "request": request.map(|(requests, judgement)| admission_text(&judgement.admission(requests))),
            "stages": traced.answer.iter().flat_map(|j| j.sides()).map(stage).collect::<Vec<_>>(),
            "alike": traced.alike,
        })
    }
}

/// What becomes of the request.
fn admission_text(admission: &Admission) -> String {
    match admission {
        Admission::All => "the proxy lets the request pass".into(),
        Admission::None => "the proxy refuses the request".into(),
        Admission::Some { passes, refused } => format!("the proxy lets `{passes}` pass and refuses `{refused}`"),
        Admission::Unknown(why) => format!("nobody can tell what the proxy does: {why}"),
    }
}
