//! Diagnostics as text for people and as JSON for programs.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use serde_json::{Value, json};

use super::fingerprint::fingerprint;
use super::{Diagnostic, Severity, Span};
use crate::source::{LineCol, SourceFile, SourceMap};

/// Width of the text, in columns.
const WIDTH: usize = 120;

/// A span is shown up to this many lines: that of a whole object would bury the message.
const LINES_MAX: usize = 6;

/// Sorts diagnostics the way they are shown: by file, line, column and code.
pub fn sorted<'d>(diagnostics: &'d [Diagnostic], sources: &SourceMap) -> Vec<&'d Diagnostic> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_cached_key(|diagnostic| {
        let place = diagnostic.span.map(|span| (span.file, sources.line_col(span)));
        (place, diagnostic.code, diagnostic.severity, diagnostic.message.clone())
    });
    sorted
}

/// Every diagnostic with its lines of source.
pub fn text(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false).without_syntax_highlighting();
    let mut out = String::new();
    for diagnostic in sorted(diagnostics, sources) {
        let report = Report::new(diagnostic, sources);
        if handler.render_report(&mut out, &report).is_err() {
            // Only a source that cannot be shown fails: the message has to do.
            out.push_str(&format!("{} [{}]: {}\n", diagnostic.severity, diagnostic.code, diagnostic.message));
        }
        out.push('\n');
    }
    out
}

/// Every diagnostic as an array; lines and columns begin with 1, `span` counts bytes from 0.
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    sorted(diagnostics, sources).into_iter().map(|diagnostic| entry(diagnostic, sources)).collect()
}

/// One diagnostic of [`json`].
pub fn entry(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    let place = diagnostic.span.map(|span| (span, sources.line_col(span)));
    let object = diagnostic
        .object
        .as_ref()
        .map(|object| json!({ "kind": object.kind, "namespace": object.namespace, "name": object.name }));
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|(span, message)| {
            let at = sources.line_col(*span);
            json!({ "file": sources.name(span.file), "line": at.line, "column": at.column, "message": message })
        })
        .collect();
    json!({
        "code": diagnostic.code.0,
        "severity": diagnostic.severity.to_string(),
        "message": diagnostic.message,
        "object": object,
        "file": place.map(|(span, _)| sources.name(span.file)),
        "line": place.map(|(_, at)| at.line),
        "column": place.map(|(_, at)| at.column),
        "span": place.map(|(span, _)| json!({ "start": span.start, "end": span.end })),
        "help": diagnostic.hint,
        "related": related,
        "fingerprint": fingerprint(diagnostic, sources),
        "edit": diagnostic.edit.as_ref().map(|edit| {
            json!({ "start": edit.span.start, "end": edit.span.end, "text": edit.text })
        }),
    })
}

/// A diagnostic in the form that miette shows.
#[derive(Debug)]
struct Report<'d> {
    diagnostic: &'d Diagnostic,
    source: Option<Shown<'d>>,
    help: Option<String>,
}

impl<'d> Report<'d> {
    fn new(diagnostic: &'d Diagnostic, sources: &'d SourceMap) -> Self {
        let source = diagnostic.span.and_then(|span| sources.file(span.file)).map(Shown);
        let mut help: Vec<String> = diagnostic.hint.iter().cloned().collect();
        help.extend(diagnostic.edit.as_ref().map(|edit| format!("`check --fix` writes `{}`", edit.text)));
        for (span, message) in &diagnostic.related {
            // A label cannot reach into another file.
            if diagnostic.span.is_none_or(|primary| primary.file != span.file) {
                let at = sources.line_col(*span);
                help.push(format!("{message}: {}:{}:{}", sources.name(span.file), at.line, at.column));
            }
        }
        let help = (!help.is_empty()).then(|| help.join("\n"));
        Self { diagnostic, source, help }
    }

    fn label(&self, text: Option<String>, span: Span, primary: bool) -> LabeledSpan {
        let end = self.source.as_ref().map_or(span.end, |source| shorten(source.0, span));
        let range = span.start as usize..end.max(span.start) as usize;
        if primary { LabeledSpan::new_primary_with_span(text, range) } else { LabeledSpan::new_with_span(text, range) }
    }
}

/// The part of a span that is shown: its first line when it has many.
pub fn shown(sources: &SourceMap, span: Span) -> Span {
    let end = sources.file(span.file).map_or(span.end, |file| shorten(file, span));
    Span { end: end.max(span.start), ..span }
}

/// Where the shown part of a span begins and ends.
pub fn places(sources: &SourceMap, span: Span) -> (LineCol, LineCol) {
    let shown = shown(sources, span);
    (sources.line_col(shown), sources.line_col(Span { start: shown.end, ..shown }))
}

