//! Who may talk to whom, as nodes and cells: what `graph` draws.
//!
//! In: a [`Connectivity`], and perhaps an older one with what differs. Out: a [`Graph`], in which a function of protocol and
//! port stands once however many pairs have it; [`boxes`] makes few boxes of many nodes, [`layered`] gives them places.
//!
//! This module knows no words and no colours.

pub mod boxes;
pub mod layered;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::align::{self, Aligned};
use super::diff::{self, Row, Version};
use super::pairs::Pair;
use super::ports::Ports;
use super::{Connectivity, Party};
use crate::ir::labels::LabelSet;
use crate::ir::{Direction, NAMESPACE_KEY};

/// Position in [`Graph::functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionIndex(pub u32);

/// One end of flows, or several outside of the cluster that nothing tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// One workload, or parties that are none; never empty.
    pub parties: Vec<Party>,
    /// Labels of the workload's pods that policies see, those of its namespace aside.
    pub labels: BTreeMap<String, String>,
    /// Whether the input has it: the old one alone may.
    pub is_present: bool,
}

impl Node {
    /// Whether it is made of pods.
    pub fn is_workload(&self) -> bool {
        self.parties.iter().any(Party::is_workload)
    }

    /// Namespace of a workload.
    pub fn namespace(&self) -> Option<&str> {
        match self.parties.first() {
            Some(Party::Workload { namespace, .. }) => Some(namespace),
            Some(Party::Entity(_) | Party::Range(..) | Party::Net(_) | Party::Names { .. }) | None => None,
        }
    }
}

/// What passes between two nodes.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// What both ends let pass.
    pub pair: &'a Pair,
    /// What the source's end lets pass; none where it is no workload. Where the ends are not known apart, both are the same.
    pub egress: Option<FunctionIndex>,
    /// What the destination's end lets pass, likewise.
    pub ingress: Option<FunctionIndex>,
}

/// Who may talk to whom.
#[derive(Debug, Clone)]
pub struct Graph<'a> {
    /// Workloads by namespace and name, then the others.
    pub nodes: Vec<Node>,
    /// Every function of an end, once.
    pub functions: Vec<&'a Ports>,
    /// What differs from the older version; empty without one.
    pub rows: Vec<Row<'a>>,
    /// Source by source.
    cells: Vec<Option<Cell<'a>>>,
    /// Position of the row that is about a pair of nodes.
    changes: HashMap<(usize, usize), usize>,
}

impl<'a> Graph<'a> {
    /// The graph of one version, with what differs from an older one.
    pub fn new(new: Version<'a>, old: Option<Version<'a>>) -> Self {
        let ends = Ends::new(old.map_or(new.connectivity, |old| old.connectivity), new.connectivity);
        let mut functions = Functions::default();
        let rows = old.map(|old| diff::diff(old, new).rows).unwrap_or_default();
        let changes = changes(&rows, &ends.parties);
        let count = ends.parties.len();
        let cells = (0..count * count)
            .map(|at| {
                let (source, destination) = (&ends.parties[at / count], &ends.parties[at % count]);
                let pair = new.connectivity.pairs.get(source.new?)?.get(destination.new?)?;
                Some(functions.cell(pair, source.party.is_workload(), destination.party.is_workload()))
            })
            .collect();
        let whole = Self { nodes: ends.nodes(new.connectivity, old), functions: functions.all, rows, cells, changes };
        whole.merge_others()
    }

    /// What passes from one node to another; nothing where no flow is between them, as between two that are no workloads.
    pub fn cell(&self, source: usize, destination: usize) -> Option<Cell<'a>> {
        *self.cells.get(source * self.nodes.len() + destination)?
    }

    /// A function.
    pub fn ports(&self, function: FunctionIndex) -> Option<&'a Ports> {
        self.functions.get(function.0 as usize).copied()
    }

    /// Position in [`Graph::rows`] of what differs between two nodes.
    pub fn change(&self, source: usize, destination: usize) -> Option<usize> {
        self.changes.get(&(source, destination)).copied()
    }

    /// Pairs of nodes between which something passes or differs, by source and destination.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let count = self.nodes.len();
        let pairs = (0..count).flat_map(move |source| (0..count).map(move |destination| (source, destination)));
        pairs.filter(|&(source, destination)| {
            let passes = self.cell(source, destination).is_some_and(|cell| !cell.pair.is_empty());
            passes || self.change(source, destination).is_some()
        })
    }

    /// Those that are no workloads share a node where everything is the same for them.
    fn merge_others(self) -> Self {
        let mut kept: Vec<usize> = Vec::new();
        let mut members: Vec<Vec<Party>> = Vec::new();
        let mut known: HashMap<Vec<_>, usize> = HashMap::new();
        let workloads: Vec<usize> = (0..self.nodes.len()).filter(|&n| self.nodes[n].is_workload()).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            let signature = workloads.iter().flat_map(|&w| [(n, w), (w, n)]);
            let signature = signature.map(|(s, d)| {
                let ends = self.cell(s, d).map(|cell| [cell.egress, cell.ingress]);
                (ends, self.change(s, d), node.is_present)
            });
            let at = match node.is_workload() {
                true => kept.len(),
                false => *known.entry(signature.collect()).or_insert(kept.len()),
            };
            if at == kept.len() {
                kept.push(n);
                members.push(Vec::new());
            }
            members[at].extend(node.parties.iter().cloned());
        }
        let cells =
            kept.iter().flat_map(|&s| kept.iter().map(move |&d| (s, d))).map(|(s, d)| self.cell(s, d)).collect();
        let place: HashMap<usize, usize> = kept.iter().enumerate().map(|(at, &n)| (n, at)).collect();
        let changes = self.changes.iter().filter_map(|((s, d), row)| Some(((*place.get(s)?, *place.get(d)?), *row)));
        let changes = changes.collect();
        let nodes = kept.iter().zip(members).map(|(&n, parties)| Node { parties, ..self.nodes[n].clone() }).collect();
        Self { nodes, cells, changes, ..self }
    }
}

