//! Diagnostics as annotations of a GitHub workflow: one command of the runner for each, on a line of standard output.

use crate::diag::render;
use crate::diag::{Diagnostic, Severity};
use crate::source::SourceMap;

/// Every diagnostic as a line.
pub fn annotations(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    render::sorted(diagnostics, sources).into_iter().map(|diagnostic| annotation(diagnostic, sources)).collect()
}

fn annotation(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = Vec::new();
    if let Some(span) = diagnostic.span {
        let (first, last) = render::places(sources, span);
        properties.push(("file", sources.name(span.file).to_owned()));
        properties.push(("line", first.line.to_string()));
        properties.push(("endLine", last.line.to_string()));
        // The runner refuses columns of an annotation with several lines.
        if first.line == last.line {
            properties.push(("col", first.column.to_string()));
            properties.push(("endColumn", last.column.to_string()));
        }
    }
    let object = diagnostic.object.as_ref().map(|object| format!(" {object}")).unwrap_or_default();
    properties.push(("title", format!("{}{object}", diagnostic.code)));
    let properties: Vec<String> =
        properties.into_iter().map(|(name, value)| format!("{name}={}", property(&value))).collect();
    let mut message = diagnostic.message.clone();
    message.extend(diagnostic.hint.iter().map(|hint| format!("\n{hint}")));
    format!("::{command} {}::{}\n", properties.join(","), data(&message))
}

/// What would end a command, or begin an escape.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The same in a property, which a comma or a colon would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, FileId, ObjectRef, Span};

    #[test]
    fn nothing_ends_a_command_too_early() {
        let sources = SourceMap::from_texts([("a,b: 100%.yaml", "kind: x\nspec: y\n")]);
        let span = Span { file: FileId(0), start: 8, end: 12 };
        let object = ObjectRef { kind: "Pod".into(), namespace: "ns".into(), name: "p".into() };
        let diagnostics = [
            Diagnostic::warning(Code("CL001"), span, "50% of\r\n::error::it").hint("a: b, c").object(object),
            Diagnostic::error(Code("F-001"), Span { end: 17, ..span }, "two lines"),
            Diagnostic::info(Code("CL000"), None, "no place"),
        ];
        insta::assert_snapshot!(annotations(&diagnostics, &sources), @r"
        ::notice title=CL000::no place
        ::warning file=a%2Cb%3A 100%25.yaml,line=2,endLine=2,col=1,endColumn=5,title=CL001 Pod ns/p::50%25 of%0D%0A::error::it%0Aa: b, c
        ::error file=a%2Cb%3A 100%25.yaml,line=2,endLine=3,title=F-001::two lines
        ");
    }
}
