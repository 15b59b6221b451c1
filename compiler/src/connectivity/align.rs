//! Pairs of parties as two versions of an input know them.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use super::pairs::{Alike, Pair, PairKey};
use super::ports::Ports;
use super::{Connectivity, Party, range};
use crate::ir::Direction;

/// A party as the two versions know it.
pub(super) struct Aligned<'a> {
    /// The party, or the part of one that both versions treat alike.
    pub party: Party,
    /// The one of the old version that it belongs to.
    pub old: Option<&'a Party>,
    /// The one of the new version.
    pub new: Option<&'a Party>,
}

/// What `differ` says of the pairs that one of the versions has, where it says something. Addresses are cut so that each
/// pair is constant in both. A version without the pair has `None`. Pairs that let the same pass, end by end, do not differ.
pub fn pairs<T: Clone>(
    old: &Connectivity,
    new: &Connectivity,
    mut differ: impl FnMut(Option<&Ports>, Option<&Ports>) -> Option<T>,
) -> Vec<(Party, Party, T)> {
    let workloads = workloads(old, new);
    let sources = others(old, new, Direction::Ingress);
    let destinations = others(old, new, Direction::Egress);
    // Few functions stand for many pairs.
    let mut known: HashMap<[Option<PairKey>; 2], Option<T>> = HashMap::new();
    let mut alike = Alike::default();
    let mut out = Vec::new();
    for source in workloads.iter().chain(&sources) {
        let from_old = source.old.and_then(|party| old.pairs.get(party));
        let from_new = source.new.and_then(|party| new.pairs.get(party));
        for destination in workloads.iter().chain(&destinations) {
            let before = from_old.zip(destination.old).and_then(|(to, party)| to.get(party));
            let after = from_new.zip(destination.new).and_then(|(to, party)| to.get(party));
            match (before, after) {
                (None, None) => continue,
                (Some(before), Some(after)) if alike.are(before, after) => continue,
                _ => {}
            }
            let key = [before.map(Pair::key), after.map(Pair::key)];
            let said = known
                .entry(key)
                .or_insert_with(|| differ(before.map(|pair| &**pair.ports()), after.map(|pair| &**pair.ports())));
            out.extend(said.clone().map(|said| (source.party.clone(), destination.party.clone(), said)));
        }
    }
    out
}

/// Workloads of either version.
pub(super) fn workloads<'a>(old: &'a Connectivity, new: &'a Connectivity) -> Vec<Aligned<'a>> {
    let both = old.workloads.union(&new.workloads);
    let aligned = both.map(|party| Aligned {
        party: party.clone(),
        old: old.workloads.get(party),
        new: new.workloads.get(party),
    });
    aligned.collect()
}

/// Parties that are no workloads: words are equal or not, prefixes lie inside of another, ranges are cut.
pub(super) fn others<'a>(old: &'a Connectivity, new: &'a Connectivity, direction: Direction) -> Vec<Aligned<'a>> {
    let of = |version: &'a Connectivity| version.others.get(&direction).map(Vec::as_slice).unwrap_or_default();
    let (old, new) = (of(old), of(new));
    let named: BTreeSet<&Party> = old.iter().chain(new).filter(|party| !matches!(party, Party::Range(..))).collect();
    let named = named.into_iter().cloned();
    let bounds = old.iter().chain(new).filter_map(|party| match party {
        Party::Range(first, last) => Some((*first, *last)),
        Party::Workload { .. } | Party::Entity(_) | Party::Net(_) | Party::Names { .. } => None,
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
                Party::Workload { .. } | Party::Entity(_) | Party::Range(..) | Party::Names { .. } => 0,
            };
            parties.iter().filter(holds).max_by_key(length)
        }
        Party::Workload { .. } | Party::Entity(_) | Party::Names { .. } => parties.iter().find(|party| *party == piece),
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
        Party::Workload { .. } | Party::Entity(_) | Party::Names { .. } => None,
        Party::Range(first, _) => Some(IpAddr::V4(*first)),
        Party::Net(net) => [net.network(), net.broadcast()].into_iter().find(|address| {
            let inside = |other: &Party| matches!(other, Party::Net(other) if net.contains(other) && other != net && other.contains(address));
            !others.iter().any(inside)
        }),
    }
}
