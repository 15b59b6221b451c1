//! What a unit is made of: the headers that it includes, directly or not.
//!
//! Units and headers are a graph whose arrows are `#include` lines. What a unit can reach is what its object depends on,
//! so the cache forgets an object when one of those changes and no sooner.

use std::collections::HashMap;

use ciliumc_abi::headers::{HEADERS, Header};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

/// A file: its path, and its text.
type File<'a> = (&'a str, &'a str);

struct Includes<'a> {
    graph: DiGraph<File<'a>, ()>,
    unit: NodeIndex,
}

impl<'a> Includes<'a> {
    fn new(unit: &'a str) -> Self {
        let mut graph = DiGraph::new();
        let unit = graph.add_node(("", unit));
        let places: HashMap<&str, NodeIndex> =
            HEADERS.iter().map(|header| (header.0, graph.add_node(*header))).collect();
        for from in graph.node_indices().collect::<Vec<_>>() {
            // Lines inside of `#if` count too: one arrow too many costs a compilation, one too few a wrong object. What
            // is not in the list is the unit's own config header.
            for to in included(graph[from].1).filter_map(|path| places.get(path)) {
                graph.update_edge(from, *to, ());
            }
        }
        Self { graph, unit }
    }
}

fn included(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("#include \"")?.strip_suffix('"'))
}

/// The headers that a C file reaches, sorted by path.
pub fn headers(source: &str) -> Vec<Header> {
    let includes = Includes::new(source);
    let mut walk = Dfs::new(&includes.graph, includes.unit);
    let mut reached = Vec::new();
    while let Some(node) = walk.next(&includes.graph) {
        reached.push(node);
    }
    // `HEADERS` has the static texts; the graph only lends them.
    let path = |node: &NodeIndex| includes.graph[*node].0;
    HEADERS.iter().filter(|header| reached.iter().any(|node| path(node) == header.0)).copied().collect()
}

#[cfg(test)]
mod tests {
    use petgraph::algo::toposort;

    use super::*;

    #[test]
    fn a_unit_reaches_what_it_reads_and_no_more() {
        let paths = |source: &str| -> Vec<&str> { headers(source).iter().map(|header| header.0).collect() };
        let from = paths("#include \"prog/from_container.h\"\n");
        assert!(from.contains(&"lib/arp.h") && from.contains(&"abi/action.h"), "{from:?}");
        assert!(!from.contains(&"prog/to_container.h"), "{from:?}");
        assert!(!paths("#include \"prog/to_container.h\"\n").contains(&"lib/arp.h"));
        assert!(paths("int x;\n").is_empty());
    }

    #[test]
    fn no_header_includes_itself_in_the_end() {
        let includes = Includes::new("");
        let circle = toposort(&includes.graph, None).map_err(|circle| includes.graph[circle.node_id()].0);
        assert!(circle.is_ok(), "{circle:?} is on a circle of includes");
    }

    #[test]
    fn every_header_serves_a_program() {
        let all = headers("#include \"prog/from_container.h\"\n#include \"prog/to_container.h\"\n");
        let reached: Vec<&str> = all.iter().map(|header| header.0).collect();
        let idle: Vec<&str> = HEADERS.iter().map(|header| header.0).filter(|path| !reached.contains(path)).collect();
        assert!(idle.is_empty(), "{idle:?}");
    }
}
