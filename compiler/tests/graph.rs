//! `graph`: every cell is what the reference model says of it, boxes say what their nodes may do, and small graphs look as
//! their snapshots do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folders;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use ciliumc::connectivity::diff::Version;
use ciliumc::connectivity::graph::boxes::{Grouping, Said, boxes};
use ciliumc::connectivity::graph::{Graph, Node};
use ciliumc::connectivity::ports::Ports;
use ciliumc::connectivity::{Connectivity, Party, cilium};
use ciliumc::driver::connectivity::{Semantics, connect, read};
use ciliumc::driver::{self, Analysis};
use ciliumc::eval::Verdict;
use ciliumc::eval::probe::{self, Probe};
use ciliumc::front::FrontOptions;
use ciliumc::ir::Direction;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions, SourceMap};
use folders::cases;
use serde_json::Value;

fn load(path: &Path) -> SourceMap {
    source::load(&LoadOptions { paths: vec![path.display().to_string()], exclude: Vec::new() }).unwrap()
}

/// A node that is one pod, as probes name it.
fn pod(analysis: &Analysis, node: &Node) -> Option<String> {
    let [Party::Workload { namespace, name, kind }] = node.parties.as_slice() else { return None };
    let full = format!("{namespace}/{name}");
    let position = analysis.cluster.endpoints.iter().position(|e| e.kind == *kind && e.name == full)?;
    (analysis.resolved.endpoints[position].classes.len() == 1).then_some(full)
}

/// A passing and a dropped port of each run of ports of a function.
fn ports(ports: &Ports) -> Vec<(&'static str, u16, bool)> {
    let ports = ports.segments().flat_map(|(transport, segment)| {
        let passes = segment.outcome.passes.is_some();
        BTreeSet::from([segment.first, segment.last]).into_iter().map(move |port| (transport.name(), port, passes))
    });
    ports.collect()
}

#[test]
fn every_cell_agrees_with_trace() {
    let mut asked = [0, 0];
    for case in cases() {
        let sources = load(&case);
        let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
        let connectivity = cilium::connect(&analysis.cluster, &analysis.resolved, &cilium::Names::new());
        let graph = Graph::new(Version { connectivity: &connectivity, sources: &sources }, None);
        // None where rules tell the addresses of the peer apart: a cell speaks of its first.
        let passes = |endpoint: &str, direction, peer: &str, protocol: &str, port| {
            let probe = Probe {
                endpoint: endpoint.into(),
                direction,
                peer: format!("pod:{peer}"),
                protocol: protocol.into(),
                port,
            };
            let answer = probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap();
            let place = analysis.cluster.endpoints.iter().position(|e| e.name == peer).unwrap();
            let addresses = &analysis.cluster.endpoints[place].addresses;
            let first = addresses.iter().find_map(|address| analysis.resolved.addresses.at(*address));
            let is_first = answer.peer == first.unwrap_or(analysis.resolved.endpoints[place].identity);
            is_first.then_some(matches!(answer.decision.verdict, Verdict::Allow | Verdict::Redirect))
        };
        for (source, from) in graph.nodes.iter().enumerate() {
            for (destination, to) in graph.nodes.iter().enumerate() {
                let (Some(from), Some(to), Some(cell)) =
                    (pod(&analysis, from), pod(&analysis, to), graph.cell(source, destination))
                else {
                    continue;
                };
                let (egress, ingress) = (cell.egress.unwrap(), cell.ingress.unwrap());
                let flow = format!("{}: {from} -> {to}", case.display());
                let ports_of = |function| ports(graph.ports(function).unwrap());
                for (protocol, port, told) in ports_of(egress) {
                    let model = passes(&from, Direction::Egress, &to, protocol, port);
                    assert!(model.is_none_or(|model| told == model), "{flow} egress {protocol} {port}");
                }
                for (protocol, port, told) in ports_of(ingress) {
                    let model = passes(&to, Direction::Ingress, &from, protocol, port);
                    assert!(model.is_none_or(|model| told == model), "{flow} ingress {protocol} {port}");
                }
                for (protocol, port, told) in ports(cell.pair.ports()) {
                    let out = passes(&from, Direction::Egress, &to, protocol, port);
                    let into = passes(&to, Direction::Ingress, &from, protocol, port);
                    let Some((out, into)) = out.zip(into) else { continue };
                    assert_eq!(told, out && into, "{flow} {protocol} {port}");
                    asked[usize::from(told)] += 1;
                }
            }
        }
    }
    assert!(asked.iter().all(|count| *count > 100), "flows dropped and passed: {asked:?}");
}

/// What passes between two nodes, for comparison.
fn said(graph: &Graph<'_>, source: usize, destination: usize) -> Option<Said> {
    let ports = graph.cell(source, destination)?.pair.ports();
    (!ports.is_empty()).then(|| Said { text: format!("{:?}", ports.passing_ranges()), change: None })
}

