//! Parser events to trees.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as EventSpan, StrInput, Tag};

use super::{ALIAS_NODES_MAX, Arena, DEPTH_MAX, Document, Entry, Kind, Node, Parsed, Scalar};
use crate::diag::{Diagnostic, FileId, Span};
use crate::front::codes;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text; stops at the first place that cannot be parsed and keeps the documents before it.
pub(super) fn build<'a>(file: FileId, text: &'a str, arena: &'a Arena) -> Parsed<'a> {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut ctx = Ctx {
        file,
        arena,
        body,
        base: text.len() - body.len(),
        offsets: Offsets::new(body),
        stack: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        anchors: HashMap::new(),
        alias_nodes: 0,
        problems: Vec::new(),
        documents: Vec::new(),
    };
    let mut parser = Parser::new_from_str(body);
    let fatal = ctx.run(&mut parser).err();
    Parsed { documents: ctx.documents, fatal: fatal.map(|diagnostic| *diagnostic) }
}

struct Ctx<'a> {
    file: FileId,
    arena: &'a Arena,
    body: &'a str,
    /// Bytes of the text before `body`.
    base: usize,
    offsets: Offsets,
    stack: Vec<Frame>,
    /// Items of all open collections, those of the innermost last: a text has more collections than memory is worth asking
    /// for twice.
    items: Vec<Node<'a>>,
    /// Empty between mappings; its memory is used for all.
    entries: Vec<Entry<'a>>,
    anchors: HashMap<usize, Built<'a>>,
    alias_nodes: u64,
    problems: Vec<Diagnostic>,
    documents: Vec<Document<'a>>,
}

/// A finished node and what a walk over it costs.
#[derive(Clone, Copy)]
struct Built<'a> {
    node: Node<'a>,
    nodes: u64,
    height: usize,
}

/// A collection that is still open.
struct Frame {
    mapping: bool,
    span: Span,
    anchor: usize,
    /// Where its items begin in [`Ctx::items`]; in a mapping keys and values in turn.
    first: usize,
    nodes: u64,
    height: usize,
}

/// The parser's places to bytes. It counts characters, and behind a directive that holds others than ASCII its count is
/// ahead (saphyr-parser 0.3 adds bytes there), so lines and columns are asked.
enum Offsets {
    Ascii,
    Table {
        /// Byte offset of each character.
        chars: Vec<u32>,
        /// Index of the first character of each line; a carriage return ends one, too.
        lines: Vec<usize>,
    },
}

impl Offsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        // A text of 4 GiB does not come here: the source map refuses it.
        let chars = text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect();
        let mut lines = vec![0];
        let followed = text.chars().zip(text.chars().skip(1).map(Some).chain([None]));
        for ((this, next), behind) in followed.zip(1..) {
            if this == '\n' || (this == '\r' && next != Some('\n')) {
                lines.push(behind);
            }
        }
        Self::Table { chars, lines }
    }

    fn byte(&self, mark: &Marker, len: usize) -> usize {
        match self {
            Self::Ascii => mark.index().min(len),
            Self::Table { chars, lines } => {
                let line = mark.line().checked_sub(1).and_then(|line| lines.get(line));
                let at = line.map_or(chars.len(), |start| start + mark.col());
                chars.get(at).map_or(len, |at| *at as usize)
            }
        }
    }
}

type Step = Result<(), Box<Diagnostic>>;

impl<'a> Ctx<'a> {
    fn run(&mut self, parser: &mut Parser<'a, StrInput<'a>>) -> Step {
        while let Some(next) = parser.next_event() {
            let (event, at) = next.map_err(|error| Box::new(self.scan_error(&error)))?;
            match event {
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                Event::Alias(anchor) => self.alias(anchor, at)?,
                Event::Scalar(text, style, anchor, tag) => {
                    let scalar = self.scalar(&text, style, tag.as_deref(), at);
                    self.add(Built { node: scalar, nodes: 1, height: 0 }, anchor);
                }
                Event::SequenceStart(anchor, _) => self.open(false, anchor, at)?,
                Event::MappingStart(anchor, _) => self.open(true, anchor, at)?,
                Event::SequenceEnd | Event::MappingEnd => self.close(at),
            }
        }
        Ok(())
    }

