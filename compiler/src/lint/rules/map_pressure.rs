//! CL039: an endpoint that needs more entries than its policy map holds.

use std::collections::HashSet;

use ciliumc_abi::identity::NumericIdentity;

use super::object;
use crate::ir::Direction;
use crate::lint::Finding;
use crate::lint::facts::Facts;
use crate::resolve::{Class, L4Match, PeerSet};

/// Option of the agent: entries of the policy map of one endpoint.
const OPTION: &str = "bpf-policy-map-max";

/// Its default.
const ENTRIES_MAX: usize = 16_384;

/// An endpoint with more is not counted to the end.
const COUNT_MAX: usize = 1 << 20;

/// Direction, number (none is every identity), protocol or kind, first port or type, and bits of it that do not count.
type Key = (Direction, Option<NumericIdentity>, u16, u16, u8);

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let written = facts.objects.config.iter().find(|(key, _)| key.value == OPTION);
    let max = written.and_then(|(_, value)| value.value.trim().parse().ok()).unwrap_or(ENTRIES_MAX);
    let mut out = Vec::new();
    for identity in facts.identities() {
        let (Some(class), Some(first)) = (facts.class(identity), facts.endpoints(identity).next()) else { continue };
        // Counting each key once costs much more than adding, and few endpoints come near.
        if upper_bound(class) <= max {
            continue;
        }
        let count = count(facts, class);
        if count > max {
            let about = if count >= COUNT_MAX { "more than" } else { "about" };
            let message = format!("the policy of {} takes {about} {count} map entries, the limit is {max}", first.name);
            let hint = format!("entries beyond are missing: name fewer peers or port ranges, or raise `{OPTION}`");
            out.push(Finding::new(first.span, &object(first), message).hint(hint));
        }
    }
    out
}

/// Entries, as if no two filters shared one.
fn upper_bound(class: &Class) -> usize {
    let filters = Direction::ALL.into_iter().flat_map(|direction| &class.policy(direction).filters);
    let entries = filters.map(|filter| {
        let peers = match &filter.peers {
            PeerSet::Everyone => 1,
            PeerSet::These(list) => list.len(),
        };
        peers.saturating_mul(blocks(filter.l4).len())
    });
    entries.fold(0, usize::saturating_add)
}

fn count(facts: &Facts<'_>, class: &Class) -> usize {
    let mut keys: HashSet<Key> = HashSet::new();
    for direction in Direction::ALL {
        for filter in &class.policy(direction).filters {
            for (kind, first, bits) in blocks(filter.l4) {
                let key = |number| (direction, number, kind, first, bits);
                match &filter.peers {
                    PeerSet::Everyone => keys.extend([key(None)]),
                    PeerSet::These(list) => {
                        let numbers = list.iter().filter_map(|index| facts.resolved.identities.get(index));
                        keys.extend(numbers.map(|identity| key(Some(identity.numeric))));
                    }
                }
                if keys.len() >= COUNT_MAX {
                    return COUNT_MAX;
                }
            }
        }
    }
    keys.len()
}

/// Keys of one peer: a range is stored as the largest aligned blocks that make it up (spec §4.1).
fn blocks(l4: L4Match) -> Vec<(u16, u16, u8)> {
    match l4 {
        L4Match::All => vec![(0, 0, 0)],
        L4Match::Icmp(kind) => vec![(1, u16::from(kind), 0)],
        L4Match::Icmp6(kind) => vec![(2, u16::from(kind), 0)],
        L4Match::Ports { protocol, first, last } => {
            let kind = 3 + protocol as u16;
            let mut out = Vec::new();
            let (mut at, end) = (u32::from(first), u32::from(last) + 1);
            while at < end {
                let aligned = if at == 0 { 16 } else { at.trailing_zeros().min(16) };
                let bits = aligned.min((end - at).ilog2());
                out.push((kind, u16::try_from(at).unwrap_or(u16::MAX), bits as u8));
                at += 1 << bits;
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Protocol;

    #[test]
    fn ranges_are_aligned_blocks() {
        let cut = |first, last| {
            let blocks = blocks(L4Match::Ports { protocol: Protocol::Tcp, first, last });
            blocks.into_iter().map(|(_, first, bits)| (first, bits)).collect::<Vec<_>>()
        };
        assert_eq!(cut(80, 80), [(80, 0)]);
        assert_eq!(cut(0, 65535), [(0, 16)]);
        assert_eq!(cut(1, 7), [(1, 0), (2, 1), (4, 2)]);
        assert_eq!(cut(65534, 65535), [(65534, 1)]);
        assert_eq!(cut(1024, 65535).len(), 6);
    }
}
