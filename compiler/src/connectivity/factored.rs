//! Verdict functions of one direction as functions of protocol and port, row by row.

use std::collections::BTreeSet;
use std::sync::Arc;

use ciliumc_abi::action::VERDICT_DENY;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP};

use super::RuleIndex;
use super::pairs::Rows;
use super::ports::{Outcome, Ports, Segment, Transport, Treatment};
use crate::lower::factor::{ActionKey, Factored};
use crate::resolve::AuthType;

/// Every row. `known` are all identities, sorted; in `audit` what policy would drop passes.
pub fn rows(factored: &Factored, known: &[IdentityIndex], transports: &[Transport], audit: bool) -> Rows {
    let mut of = vec![0; known.len()];
    for (index, row) in &factored.rows_of {
        if let Some(place) = known.binary_search(index).ok().and_then(|at| of.get_mut(at)) {
            *place = *row;
        }
    }
    Rows { of, ports: factored.cells.iter().map(|cells| Arc::new(row(factored, cells, transports, audit))).collect() }
}

/// The same for every protocol and port.
pub fn constant(transports: &[Transport], passes: bool, rules: BTreeSet<RuleIndex>) -> Arc<Ports> {
    let outcome = Outcome { passes: passes.then(Treatment::default), rules };
    Arc::new(Ports::all(transports, &Arc::new(outcome)))
}

fn row(factored: &Factored, cells: &[ActionKey], transports: &[Transport], audit: bool) -> Ports {
    let outcomes: Vec<Arc<Outcome>> = cells.iter().map(|action| Arc::new(outcome(action, audit))).collect();
    let segments = transports.iter().flat_map(|&transport| {
        let segments = factored.directories.get(directory(transport) as usize).into_iter().flatten();
        segments.map(move |segment| (transport, segment))
    });
    Ports::from_segments(segments.filter_map(|(transport, segment)| {
        let outcome = outcomes.get(segment.class)?.clone();
        Some((transport, Segment { first: segment.first, last: segment.last, outcome }))
    }))
}

fn outcome(action: &ActionKey, audit: bool) -> Outcome {
    let treatment = Treatment {
        l7: action.ruleset.iter().cloned().collect(),
        auth: [action.auth].into_iter().filter(|auth| *auth != AuthType::None).collect(),
    };
    let passes = action.verdict != VERDICT_DENY || audit;
    let rules = action.rules.iter().map(|rule| RuleIndex(rule.0)).collect();
    Outcome { passes: passes.then_some(treatment), rules }
}

/// The directory of a protocol's ports.
pub fn directory(transport: Transport) -> u32 {
    match transport {
        Transport::Icmp => DIR_ICMP,
        Transport::Icmp6 => DIR_ICMP6,
        Transport::Sctp => DIR_SCTP,
        Transport::Tcp => DIR_TCP,
        Transport::Udp => DIR_UDP,
    }
}
