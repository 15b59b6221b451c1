//! The exact verdict function of one direction, factored into rows and port classes.
//!
//! A *row* is a set of peers that the same filters name; a *port class* a set of (protocol, port) that the same filters
//! cover. Inside one (row, class) cell the verdict cannot vary, so it is computed once. Then equal rows and equal
//! columns are merged.

use std::collections::BTreeMap;

use ciliumc_abi::action::{VERDICT_ALLOW, VERDICT_DENY};
use ciliumc_abi::drop_reason::{POLICY_DENIED, POLICY_DENY};
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP, DIRECTORIES};

use super::shape::PolicyMode;
use crate::ir::{Protocol, RuleAction, RuleId};
use crate::resolve::{DirectionPolicy, Enforcement, L4Match, PeerSet};

/// An action before causes have numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey {
    /// `ciliumc_abi::action::VERDICT_*`.
    pub verdict: u8,
    /// Drop reason.
    pub reason: u8,
    /// The rules that decide, sorted.
    pub rules: Vec<RuleId>,
}

/// A run of ports of one directory with one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First port (or ICMP type).
    pub first: u16,
    /// Last.
    pub last: u16,
    /// Port class.
    pub class: usize,
}

/// The verdict function of one direction.
#[derive(Debug, Clone)]
pub struct Factored {
    /// How it is looked up.
    pub mode: PolicyMode,
    /// Deny for what nobody decides: action 0.
    pub default_action: ActionKey,
    /// Row of every known identity; row 0 is "unknown", row 1 "no rule names it".
    pub rows_of: Vec<(IdentityIndex, usize)>,
    /// Segments of each directory, covering every port.
    pub directories: Vec<Vec<Segment>>,
    /// `cells[row][class]`.
    pub cells: Vec<Vec<ActionKey>>,
}

impl Factored {
    /// Every action of every cell.
    pub fn actions(&self) -> impl Iterator<Item = &ActionKey> {
        self.cells.iter().flatten()
    }
}

/// Factors one direction.
pub fn factor(policy: &DirectionPolicy, known: &[IdentityIndex]) -> Factored {
    let default_rules = match &policy.enforcement {
        Enforcement::DefaultDeny(rules) => rules.clone(),
        Enforcement::Open | Enforcement::DefaultAllow => Vec::new(),
    };
    let default_action = ActionKey { verdict: VERDICT_DENY, reason: POLICY_DENIED, rules: default_rules };

    let (row_filters, mut rows_of) = rows(policy, known);
    let (class_filters, mut directories) = classes(policy);
    let mut cells: Vec<Vec<ActionKey>> = Vec::with_capacity(row_filters.len() + 1);
    // Row 0: an index that nobody knows is denied wherever anything is enforced.
    cells.push(vec![default_action.clone(); class_filters.len()]);
    for row in &row_filters {
        let cell = |class: &Vec<usize>| decide(policy, &default_action, &intersection(row, class));
        cells.push(class_filters.iter().map(cell).collect());
    }
    merge_rows(&mut cells, &mut rows_of);
    merge_classes(&mut cells, &mut directories);

    let mode = match &policy.enforcement {
        Enforcement::Open => PolicyMode::AllowAll,
        Enforcement::DefaultDeny(_) if cells.iter().flatten().all(|action| *action == default_action) => {
            PolicyMode::DenyAll
        }
        Enforcement::DefaultDeny(_) | Enforcement::DefaultAllow if cells[0].len() == 1 => PolicyMode::L3Only,
        Enforcement::DefaultDeny(_) | Enforcement::DefaultAllow => PolicyMode::Tables,
    };
    Factored { mode, default_action, rows_of, directories, cells }
}

/// The verdict where exactly these filters match: deny beats allow, whatever is more specific (spec §4.5).
fn decide(policy: &DirectionPolicy, default_action: &ActionKey, matching: &[usize]) -> ActionKey {
    let rules_of = |action: RuleAction| {
        let mut rules: Vec<RuleId> = matching
            .iter()
            .map(|&n| &policy.filters[n])
            .filter(|filter| filter.action == action)
            .filter_map(|filter| filter.rule)
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    };
    let any = |action: RuleAction| matching.iter().any(|&n| policy.filters[n].action == action);
    if any(RuleAction::Deny) {
        return ActionKey { verdict: VERDICT_DENY, reason: POLICY_DENY, rules: rules_of(RuleAction::Deny) };
    }
    if any(RuleAction::Allow) {
        return ActionKey { verdict: VERDICT_ALLOW, reason: 0, rules: rules_of(RuleAction::Allow) };
    }
    match policy.enforcement {
        Enforcement::Open | Enforcement::DefaultAllow => {
            ActionKey { verdict: VERDICT_ALLOW, reason: 0, rules: Vec::new() }
        }
        Enforcement::DefaultDeny(_) => default_action.clone(),
    }
}

/// Rows from 1 on: the filters that match a peer of the row. The first is that of peers no filter names.
fn rows(policy: &DirectionPolicy, known: &[IdentityIndex]) -> (Vec<Vec<usize>>, Vec<(IdentityIndex, usize)>) {
    let mut named: BTreeMap<IdentityIndex, Vec<usize>> = BTreeMap::new();
    let mut everyone = Vec::new();
    for (n, filter) in policy.filters.iter().enumerate() {
        match &filter.peers {
            PeerSet::Everyone => everyone.push(n),
            PeerSet::These(list) => {
                for &index in list.iter() {
                    named.entry(index).or_default().push(n);
                }
            }
        }
    }
    let mut filters = vec![everyone.clone()];
    let mut place: BTreeMap<Vec<usize>, usize> = BTreeMap::from([(Vec::new(), 1)]);
    let mut rows_of = Vec::with_capacity(known.len());
    for &index in known {
        let signature = named.remove(&index).unwrap_or_default();
        let row = *place.entry(signature).or_insert_with_key(|signature| {
            let mut all: Vec<usize> = everyone.iter().chain(signature).copied().collect();
            all.sort_unstable();
            filters.push(all);
            filters.len()
        });
        rows_of.push((index, row));
    }
    (filters, rows_of)
}

