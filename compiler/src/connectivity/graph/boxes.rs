//! Few boxes for many nodes: workloads of a namespace that may do the same, or whole namespaces.

use std::collections::{BTreeMap, BTreeSet};

use super::Graph;
use crate::connectivity::Party;
use crate::connectivity::diff::Class;

/// What becomes a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Workloads of one namespace that may do the same.
    Workloads,
    /// A namespace; what is outside of the cluster by its kind.
    Namespaces,
}

/// What is written at an edge. Two nodes are alike when the same is written at theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    /// Protocols and ports.
    pub text: String,
    /// How it differs from the older version.
    pub change: Option<Class>,
}

/// Nodes that are drawn as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBox {
    /// Positions in [`Graph::nodes`], sorted; never empty.
    pub nodes: Vec<usize>,
}

/// An edge between two boxes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Position of the source's box.
    pub from: usize,
    /// Position of the destination's box.
    pub to: usize,
    /// What is written at it; of several pairs of nodes, everything that differs.
    pub said: BTreeSet<Said>,
    /// For how many pairs of nodes it stands.
    pub pairs: usize,
}

/// Boxes by their first node, and their edges by source and destination. `say` tells what is written at a pair of nodes.
pub fn boxes(
    graph: &Graph<'_>,
    grouping: Grouping,
    say: impl Fn(usize, usize) -> Option<Said>,
) -> (Vec<NodeBox>, Vec<Edge>) {
    let said: BTreeMap<(usize, usize), Said> =
        graph.edges().filter_map(|(from, to)| Some(((from, to), say(from, to)?))).collect();
    let boxes = match grouping {
        Grouping::Workloads => alike(graph, &said),
        Grouping::Namespaces => by_namespace(graph, &said),
    };
    let mut place = vec![0; graph.nodes.len()];
    for (n, node_box) in boxes.iter().enumerate() {
        node_box.nodes.iter().for_each(|&node| place[node] = n);
    }
    let mut edges: BTreeMap<(usize, usize), (BTreeSet<Said>, usize)> = BTreeMap::new();
    for ((from, to), said) in said {
        let (all, pairs) = edges.entry((place[from], place[to])).or_default();
        all.insert(said);
        *pairs += 1;
    }
    let edges = edges.into_iter().map(|((from, to), (said, pairs))| Edge { from, to, said, pairs });
    (boxes, edges.collect())
}

/// Edges that every workload has alike, from or to one box outside of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Position of the box outside.
    pub outside: usize,
    /// Whether it is the source.
    pub is_source: bool,
    /// What each of the edges says.
    pub said: Said,
}

/// Boxes inside of the cluster from which on common edges are worth a word of their own.
const COMMON_MIN: usize = 3;

/// Parts edges that say something of one pair of boxes from those that all workloads have alike.
pub fn part_common(graph: &Graph<'_>, boxes: &[NodeBox], edges: Vec<Edge>) -> (Vec<Edge>, Vec<Common>) {
    let is_inside = |n: &usize| boxes[*n].nodes.iter().any(|&node| graph.nodes[node].is_workload());
    let present = |n: &usize| boxes[*n].nodes.iter().filter(|&&node| graph.nodes[node].is_present).count();
    let inside: Vec<usize> = (0..boxes.len()).filter(|n| is_inside(n) && present(n) > 0).collect();
    let workloads: usize = inside.iter().map(present).sum();
    let mut common = Vec::new();
    for outside in (0..boxes.len()).filter(|n| !is_inside(n) && inside.len() >= COMMON_MIN) {
        for is_source in [true, false] {
            let own = |edge: &&Edge| (if is_source { edge.from } else { edge.to }) == outside;
            let own: Vec<&Edge> = edges.iter().filter(own).collect();
            let said: BTreeSet<&Said> = own.iter().flat_map(|edge| &edge.said).collect();
            let pairs: usize = own.iter().map(|edge| edge.pairs).sum();
            if let (Some(said), 1, true) = (said.first(), said.len(), pairs == workloads)
                && said.change.is_none()
            {
                common.push(Common { outside, is_source, said: (*said).clone() });
            }
        }
    }
    let is_common = |edge: &Edge| common.iter().any(|c| c.outside == if c.is_source { edge.from } else { edge.to });
    let rest = edges.into_iter().filter(|edge| !is_common(edge)).collect();
    (rest, common)
}

