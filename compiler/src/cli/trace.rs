//! `ciliumc trace`.

use serde_json::json;

use super::args::{Engine, Expect, TraceArgs, TraceFormat};
use super::{flow, inputs, report};
use crate::driver::{self, Analysis, Failure};
use crate::eval::probe::{self, Answer, Probe};
use crate::eval::{self, Considered, Flow, Verdict};
use crate::resolve::{Holder, Lock};
use crate::source::{self, SourceMap};

/// Runs the command.
pub fn run(args: &TraceArgs) -> Result<u8, Failure> {
    let Some(path) = &args.probes else { return flow::run(args) };
    let text = source::text(path).map_err(Failure::input)?;
    let probes = probe::parse(&text)
        .map_err(|problems| Failure::Input(format!("{path}: {}", problems.join(&format!("\nerror: {path}: ")))))?;
    let sources = inputs::load(&args.input)?;
    let analysis = inputs::analyse(&args.input, &sources, Lock::default())?;
    inputs::print_problems(&args.input, &analysis.diagnostics, &sources);
    inputs::refuse(&args.input, &analysis)?;

    let answers = answers(args.engine, &analysis, &probes)?;
    let mut unknown = 0;
    let mut unexpected = 0;
    let mut rows = Vec::new();
    for (probe, answer) in probes.iter().zip(&answers) {
        if let Err(problem) = answer {
            unknown += 1;
            eprintln!("error: {} {} {}: {problem}", probe.endpoint, probe.direction.word(), probe.peer);
        }
        let verdict = answer.as_ref().ok().map(|a| a.decision.verdict);
        if let Some(expected) = args.expect {
            let expected = match expected {
                Expect::Allow => Verdict::Allow,
                Expect::Deny => Verdict::Deny,
                Expect::Redirect => Verdict::Redirect,
            };
            unexpected += usize::from(verdict != Some(expected));
        }
        match args.output {
            TraceFormat::Tsv => println!("{}", tsv(probe, answer)),
            TraceFormat::Text => {
                println!("{}", line(&sources, &analysis, probe, answer));
                if let (true, Ok(answer)) = (args.rules, answer) {
                    for rule in considered(&analysis, probe, answer) {
                        println!(
                            "         {}",
                            report::considered(&sources, &analysis.cluster, &answer.decision, rule)
                        );
                    }
                }
            }
            TraceFormat::Json => {
                let mut row = row(&sources, &analysis, probe, answer);
                if let (true, Ok(answer)) = (args.rules, answer) {
                    let rules = considered(&analysis, probe, answer).into_iter();
                    let rules = rules.map(|rule| report::considered_json(&sources, &analysis.cluster, rule));
                    row["considered"] = rules.collect();
                }
                rows.push(row);
            }
        }
    }
    if args.output == TraceFormat::Json {
        println!("{:#}", json!({ "schema": "ciliumc/trace/v1", "flows": rows }));
    }
    if unexpected > 0 {
        return Ok(1);
    }
    Ok(if unknown > 0 && args.strict { 4 } else { 0 })
}

fn answers(engine: Engine, analysis: &Analysis, probes: &[Probe]) -> Result<Vec<Result<Answer, String>>, Failure> {
    let model = |probe| probe::answer(&analysis.cluster, &analysis.resolved, probe);
    match engine {
        Engine::Model => Ok(probes.iter().map(model).collect()),
        Engine::Tables => {
            let lowered = driver::build::lower(analysis)?;
            let tables = |probe| {
                let answer = model(probe)?;
                Ok(crate::validate::tables::answer(&analysis.cluster, &lowered, probe, answer))
            };
            Ok(probes.iter().map(tables).collect())
        }
    }
}

/// Every rule that selects the endpoint.
fn considered(analysis: &Analysis, probe: &Probe, answer: &Answer) -> Vec<Considered> {
    let policy = analysis.resolved.class(answer.class).policy(probe.direction);
    eval::considered(policy, Flow { peer: answer.peer, l4: answer.l4 })
}

fn verdict(answer: &Result<Answer, String>) -> &'static str {
    answer.as_ref().map_or("unknown", |a| a.decision.verdict.word())
}

/// Kind of the proxy, for a redirect.
fn l7(answer: &Result<Answer, String>) -> Option<&str> {
    answer.as_ref().ok()?.decision.parser()
}

/// Authentication that comes first, if any.
fn auth(answer: &Result<Answer, String>) -> Option<&'static str> {
    answer.as_ref().ok()?.decision.auth.word()
}

fn protocol_port(probe: &Probe) -> String {
    format!("{}/{}", probe.port, probe.protocol)
}

fn tsv(probe: &Probe, answer: &Result<Answer, String>) -> String {
    let peer = answer.as_ref().map_or("-", |a| a.peer_text.as_str());
    let l7 = l7(answer).unwrap_or("-");
    let auth = auth(answer).unwrap_or("-");
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{l7}\t{auth}\t{peer}",
        probe.endpoint,
        probe.direction.word(),
        probe.peer,
        probe.protocol,
        probe.port,
        verdict(answer)
    )
}

fn line(sources: &SourceMap, analysis: &Analysis, probe: &Probe, answer: &Result<Answer, String>) -> String {
    let why = match answer {
        Ok(answer) => report::why(sources, &analysis.cluster, &answer.decision),
        Err(problem) => problem.clone(),
    };
    let arrow = report::arrow(probe.direction);
    format!("{:8} {} {arrow} {} {}: {why}", verdict(answer), probe.endpoint, probe.peer, protocol_port(probe))
}

fn row(sources: &SourceMap, analysis: &Analysis, probe: &Probe, answer: &Result<Answer, String>) -> serde_json::Value {
    let rules: Vec<_> =
        answer.iter().flat_map(|a| &a.decision.rules).map(|&id| report::rule(sources, &analysis.cluster, id)).collect();
    json!({
        "endpoint": probe.endpoint, "direction": probe.direction.word(), "peer": probe.peer,
        "protocol": probe.protocol, "port": probe.port,
        "verdict": verdict(answer), "l7": l7(answer), "auth": auth(answer),
        "node": answer.as_ref().ok().and_then(|a| match a.class {
            Holder::Class(_) => Some(report::node_json(&analysis.cluster.options, &a.decision)),
            // Nodes enforce no host policy.
            Holder::Host(_) => None,
        }),
        "audited": answer.as_ref().is_ok_and(|a| a.decision.audited),
        "reason": match answer {
            Ok(answer) => report::reason(answer.decision.reason).to_string(),
            Err(problem) => problem.clone(),
        },
        "peerIdentity": answer.as_ref().ok().map(|a| a.peer_text.clone()),
        "rules": rules,
    })
}
