//! Edits applied to a text.

use super::Edit;

/// The text with the edits made, and how many were. An edit that overlaps an earlier one, or does not lie in the text, is
/// left for another time; the same edit twice is one.
pub fn apply<'e>(text: &str, edits: impl IntoIterator<Item = &'e Edit>) -> (String, usize) {
    let mut edits: Vec<&Edit> = edits.into_iter().collect();
    edits.sort_unstable();
    edits.dedup();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut count) = (0, 0);
    for edit in edits {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        let replaced = start >= at && text.get(start..end).is_some();
        let Some(before) = text.get(at..start).filter(|_| replaced) else { continue };
        out += before;
        out += &edit.text;
        at = end;
        count += 1;
    }
    out += text.get(at..).unwrap_or_default();
    (out, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{FileId, Span};

    #[test]
    fn edits_meet_no_other() {
        let edit = |start, end, text: &str| Edit { span: Span { file: FileId(0), start, end }, text: text.into() };
        let text = "a: ü1, b: 2\n";
        let edits =
            [edit(11, 12, "3"), edit(3, 6, "x"), edit(3, 6, "x"), edit(4, 6, "y"), edit(5, 9, "z"), edit(90, 91, "n")];
        assert_eq!(apply(text, &edits), ("a: x, b: 3\n".to_owned(), 2));
        assert_eq!(apply(text, &[edit(4, 6, "inside of a letter")]), (text.to_owned(), 0));
        assert_eq!(apply(text, &[]), (text.to_owned(), 0));
    }
}
