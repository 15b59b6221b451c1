//! `ciliumc graph`.

mod dot;
mod page;
mod svg;
mod words;

use serde_json::{Value, json};

use super::args::{GraphArgs, GraphFormat, GroupArg};
use super::{connections, diff, inputs};
use crate::connectivity::Connectivity;
use crate::connectivity::diff::{Row, Version};
use crate::connectivity::graph::Graph;
use crate::connectivity::graph::boxes::{Edge, Grouping, NodeBox, boxes};
use crate::driver::Failure;
use crate::source::SourceMap;
use words::Words;

/// Most workloads that a drawing shows one by one.
const WORKLOADS_MAX: usize = 60;

/// Runs the command.
pub fn run(args: &GraphArgs) -> Result<u8, Failure> {
    let paths = &args.input.paths;
    let (old, (sources, connectivity)) = match &args.diff {
        Some(old) => {
            let [old, new] = inputs::connect_both(&args.input, [std::slice::from_ref(old), paths], args.semantics)?;
            (Some(old), new)
        }
        None => (None, inputs::connect(&args.input, paths, args.semantics)?),
    };
    let new = Version { connectivity: &connectivity, sources: &sources };
    let old = old.as_ref().map(|(sources, connectivity)| Version { connectivity, sources });
    let graph = Graph::new(new, old);
    let view = View { graph: &graph, new, old, words: Words::new(&graph) };
    super::put(&match args.output {
        GraphFormat::Html => page::page(&view, &view.overview(args.group), args.semantics.word())?,
        GraphFormat::Svg => svg::file(&view, &view.overview(args.group))?,
        GraphFormat::Dot => dot::dot(&view, &view.overview(args.group)),
        GraphFormat::Json => format!("{:#}\n", view.json(args.semantics.word())),
    })?;
    Ok(0)
}

/// A graph with the texts that it is about.
struct View<'a> {
    graph: &'a Graph<'a>,
    new: Version<'a>,
    old: Option<Version<'a>>,
    words: Words,
}

/// What a drawing shows.
struct Overview {
    grouping: Grouping,
    boxes: Vec<NodeBox>,
    edges: Vec<Edge>,
}

impl<'a> View<'a> {
    fn overview(&self, group: GroupArg) -> Overview {
        let workloads = self.graph.nodes.iter().filter(|node| node.is_workload()).count();
        let grouping = match group {
            GroupArg::Workload => Grouping::Workloads,
            GroupArg::Namespace => Grouping::Namespaces,
            GroupArg::Auto if workloads <= WORKLOADS_MAX => Grouping::Workloads,
            GroupArg::Auto => Grouping::Namespaces,
        };
        let (boxes, edges) = boxes(self.graph, grouping, |from, to| self.words.said(self.graph, from, to));
        Overview { grouping, boxes, edges }
    }

    fn connectivity(&self) -> &'a Connectivity {
        self.new.connectivity
    }

    /// The files that a place of the new or of the old version is in.
    fn sources(&self, is_new: bool) -> &'a SourceMap {
        self.old.filter(|_| !is_new).unwrap_or(self.new).sources
    }

    fn json(&self, semantics: &str) -> Value {
        let nodes = self.graph.nodes.iter().map(|node| {
            json!({
                "parties": node.parties.iter().map(connections::party_json).collect::<Vec<_>>(),
                "labels": node.labels, "present": node.is_present,
            })
        });
        let edges = self.graph.edges().map(|(source, destination)| {
            let ports = self.graph.cell(source, destination).map(|cell| cell.pair.ports());
            let connections =
                ports.map(|ports| connections::entries_json(self.new.sources, self.connectivity(), ports));
            let change = self.graph.change(source, destination).map(|row| self.change_json(&self.graph.rows[row]));
            json!({
                "source": source, "destination": destination, "connections": connections.unwrap_or_default(),
                "change": change,
            })
        });
        json!({
            "schema": "ciliumc/graph/v1", "semantics": semantics,
            "nodes": nodes.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>(),
        })
    }

    fn change_json(&self, row: &Row<'_>) -> Value {
        let causes = row.causes.iter().map(|cause| {
            let mut value = connections::rule_json(self.sources(cause.is_new), cause.rule);
            value["version"] = json!(if cause.is_new { "new" } else { "old" });
            value["edit"] = json!(cause.edit.word());
            value
        });
        json!({
            "class": row.class.word(),
            "gained": row.gained.iter().map(diff::part_json).collect::<Vec<_>>(),
            "lost": row.lost.iter().map(diff::part_json).collect::<Vec<_>>(),
            "causes": causes.collect::<Vec<_>>(),
        })
    }
}
