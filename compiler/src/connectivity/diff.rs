//! What was gained and what was lost between two versions, grouped, with the rules that were edited.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::align;
use super::edits::Edits;
pub use super::edits::{Edit, Version};
use super::ports::{self, Outcome, Ports, Transport, Treatment};
use super::requests::{More, Requests};
use super::selection::Selections;
use super::{Party, RuleRef};
use crate::diag::ObjectRef;
use crate::ir::Direction;

/// What kind of difference a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// More may pass.
    Widened,
    /// Less may pass.
    Narrowed,
    /// Some of both.
    Changed,
    /// Other requests than before on ports that pass in both.
    L7,
    /// One of the ends was not there before, or no longer is.
    WorkloadOnly,
}

impl Class {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Changed => "changed",
            Self::L7 => "l7-changed",
            Self::WorkloadOnly => "workload-only",
        }
    }
}

/// One difference, the same for all its sources and destinations.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// What kind.
    pub class: Class,
    /// Sources, sorted.
    pub sources: Vec<Party>,
    /// Destinations, sorted.
    pub destinations: Vec<Party>,
    /// An expression that selects the workloads among the sources and no other, where there is a short one.
    pub source_selector: Option<String>,
    /// Likewise of the destinations.
    pub destination_selector: Option<String>,
    /// What only the new version lets pass, or lets pass more of.
    pub gained: Vec<Part>,
    /// What only the old version let pass, or let pass more of.
    pub lost: Vec<Part>,
    /// A flow for the first part that was gained, else lost.
    pub witness: Option<Witness>,
    /// The rules behind it, those that were edited where there are any.
    pub causes: Vec<Cause<'a>>,
}

/// Some ports of one protocol that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Protocol.
    pub transport: Transport,
    /// Ports, or ICMP types, inclusive.
    pub ranges: Vec<(u16, u16)>,
    /// How they pass in the version that lets them.
    pub treatment: Treatment,
    /// How they pass in the other, if they do.
    pub instead_of: Option<Treatment>,
    /// Where they pass in both: a request that makes the difference, or why nobody can tell.
    pub request: More,
}

/// One flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// From.
    pub source: Party,
    /// To.
    pub destination: Party,
    /// An address of the end that is known by address.
    pub address: Option<IpAddr>,
    /// Protocol.
    pub transport: Transport,
    /// Destination port, or ICMP type.
    pub port: u16,
    /// A request, where the port passes in both versions.
    pub request: Option<String>,
}

/// A rule behind a difference.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The rule.
    pub rule: &'a RuleRef,
    /// Whether the new version has it: its place is in those files then.
    pub is_new: bool,
    /// What happened to it.
    pub edit: Edit,
}

/// The rules of both versions behind a difference: (rule, is new).
type Behind = BTreeSet<(super::RuleIndex, bool)>;

/// What differs for one pair, as a row shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    class: Class,
    gained: Vec<Part>,
    lost: Vec<Part>,
    /// The rules behind it that were edited.
    edited: Behind,
}

/// The same with all rules behind it, in which pairs of one row differ.
#[derive(Debug, Clone)]
struct Difference {
    seen: Arc<Seen>,
    behind: Arc<Behind>,
}

/// Sources and destinations of a row.
type Ends = (Vec<Party>, Vec<Party>);

/// What differs between two versions.
#[derive(Debug, Clone)]
pub struct Diff<'a> {
    /// By class and then by source.
    pub rows: Vec<Row<'a>>,
    /// One rule of each policy that was edited and is behind no row.
    pub without_effect: Vec<Cause<'a>>,
    /// One rule of each host policy that was edited: what that changes is not compared.
    pub of_hosts: Vec<Cause<'a>>,
}

