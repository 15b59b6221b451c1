//! What makes a finding the same one tomorrow: its code, its object and what is written there, but no line.

use sha2::{Digest, Sha256};

use super::{Diagnostic, render};
use crate::source::SourceMap;

/// Letters of a fingerprint.
const LEN: usize = 32;

/// The fingerprint of a diagnostic, in hexadecimal. Blanks do not count, nor does where the object stands; of a place with
/// many lines only the first counts, so that what is said of a whole object outlasts its rules.
pub fn fingerprint(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    add(diagnostic.code.0);
    let object = diagnostic.object.as_ref();
    object.map_or([""; 3], |o| [&o.kind, &o.namespace, &o.name]).into_iter().for_each(&mut add);
    match diagnostic.span {
        Some(span) => sources.text(render::shown(sources, span)).split_whitespace().for_each(&mut add),
        None => add(&diagnostic.message),
    }
    let mut text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(LEN);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, FileId, ObjectRef, Span};

    #[test]
    fn lines_and_blanks_do_not_count_and_content_does() {
        let of = |text: &str, name: &str, part: &str| {
            let sources = SourceMap::from_texts([("a.yaml", text)]);
            let start = text.find(part).unwrap() as u32;
            let span = Span { file: FileId(0), start, end: start + part.len() as u32 };
            let object = ObjectRef { kind: "Pod".into(), namespace: "ns".into(), name: name.into() };
            fingerprint(&Diagnostic::warning(Code("CL001"), span, "x").object(object), &sources)
        };
        let first = of("app: web\n", "p", "app: web");
        assert_eq!(first.len(), LEN);
        assert_eq!(first, of("# more\n\n  app:   web\n", "p", "app:   web"));
        assert_ne!(first, of("app: web\n", "other", "app: web"));
        assert_ne!(first, of("app: wob\n", "p", "app: wob"));
        let long = |last: &str| format!("kind: Pod\n{}x: {last}\n", "a: b\n".repeat(9));
        assert_eq!(of(&long("1"), "p", &long("1")), of(&long("2"), "p", &long("2")));
    }
}