    fn offset(&self, mark: &Marker) -> u32 {
        let at = self.base + self.offsets.byte(mark, self.body.len());
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn span(&self, at: EventSpan) -> Span {
        Span { file: self.file, start: self.offset(&at.start), end: self.offset(&at.end) }
    }

    fn scan_error(&self, error: &ScanError) -> Diagnostic {
        let start = self.offset(error.marker());
        let span = Span { file: self.file, start, end: start };
        if error.info().contains("recursion limit") {
            return too_deep(span);
        }
        Diagnostic::error(codes::YAML, span, format!("not valid YAML: {}", error.info()))
            .hint("nothing behind this place in the file was read; mend it and run again")
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: EventSpan) -> Node<'a> {
        let mut span = self.span(at);
        let start = (span.start as usize).saturating_sub(self.base);
        let source = self.body.get(start..).unwrap_or_default();
        let plain = matches!(style, ScalarStyle::Plain);
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let skip = u8::from(!plain);
        // The parser makes a copy of most texts; the source has them as well.
        let copy = source.get(usize::from(skip)..).and_then(|source| source.get(..text.len()));
        let borrowed = copy.filter(|source| *source == text);
        let verbatim = borrowed.is_some();
        // The parser's end may lie behind blanks or a comment.
        let len = if quoted {
            quoted_len(source)
        } else if plain && verbatim {
            text.len()
        } else {
            let written =
                (span.end as usize).saturating_sub(self.base).checked_sub(start).and_then(|len| source.get(..len));
            written.map_or(0, |written| written.trim_end().len())
        };
        span.end = span.start.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        let text = borrowed.unwrap_or_else(|| self.arena.alloc_str(text));
        let tag = tag.map(|tag| &*self.arena.alloc_str(&format!("{}{}", tag.handle, tag.suffix)));
        let verbatim = (verbatim && (plain || quoted)).then_some(skip);
        Node { span, kind: Kind::Scalar(Scalar { text, plain, tag, verbatim }) }
    }

    fn alias(&mut self, anchor: usize, at: EventSpan) -> Step {
        let span = self.span(at);
        let Some(built) = self.anchors.get(&anchor).copied() else {
            return Err(Box::new(
                Diagnostic::error(codes::ALIAS, span, "this alias is inside of what it refers to")
                    .hint("write the value out"),
            ));
        };
        self.alias_nodes = self.alias_nodes.saturating_add(built.nodes);
        if self.alias_nodes > ALIAS_NODES_MAX {
            return Err(Box::new(
                Diagnostic::error(codes::ALIAS, span, format!("aliases expand to more than {ALIAS_NODES_MAX} values"))
                    .hint("write the values out, or split the file"),
            ));
        }
        if self.stack.len() + built.height > DEPTH_MAX {
            return Err(Box::new(too_deep(span)));
        }
        self.add(built, 0);
        Ok(())
    }

    fn open(&mut self, mapping: bool, anchor: usize, at: EventSpan) -> Step {
        let span = self.span(at);
        if self.stack.len() >= DEPTH_MAX {
            return Err(Box::new(too_deep(span)));
        }
        self.stack.push(Frame { mapping, span, anchor, first: self.items.len(), nodes: 1, height: 0 });
        Ok(())
    }

