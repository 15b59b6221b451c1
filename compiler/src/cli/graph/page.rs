//! One page that loads nothing: matrix, drawing and traces. What it shows stands in it as JSON.
//!
//! The two ends of a pair stand apart in the data: there are far fewer functions of one end than pairs of them, and the
//! page joins the two that it shows.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{connections, diff, report};
use super::words::{names, title};
use super::{Overview, View, svg};
use crate::connectivity::graph::FunctionIndex;
use crate::connectivity::ports::{Ports, Transport, Treatment};
use crate::connectivity::{Party, RuleIndex};
use crate::driver::Failure;
use crate::ir::RuleAction;

const SCRIPTS: [&str; 5] = [
    include_str!("../../../../templates/graph/data.js"),
    include_str!("../../../../templates/graph/matrix.js"),
    include_str!("../../../../templates/graph/drawing.js"),
    include_str!("../../../../templates/graph/trace.js"),
    include_str!("../../../../templates/graph/main.js"),
];
const STYLES: [&str; 2] =
    [include_str!("../../../../templates/graph/graph.css"), include_str!("../../../../templates/graph/page.css")];

#[derive(Template)]
#[template(path = "graph/page.html")]
struct Page<'a> {
    title: String,
    has_old: bool,
    style: &'a str,
    style_hash: String,
    script: &'a str,
    script_hash: String,
    drawing: String,
    data: String,
}

/// The page.
pub fn page(view: &View<'_>, overview: &Overview, semantics: &str) -> Result<String, Failure> {
    let script = format!("\"use strict\";\n{}", SCRIPTS.join("\n"));
    let style = format!("\n{}", STYLES.join("\n"));
    let workloads = view.graph.nodes.iter().filter(|node| node.is_workload()).count();
    let page = Page {
        title: format!("{workloads} workloads, {semantics} semantics"),
        has_old: view.old.is_some(),
        style_hash: hash(&style),
        style: &style,
        script_hash: hash(&script),
        script: &script,
        drawing: svg::part(view, overview)?,
        data: in_script(&data(view, overview)),
    };
    page.render().map_err(Failure::machine)
}

/// JSON for a `script` element: no text in it can end the element or begin a comment.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The hash by which the policy of the page lets a script or a style in: SHA-256 in base64.
fn hash(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text.as_bytes());
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().chain([0u8; 2].iter()).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let letter = |n: usize| match n <= chunk.len() {
            true => char::from(LETTERS[(bits >> (18 - 6 * n) & 63) as usize]),
            false => '=',
        };
        (0..4).map(letter).collect::<String>()
    };
    digest.chunks(3).map(encode).collect()
}

/// `templates/graph/data.js` reads this and says what each field is.
fn data(view: &View<'_>, overview: &Overview) -> Value {
    let graph = view.graph;
    let mut tables = Tables::default();
    let count = graph.nodes.len();
    let mut end = |function: Option<FunctionIndex>| {
        function.and_then(|function| tables.function(function, graph.ports(function)?)).map_or(-1, i64::from)
    };
    let cell = |source, destination| graph.cell(source, destination);
    let egress: Vec<Vec<i64>> = (0..count)
        .map(|source| runs((0..count).map(|destination| end(cell(source, destination).and_then(|cell| cell.egress)))))
        .collect();
    let ingress: Vec<Vec<i64>> = (0..count)
        .map(|destination| runs((0..count).map(|source| end(cell(source, destination).and_then(|cell| cell.ingress)))))
        .collect();
    let pairs = (0..count).flat_map(|source| (0..count).map(move |destination| (source, destination)));
    let changes = pairs.filter_map(|(s, d)| Some([s, d, graph.change(s, d)?]));
    let changes: Vec<usize> = changes.flatten().collect();
    let connectivity = view.connectivity();
    let rules: Vec<Value> = connectivity
        .rules
        .iter()
        .map(|rule| {
            let place = report::file_line(view.sources(true), rule.span);
            json!([rule.object.to_string(), rule.path, rule.action.map(RuleAction::word), place])
        })
        .collect();
    json!({
        "nodes": nodes(view), "transports": Transport::ALL.map(|t| json!([t.name(), t.last()])),
        "functions": tables.functions, "outcomes": tables.outcomes, "rules": rules,
        "egress": egress, "ingress": ingress,
        "rows": rows(view), "changes": changes,
        "boxes": overview.boxes.iter().map(|b| &b.nodes).collect::<Vec<_>>(),
    })
}

