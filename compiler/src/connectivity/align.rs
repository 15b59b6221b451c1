//! Pairs of parties as two versions of an input know them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::ports::Ports;
use super::{Connectivity, Party, range};
use crate::ir::Direction;

/// A pair of parties with what may pass in both versions; `None` where one of them was not there.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Source.
    pub source: Party,
    /// Destination.
    pub destination: Party,
    /// Before.
    pub old: Option<Arc<Ports>>,
    /// After.
    pub new: Option<Arc<Ports>>,
}

/// A party as the two versions know it.
struct Aligned<'a> {
    party: Party,
    old: Option<&'a Party>,
    new: Option<&'a Party>,
}

/// Every pair that one of the versions has, addresses cut so that each pair is constant in both.
pub fn pairs(old: &Connectivity, new: &Connectivity) -> Vec<Pair> {
    let workloads: Vec<Aligned<'_>> = old
        .workloads
        .union(&new.workloads)
        .map(|party| Aligned { party: party.clone(), old: old.workloads.get(party), new: new.workloads.get(party) })
        .collect();
    let sources = others(old, new, Direction::Ingress);
    let destinations = others(old, new, Direction::Egress);
    let mut out = Vec::new();
    for source in &workloads {
        out.extend(workloads.iter().chain(&destinations).filter_map(|other| pair(old, new, source, other)));
    }
    for source in &sources {
        out.extend(workloads.iter().filter_map(|workload| pair(old, new, source, workload)));
    }
    out.sort_by(|a, b| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)));
    out
}

fn pair(old: &Connectivity, new: &Connectivity, source: &Aligned<'_>, destination: &Aligned<'_>) -> Option<Pair> {
    let of = |version: &Connectivity, source: Option<&Party>, destination: Option<&Party>| {
        version.pairs.get(&(source?.clone(), destination?.clone())).cloned()
    };
    let old = of(old, source.old, destination.old);
    let new = of(new, source.new, destination.new);
    (old.is_some() || new.is_some()).then(|| Pair {
        source: source.party.clone(),
        destination: destination.party.clone(),
        old,
        new,
    })
}

/// Parties that are no workloads: words are equal or not, prefixes lie inside of another, ranges are cut.
fn others<'a>(old: &'a Connectivity, new: &'a Connectivity, direction: Direction) -> Vec<Aligned<'a>> {
    let of = |version: &'a Connectivity| version.others.get(&direction).map(Vec::as_slice).unwrap_or_default();
    let (old, new) = (of(old), of(new));
    let named: BTreeSet<&Party> = old.iter().chain(new).filter(|party| !matches!(party, Party::Range(..))).collect();
    let named = named.into_iter().cloned();
    let bounds = old.iter().chain(new).filter_map(|party| match party {
        Party::Range(first, last) => Some((*first, *last)),
        Party::Workload { .. } | Party::Entity(_) | Party::Net(_) => None,
    });
    let bounds: Vec<(Ipv4Addr, Ipv4Addr)> = bounds.collect();
    let pieces = if bounds.is_empty() { Vec::new() } else { range::cut(bounds) };
    let pieces = pieces.into_iter().map(|(first, last)| Party::Range(first, last));
    let parties = named.chain(pieces);
    parties.map(|party| Aligned { old: holder(old, &party), new: holder(new, &party), party }).collect()
}

/// The party of a version that a piece belongs to.
fn holder<'a>(parties: &'a [Party], piece: &Party) -> Option<&'a Party> {
    match piece {
        Party::Range(first, _) => {
            let at = parties.partition_point(|party| matches!(party, Party::Range(start, _) if start <= first));
            parties.get(at.checked_sub(1)?)
        }
        Party::Net(net) => {
            let holds = |party: &&Party| matches!(party, Party::Net(other) if other.contains(net));
            let length = |party: &&Party| match party {
                Party::Net(other) => other.prefix_len(),
                Party::Workload { .. } | Party::Entity(_) | Party::Range(..) => 0,
            };
            parties.iter().filter(holds).max_by_key(length)
        }
        Party::Workload { .. } | Party::Entity(_) => parties.iter().find(|party| *party == piece),
    }
}

/// Joins ranges that touch and that `same` finds alike, source by source and destination by destination.
pub fn merge_ranges<T>(rows: Vec<(Party, Party, T)>, same: impl Fn(&T, &T) -> bool) -> Vec<(Party, Party, T)> {
    let mut rows = rows;
    for ranges_are_sources in [true, false] {
        rows.sort_by(|a, b| match ranges_are_sources {
            true => (&a.1, &a.0).cmp(&(&b.1, &b.0)),
            false => (&a.0, &a.1).cmp(&(&b.0, &b.1)),
        });
        let mut out: Vec<(Party, Party, T)> = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(last) = out.last_mut()
                && same(&last.2, &row.2)
            {
                let (kept, ours) = match ranges_are_sources {
                    true => ((&last.1, &mut last.0), (&row.1, &row.0)),
                    false => ((&last.0, &mut last.1), (&row.0, &row.1)),
                };
                if let (true, Party::Range(_, end), Party::Range(first, last)) = (kept.0 == ours.0, kept.1, ours.1)
                    && range::touch(*end, *first)
                {
                    *end = *last;
                    continue;
                }
            }
            out.push(row);
        }
        rows = out;
    }
    rows
}

/// An address that belongs to a party and to no other of these.
pub fn example(others: &[Party], party: &Party) -> Option<IpAddr> {
    match party {
        Party::Workload { .. } | Party::Entity(_) => None,
        Party::Range(first, _) => Some(IpAddr::V4(*first)),
        Party::Net(net) => [net.network(), net.broadcast()].into_iter().find(|address| {
            let inside = |other: &Party| matches!(other, Party::Net(other) if net.contains(other) && other != net && other.contains(address));
            !others.iter().any(inside)
        }),
    }
}
