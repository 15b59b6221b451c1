//! Edits that a lint can offer: a word or a scalar for another, where the text leaves no doubt what is replaced.

use crate::diag::{Edit, Span};
use crate::front::yaml::{Scalar, Value};
use crate::source::SourceMap;

/// The edit of a word, a key or a value of a label, inside of a span. None where the word does not stand there exactly
/// once, where the text may hold it in another way (comments, anchors, tags), and where the new word would be no text.
pub fn word(sources: &SourceMap, span: Span, from: &str, to: &str) -> Option<Edit> {
    let text = sources.text(span);
    if text.contains(['#', '&', '*', '!', '|', '>', '\\']) {
        return None;
    }
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let whole = |at: &usize| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        let behind = text.get(at + from.len()..).and_then(|behind| behind.chars().next());
        !before.is_some_and(is_of_word) && !behind.is_some_and(is_of_word)
    };
    let mut places = text.match_indices(from).map(|(at, _)| at).filter(whole);
    let at = places.next().filter(|_| places.next().is_none())?;
    let quoted = at.checked_sub(1).is_some_and(|before| matches!(text.as_bytes()[before], b'"' | b'\''));
    part(span, at, from, to).filter(|_| quoted || is_text(to))
}

/// The edit of a scalar that fills the span, quotes aside.
pub fn scalar(sources: &SourceMap, span: Span, from: &str, to: &str) -> Option<Edit> {
    let text = sources.text(span);
    let at = usize::from(text.starts_with(['"', '\'']));
    let is_whole = text.get(at..)?.strip_prefix(from)?.len() == at;
    part(span, at, from, to).filter(|_| is_whole)
}

fn part(span: Span, at: usize, from: &str, to: &str) -> Option<Edit> {
    let start = span.start.checked_add(u32::try_from(at).ok()?)?;
    let end = start.checked_add(u32::try_from(from.len()).ok()?)?;
    Some(Edit { span: Span { start, end, ..span }, text: to.to_owned() })
}

/// Whether it is text when nothing quotes it: `on` and `1.20` are not.
fn is_text(word: &str) -> bool {
    let plain = Scalar { text: word, plain: true, tag: None, verbatim: None };
    matches!(plain.value(), Value::Str(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;

    fn edited(text: &str, edit: impl Fn(&SourceMap, Span) -> Option<Edit>) -> Option<String> {
        let sources = SourceMap::from_texts([("a.yaml", format!("x: {text}"))]);
        let span = Span { file: FileId(0), start: 3, end: 3 + text.len() as u32 };
        let edit = edit(&sources, span)?;
        let mut text = format!("x: {text}");
        text.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.text);
        Some(text)
    }

    #[test]
    fn a_word_that_stands_there_once() {
        let to = |text, from, to| edited(text, |sources, span| word(sources, span, from, to));
        assert_eq!(to("app: wbe", "wbe", "web").as_deref(), Some("x: app: web"));
        assert_eq!(to("'app' : \"wbe\"", "wbe", "web").as_deref(), Some("x: 'app' : \"web\""));
        assert_eq!(to("k8s:ap: web", "ap", "app").as_deref(), Some("x: k8s:app: web"));
        for doubtful in ["app: app", "app: wbe # wbe", "app: # wbe", "app: *wbe", "app: wbe-1"] {
            assert_eq!(to(doubtful, if doubtful == "app: app" { "app" } else { "wbe" }, "web"), None, "{doubtful}");
        }
        assert_eq!(to("app: onn", "onn", "on"), None);
        assert_eq!(to("app: 'onn'", "onn", "on").as_deref(), Some("x: app: 'on'"));
    }

    #[test]
    fn a_scalar_that_fills_its_span() {
        let to = |text| edited(text, |sources, span| scalar(sources, span, "10.0.0.1/8", "10.0.0.0/8"));
        assert_eq!(to("10.0.0.1/8").as_deref(), Some("x: 10.0.0.0/8"));
        assert_eq!(to("'10.0.0.1/8'").as_deref(), Some("x: '10.0.0.0/8'"));
        assert_eq!(to("10.0.0.1/8 "), None);
        assert_eq!(to("\"10.0.0\\x2e1/8\""), None);
    }
}