    fn close(&mut self, at: EventSpan) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        let closing = self.span(at);
        let mut span = frame.span;
        // A block ends where its last child does; the parser reports the next token instead.
        let last = self.items.get(frame.first..).and_then(<[_]>::last).map_or(span.end, |item| item.span.end);
        span.end = if closing.start < closing.end { closing.end } else { last.max(span.end) };
        let kind = if frame.mapping {
            Kind::Mapping(self.mapping(frame.first))
        } else {
            let items = self.arena.alloc_slice_copy(self.items.get(frame.first..).unwrap_or_default());
            self.items.truncate(frame.first);
            Kind::Sequence(items)
        };
        self.add(Built { node: Node { span, kind }, nodes: frame.nodes, height: frame.height + 1 }, frame.anchor);
    }

    /// Puts a finished node into its parent, or makes it a document.
    fn add(&mut self, built: Built<'a>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, built);
        }
        match self.stack.last_mut() {
            Some(frame) => {
                frame.nodes = frame.nodes.saturating_add(built.nodes);
                frame.height = frame.height.max(built.height);
                self.items.push(built.node);
            }
            None => {
                let problems = std::mem::take(&mut self.problems);
                self.documents.push(Document { root: built.node, problems });
            }
        }
    }

    /// Pairs keys with values, refuses equal keys, expands merge keys.
    fn mapping(&mut self, first: usize) -> &'a [Entry<'a>] {
        let mut entries = std::mem::take(&mut self.entries);
        let mut keys = Keys::default();
        let mut merges = Vec::new();
        let mut items = self.items.drain(first..);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if is_merge(&key) {
                merges.push(value);
            } else if key.value().is_none() {
                self.problems.push(Diagnostic::error(codes::YAML, key.span, "a key must be text"));
            } else if let Some(first) = keys.add(&key, entries.len(), &entries) {
                self.problems.push(
                    Diagnostic::error(codes::DUPLICATE_KEY, key.span, format!("`{}` is written twice", key.key_text()))
                        .related(entries[first].key.span, "first here")
                        .hint("keep one of the two"),
                );
            } else {
                entries.push(Entry { key, value });
            }
        }
        drop(items);
        for merge in merges {
            self.merge(&merge, &mut entries, &mut keys);
        }
        let mapping = self.arena.alloc_slice_copy(&entries);
        entries.clear();
        self.entries = entries;
        mapping
    }

    fn merge(&mut self, from: &Node<'a>, entries: &mut Vec<Entry<'a>>, keys: &mut Keys<'a>) {
        match from.kind {
            Kind::Mapping(fields) => {
                for field in fields {
                    if keys.add(&field.key, entries.len(), entries).is_none() {
                        entries.push(*field);
                    }
                }
            }
            Kind::Sequence(sources) if sources.iter().all(|source| source.entries().is_some()) => {
                for source in sources {
                    self.merge(source, entries, keys);
                }
            }
            Kind::Scalar(_) | Kind::Sequence(_) => self.problems.push(Diagnostic::error(
                codes::YAML,
                from.span,
                "the value of `<<` must be a mapping or a list of mappings",
            )),
        }
    }
}

/// Bytes of a quoted scalar with its quotes.
fn quoted_len(source: &str) -> usize {
    let bytes = source.as_bytes();
    // After odd characters the parser's place can be off; then there is no quote.
    let Some(quote @ (b'"' | b'\'')) = bytes.first() else { return 0 };
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' if *quote == b'"' => 2,
            b'\'' if *quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => 2,
            byte if byte == quote => return at + 1,
            _ => 1,
        };
    }
    bytes.len()
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(codes::TOO_DEEP, span, format!("nested more than {DEPTH_MAX} levels deep"))
        .hint("nothing behind this place in the file was read")
}

fn is_merge(key: &Node<'_>) -> bool {
    match &key.kind {
        Kind::Scalar(scalar) => {
            scalar.plain && scalar.text == "<<" && scalar.tag.is_none_or(|tag| tag == "tag:yaml.org,2002:merge")
        }
        Kind::Sequence(_) | Kind::Mapping(_) => false,
    }
}

