//! Diagnostics as a SARIF 2.1.0 log, for viewers of code scanning.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::diag::fingerprint::fingerprint;
use crate::diag::render;
use crate::diag::{Code, Diagnostic, Edit, Severity, Span};
use crate::explain;
use crate::source::SourceMap;

/// Where the schema can be had.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Name of our fingerprint; another way to make it needs another name.
const FINGERPRINT: &str = "ciliumc/v1";

/// Where relative paths begin: the folder in which the command was run.
const ROOT: &str = "%SRCROOT%";

/// What was found, and what of it is accepted.
pub struct Report<'a> {
    /// To be acted on.
    pub found: &'a [Diagnostic],
    /// Excused by annotations, with the reason.
    pub excused: &'a [(Diagnostic, String)],
    /// Known by a baseline.
    pub known: &'a [Diagnostic],
}

/// The log.
pub fn log(report: &Report<'_>, sources: &SourceMap) -> Value {
    let mut all: Vec<(&Diagnostic, Option<Value>)> = Vec::new();
    all.extend(report.found.iter().map(|diagnostic| (diagnostic, None)));
    let in_source = |reason: &String| json!({ "kind": "inSource", "status": "accepted", "justification": reason });
    all.extend(report.excused.iter().map(|(diagnostic, reason)| (diagnostic, Some(in_source(reason)))));
    let external = json!({ "kind": "external", "status": "accepted", "justification": "in the baseline" });
    all.extend(report.known.iter().map(|diagnostic| (diagnostic, Some(external.clone()))));
    all.sort_by_cached_key(|(diagnostic, _)| {
        let place = diagnostic.span.map(|span| (span.file, span.start));
        (place, diagnostic.code, diagnostic.message.clone())
    });

    let codes: BTreeMap<Code, Severity> =
        all.iter().map(|(diagnostic, _)| (diagnostic.code, diagnostic.severity)).collect();
    let rules: Vec<Value> = codes.iter().map(|(code, severity)| rule(*code, *severity)).collect();
    let indices: BTreeMap<Code, usize> = codes.keys().copied().zip(0..).collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut results, mut notifications) = (Vec::new(), Vec::new());
    for (diagnostic, suppression) in all {
        let index = indices.get(&diagnostic.code).copied().unwrap_or_default();
        // A result has a place; what has none is about the run.
        let Some(span) = diagnostic.span else {
            notifications.push(json!({
                "descriptor": { "id": diagnostic.code.0, "index": index },
                "level": level(diagnostic.severity),
                "message": { "text": message(diagnostic) },
            }));
            continue;
        };
        let fingerprint = fingerprint(diagnostic, sources);
        let nth = seen.entry(fingerprint.clone()).or_default();
        *nth += 1;
        let fingerprint = if *nth > 1 { format!("{fingerprint}:{nth}") } else { fingerprint };
        results.push(result(diagnostic, span, index, &fingerprint, suppression, sources));
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "ciliumc",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
                "notifications": rules,
            } },
            "automationDetails": { "id": "ciliumc/check/" },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { ROOT: { "description": { "text": "The folder in which ciliumc was run." } } },
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notifications }],
            "results": results,
        }],
    })
}

fn rule(code: Code, severity: Severity) -> Value {
    let mut rule = json!({ "id": code.0, "defaultConfiguration": { "level": level(severity) } });
    if let Some(page) = explain::page(code.0) {
        rule["shortDescription"] = json!({ "text": page.title() });
        // No `helpUri`: pages are in the program, and an address that nobody keeps would be worse than none.
        rule["help"] = json!({ "text": page.text, "markdown": page.text });
    }
    rule
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// Viewers show one text.
fn message(diagnostic: &Diagnostic) -> String {
    let hint = diagnostic.hint.as_ref().map(|hint| format!("\n{hint}")).unwrap_or_default();
    format!("{}{hint}", diagnostic.message)
}

fn result(
    diagnostic: &Diagnostic,
    span: Span,
    index: usize,
    fingerprint: &str,
    suppression: Option<Value>,
    sources: &SourceMap,
) -> Value {
    let mut location = json!({ "physicalLocation": physical(sources, span) });
    if let Some(object) = &diagnostic.object {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": object.to_string(), "kind": "resource" }]);
    }
    let related: Vec<Value> = (1..)
        .zip(&diagnostic.related)
        .map(|(id, (span, text))| {
            json!({ "id": id, "physicalLocation": physical(sources, *span), "message": { "text": text } })
        })
        .collect();
    let mut out = json!({
        "ruleId": diagnostic.code.0,
        "ruleIndex": index,
        "level": level(diagnostic.severity),
        "message": { "text": message(diagnostic) },
        "locations": [location],
        "partialFingerprints": { FINGERPRINT: fingerprint },
        // Every result has the list when one has: an empty one says that it stands.
        "suppressions": suppression.into_iter().collect::<Vec<Value>>(),
    });
    if !related.is_empty() {
        out["relatedLocations"] = Value::Array(related);
    }
    if let Some(edit) = &diagnostic.edit {
        out["fixes"] = json!([fix(edit, sources)]);
    }
    out
}

fn fix(edit: &Edit, sources: &SourceMap) -> Value {
    let replacement = json!({ "deletedRegion": region(sources, edit.span), "insertedContent": { "text": edit.text } });
    json!({
        "description": { "text": format!("write `{}`", edit.text) },
        "artifactChanges": [{ "artifactLocation": artifact(sources, edit.span), "replacements": [replacement] }],
    })
}

fn physical(sources: &SourceMap, span: Span) -> Value {
    json!({
        "artifactLocation": artifact(sources, span),
        "region": region(sources, render::shown(sources, span)),
    })
}

fn region(sources: &SourceMap, span: Span) -> Value {
    let (first, last) = render::places(sources, span);
    json!({
        "startLine": first.line, "startColumn": first.column, "endLine": last.line, "endColumn": last.column,
    })
}

fn artifact(sources: &SourceMap, span: Span) -> Value {
    let name = sources.name(span.file);
    match name.strip_prefix('/') {
        Some(_) => json!({ "uri": format!("file://{}", escape(name)) }),
        None => json!({ "uri": escape(&plain(name)), "uriBaseId": ROOT }),
    }
}

/// Without `./`, which viewers do not look for.
fn plain(name: &str) -> String {
    let parts = Path::new(name).components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Percent-encodes what a path of a URI cannot hold; a colon in its first part would end a scheme.
fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uris() {
        assert_eq!(escape("a b/ü:1%.yaml"), "a%20b/%C3%BC%3A1%25.yaml");
        assert_eq!(plain("./deploy/./a.yaml"), "deploy/a.yaml");
        assert_eq!(plain("../a.yaml"), "../a.yaml");
        assert_eq!(plain("-"), "-");
    }
}
