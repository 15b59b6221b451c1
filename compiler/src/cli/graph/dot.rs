//! The graph for Graphviz.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::words::{change_of, lines, names, title};
use super::{Overview, View};
use crate::connectivity::diff::Class;

/// Lines of a label.
const LINES_MAX: usize = 4;

/// A digraph with a cluster for each namespace.
pub fn dot(view: &View<'_>, overview: &Overview) -> String {
    let mut out = String::from(
        "digraph connectivity {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\", fontsize=11];\n  \
         edge [fontname=\"monospace\", fontsize=9];\n",
    );
    let mut by_namespace: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (n, node_box) in overview.boxes.iter().enumerate() {
        let node = node_box.nodes.first().and_then(|&node| view.graph.nodes.get(node));
        by_namespace.entry(node.and_then(|node| node.namespace())).or_default().push(n);
    }
    for (cluster, (namespace, boxes)) in by_namespace.into_iter().enumerate() {
        let indent = if namespace.is_some() { "    " } else { "  " };
        if let Some(namespace) = namespace {
            line(&mut out, format_args!("  subgraph cluster_{cluster} {{\n    label={};", quoted(namespace)));
        }
        for n in boxes {
            let nodes = overview.boxes[n].nodes.iter().map(|&node| &view.graph.nodes[node]);
            let label: Vec<String> = nodes.clone().map(title).collect();
            let tooltip: Vec<String> = nodes.map(names).collect();
            let style = if namespace.is_none() { ", style=dashed" } else { "" };
            let (label, tooltip) = (quoted(&label.join("\n")), quoted(&tooltip.join("\n")));
            line(&mut out, format_args!("{indent}b{n} [label={label}, tooltip={tooltip}{style}];"));
        }
        if namespace.is_some() {
            out += "  }\n";
        }
    }
    for edge in &overview.edges {
        let said = lines(edge, LINES_MAX);
        let colour = change_of(edge).map(|class| format!(", color={}", colour(class))).unwrap_or_default();
        line(&mut out, format_args!("  b{} -> b{} [label={}{colour}];", edge.from, edge.to, quoted(&said.join("\n"))));
    }
    out + "}\n"
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

fn colour(class: Class) -> &'static str {
    match class {
        Class::Widened => "\"#1a7f37\"",
        Class::Narrowed => "\"#cf222e\"",
        Class::Changed | Class::L7 => "\"#9a6700\"",
        Class::WorkloadOnly => "\"#8250df\"",
    }
}

/// A quoted string; `\n` in it is a line break of the label.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