/// Every party that is an end of flows in one of the versions.
struct Ends<'a> {
    parties: Vec<Aligned<'a>>,
}

impl<'a> Ends<'a> {
    fn new(old: &'a Connectivity, new: &'a Connectivity) -> Self {
        let mut parties = align::workloads(old, new);
        let mut others: BTreeMap<Party, Aligned<'a>> = BTreeMap::new();
        for direction in Direction::ALL {
            for other in align::others(old, new, direction) {
                others.entry(other.party.clone()).or_insert(other);
            }
        }
        parties.extend(others.into_values());
        Self { parties }
    }

    fn nodes(&self, new: &Connectivity, old: Option<Version<'_>>) -> Vec<Node> {
        let labels = |party| new.labels.get(party).or_else(|| old?.connectivity.labels.get(party));
        let nodes = self.parties.iter().map(|end| Node {
            parties: vec![end.party.clone()],
            labels: labels(&end.party).map(own_labels).unwrap_or_default(),
            is_present: end.new.is_some(),
        });
        nodes.collect()
    }
}

/// What Cilium derives begins with this.
const DERIVED: &str = "io.cilium.";

fn own_labels(labels: &LabelSet) -> BTreeMap<String, String> {
    let own = labels
        .iter()
        .filter(|label| label.source == "k8s" && label.key != NAMESPACE_KEY && !label.key.starts_with(DERIVED));
    own.map(|label| (label.key.clone(), label.value.clone())).collect()
}

/// Functions by their position.
#[derive(Default)]
struct Functions<'a> {
    all: Vec<&'a Ports>,
    by_value: HashMap<&'a Ports, FunctionIndex>,
    by_address: HashMap<*const Ports, FunctionIndex>,
}

impl<'a> Functions<'a> {
    fn cell(&mut self, pair: &'a Pair, from_workload: bool, to_workload: bool) -> Cell<'a> {
        let [egress, ingress] = pair.ends().map(|ports| self.index(ports));
        Cell { pair, egress: from_workload.then_some(egress), ingress: to_workload.then_some(ingress) }
    }

    /// Most functions of ends come again at the same address; equal ones elsewhere are found by value.
    fn index(&mut self, ports: &'a Arc<Ports>) -> FunctionIndex {
        let (all, by_value) = (&mut self.all, &mut self.by_value);
        *self.by_address.entry(Arc::as_ptr(ports)).or_insert_with(|| {
            *by_value.entry(ports).or_insert_with(|| {
                all.push(ports);
                FunctionIndex(all.len() as u32 - 1)
            })
        })
    }
}

/// Which row is about which pair. Rows may join ranges that parties are parts of.
fn changes(rows: &[Row<'_>], parties: &[Aligned<'_>]) -> HashMap<(usize, usize), usize> {
    let by_party: HashMap<&Party, usize> = parties.iter().enumerate().map(|(n, end)| (&end.party, n)).collect();
    let places = |party: &Party| -> Vec<usize> {
        let Party::Range(first, last) = party else { return by_party.get(party).copied().into_iter().collect() };
        let inside = |end: &Aligned<'_>| matches!(&end.party, Party::Range(a, b) if first <= a && b <= last);
        (0..parties.len()).filter(|&n| inside(&parties[n])).collect()
    };
    let mut out = HashMap::new();
    for (n, row) in rows.iter().enumerate() {
        let destinations: Vec<usize> = row.destinations.iter().flat_map(places).collect();
        for source in row.sources.iter().flat_map(places) {
            out.extend(destinations.iter().map(|&destination| ((source, destination), n)));
        }
    }
    out
}