/// What a node is drawn with: hundreds of prefixes that some workloads reach would hide everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kin<'a> {
    Namespace(&'a str),
    World,
    Addresses,
    Entities,
    /// What every workload may do with it alike is a note, not an edge each.
    Alone,
}

fn by_namespace(graph: &Graph<'_>, said: &BTreeMap<(usize, usize), Said>) -> Vec<NodeBox> {
    let mut out: Vec<(Kin<'_>, NodeBox)> = Vec::new();
    for n in 0..graph.nodes.len() {
        let kin = kin(graph, said, n);
        match out.iter_mut().find(|(other, _)| kin != Kin::Alone && *other == kin) {
            Some((_, node_box)) => node_box.nodes.push(n),
            None => out.push((kin, NodeBox { nodes: vec![n] })),
        }
    }
    out.into_iter().map(|(_, node_box)| node_box).collect()
}

fn kin<'g>(graph: &'g Graph<'_>, said: &BTreeMap<(usize, usize), Said>, n: usize) -> Kin<'g> {
    let node = &graph.nodes[n];
    if let Some(namespace) = node.namespace() {
        return Kin::Namespace(namespace);
    }
    let alike = |pair: &dyn Fn(usize) -> (usize, usize)| {
        let mut all = (0..graph.nodes.len()).filter(|&w| graph.nodes[w].is_workload()).map(|w| said.get(&pair(w)));
        let first = all.next().flatten();
        first.is_some() && all.all(|other| other == first)
    };
    if alike(&|w| (n, w)) || alike(&|w| (w, n)) {
        return Kin::Alone;
    }
    let has = |test: fn(&Party) -> bool| node.parties.iter().any(test);
    if has(|party| matches!(party, Party::Net(net) if net.prefix_len() == 0)) {
        Kin::World
    } else if has(|party| matches!(party, Party::Net(_) | Party::Range(..) | Party::Names { .. })) {
        Kin::Addresses
    } else {
        Kin::Entities
    }
}

fn alike(graph: &Graph<'_>, said: &BTreeMap<(usize, usize), Said>) -> Vec<NodeBox> {
    let mut out: Vec<NodeBox> = Vec::new();
    for n in 0..graph.nodes.len() {
        match out.iter_mut().find(|b| joins(graph, said, &b.nodes, n)) {
            Some(node_box) => node_box.nodes.push(n),
            None => out.push(NodeBox { nodes: vec![n] }),
        }
    }
    out
}

/// Whether a node may do what every member of a box may, to the others of the box too.
fn joins(graph: &Graph<'_>, said: &BTreeMap<(usize, usize), Said>, members: &[usize], n: usize) -> bool {
    let Some(&first) = members.first() else { return false };
    let (one, other) = (&graph.nodes[first], &graph.nodes[n]);
    if !one.is_workload() || one.namespace() != other.namespace() || one.is_present != other.is_present {
        return false;
    }
    let at = |from, to| said.get(&(from, to));
    let among = members.get(1).map(|&second| at(first, second));
    let outside = (0..graph.nodes.len()).filter(|c| *c != n && !members.contains(c));
    at(first, n) == at(n, first)
        && among.is_none_or(|among| among == at(first, n))
        && members.iter().all(|&member| at(member, n) == at(first, n) && at(n, member) == at(first, n))
        && outside.into_iter().all(|c| at(first, c) == at(n, c) && at(c, first) == at(c, n))
}