/// Compares two versions.
pub fn diff<'a>(old: Version<'a>, new: Version<'a>) -> Diff<'a> {
    let edits = Edits::new(old, new);
    let mut requests = Requests::default();
    let differ = |before: Option<&Ports>, after: Option<&Ports>| difference(before, after, &edits, &mut requests);
    let differing = align::pairs(old.connectivity, new.connectivity, differ);
    let behind = differing.iter().map(|(.., difference)| &*difference.behind);
    let (of_hosts, without_effect) =
        without_row(&edits, behind).into_iter().partition(|cause: &Cause<'_>| cause.rule.of_hosts);
    let differing = align::merge_ranges(differing, |a, b| a.seen == b.seen);
    let selections = Selections::new(old.connectivity.labels.iter().chain(&new.connectivity.labels));
    let mut rows: Vec<Row<'a>> = group(differing)
        .into_iter()
        .map(|(seen, (sources, destinations), behind)| Row {
            class: seen.class,
            witness: witness(old, new, &sources, &destinations, &seen),
            causes: causes(&edits, &behind),
            source_selector: selections.expression(&sources),
            destination_selector: selections.expression(&destinations),
            sources,
            destinations,
            gained: seen.gained.clone(),
            lost: seen.lost.clone(),
        })
        .collect();
    rows.sort_by(|a, b| (a.class, &a.sources, &a.destinations).cmp(&(b.class, &b.sources, &b.destinations)));
    Diff { rows, without_effect, of_hosts }
}

/// One rule of each policy that was edited and is behind no row; of a host policy that acts in one version alone, the rule
/// of that version.
fn without_row<'a, 'd>(edits: &Edits<'a>, behind: impl Iterator<Item = &'d Behind>) -> Vec<Cause<'a>> {
    let effective: Behind = behind.flatten().copied().collect();
    let effective: BTreeSet<&ObjectRef> =
        effective.iter().filter_map(|&(index, is_new)| edits.of(index, is_new)).map(|(rule, _)| &rule.object).collect();
    let mut out: BTreeMap<&ObjectRef, Cause<'a>> = BTreeMap::new();
    for (rule, edit, is_new) in edits.all() {
        if !matches!(edit, Edit::Kept | Edit::Unknown) && !effective.contains(&rule.object) {
            let cause = Cause { rule, is_new, edit };
            let known = out.entry(&rule.object).or_insert(cause);
            if rule.of_hosts || !known.rule.of_hosts {
                *known = cause;
            }
        }
    }
    out.into_values().collect()
}

fn difference(
    old: Option<&Ports>,
    new: Option<&Ports>,
    edits: &Edits<'_>,
    requests: &mut Requests,
) -> Option<Difference> {
    let mut behind = Behind::new();
    let mut gained = BTreeMap::new();
    let mut lost = BTreeMap::new();
    let nothing = Arc::new(Outcome { passes: None, rules: BTreeSet::new() });
    let flows: Vec<_> = match (old, new) {
        (Some(old), Some(new)) => old.zip_all(new, &nothing),
        (Some(old), None) => old.segments().map(|(t, s)| (t, s.first, s.last, &s.outcome, &nothing)).collect(),
        (None, Some(new)) => new.segments().map(|(t, s)| (t, s.first, s.last, &nothing, &s.outcome)).collect(),
        (None, None) => Vec::new(),
    };
    for (transport, first, last, before, after) in flows {
        let [more, less] = beyond(after, before, requests);
        for (beyond, side, having, other) in [(more, &mut gained, after, before), (less, &mut lost, before, after)] {
            if let (Some(request), Some(treatment)) = (beyond, &having.passes) {
                let key = (transport, treatment.clone(), other.passes.clone(), request);
                side.entry(key).or_insert_with(Vec::new).push((transport, first, last));
                behind.extend(before.rules.iter().map(|rule| (*rule, false)));
                behind.extend(after.rules.iter().map(|rule| (*rule, true)));
            }
        }
    }
    let (gained, lost) = (parts(gained), parts(lost));
    let class = match (old, new, gained.is_empty(), lost.is_empty()) {
        (_, _, true, true) => return None,
        (None, ..) | (_, None, ..) => Class::WorkloadOnly,
        (Some(_), Some(_), false, true) => Class::Widened,
        (Some(_), Some(_), true, false) => Class::Narrowed,
        (Some(_), Some(_), false, false) if gained.iter().chain(&lost).all(|part| part.instead_of.is_some()) => {
            Class::L7
        }
        (Some(_), Some(_), false, false) => Class::Changed,
    };
    let edited = edited(edits, &behind);
    Some(Difference { seen: Arc::new(Seen { class, gained, lost, edited }), behind: Arc::new(behind) })
}

/// Ranges of a protocol, by how they pass in one version and in the other.
type ByTreatment = BTreeMap<(Transport, Treatment, Option<Treatment>, More), Vec<(Transport, u16, u16)>>;

fn parts(by_treatment: ByTreatment) -> Vec<Part> {
    let parts = by_treatment.into_iter().flat_map(|((_, treatment, instead_of, request), pieces)| {
        let of_transport = ports::ranges(pieces).into_iter();
        of_transport.map(move |(transport, ranges)| Part {
            transport,
            ranges,
            treatment: treatment.clone(),
            instead_of: instead_of.clone(),
            request: request.clone(),
        })
    });
    parts.collect()
}

/// What the first lets pass and the second does not, then the other way round; `None` is nothing.
fn beyond(one: &Outcome, other: &Outcome, requests: &mut Requests) -> [Option<More>; 2] {
    match (&one.passes, &other.passes) {
        (None, None) => [None, None],
        (Some(_), None) => [Some(More::Nothing), None],
        (None, Some(_)) => [None, Some(More::Nothing)],
        (Some(one), Some(other)) => {
            let [more, less] = requests.compare(one, other);
            // A handshake that only one of them asks for is one that not everybody can make.
            let freer = |this: &Treatment, that: &Treatment| !this.auth.is_superset(&that.auth);
            let told = |more, freer| (more != More::Nothing || freer).then_some(more);
            [told(more, freer(one, other)), told(less, freer(other, one))]
        }
    }
}

