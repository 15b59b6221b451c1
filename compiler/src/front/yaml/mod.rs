//! YAML and JSON as a tree that remembers where everything was written.
//!
//! In: one text. Out: its documents, with every problem of the notation. Aliases share their target, merge keys are
//! expanded, and both have a budget, so that no text makes a walk over the tree expensive. It knows nothing of
//! Kubernetes but its reading of scalars, which is YAML 1.1 as `sigs.k8s.io/yaml` has it.
//!
//! A tree lies in an [`Arena`] and borrows the text: it is made fast, copied for nothing and dropped at once.

mod build;
mod digest;
mod same;
mod scalar;

use std::borrow::Cow;

use crate::diag::{Diagnostic, FileId, Span};

pub use digest::digest;
pub use same::same;
pub use scalar::Value;

/// Nesting beyond this is refused.
pub const DEPTH_MAX: usize = 200;

/// Nodes that all aliases of one text may add to what is written.
pub const ALIAS_NODES_MAX: u64 = 100_000;

/// Where trees lie. What is in it lives as long as it does.
pub type Arena = bumpalo::Bump;

/// A text's documents.
#[derive(Debug, Clone, Default)]
pub struct Parsed<'a> {
    /// Documents, those that came before an unparsable place included.
    pub documents: Vec<Document<'a>>,
    /// What stopped the parser, if anything did; it belongs to no document.
    pub fatal: Option<Diagnostic>,
}

/// One document.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// Its content.
    pub root: Node<'a>,
    /// Errors of the notation inside the document; the rest of it can still be read.
    pub problems: Vec<Diagnostic>,
}

/// A value and where it was written.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Where it was written; for an alias, where its target was.
    pub span: Span,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Text, number, boolean or null.
    Scalar(Scalar<'a>),
    /// List.
    Sequence(&'a [Node<'a>]),
    /// Fields in the order they were written, merged ones last; no key twice.
    Mapping(&'a [Entry<'a>]),
}

/// A field of a mapping.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Key, always a scalar.
    pub key: Node<'a>,
    /// Value.
    pub value: Node<'a>,
}

/// A scalar as written.
#[derive(Debug, Clone, Copy)]
pub struct Scalar<'a> {
    /// Content, without quotes and with escapes replaced.
    pub text: &'a str,
    /// Written without quotes and not as a block, so that it may be a number, boolean or null.
    pub plain: bool,
    /// Explicit tag, `!!str` as `tag:yaml.org,2002:str`.
    pub tag: Option<&'a str>,
    /// Bytes between the start of the span and the text, when the source holds the text letter by letter.
    pub verbatim: Option<u8>,
}

/// Reads a text of YAML or JSON.
pub fn parse<'a>(file: FileId, text: &'a str, arena: &'a Arena) -> Parsed<'a> {
    build::build(file, text, arena)
}

impl<'a> Node<'a> {
    /// The value of a field of a mapping.
    pub fn get(&self, name: &str) -> Option<&'a Node<'a>> {
        self.entries()?.iter().find(|entry| entry.key.is_key(name)).map(|entry| &entry.value)
    }

    /// The fields of a mapping.
    pub fn entries(&self) -> Option<&'a [Entry<'a>]> {
        match self.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&'a [Node<'a>]> {
        match self.kind {
            Kind::Sequence(items) => Some(items),
            Kind::Scalar(_) | Kind::Mapping(_) => None,
        }
    }

    /// The scalar's value by Kubernetes' rules.
    pub fn value(&self) -> Option<Value<'a>> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar.value()),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// Null in any of its spellings.
    pub fn is_null(&self) -> bool {
        matches!(self.value(), Some(Value::Null))
    }

    /// The text of a scalar that is a string.
    pub fn str(&self) -> Option<&'a str> {
        match self.value() {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether this is the key of a field. No name of a field looks like a number or is a word such as `yes`, so it is the
    /// key as JSON has it when it is the text as written.
    pub fn is_key(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.text == name)
    }

    /// A key as JSON has it: text. Empty for what is no scalar.
    pub fn key_text(&self) -> Cow<'a, str> {
        match self.value() {
            Some(Value::Str(text)) => Cow::Borrowed(text),
            Some(Value::Int(number)) => Cow::Owned(number.to_string()),
            Some(Value::Float(number)) => Cow::Owned(number.to_string()),
            Some(Value::Bool(truth)) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Some(Value::Null) => Cow::Borrowed("null"),
            None => Cow::Borrowed(""),
        }
    }

    /// The place of a part of the scalar's text; the whole scalar when it was written with escapes or as a block.
    pub fn part(&self, offset: usize, len: usize) -> Span {
        let Kind::Scalar(Scalar { verbatim: Some(skip), text, .. }) = self.kind else {
            return self.span;
        };
        let clamp = |at: usize| u32::try_from(at.min(text.len())).unwrap_or(u32::MAX);
        let base = self.span.start.saturating_add(u32::from(skip));
        let start = base.saturating_add(clamp(offset));
        let end = base.saturating_add(clamp(offset.saturating_add(len)));
        // Something missing at the end has no text of its own: show the whole.
        if start == end { self.span } else { Span { file: self.span.file, start, end } }
    }
}