fn nodes(view: &View<'_>) -> Vec<Value> {
    let nodes = view.graph.nodes.iter().map(|node| {
        let kind = match node.parties.first() {
            Some(Party::Workload { kind, .. }) => kind.as_str(),
            Some(Party::Entity(_) | Party::Range(..) | Party::Net(_) | Party::Names { .. }) | None => "",
        };
        json!({
            "title": title(node), "names": names(node), "namespace": node.namespace(), "kind": kind,
            "labels": node.labels, "present": node.is_present,
        })
    });
    nodes.collect()
}

fn rows(view: &View<'_>) -> Vec<Value> {
    let rows = view.graph.rows.iter().map(|row| {
        let causes = row.causes.iter().map(|cause| {
            let place = report::file_line(view.sources(cause.is_new), cause.rule.span);
            json!([cause.rule.object.to_string(), cause.rule.path, cause.edit.word(), place])
        });
        json!({
            "class": row.class.word(), "gained": diff::parts(&row.gained).collect::<Vec<_>>(),
            "lost": diff::parts(&row.lost).collect::<Vec<_>>(), "causes": causes.collect::<Vec<_>>(),
        })
    });
    rows.collect()
}

/// Numbers as runs: how many, which, how many, ...
fn runs(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut out: Vec<i64> = Vec::new();
    for value in values {
        match out.as_mut_slice() {
            [.., count, last] if *last == value => *count += 1,
            _ => out.extend([1, value]),
        }
    }
    out
}

/// What a treatment is and which rules decide.
type OutcomeKey = (bool, String, Vec<u32>);

/// Functions and outcomes by the position that they have in the page.
#[derive(Default)]
struct Tables {
    functions: Vec<Vec<u32>>,
    outcomes: Vec<Value>,
    of_function: HashMap<FunctionIndex, u32>,
    of_outcome: HashMap<OutcomeKey, u32>,
}

impl Tables {
    fn function(&mut self, function: FunctionIndex, ports: &Ports) -> Option<u32> {
        if let Some(known) = self.of_function.get(&function) {
            return Some(*known);
        }
        let mut flat = Vec::new();
        for (transport, segment) in ports.segments() {
            let outcome = self.outcome(segment.outcome.passes.as_ref(), &segment.outcome.rules);
            let place = Transport::ALL.iter().position(|t| *t == transport)?;
            flat.extend([outcome, u32::try_from(place).ok()?, segment.first.into(), segment.last.into()]);
        }
        let index = u32::try_from(self.functions.len()).ok()?;
        self.functions.push(flat);
        self.of_function.insert(function, index);
        Some(index)
    }

    fn outcome(&mut self, passes: Option<&Treatment>, rules: &BTreeSet<RuleIndex>) -> u32 {
        let treatment = passes.map(connections::treatment).filter(|text| text != "-").unwrap_or_default();
        let key = (passes.is_some(), treatment, rules.iter().map(|rule| rule.0).collect::<Vec<u32>>());
        let outcomes = &mut self.outcomes;
        *self.of_outcome.entry(key).or_insert_with_key(|(passes, treatment, rules)| {
            outcomes.push(json!([u8::from(*passes), treatment, rules]));
            outcomes.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_browsers() {
        // `printf '' | openssl dgst -sha256 -binary | base64`
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn no_text_ends_the_script() {
        let text = in_script(&json!({ "label": "</script><!-- &lt;" }));
        assert!(!text.contains(['<', '>', '&']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap_or_default()["label"], "</script><!-- &lt;");
    }

    #[test]
    fn runs_count() {
        assert_eq!(runs([7, 7, -1, 7].into_iter()), [2, 7, 1, -1, 1, 7]);
        assert!(runs(std::iter::empty()).is_empty());
    }
}