/// The directory and the inclusive range of a filter; `None` is everything.
fn range(l4: L4Match) -> Option<(u32, u16, u16)> {
    let icmp = |directory: u32, icmp_type: u8| match icmp_type {
        // A rule for ICMP type 0 fills all 256 cells (G-40).
        0 => (directory, 0, 255),
        t => (directory, u16::from(t), u16::from(t)),
    };
    match l4 {
        L4Match::All => None,
        L4Match::Ports { protocol, first, last } => {
            let directory = match protocol {
                Protocol::Tcp => DIR_TCP,
                Protocol::Udp => DIR_UDP,
                Protocol::Sctp => DIR_SCTP,
            };
            Some((directory, first, last))
        }
        L4Match::Icmp(icmp_type) => Some(icmp(DIR_ICMP, icmp_type)),
        L4Match::Icmp6(icmp_type) => Some(icmp(DIR_ICMP6, icmp_type)),
    }
}

/// Port classes: the filters that cover each, and the segments of each directory.
fn classes(policy: &DirectionPolicy) -> (Vec<Vec<usize>>, Vec<Vec<Segment>>) {
    let mut filters: Vec<Vec<usize>> = Vec::new();
    let mut place: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    let mut directories = Vec::new();
    let whole: Vec<usize> = (0..policy.filters.len()).filter(|&n| range(policy.filters[n].l4).is_none()).collect();
    for directory in 0..DIRECTORIES {
        let end: u32 = if directory == DIR_ICMP || directory == DIR_ICMP6 { 256 } else { 65536 };
        // Where a filter begins (true) or has ended (false).
        let mut edges: BTreeMap<u32, Vec<(usize, bool)>> = BTreeMap::from([(0, Vec::new())]);
        for (n, filter) in policy.filters.iter().enumerate() {
            if let Some((own, first, last)) = range(filter.l4)
                && own == directory
            {
                edges.entry(u32::from(first)).or_default().push((n, true));
                edges.entry(u32::from(last) + 1).or_default().push((n, false));
            }
        }
        let starts: Vec<u32> = edges.keys().copied().filter(|&at| at < end).collect();
        let mut active: BTreeMap<usize, ()> = whole.iter().map(|&n| (n, ())).collect();
        let mut segments = Vec::with_capacity(starts.len());
        for (n, &start) in starts.iter().enumerate() {
            for (filter, begins) in &edges[&start] {
                if *begins {
                    active.insert(*filter, ());
                } else {
                    active.remove(filter);
                }
            }
            let signature: Vec<usize> = active.keys().copied().collect();
            let class = *place.entry(signature).or_insert_with_key(|signature| {
                filters.push(signature.clone());
                filters.len() - 1
            });
            let stop = starts.get(n + 1).copied().unwrap_or(end) - 1;
            segments.push(Segment { first: start as u16, last: stop as u16, class });
        }
        directories.push(segments);
    }
    (filters, directories)
}

/// Of two sorted lists.
fn intersection(a: &[usize], b: &[usize]) -> Vec<usize> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.iter().copied().filter(|n| long.binary_search(n).is_ok()).collect()
}

/// Gives equal rows one number. Rows 0 and 1 keep theirs: they have a meaning of their own.
fn merge_rows(cells: &mut Vec<Vec<ActionKey>>, rows_of: &mut [(IdentityIndex, usize)]) {
    let mut kept: Vec<Vec<ActionKey>> = cells.drain(..2).collect();
    let mut place: BTreeMap<Vec<ActionKey>, usize> = BTreeMap::new();
    for (n, row) in kept.iter().enumerate() {
        place.entry(row.clone()).or_insert(n);
    }
    let mut moved = vec![0, 1];
    for row in cells.drain(..) {
        let new = *place.entry(row).or_insert_with_key(|row| {
            kept.push(row.clone());
            kept.len() - 1
        });
        moved.push(new);
    }
    for (_, row) in rows_of {
        *row = moved[*row];
    }
    *cells = kept;
}

/// Gives equal columns one number, in the order in which the directories first meet them.
fn merge_classes(cells: &mut [Vec<ActionKey>], directories: &mut [Vec<Segment>]) {
    let mut place: BTreeMap<Vec<&ActionKey>, usize> = BTreeMap::new();
    let mut kept: Vec<usize> = Vec::new();
    let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
    for segments in directories.iter_mut() {
        let mut joined: Vec<Segment> = Vec::new();
        for segment in segments.iter() {
            let class = *moved.entry(segment.class).or_insert_with_key(|&old| {
                let column: Vec<&ActionKey> = cells.iter().map(|row| &row[old]).collect();
                *place.entry(column).or_insert_with(|| {
                    kept.push(old);
                    kept.len() - 1
                })
            });
            match joined.last_mut() {
                Some(last) if last.class == class => last.last = segment.last,
                _ => joined.push(Segment { class, ..*segment }),
            }
        }
        *segments = joined;
    }
    drop(place);
    for row in cells {
        *row = kept.iter().map(|&old| row[old].clone()).collect();
    }
}