/// The keys of a mapping so far: a scan while there are few, a hash table from then on.
#[derive(Default)]
struct Keys<'a> {
    table: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<'a> Keys<'a> {
    const SCAN_MAX: usize = 16;

    /// Index of the entry that has this key already; else remembers it for `index`.
    fn add(&mut self, key: &Node<'a>, index: usize, entries: &[Entry<'a>]) -> Option<usize> {
        let text = key.key_text();
        if entries.len() < Self::SCAN_MAX && self.table.is_none() {
            return entries.iter().position(|entry| entry.key.key_text() == text);
        }
        let table = self.table.get_or_insert_with(|| {
            entries.iter().zip(0..).map(|(entry, index)| (entry.key.key_text(), index)).collect()
        });
        match table.entry(text) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(index);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Value, parse};
    use super::*;

    fn read(text: &str) -> Parsed<'_> {
        parse(FileId(0), text, Box::leak(Box::default()))
    }

    fn one(text: &str) -> Node<'_> {
        let parsed = read(text);
        assert!(parsed.fatal.is_none(), "{:?}", parsed.fatal);
        assert!(parsed.documents[0].problems.is_empty(), "{:?}", parsed.documents[0].problems);
        parsed.documents[0].root
    }

    fn written<'a>(text: &'a str, node: &Node<'_>) -> &'a str {
        &text[node.span.start as usize..node.span.end as usize]
    }

    #[test]
    fn spans_are_bytes() {
        let text = "ä: \"ö ü\"   # ß\nb:\n- éé   # c\n- {x: 1 , z: [a,  b ]}\n\n# end\n";
        let root = one(text);
        assert_eq!(written(text, root.get("ä").unwrap()), "\"ö ü\"");
        let list = root.get("b").unwrap();
        let items = list.items().unwrap();
        assert_eq!(written(text, &items[0]), "éé");
        assert_eq!(written(text, &items[1]), "{x: 1 , z: [a,  b ]}");
        assert_eq!(written(text, items[1].get("z").unwrap()), "[a,  b ]");
        assert!(written(text, list).ends_with("b ]}"));
    }

    /// The parser's count of characters goes wrong behind such a directive.
    #[test]
    fn a_directive_moves_nothing() {
        for head in ["%YAML 1.2 # ü\n", "%Fü\u{1f600} ßß x\n", "%F ü\r\n%G \u{1f600}\r", "# ü\n%É é # é\n"] {
            let text = format!("{head}---\nä: é # ü\nb: [c, 'ö']\n...\n{head}---\nd: |\n  ü\n  %ü\ne: x\n");
            let parsed = read(&text);
            assert!(parsed.fatal.is_none(), "{head:?}: {:?}", parsed.fatal);
            let [one, other] = parsed.documents.as_slice() else { panic!("{head:?}: {}", parsed.documents.len()) };
            assert_eq!(written(&text, one.root.get("ä").unwrap()), "é", "{head:?}");
            assert_eq!(written(&text, &one.root.get("b").unwrap().items().unwrap()[1]), "'ö'", "{head:?}");
            assert_eq!(written(&text, other.root.get("e").unwrap()), "x", "{head:?}");
        }
        let text = "%F üüü\n---\na: 1\nb: [\n";
        let span = read(text).fatal.unwrap().span.unwrap();
        assert_eq!(span.start as usize, text.len());
    }

    proptest::proptest! {
        /// Without directives both counts of the parser say the same.
        #[test]
        fn lines_and_columns_are_as_good_as_the_count(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "a", "é", "\u{1f600}", ": ", "- ", " ", "\n", "\r\n", "\r", "  ", "# ü", "'", "\"", "|\n", ">-\n", "[", "]",
                "{", "}", ", ", "&a ", "*a", "!é ", "? ", "---\n", "...\n", "\\", "\u{85}", "\t",
            ]), 0..40),
        ) {
            let text = format!("ü: 1\n{}", parts.concat());
            let offsets = Offsets::new(&text);
            let by_count = |mark: &Marker| text.char_indices().nth(mark.index()).map_or(text.len(), |(at, _)| at);
            for event in Parser::new_from_str(&text).take(1000) {
                match event {
                    Ok((_, at)) => for mark in [at.start, at.end] {
                        proptest::prop_assert_eq!(offsets.byte(&mark, text.len()), by_count(&mark), "{:?}", text);
                    },
                    Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_scalar_has_its_place() {
        let text = "\u{feff}é: 'a=b'\nf: x/33\ng: \"a\\tb\"\n";
        let root = one(text);
        let part = |name: &str, offset, len| {
            let span = root.get(name).unwrap().part(offset, len);
            &text[span.start as usize..span.end as usize]
        };
        assert_eq!(part("é", 2, 1), "b");
        assert_eq!(part("f", 2, 2), "33");
        assert_eq!(part("f", 4, 9), "x/33");
        assert_eq!(part("g", 1, 1), "\"a\\tb\"");
    }

    #[test]
    fn json_with_tabs_is_yaml() {
        let root = one("{\n\t\"a\": [1, 2.5, \"x\\u003c\"],\n\t\"b\": {\"c\": null}\n}\n");
        assert_eq!(root.get("a").unwrap().items().unwrap()[2].str(), Some("x<"));
        assert!(root.get("b").unwrap().get("c").unwrap().is_null());
    }

    #[test]
    fn equal_keys_are_refused_however_they_are_written() {
        for text in
            ["{a: 1, 'a': 2}", "1: a\n\"1\": b\n", &(0..40).map(|n| format!("k{}: 1\n", n % 39)).collect::<String>()]
        {
            let parsed = read(text);
            let problems = &parsed.documents[0].problems;
            assert_eq!(problems.len(), 1, "{text}");
            assert_eq!(problems[0].code, codes::DUPLICATE_KEY);
            assert_eq!(problems[0].related.len(), 1);
        }
    }

    #[test]
    fn merge_keys_do_not_override() {
        let root =
            one("base: &b {x: 1, w: 2}\nmore: &m {w: 3, z: 4}\nall:\n  <<: [*b, *m]\n  x: 9\nquoted: {'<<': 1}\n");
        let all = root.get("all").unwrap();
        let field = |name: &str| all.get(name).and_then(|node| node.value().map(|value| format!("{value:?}")));
        assert_eq!(field("x").as_deref(), Some("Int(9)"));
        assert_eq!(field("w").as_deref(), Some("Int(2)"));
        assert_eq!(field("z").as_deref(), Some("Int(4)"));
        assert!(all.get("<<").is_none());
        assert_eq!(root.get("quoted").unwrap().get("<<").unwrap().value(), Some(Value::Int(1)));
    }

    #[test]
    fn documents_before_an_error_are_kept() {
        let parsed = read("a: 1\n---\nb: 2\n---\nc: [1, 2\nd: 3\n");
        assert_eq!(parsed.documents.len(), 2);
        assert_eq!(parsed.fatal.unwrap().code, codes::YAML);
    }

    /// The best of three: the machine may be busy with something else.
    fn fatal_fast(text: &str) -> crate::diag::Code {
        let timed = || {
            let start = Instant::now();
            let parsed = read(text);
            (start.elapsed(), parsed.fatal.unwrap().code)
        };
        let (elapsed, code) = (0..3).map(|_| timed()).min().unwrap();
        assert!(elapsed < Duration::from_millis(100), "{elapsed:?}");
        code
    }

    #[test]
    fn bombs_are_refused_fast() {
        assert_eq!(fatal_fast(&"[".repeat(20_000)), codes::TOO_DEEP);
        assert_eq!(fatal_fast(&"- ".repeat(20_000)), codes::TOO_DEEP);
        assert_eq!(fatal_fast(&"{a: ".repeat(20_000)), codes::TOO_DEEP);
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}", level - 1);
            laughs += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", "));
        }
        assert_eq!(fatal_fast(&laughs), codes::ALIAS);
        let mut tower = "a0: &a0 [x]\n".to_owned();
        for level in 1..300 {
            tower += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert_eq!(fatal_fast(&tower), codes::TOO_DEEP);
        assert_eq!(fatal_fast("a: &a [*a]\n"), codes::ALIAS);
    }

    #[test]
    fn as_deep_as_allowed_is_fine() {
        let text = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(read(&text).fatal.is_none());
    }
}
