//! The exact verdict function of one direction, factored into rows and port classes.
//!
//! A *row* is a set of peers that the same filters name; a *port class* a set of (protocol, port) that the same filters
//! cover. Inside one (row, class) cell the verdict cannot vary, so it is computed once. Then equal rows and equal
//! columns are merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use ciliumc_abi::action::{MATCH_NONE, VERDICT_ALLOW, VERDICT_DENY};
use ciliumc_abi::drop_reason::POLICY_DENIED;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP, DIRECTORIES};

use super::shape::PolicyMode;
use super::tiers::Matchers;
use crate::ir::{Protocol, RuleAction, RuleId};
use crate::resolve::{AuthType, DirectionPolicy, Enforcement, L4Filter, L4Match, PeerSet, Ruleset};

/// An action before causes have numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey {
    /// `ciliumc_abi::action::VERDICT_*`.
    pub verdict: u8,
    /// Drop reason.
    pub reason: u8,
    /// The rules that decide, sorted.
    pub rules: Vec<RuleId>,
    /// What the proxy is given; only for a redirect.
    pub ruleset: Option<Arc<Ruleset>>,
    /// Authentication that comes first.
    pub auth: AuthType,
    /// `ciliumc_abi::action::MATCH_*` of what lets a packet pass.
    pub match_type: u8,
}

impl ActionKey {
    /// Without proxy or authentication.
    pub fn plain(verdict: u8, reason: u8, rules: Vec<RuleId>) -> Self {
        Self { verdict, reason, rules, ruleset: None, auth: AuthType::None, match_type: MATCH_NONE }
    }

    /// Passes without proxy or authentication.
    pub fn allow(rules: Vec<RuleId>, match_type: u8) -> Self {
        Self { match_type, ..Self::plain(VERDICT_ALLOW, 0, rules) }
    }
}

/// A matcher of a cell, with the bits of protocol and port that its entry fixes there (spec §4.3): 0 for everything, 8
/// for a protocol, 24 for a port. Of a range they are those of its longest block, unless [`by_block`] says that it matters
/// which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matching {
    /// Position in the policy's [`Matchers`].
    pub filter: usize,
    /// L4 prefix length.
    pub prefix: u8,
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
        Enforcement::Open | Enforcement::DefaultAllow | Enforcement::Conflict => Vec::new(),
    };
    let default_action = ActionKey::plain(VERDICT_DENY, POLICY_DENIED, default_rules);

    let matchers = Matchers::new(policy);
    let (row_filters, mut rows_of) = rows(&matchers, known);
    let (class_filters, mut directories) = classes(&matchers, by_block(policy));
    let mut cells: Vec<Vec<ActionKey>> = Vec::with_capacity(row_filters.len() + 1);
    // Row 0: an index that nobody knows is denied wherever anything is enforced.
    cells.push(vec![default_action.clone(); class_filters.len()]);
    for row in &row_filters {
        let cell = |class: &Vec<Matching>| matchers.decide(&default_action, &intersection(row, class));
        cells.push(class_filters.iter().map(cell).collect());
    }
    merge_rows(&mut cells, &mut rows_of);
    merge_classes(&mut cells, &mut directories);

    let mode = match &policy.enforcement {
        Enforcement::Open if policy.is_open() => PolicyMode::AllowAll,
        Enforcement::Conflict => PolicyMode::DenyAll,
        Enforcement::DefaultDeny(_) if cells.iter().flatten().all(|action| *action == default_action) => {
            PolicyMode::DenyAll
        }
        _ if cells[0].len() == 1 => PolicyMode::L3Only,
        Enforcement::Open | Enforcement::DefaultDeny(_) | Enforcement::DefaultAllow => PolicyMode::Tables,
    };
    Factored { mode, default_action, rows_of, directories, cells }
}

/// Whether a port range has to be cut into its blocks: where the prefix length decides which of two entries speaks for a
/// packet, one of any peer and one of the peer's identity, or which of one peer's entries with attributes.
fn by_block(policy: &DirectionPolicy) -> bool {
    let is_range = |l4: L4Match| matches!(l4, L4Match::Ports { first, last, .. } if first != last && (first, last) != (0, u16::MAX));
    let allows = || policy.filters.iter().filter(|filter| filter.action == RuleAction::Allow);
    let beside = |filter: &L4Filter| {
        let for_all = filter.peers == PeerSet::Everyone;
        allows().any(|other| (other.peers == PeerSet::Everyone) != for_all && same_protocol(filter.l4, other.l4))
    };
    policy.filters.iter().any(|filter| filter.attributes.is_some())
        || allows().any(|filter| is_range(filter.l4) && beside(filter))
}

/// Whether both are about ports of one protocol.
fn same_protocol(one: L4Match, other: L4Match) -> bool {
    match (one, other) {
        (L4Match::Ports { protocol: one, .. }, L4Match::Ports { protocol: other, .. }) => one == other,
        _ => false,
    }
}

