//! What may pass between two parties, as a function of protocol and port, with the rules behind every part of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::RuleIndex;
use crate::ir::Protocol;
use crate::resolve::{AuthType, Ruleset};

/// A protocol with ports, or with ICMP types in their place. Sorted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// ICMP, by type.
    Icmp,
    /// ICMPv6, by type.
    Icmp6,
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// All that Cilium's policies know.
    pub const ALL: [Self; 5] = [Self::Icmp, Self::Icmp6, Self::Sctp, Self::Tcp, Self::Udp];
    /// Those that a NetworkPolicy knows.
    pub const WITH_PORTS: [Self; 3] = [Self::Sctp, Self::Tcp, Self::Udp];

    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Icmp6 => "ICMPv6",
            Self::Sctp => "SCTP",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The last port, or ICMP type.
    pub fn last(self) -> u16 {
        match self {
            Self::Icmp | Self::Icmp6 => 255,
            Self::Sctp | Self::Tcp | Self::Udp => u16::MAX,
        }
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

/// How what passes is treated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Treatment {
    /// What each proxy on the way is given; none is everything.
    pub l7: BTreeSet<Arc<Ruleset>>,
    /// Authentication that comes first.
    pub auth: BTreeSet<AuthType>,
}

/// What happens to flows, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// How they pass; `None` is dropped.
    pub passes: Option<Treatment>,
    /// The rules that decide: those that allow, deny or isolate. None where nothing is enforced.
    pub rules: BTreeSet<RuleIndex>,
}

impl Outcome {
    /// Everything that both ends let pass, or what one of them drops.
    pub fn both(&self, other: &Self) -> Self {
        match (&self.passes, &other.passes) {
            (Some(a), Some(b)) => Self {
                passes: Some(Treatment { l7: &a.l7 | &b.l7, auth: &a.auth | &b.auth }),
                rules: &self.rules | &other.rules,
            },
            (None, Some(_)) => self.clone(),
            (Some(_), None) => other.clone(),
            (None, None) => Self { passes: None, rules: &self.rules | &other.rules },
        }
    }

    /// What one of several members of a party may do.
    pub fn either(&self, other: &Self) -> Self {
        match (&self.passes, &other.passes) {
            (Some(_), None) => self.clone(),
            (None, Some(_)) => other.clone(),
            // Nothing asked for is the least of treatments, and the one that lets the most pass.
            (Some(a), Some(b)) => Self { passes: Some(a.min(b).clone()), rules: &self.rules | &other.rules },
            (None, None) => Self { passes: None, rules: &self.rules | &other.rules },
        }
    }
}

/// A run of ports with one outcome, inclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// First port, or ICMP type.
    pub first: u16,
    /// Last.
    pub last: u16,
    /// What happens there.
    pub outcome: Arc<Outcome>,
}

/// A run of ports on which two functions are constant: protocol, first and last port, and both outcomes.
pub type Piece<'a> = (Transport, u16, u16, &'a Arc<Outcome>, &'a Arc<Outcome>);

/// Outcomes of every port of some protocols.
///
/// **Invariant:** the segments of a protocol are sorted and cover each port once; neighbours differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(BTreeMap<Transport, Vec<Segment>>);

impl Ports {
    /// One outcome everywhere.
    pub fn all(transports: &[Transport], outcome: &Arc<Outcome>) -> Self {
        let whole = |&transport: &Transport| {
            (transport, vec![Segment { first: 0, last: transport.last(), outcome: outcome.clone() }])
        };
        Self(transports.iter().map(whole).collect())
    }

    /// From segments that are sorted and cover each protocol; equal neighbours are joined.
    pub fn from_segments(segments: impl IntoIterator<Item = (Transport, Segment)>) -> Self {
        let mut out: BTreeMap<Transport, Vec<Segment>> = BTreeMap::new();
        for (transport, segment) in segments {
            let list = out.entry(transport).or_default();
            match list.last_mut() {
                Some(last) if last.outcome == segment.outcome => last.last = segment.last,
                _ => list.push(segment),
            }
        }
        Self(out)
    }

    /// Cuts each protocol at the ports where ranges of it begin or end, and asks what happens in each piece.
    pub fn cut(
        transports: &[Transport],
        ranges: &[(Transport, u16, u16)],
        mut outcome: impl FnMut(Transport, u16) -> Arc<Outcome>,
    ) -> Self {
        let mut segments = Vec::new();
        for &transport in transports {
            let mut starts = BTreeSet::from([0]);
            for &(_, first, last) in ranges.iter().filter(|range| range.0 == transport) {
                starts.insert(first);
                starts.extend(last.checked_add(1).filter(|next| *next <= transport.last()));
            }
            let ends = starts.iter().skip(1).map(|next| next - 1).chain([transport.last()]);
            for (&first, last) in starts.iter().zip(ends) {
                segments.push((transport, Segment { first, last, outcome: outcome(transport, first) }));
            }
        }
        Self::from_segments(segments)
    }

    /// Every segment.
    pub fn segments(&self) -> impl Iterator<Item = (Transport, &Segment)> {
        self.0.iter().flat_map(|(&transport, list)| list.iter().map(move |segment| (transport, segment)))
    }

