//! `trace --suggest`: what to insert where, and what that opens.

use serde_json::{Value, json};

use super::args::InputArgs;
use super::connections::{parties, party_json, port_words};
use super::{inputs, report};
use crate::connectivity::diff::{self, Diff, Version};
use crate::diag::Span;
use crate::driver::suggest::{self, Question, Suggestion};
use crate::driver::{Analysis, Failure};
use crate::eval::flow::{End, Judgement};
use crate::ir::EndName;
use crate::source::SourceMap;
use crate::suggest::Edit;

/// A flow that is denied.
pub struct Denied<'a> {
    /// Where from.
    pub source: End,
    /// Where to.
    pub destination: End,
    /// What both ends decide.
    pub judgement: Option<&'a Judgement>,
}

fn find(
    args: &InputArgs,
    sources: &SourceMap,
    analysis: &Analysis,
    names: &[EndName; 2],
    denied: &Denied<'_>,
) -> Result<Result<Suggestion, String>, Failure> {
    let Some(judgement) = denied.judgement else { return Ok(Err("the flow has no verdict".into())) };
    let question = Question { names, ends: [denied.source, denied.destination], judgement };
    suggest::suggest(sources, &inputs::front_options(args), analysis, question)
}

fn compare<'s>(sources: &'s SourceMap, found: &'s Suggestion) -> Diff<'s> {
    diff::diff(
        Version { connectivity: &found.before, sources },
        Version { connectivity: &found.after, sources: &found.sources },
    )
}

/// As text.
pub fn text(
    args: &InputArgs,
    sources: &SourceMap,
    analysis: &Analysis,
    names: &[EndName; 2],
    denied: Denied<'_>,
) -> Result<String, Failure> {
    let found = match find(args, sources, analysis, names, &denied)? {
        Ok(found) => found,
        Err(why) => return Ok(format!("suggest  nothing: {why}\n")),
    };
    let mut out = String::new();
    for edit in &found.edits {
        out += &format!("suggest  insert at {}\n", place(sources, edit));
        out.extend(edit.shown.lines().map(|line| format!("           {line}\n")));
    }
    let diff = compare(sources, &found);
    for row in &diff.rows {
        let (from, to) = (parties(&row.sources), parties(&row.destinations));
        for (word, parts) in [("opens", &row.gained), ("closes", &row.lost)] {
            let ports = parts
                .iter()
                .map(|part| format!("{} {}", part.transport.name(), port_words(part.transport, &part.ranges)));
            let ports: Vec<String> = ports.collect();
            if !ports.is_empty() {
                out += &format!("{word:7}  {from} -> {to} {}\n", ports.join(", "));
            }
        }
    }
    if diff.rows.is_empty() {
        out += "opens    nothing that the input has ends for\n";
    }
    Ok(out)
}

/// As JSON.
pub fn json(
    args: &InputArgs,
    sources: &SourceMap,
    analysis: &Analysis,
    names: &[EndName; 2],
    denied: Denied<'_>,
) -> Result<Value, Failure> {
    let found = match find(args, sources, analysis, names, &denied)? {
        Ok(found) => found,
        Err(why) => return Ok(json!({ "edits": [], "none": why })),
    };
    let edits = found.edits.iter().map(|edit| {
        let at = sources.line_col(span(edit));
        json!({
            "file": sources.name(edit.file), "line": at.line, "column": at.column, "offset": edit.offset,
            "insert": edit.text, "yaml": edit.shown,
        })
    });
    let diff = compare(sources, &found);
    let part = |part: &diff::Part| json!({ "protocol": part.transport.name(), "ports": part.ranges });
    let rows = diff.rows.iter().map(|row| {
        json!({
            "class": row.class.word(),
            "sources": row.sources.iter().map(party_json).collect::<Vec<_>>(),
            "destinations": row.destinations.iter().map(party_json).collect::<Vec<_>>(),
            "gained": row.gained.iter().map(part).collect::<Vec<_>>(),
            "lost": row.lost.iter().map(part).collect::<Vec<_>>(),
        })
    });
    Ok(json!({ "edits": edits.collect::<Vec<_>>(), "opens": rows.collect::<Vec<_>>() }))
}

fn span(edit: &Edit) -> Span {
    Span { file: edit.file, start: edit.offset, end: edit.offset }
}

fn place(sources: &SourceMap, edit: &Edit) -> String {
    report::file_line(sources, span(edit))
}