/// Rows from 1 on: the filters that match a peer of the row. The first is that of peers no filter names.
fn rows(matchers: &Matchers<'_>, known: &[IdentityIndex]) -> (Vec<Vec<usize>>, Vec<(IdentityIndex, usize)>) {
    let mut named: BTreeMap<IdentityIndex, Vec<usize>> = BTreeMap::new();
    let mut everyone = Vec::new();
    for (n, matcher) in matchers.iter() {
        match matcher.peers {
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

/// Port classes: the filters that cover each, and the segments of each directory. A filter begins anew with each of its
/// blocks where attributes make their length matter.
fn classes(matchers: &Matchers<'_>, by_block: bool) -> (Vec<Vec<Matching>>, Vec<Vec<Segment>>) {
    let mut filters: Vec<Vec<Matching>> = Vec::new();
    let mut place: BTreeMap<Vec<Matching>, usize> = BTreeMap::new();
    let mut directories = Vec::new();
    let whole = matchers.iter().filter(|(_, matcher)| range(matcher.l4).is_none());
    let whole: BTreeMap<usize, u8> = whole.map(|(n, _)| (n, 0)).collect();
    for directory in 0..DIRECTORIES {
        let ports: u32 = if directory == DIR_ICMP || directory == DIR_ICMP6 { 256 } else { 65536 };
        // Where a block of a filter begins, with its prefix length, or has ended.
        let mut edges: BTreeMap<u32, Vec<(usize, Option<u8>)>> = BTreeMap::from([(0, Vec::new())]);
        for (n, matcher) in matchers.iter() {
            if let Some((own, first, last)) = range(matcher.l4)
                && own == directory
            {
                let blocks = match by_block && matcher.is_filter {
                    true => blocks(u32::from(first), u32::from(last), ports),
                    false => {
                        let (first, end) = (u32::from(first), u32::from(last) + 1);
                        vec![Block { first, end, prefix: if end - first == ports { 8 } else { 24 } }]
                    }
                };
                for block in blocks {
                    edges.entry(block.first).or_default().push((n, Some(block.prefix)));
                    // A block may begin where the one before it has ended: the end comes first.
                    edges.entry(block.end).or_default().insert(0, (n, None));
                }
            }
        }
        let starts: Vec<u32> = edges.keys().copied().filter(|&at| at < ports).collect();
        let mut active = whole.clone();
        let mut segments = Vec::with_capacity(starts.len());
        for (n, &start) in starts.iter().enumerate() {
            for (filter, begins) in &edges[&start] {
                match begins {
                    Some(prefix) => active.insert(*filter, *prefix),
                    None => active.remove(filter),
                };
            }
            let signature: Vec<Matching> =
                active.iter().map(|(&filter, &prefix)| Matching { filter, prefix }).collect();
            let class = *place.entry(signature).or_insert_with_key(|signature| {
                filters.push(signature.clone());
                filters.len() - 1
            });
            let stop = starts.get(n + 1).copied().unwrap_or(ports) - 1;
            segments.push(Segment { first: start as u16, last: stop as u16, class });
        }
        directories.push(segments);
    }
    (filters, directories)
}

/// An aligned power of two of ports (spec §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: u32,
    /// One above the last.
    end: u32,
    /// L4 prefix length: 8 for every port, 24 for one.
    prefix: u8,
}

/// Cuts a range of a directory with `ports` ports into blocks: each time the largest that begins there and fits.
fn blocks(first: u32, last: u32, ports: u32) -> Vec<Block> {
    if first == 0 && last + 1 == ports {
        return vec![Block { first, end: ports, prefix: 8 }];
    }
    let mut out = Vec::new();
    let mut at = first;
    while at <= last {
        let aligned = if at == 0 { 16 } else { at.trailing_zeros() };
        let fits = (last - at + 1).ilog2();
        let bits = aligned.min(fits);
        out.push(Block { first: at, end: at + (1 << bits), prefix: 24 - bits as u8 });
        at += 1 << bits;
    }
    out
}

/// The filters of a row that cover a class; both are sorted.
fn intersection(row: &[usize], class: &[Matching]) -> Vec<Matching> {
    if class.len() <= row.len() {
        class.iter().copied().filter(|m| row.binary_search(&m.filter).is_ok()).collect()
    } else {
        let find = |n: &usize| class.binary_search_by_key(n, |m| m.filter).ok().map(|at| class[at]);
        row.iter().filter_map(find).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_the_specification() {
        let cut = |first, last| blocks(first, last, 65536).iter().map(|b| (b.first, b.prefix - 8)).collect::<Vec<_>>();
        let example = [(80, 12), (96, 11), (128, 9), (256, 9), (384, 11), (416, 12), (432, 13), (440, 14), (444, 16)];
        assert_eq!(cut(80, 444), example);
        assert_eq!(cut(0, 65535), [(0, 0)]);
        assert_eq!(cut(80, 80), [(80, 16)]);
        assert_eq!(cut(1, 65534).len(), 30);
        assert_eq!(cut(65535, 65535), [(65535, 16)]);
    }
}
