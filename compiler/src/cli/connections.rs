//! Words of `list`, `diff` and `graph` for parties, ports and what proxies do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{l7, report};
use crate::connectivity::ports::{self, Ports, Transport, Treatment, range_text};
use crate::connectivity::{Connectivity, Party, RuleIndex, RuleRef};
use crate::source::SourceMap;

/// As `trace` names endpoints: `namespace/name` of a pod, `kind/namespace/name` of what makes pods.
pub fn party(party: &Party) -> String {
    match party {
        Party::Workload { namespace, name, kind } if kind == "Pod" => format!("{namespace}/{name}"),
        Party::Workload { namespace, name, kind } => format!("{}/{namespace}/{name}", kind.to_ascii_lowercase()),
        Party::Entity(_) | Party::Range(..) | Party::Net(_) | Party::Names { .. } => party.to_string(),
    }
}

/// All who are no workloads, in one word.
pub const OUTSIDE: &str = "all but workloads";

/// What says most comes first: pods, addresses, names, and then what has a word of its own.
pub fn rank(party: &Party) -> usize {
    match party {
        Party::Workload { .. } => 0,
        Party::Net(_) | Party::Range(..) => 1,
        Party::Names { .. } => 2,
        Party::Entity(_) => 3,
    }
}

/// Several, separated by commas.
pub fn parties(parties: &[Party]) -> String {
    parties.iter().map(party).collect::<Vec<_>>().join(",")
}

/// The same as JSON.
pub fn party_json(party: &Party) -> Value {
    match party {
        Party::Workload { namespace, name, kind } => json!({ "kind": kind, "namespace": namespace, "name": name }),
        Party::Entity(word) => json!({ "entity": word }),
        Party::Range(first, last) => json!({ "range": [first.to_string(), last.to_string()] }),
        Party::Net(net) => json!({ "cidr": net.to_string() }),
        Party::Names { names, example } => json!({ "fqdn": names, "example": example }),
    }
}

/// Ports that are treated alike because of the same rules.
pub struct Entry<'a> {
    /// Protocol; none is every protocol, with all its ports.
    pub transport: Option<Transport>,
    /// Ports, or ICMP types, inclusive.
    pub ranges: Vec<(u16, u16)>,
    /// How they pass.
    pub treatment: &'a Treatment,
    /// Why.
    pub rules: &'a BTreeSet<RuleIndex>,
}

/// What passes, entry by entry.
pub fn entries(ports: &Ports) -> Vec<Entry<'_>> {
    let mut groups: BTreeMap<_, Vec<(Transport, u16, u16)>> = BTreeMap::new();
    for (transport, segment, treatment) in ports.passing() {
        let pieces = groups.entry((transport, treatment, &segment.outcome.rules)).or_default();
        pieces.push((transport, segment.first, segment.last));
    }
    let entries = groups.into_iter().flat_map(|((_, treatment, rules), pieces)| {
        let of_transport = ports::ranges(pieces).into_iter();
        of_transport.map(move |(transport, ranges)| Entry { transport: Some(transport), ranges, treatment, rules })
    });
    let entries: Vec<Entry<'_>> = entries.collect();
    match entries.as_slice() {
        [first, rest @ ..]
            if ports.is_everything()
                && rest.iter().all(|e| e.treatment == first.treatment && e.rules == first.rules) =>
        {
            vec![Entry { transport: None, ranges: Vec::new(), treatment: first.treatment, rules: first.rules }]
        }
        _ => entries,
    }
}

/// The same as JSON.
pub fn entries_json(sources: &SourceMap, connectivity: &Connectivity, ports: &Ports) -> Vec<Value> {
    let entries = entries(ports).into_iter().map(|entry| {
        let rules = rules(connectivity, entry.rules);
        let (l7, auth) = treatment_json(entry.treatment);
        json!({
            "protocol": entry.transport.map(|transport| transport.name()), "ports": entry.ranges,
            "l7": l7, "auth": auth,
            "rules": rules.iter().map(|rule| rule_json(sources, rule)).collect::<Vec<_>>(),
        })
    });
    entries.collect()
}

impl Entry<'_> {
    /// The protocol and its ports.
    pub fn words(&self) -> [String; 2] {
        match self.transport {
            None => ["any".into(), "any".into()],
            Some(transport) => [transport.name().into(), port_words(transport, &self.ranges)],
        }
    }
}

/// `any`, or `80,90-95`.
pub fn port_words(transport: Transport, ranges: &[(u16, u16)]) -> String {
    if transport.is_whole(ranges) { "any".into() } else { range_text(ranges) }
}

/// What proxies let pass and which handshakes come first; `-` for neither.
pub fn treatment(treatment: &Treatment) -> String {
    let proxies = treatment.l7.iter().map(|ruleset| l7::text(ruleset));
    let auth = treatment.auth.iter().filter_map(|auth| auth.word()).map(|word| format!("auth {word}"));
    let words: Vec<String> = proxies.chain(auth).collect();
    if words.is_empty() { "-".into() } else { words.join("; ") }
}

/// Likewise as JSON: lists.
pub fn treatment_json(treatment: &Treatment) -> (Vec<String>, Vec<&'static str>) {
    let proxies = treatment.l7.iter().map(|ruleset| l7::text(ruleset)).collect();
    (proxies, treatment.auth.iter().filter_map(|auth| auth.word()).collect())
}

/// Rules by position, those that there are.
pub fn rules<'a>(connectivity: &'a Connectivity, indices: &BTreeSet<RuleIndex>) -> Vec<&'a RuleRef> {
    indices.iter().filter_map(|index| connectivity.rule(*index)).collect()
}

/// `file:line` of each, or `-`.
pub fn via(sources: &SourceMap, rules: &[&RuleRef]) -> String {
    let places: BTreeSet<String> = rules.iter().map(|rule| report::file_line(sources, rule.span)).collect();
    if places.is_empty() { "-".into() } else { places.into_iter().collect::<Vec<_>>().join(",") }
}

/// A rule as JSON.
pub fn rule_json(sources: &SourceMap, rule: &RuleRef) -> Value {
    report::place_json(sources, &rule.object, &rule.path, rule.span)
}

/// Widest column of a table, in characters: a longer cell pushes what follows it.
const COLUMN_MAX: usize = 64;

/// Columns as wide as their widest cell that is not too long.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.filter(|width| *width <= COLUMN_MAX).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