/// The end of a span, cut to its first line when it has many.
fn shorten(file: &SourceFile, span: Span) -> u32 {
    let first = file.line_index(span.start);
    if file.line_index(span.end) - first < LINES_MAX {
        return span.end;
    }
    let end = file.line_start(first + 1).saturating_sub(1);
    u32::try_from(end).unwrap_or(span.end)
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{}[{}]", self.diagnostic.severity, self.diagnostic.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let primary = self.diagnostic.span?;
        let object = self.diagnostic.object.as_ref().map(|object| format!("in {object}"));
        let related = self.diagnostic.related.iter().filter(move |(span, _)| span.file == primary.file);
        let related = related.map(|(span, text)| self.label(Some(text.clone()), *span, false));
        Some(Box::new(std::iter::once(self.label(object, primary, true)).chain(related)))
    }
}

/// A file that finds its lines by the table instead of counting them from the start.
#[derive(Debug)]
struct Shown<'d>(&'d SourceFile);

impl SourceCode for Shown<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let file = self.0;
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let first = file.line_index(offset(span.offset())).saturating_sub(lines_before);
        let last = file.line_index(offset(span.offset() + span.len())) + lines_after;
        // Without context the reporter wants the span itself, to tell its column.
        let (start, column) = if lines_before == 0 {
            (span.offset(), file.line_col(offset(span.offset())).column - 1)
        } else {
            (file.line_start(first), 0)
        };
        let end = file.line_start(last + 1);
        let data = file.text.as_bytes().get(start..end).ok_or(MietteError::OutOfBounds)?;
        let lines = last - first + 1;
        let place = (start, end - start).into();
        Ok(Box::new(MietteSpanContents::new_named(file.name.clone(), data, place, first, column, lines)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, FileId, ObjectRef};

    fn map() -> SourceMap {
        SourceMap::from_texts([("a.yaml", "kind: ä\nspec:\n  port: 80\n"), ("b.yaml", "x: 1\n")])
    }

    fn span(file: u32, start: u32, end: u32) -> Span {
        Span { file: FileId(file), start, end }
    }

    fn sample() -> Vec<Diagnostic> {
        let object = ObjectRef { kind: "Pod".into(), namespace: "ns".into(), name: "p".into() };
        vec![
            Diagnostic::info(Code("F-011"), None, "about no place"),
            Diagnostic::error(Code("E-221"), span(0, 23, 25), "bad port")
                .related(span(0, 6, 8), "of this")
                .related(span(1, 0, 1), "and there")
                .hint("quote it")
                .edit(span(0, 23, 25), "'80'")
                .object(object),
            Diagnostic::warning(Code("W-101"), span(0, 6, 8), "first by place"),
        ]
    }

    #[test]
    fn text_has_place_label_help_and_other_files() {
        insta::assert_snapshot!(text(&sample(), &map(), false), @r"
        info[F-011]

          ☞ about no place

        warning[W-101]

          ⚠ first by place
           ╭─[a.yaml:1:7]
         1 │ kind: ä
           ·       ─
         2 │ spec:
           ╰────

        error[E-221]

          × bad port
           ╭─[a.yaml:3:9]
         1 │ kind: ä
           ·       ┬
           ·       ╰── of this
         2 │ spec:
         3 │   port: 80
           ·         ─┬
           ·          ╰── in Pod ns/p
           ╰────
          help: quote it
                `check --fix` writes `'80'`
                and there: b.yaml:1:1
        ");
    }

    #[test]
    fn json_has_every_field() {
        let value = json(&sample(), &map());
        let codes: Vec<_> = value.as_array().unwrap().iter().map(|entry| entry["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["F-011", "W-101", "E-221"]);
        assert_eq!(value[2]["line"], 3);
        assert_eq!(value[2]["column"], 9);
        assert_eq!(value[2]["file"], "a.yaml");
        assert_eq!(value[2]["span"], json!({"start": 23, "end": 25}));
        assert_eq!(value[2]["object"], json!({"kind": "Pod", "namespace": "ns", "name": "p"}));
        assert_eq!(value[2]["related"][1], json!({"file": "b.yaml", "line": 1, "column": 1, "message": "and there"}));
        assert_eq!(value[2]["edit"], json!({"start": 23, "end": 25, "text": "'80'"}));
        assert_eq!(value[2]["fingerprint"].as_str().unwrap().len(), 32);
        assert_eq!(value[0]["file"], Value::Null);
    }

    #[test]
    fn a_span_outside_of_the_file_is_no_panic() {
        let diagnostics = [
            Diagnostic::error(Code("F-001"), span(0, 900, 950), "odd"),
            Diagnostic::error(Code("F-001"), span(9, 0, 1), "none"),
        ];
        assert!(text(&diagnostics, &map(), true).contains("odd"));
        assert!(json(&diagnostics, &map()).as_array().is_some());
    }
}
