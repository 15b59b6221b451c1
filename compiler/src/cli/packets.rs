//! Words and JSON of what became of packets.

use ciliumc_abi::drop_reason;
use serde_json::{Value, json};

use super::args::TestArgs;
use super::{inputs, report};
use crate::bundle::read;
use crate::clang::Toolchain;
use crate::driver::build::BuildOptions;
use crate::driver::packets::{self, FLOWS_MAX, Origin};
use crate::driver::policy_test::Results;
use crate::driver::{Analysis, Failure};
use crate::ir::Cluster;
use crate::source::SourceMap;
use crate::validate::packets::{Difference, Found, Sent};

/// Sends the flows of every test where the command line asks for it; by document and test, else nothing.
pub fn send(
    args: &TestArgs,
    sources: &SourceMap,
    analysis: &Analysis,
    results: &Results,
) -> Result<Option<Vec<Vec<Sent>>>, Failure> {
    match &args.packets {
        None => Ok(None),
        Some(Some(path)) => {
            let bundle = read::open(path).map_err(Failure::input)?.into_bundle();
            packets::run(sources, analysis, results, &Origin::Given(&bundle)).map(Some)
        }
        Some(None) => {
            let toolchain = Toolchain::find().map_err(Failure::machine)?;
            let cache = inputs::cache_dir();
            let options = BuildOptions { cache: cache.as_deref(), ..BuildOptions::default() };
            packets::run(sources, analysis, results, &Origin::Built(&toolchain, options)).map(Some)
        }
    }
}

/// `4 packets pass, 8 dropped by policy (133), 2 dropped for want of a proxy (178)`, and what was not sent.
pub fn summary(sent: &Sent, unwitnessed: usize) -> String {
    let mut parts: Vec<String> =
        sent.as_expected.iter().map(|(outcome, count)| format!("{count} {}", expected(*outcome))).collect();
    if !sent.differences.is_empty() {
        parts.push(format!("{} NOT as the policy says", sent.differences.len()));
    }
    let mut out = format!("{} packets", sent.frames());
    if !parts.is_empty() {
        out += &format!(": {}", parts.join(", "));
    }
    for (why, count) in &sent.unsent {
        out += &format!("; {count} flows not sent: {}", why.text());
    }
    if unwitnessed > 0 {
        out += &format!("; the first {FLOWS_MAX} of {} flows", FLOWS_MAX + unwitnessed);
    }
    out
}

/// What the policy leads to, and what this datapath lacks.
fn expected(outcome: u8) -> String {
    match outcome {
        0 => "pass".into(),
        drop_reason::NO_PROXY => "dropped for want of a proxy (178)".into(),
        drop_reason::AUTH_REQUIRED => "dropped for want of authentication (189)".into(),
        reason => format!("dropped ({reason} {})", drop_reason::text(reason)),
    }
}

/// What becomes of one packet.
fn becomes(reason: u8) -> String {
    match reason {
        0 => "passes".into(),
        _ => format!("is dropped ({reason} {})", drop_reason::text(reason)),
    }
}

/// One packet that an end treats otherwise.
pub fn difference(cluster: &Cluster, difference: &Difference) -> String {
    let Difference { addresses, l4, direction, .. } = difference;
    let happened = match difference.found {
        Found::Outcome(reason) => becomes(reason),
        Found::NoEndpoint => "has no program: the bundle does not have the endpoint".into(),
    };
    let expected = becomes(difference.expected);
    let name = cluster.endpoints.get(difference.endpoint.0 as usize).map(|endpoint| endpoint.name.as_str());
    format!(
        "packet {} -> {} {} {happened} at {} of {}; by the policy it {expected}",
        addresses.source(),
        addresses.destination(),
        report::l4(*l4),
        direction.word(),
        name.unwrap_or_default(),
    )
}

/// The same as JSON.
pub fn json(cluster: &Cluster, sent: &Sent, unwitnessed: usize) -> Value {
    let outcome = |reason: u8| json!({ "passes": reason == 0, "dropReason": (reason != 0).then_some(reason) });
    let differences = sent.differences.iter().map(|own| {
        let name = cluster.endpoints.get(own.endpoint.0 as usize).map(|endpoint| endpoint.name.as_str());
        let found = match own.found {
            Found::Outcome(reason) => outcome(reason),
            Found::NoEndpoint => Value::Null,
        };
        json!({
            "source": own.addresses.source(), "destination": own.addresses.destination(), "flow": report::l4(own.l4),
            "endpoint": name, "direction": own.direction.word(),
            "expected": outcome(own.expected), "found": found, "message": difference(cluster, own),
        })
    });
    let as_expected = sent.as_expected.iter().map(|(reason, count)| {
        let mut out = outcome(*reason);
        out["packets"] = json!(count);
        out
    });
    let unsent = sent.unsent.iter().map(|(why, count)| json!({ "flows": count, "reason": why.text() }));
    json!({
        "packets": sent.frames(), "asExpected": as_expected.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(), "notSent": unsent.collect::<Vec<_>>(),
        "beyondBound": unwitnessed,
    })
}
