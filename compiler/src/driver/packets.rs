//! The flows of tests as packets, through a bundle.

use super::build::{self, BuildOptions};
use super::policy_test::Results;
use super::{Analysis, Failure};
use crate::bundle::Bundle;
use crate::clang::Toolchain;
use crate::eval::L4;
use crate::policy_test::Report;
use crate::source::SourceMap;
use crate::validate::packets::{self, Flow, PacketError, Sent};

/// Flows that a test sends at most, each at the first and the last of the ports that have its verdict.
pub const FLOWS_MAX: usize = 10_000;

/// Where the objects and tables come from.
pub enum Origin<'a> {
    /// Built of the same input.
    Built(&'a Toolchain, BuildOptions<'a>),
    /// Built before.
    Given(&'a Bundle),
}

/// Sends the witnesses of every outcome; by document and test.
pub fn run(
    sources: &SourceMap,
    analysis: &Analysis,
    results: &Results,
    origin: &Origin<'_>,
) -> Result<Vec<Vec<Sent>>, Failure> {
    let mut base = None;
    let mut out = Vec::new();
    for tested in &results.tested {
        let own;
        let of = tested.analysis.as_ref().unwrap_or(analysis);
        let bundle = match (origin, &tested.analysis) {
            (Origin::Given(bundle), _) => bundle,
            (Origin::Built(toolchain, options), None) => match &base {
                Some(bundle) => bundle,
                None => base.insert(built(sources, analysis, toolchain, options)?),
            },
            (Origin::Built(toolchain, options), Some(extended)) => {
                own = built(sources, extended, toolchain, options)?;
                &own
            }
        };
        out.push(send(of, bundle, &tested.report)?);
    }
    Ok(out)
}

fn built(
    sources: &SourceMap,
    analysis: &Analysis,
    toolchain: &Toolchain,
    options: &BuildOptions<'_>,
) -> Result<Bundle, Failure> {
    let lowered = build::lower(analysis)?;
    let objects = build::objects(toolchain, &lowered.node, build::units(&lowered), options)?;
    build::bundle(sources, analysis, &lowered, toolchain, objects)
}

fn send(analysis: &Analysis, bundle: &Bundle, report: &Report) -> Result<Vec<Sent>, Failure> {
    let groups: Vec<Vec<Flow<'_>>> = report
        .outcomes
        .iter()
        .map(|outcome| {
            let both_ends = outcome.witnesses.iter().flat_map(|witness| {
                let (source, destination, judgement) = (witness.source, witness.destination, &witness.judgement);
                let ports = [witness.ports.first, witness.ports.last];
                let ports = &ports[..if ports[0] == ports[1] { 1 } else { 2 }];
                let flow = move |port: &u16| Flow {
                    source,
                    destination,
                    l4: L4::new(witness.ports.transport, *port),
                    judgement,
                };
                ports.iter().map(flow).collect::<Vec<_>>()
            });
            both_ends.collect()
        })
        .collect();
    let input = packets::Input { cluster: &analysis.cluster, resolved: &analysis.resolved, bundle };
    packets::run(input, &groups).map_err(|error| match error {
        PacketError::Load(error) if error.is_machine() => Failure::Machine(format!("--packets: {error}")),
        PacketError::Load(error) => Failure::Bug(format!("packets: {error}")),
        PacketError::Damaged(what) => Failure::Input(format!("--packets: {what}")),
    })
}