    /// Segments that pass.
    pub fn passing(&self) -> impl Iterator<Item = (Transport, &Segment, &Treatment)> {
        self.segments().filter_map(|(transport, segment)| {
            let treatment = segment.outcome.passes.as_ref()?;
            Some((transport, segment, treatment))
        })
    }

    /// Whether nothing passes.
    pub fn is_empty(&self) -> bool {
        self.passing().next().is_none()
    }

    /// Segments on which both are constant, with both outcomes. A protocol that only one of them has is left out.
    pub fn zip<'a>(&'a self, other: &'a Self) -> Vec<Piece<'a>> {
        let mut out = Vec::new();
        for (&transport, ours) in &self.0 {
            let theirs = other.0.get(&transport).map(Vec::as_slice).unwrap_or_default();
            let (mut i, mut j) = (0, 0);
            while let (Some(a), Some(b)) = (ours.get(i), theirs.get(j)) {
                out.push((transport, a.first.max(b.first), a.last.min(b.last), &a.outcome, &b.outcome));
                i += usize::from(a.last <= b.last);
                j += usize::from(b.last <= a.last);
            }
        }
        out
    }

    /// Likewise, where a protocol that one of them has not is all `absent` there.
    pub fn zip_all<'a>(&'a self, other: &'a Self, absent: &'a Arc<Outcome>) -> Vec<Piece<'a>> {
        let mut out = self.zip(other);
        let missing = |of: &Self, transport: Transport| !of.0.contains_key(&transport);
        let ours = self.segments().filter(|(transport, _)| missing(other, *transport));
        out.extend(ours.map(|(transport, s)| (transport, s.first, s.last, &s.outcome, absent)));
        let theirs = other.segments().filter(|(transport, _)| missing(self, *transport));
        out.extend(theirs.map(|(transport, s)| (transport, s.first, s.last, absent, &s.outcome)));
        out
    }

    /// Combines two point by point.
    pub fn combine(&self, other: &Self, how: impl Fn(&Outcome, &Outcome) -> Outcome) -> Self {
        Self::from_segments(self.zip(other).into_iter().map(|(transport, first, last, a, b)| {
            let outcome = if a == b { a.clone() } else { Arc::new(how(a, b)) };
            (transport, Segment { first, last, outcome })
        }))
    }

    /// Whether the same passes, and is treated alike, by whatever rules.
    pub fn lets_the_same_pass(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys()) && self.zip(other).iter().all(|(.., a, b)| a.passes == b.passes)
    }

    /// The ports that pass, by protocol, neighbours joined whatever their treatment. Port 0 is nobody's.
    pub fn passing_ranges(&self) -> BTreeMap<Transport, Vec<(u16, u16)>> {
        ranges(self.passing().map(|(transport, segment, _)| (transport, segment.first, segment.last)))
    }

    /// Whether every port of every protocol passes. Port 0 is nobody's.
    pub fn is_everything(&self) -> bool {
        let ranges = self.passing_ranges();
        self.0.keys().all(|transport| ranges.get(transport).is_some_and(|list| transport.is_whole(list)))
    }
}

/// Joins the two ends of pairs, each two of them once. The arguments are kept beside the result, so their addresses stay theirs.
#[derive(Debug, Default)]
pub struct Joiner(HashMap<(usize, usize), Joined>);

#[derive(Debug)]
struct Joined {
    both: Arc<Ports>,
    _ends: [Arc<Ports>; 2],
}

impl Joiner {
    /// What passes both ends.
    pub fn join(&mut self, a: Arc<Ports>, b: Arc<Ports>) -> Arc<Ports> {
        let key = (Arc::as_ptr(&a) as usize, Arc::as_ptr(&b) as usize);
        let entry = self.0.entry(key).or_insert_with(|| {
            let both = Arc::new(a.combine(&b, Outcome::both));
            Joined { both, _ends: [a, b] }
        });
        entry.both.clone()
    }
}

impl Transport {
    /// The lowest port that a flow can have; ICMP has a type 0.
    fn lowest(self) -> u16 {
        match self {
            Self::Icmp | Self::Icmp6 => 0,
            Self::Sctp | Self::Tcp | Self::Udp => 1,
        }
    }

    /// Whether these are all its ports.
    pub fn is_whole(self, ranges: &[(u16, u16)]) -> bool {
        ranges == [(self.lowest(), self.last())]
    }
}

/// Ranges by protocol, neighbours joined. Port 0 is nobody's and left out.
pub fn ranges(parts: impl IntoIterator<Item = (Transport, u16, u16)>) -> BTreeMap<Transport, Vec<(u16, u16)>> {
    let mut out: BTreeMap<Transport, Vec<(u16, u16)>> = BTreeMap::new();
    for (transport, first, last) in parts {
        let first = first.max(transport.lowest());
        if first > last {
            continue;
        }
        let list = out.entry(transport).or_default();
        match list.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => list.push((first, last)),
        }
    }
    out
}

/// `80,90-95`.
pub fn range_text(ranges: &[(u16, u16)]) -> String {
    let one = |&(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}
