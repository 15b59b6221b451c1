//! Words at nodes and edges.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use super::super::{connections, diff};
use crate::connectivity::Party;
use crate::connectivity::diff::{Class, Row};
use crate::connectivity::graph::boxes::{Edge, Said};
use crate::connectivity::graph::{Graph, Node};
use crate::connectivity::pairs::PairKey;
use crate::connectivity::ports::{Ports, Treatment};

/// Names of the parties of a node that stand in its title.
const PARTIES_MAX: usize = 2;

/// Texts of pairs and differences, each written once: of pairs when they are asked for.
pub struct Words {
    pairs: RefCell<HashMap<PairKey, String>>,
    changes: Vec<String>,
}

impl Words {
    /// Writes them.
    pub fn new(graph: &Graph<'_>) -> Self {
        Self { pairs: RefCell::default(), changes: graph.rows.iter().map(change).collect() }
    }

    /// What stands at the edge between two nodes, if there is one.
    pub fn said(&self, graph: &Graph<'_>, from: usize, to: usize) -> Option<Said> {
        let mut pairs = self.pairs.borrow_mut();
        let passing = graph
            .cell(from, to)
            .map(|cell| &*pairs.entry(cell.pair.key()).or_insert_with(|| passing(cell.pair.ports())));
        let row = graph.change(from, to);
        let texts = passing.into_iter().chain(row.and_then(|row| self.changes.get(row)));
        let texts: Vec<&str> = texts.map(String::as_str).filter(|text| !text.is_empty()).collect();
        let change = row.and_then(|row| graph.rows.get(row)).map(|row| row.class);
        (!texts.is_empty()).then(|| Said { text: texts.join("  "), change })
    }
}

/// `TCP 80,90-95 · UDP 53`, with marks for proxies and handshakes; empty where nothing passes.
fn passing(ports: &Ports) -> String {
    let plain = Treatment::default();
    if ports.is_everything() && ports.passing().all(|(_, _, treatment)| *treatment == plain) {
        return "any".into();
    }
    let mut parts: BTreeMap<_, Vec<(u16, u16)>> = BTreeMap::new();
    for entry in connections::entries(ports) {
        let marks = (!entry.treatment.l7.is_empty(), !entry.treatment.auth.is_empty());
        parts.entry((entry.transport, marks)).or_default().extend(entry.ranges);
    }
    let parts = parts.into_iter().map(|((transport, (l7, auth)), mut ranges)| {
        ranges.sort_unstable();
        let words = match transport {
            None => "any".into(),
            Some(transport) => format!("{} {}", transport.name(), connections::port_words(transport, &joined(&ranges))),
        };
        format!("{words}{}{}", if l7 { " L7" } else { "" }, if auth { " auth" } else { "" })
    });
    parts.collect::<Vec<_>>().join(" · ")
}

/// Neighbours as one.
fn joined(ranges: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut out: Vec<(u16, u16)> = Vec::new();
    for &(first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => out.push((first, last)),
        }
    }
    out
}

/// `+TCP 81-90 −UDP 53`.
fn change(row: &Row<'_>) -> String {
    let signed = |sign: &str, parts| diff::parts(parts).map(|part| format!("{sign}{part}")).collect::<Vec<_>>();
    [signed("+", &row.gained), signed("−", &row.lost)].concat().join(" ")
}

/// A short name: without namespace and kind for a workload.
pub fn title(node: &Node) -> String {
    let name = |party: &Party| match party {
        Party::Workload { name, .. } => name.clone(),
        Party::Entity(_) | Party::Range(..) | Party::Net(_) | Party::Names { .. } => party.to_string(),
    };
    let names: Vec<String> = by_width(node).into_iter().take(PARTIES_MAX).map(name).collect();
    let more = node.parties.len().saturating_sub(PARTIES_MAX);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Every party of a node, as `trace` names them.
pub fn names(node: &Node) -> String {
    by_width(node).into_iter().map(connections::party).collect::<Vec<_>>().join(", ")
}

/// The widest prefixes first, since they say most; then what has a word.
fn by_width(node: &Node) -> Vec<&Party> {
    let mut parties: Vec<&Party> = node.parties.iter().collect();
    parties.sort_by_key(|party| match party {
        Party::Net(net) => (0, net.prefix_len()),
        Party::Workload { .. } | Party::Entity(_) | Party::Range(..) | Party::Names { .. } => (1, 0),
    });
    parties
}

/// What stands at an edge, in lines; what would be one line too many is counted.
pub fn lines(edge: &Edge, max: usize) -> Vec<String> {
    let mut lines: Vec<String> = edge.said.iter().map(|said| said.text.clone()).collect();
    if lines.len() > max {
        let more = lines.len() + 1 - max;
        lines.truncate(max - 1);
        lines.push(format!("+{more} more"));
    }
    lines
}

/// How the pairs of an edge differ from the older version: in one way, or in several.
pub fn change_of(edge: &Edge) -> Option<Class> {
    let mut classes = edge.said.iter().filter_map(|said| said.change);
    let first = classes.next()?;
    Some(if classes.all(|class| class == first) { first } else { Class::Changed })
}

/// Shortened to so many characters.
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.into();
    }
    let head: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}