#[test]
fn a_box_and_an_edge_speak_for_all_their_nodes() {
    let mut shared = 0;
    for case in cases() {
        let sources = load(&case);
        for semantics in [Semantics::Cilium, Semantics::Kubernetes] {
            let (connectivity, _) =
                connect(vec![read(&sources, &FrontOptions::default(), semantics).unwrap()]).unwrap().remove(0);
            let graph = Graph::new(Version { connectivity: &connectivity, sources: &sources }, None);
            let (boxes, edges) = boxes(&graph, Grouping::Workloads, |from, to| said(&graph, from, to));
            let in_boxes: usize = boxes.iter().map(|own| own.nodes.len()).sum();
            assert_eq!(in_boxes, graph.nodes.len(), "{}", case.display());
            shared += boxes.iter().filter(|own| own.nodes.len() > 1).count();
            for edge in &edges {
                assert_eq!(edge.said.len(), 1, "{}: {edge:?}", case.display());
                for &from in &boxes[edge.from].nodes {
                    for &to in boxes[edge.to].nodes.iter().filter(|to| **to != from) {
                        assert_eq!(said(&graph, from, to).as_ref(), edge.said.first(), "{}: {edge:?}", case.display());
                    }
                }
            }
            let pairs: usize = edges.iter().map(|edge| edge.pairs).sum();
            assert_eq!(pairs, graph.edges().count(), "{}", case.display());
        }
    }
    assert!(shared > 10, "only {shared} boxes of several nodes");
}

#[test]
fn nodes_outside_share_what_they_share_and_nothing_is_lost() {
    for case in cases() {
        let sources = load(&case);
        let (connectivity, _) =
            connect(vec![read(&sources, &FrontOptions::default(), Semantics::Cilium).unwrap()]).unwrap().remove(0);
        let graph = Graph::new(Version { connectivity: &connectivity, sources: &sources }, None);
        let place = |party: &Party| graph.nodes.iter().position(|node| node.parties.contains(party)).unwrap();
        for (source, destination, ports) in Connectivity::pairs(&connectivity) {
            let cell = graph.cell(place(source), place(destination)).unwrap();
            assert_eq!(cell.pair.ports(), ports, "{}: {source} -> {destination}", case.display());
        }
    }
}

/// A folder with two versions of a shop.
fn shop() -> tempfile::TempDir {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec: {{containers: [{{name: c, image: x}}]}}\n---\n"
        )
    };
    let policy = |port: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: all, namespace: shop}}\nspec:\n  podSelector: {{}}\n  policyTypes: [Ingress, Egress]\n\
             ---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  \
             ingress:\n  - fromCIDR: [192.0.2.0/24]\n    toPorts: [{{ports: [{{port: '443', protocol: TCP}}]}}]\n  \
             egress:\n  - toEndpoints: [{{matchLabels: {{app: cart}}}}]\n    toPorts: [{{ports: [{{port: '{port}', protocol: TCP}}]}}]\n\
             ---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  endpointSelector: {{matchLabels: {{app: cart}}}}\n  \
             ingress:\n  - fromEndpoints: [{{matchLabels: {{app: web}}}}]\n    toPorts: [{{ports: [{{port: '7000', endPort: 7100, protocol: TCP}}], rules: {{http: [{{path: '/\"<&>\"'}}]}}}}]\n"
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let pods = ["web", "cart", "idle-1", "idle-2"].map(pod).concat();
    fs::write(dir.path().join("old.yaml"), pods.clone() + &policy("7070")).unwrap();
    fs::write(dir.path().join("new.yaml"), pods + &policy("7071")).unwrap();
    dir
}

fn graph(args: &[&str]) -> String {
    let dir = shop();
    let output =
        Command::new(env!("CARGO_BIN_EXE_ciliumc")).arg("graph").args(args).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn small_graphs_look_as_before() {
    for format in ["dot", "svg", "json"] {
        let text = graph(&["new.yaml", "-o", format]);
        // Style is the same in all drawings.
        let text = match text.find("<style>").zip(text.find("</style>")) {
            Some((start, end)) => format!("{}{}", &text[..start], &text[end + "</style>\n".len()..]),
            None => text,
        };
        insta::assert_snapshot!(format!("graph_{format}"), text);
    }
    insta::assert_snapshot!("graph_diff_dot", graph(&["new.yaml", "--diff", "old.yaml", "-o", "dot"]));
}

#[test]
fn a_change_is_on_its_edge_alone() {
    let json: Value = serde_json::from_str(&graph(&["new.yaml", "--diff", "old.yaml", "-o", "json"])).unwrap();
    assert_eq!(json["schema"], "ciliumc/graph/v1");
    let changed: Vec<&Value> =
        json["edges"].as_array().unwrap().iter().filter(|edge| !edge["change"].is_null()).collect();
    assert_eq!(changed.len(), 1, "{changed:#?}");
    let name = |end: &str| {
        let node = changed[0][end].as_u64().unwrap() as usize;
        json["nodes"][node]["parties"][0]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!((name("source"), name("destination")), ("web".to_owned(), "cart".to_owned()));
    assert_eq!(changed[0]["change"]["class"], "changed");
    assert_eq!(changed[0]["change"]["gained"][0]["ports"][0][0], 7071);
    assert_eq!(changed[0]["change"]["lost"][0]["ports"][0][0], 7070);
}

#[test]
fn an_svg_is_xml_and_the_same_each_time() {
    let text = graph(&["new.yaml", "-o", "svg"]);
    assert_eq!(text, graph(&["new.yaml", "-o", "svg"]));
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every tag ends");
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}