/// The edited rules: those that differ, else those whose policy does, else none.
fn edited(edits: &Edits<'_>, behind: &Behind) -> Behind {
    let edit = |&(index, is_new): &(super::RuleIndex, bool)| edits.of(index, is_new).map(|(_, edit)| edit);
    let of = |wanted: fn(Edit) -> bool| -> Behind {
        behind.iter().filter(|rule| edit(rule).is_some_and(wanted)).copied().collect()
    };
    let differing = of(|edit| edit <= Edit::Changed);
    if differing.is_empty() { of(|edit| edit == Edit::Moved) } else { differing }
}

/// Pairs in which the same is seen become one row: first the sources of a destination, then destinations with the same
/// sources. All rules behind them are behind the row.
fn group(pairs: Vec<(Party, Party, Difference)>) -> Vec<(Arc<Seen>, Ends, Behind)> {
    type Sources = (Vec<Party>, BTreeSet<Arc<Behind>>);
    let mut sources: BTreeMap<(Party, Arc<Seen>), Sources> = BTreeMap::new();
    for (source, destination, Difference { seen, behind }) in pairs {
        let entry = sources.entry((destination, seen)).or_default();
        entry.0.push(source);
        entry.1.insert(behind);
    }
    let mut destinations: BTreeMap<(Vec<Party>, Arc<Seen>), Sources> = BTreeMap::new();
    for ((destination, seen), (mut sources, behind)) in sources {
        sources.sort();
        let entry = destinations.entry((sources, seen)).or_default();
        entry.0.push(destination);
        entry.1.extend(behind);
    }
    let rows = destinations.into_iter().map(|((sources, seen), (destinations, behind))| {
        let behind = behind.iter().flat_map(|behind| behind.iter().copied()).collect();
        (seen, (sources, destinations), behind)
    });
    rows.collect()
}

/// The rules that were edited; where none was, labels or addresses were, and all rules are named.
fn causes<'a>(edits: &Edits<'a>, behind: &Behind) -> Vec<Cause<'a>> {
    let all = behind.iter().filter_map(|&(index, is_new)| {
        let (rule, edit) = edits.of(index, is_new)?;
        Some(Cause { rule, is_new, edit })
    });
    let all: Vec<Cause<'a>> = all.collect();
    let places: BTreeSet<(&ObjectRef, &str)> =
        all.iter().filter(|cause| cause.is_new).map(|cause| (&cause.rule.object, cause.rule.path.as_str())).collect();
    let is_twice = |cause: &Cause<'_>| {
        let place = (&cause.rule.object, cause.rule.path.as_str());
        cause.edit == Edit::Changed && !cause.is_new && places.contains(&place)
    };
    let best = all.iter().map(|cause| cause.edit).min();
    // What stands in both versions is named once, where it stands now.
    let is_now = all.iter().any(|cause| cause.is_new);
    let is_cause = |cause: &Cause<'_>| match best {
        Some(Edit::Added | Edit::Removed | Edit::Changed) => cause.edit <= Edit::Changed && !is_twice(cause),
        Some(Edit::Unknown | Edit::Moved | Edit::Kept) | None => Some(cause.edit) == best && cause.is_new == is_now,
    };
    all.into_iter().filter(is_cause).collect()
}

/// The party that says most to readers: pods, then addresses and names.
fn telling(parties: &[Party]) -> Option<&Party> {
    parties.iter().min_by_key(|party| match party {
        Party::Workload { .. } => 0,
        Party::Net(_) | Party::Range(..) | Party::Names { .. } => 1,
        Party::Entity(_) => 2,
    })
}

fn witness(
    old: Version<'_>,
    new: Version<'_>,
    sources: &[Party],
    destinations: &[Party],
    seen: &Seen,
) -> Option<Witness> {
    let (version, parts) = if seen.gained.is_empty() { (old, &seen.lost) } else { (new, &seen.gained) };
    // A port says more to most readers than a type of ICMP.
    let part = parts.iter().find(|part| part.transport == Transport::Tcp).or(parts.first())?;
    let (source, destination) = (telling(sources)?.clone(), telling(destinations)?.clone());
    let example = |party: &Party, direction| align::example(version.connectivity.outside(direction), party);
    let address = example(&source, Direction::Ingress).or_else(|| example(&destination, Direction::Egress));
    let request = match &part.request {
        More::Request(request) => Some(request.clone()),
        More::Nothing | More::Unknown(_) => None,
    };
    Some(Witness { source, destination, address, transport: part.transport, port: part.ranges.first()?.0, request })
}
