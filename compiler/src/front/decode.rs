//! Typed access to nodes: what is missing or of the wrong type is reported, and reading goes on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;

use crate::diag::{Code, Diagnostic, ObjectRef, Severity, Span};

use super::codes;
use super::names::nearest;
use super::parse::Wrong;
use super::yaml::{Entry, Kind, Node, Value};

/// The object that is being read, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Ctx {
    /// The object, once it is known.
    object: Option<ObjectRef>,
    diagnostics: Vec<Diagnostic>,
    failed: bool,
    /// Unknown fields are only warned about.
    lenient: bool,
}

impl Ctx {
    /// Everything that is reported is about this object.
    pub fn new(object: Option<ObjectRef>) -> Self {
        Self { object, ..Self::default() }
    }

    /// From here on unknown fields are warned about and no error: Cilium ignores those of raw rules.
    pub fn allow_unknown_fields(&mut self) {
        self.lenient = true;
    }

    /// Takes a diagnostic; an error means that the object is refused.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        self.failed |= diagnostic.severity == Severity::Error;
        diagnostic.object = diagnostic.object.or_else(|| self.object.clone());
        self.diagnostics.push(diagnostic);
    }

    /// Reports an error without a hint.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, span, message));
    }

    /// Reports that a part of a scalar is wrong.
    pub fn wrong(&mut self, code: Code, node: &Node<'_>, what: &str, wrong: &Wrong) {
        let written = node.str().unwrap_or_default();
        self.error(code, node.part(wrong.offset, wrong.len), format!("{what} {written:?}: {}", wrong.message));
    }

    /// Whether the object is refused.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Everything that was reported.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// The fields of a mapping.
    pub fn fields<'n, 'a>(&mut self, name: &str, node: &'n Node<'a>) -> Option<Fields<'n, 'a>> {
        match node.entries() {
            Some(entries) => Some(Fields { node, entries, asked: RefCell::new(Vec::new()) }),
            None => self.type_error(name, node, "a mapping"),
        }
    }

    /// The items of a list.
    pub fn items<'n, 'a>(&mut self, name: &str, node: &'n Node<'a>) -> Option<&'n [Node<'a>]> {
        match node.items() {
            Some(items) => Some(items),
            None => self.type_error(name, node, "a list"),
        }
    }

    /// A string.
    pub fn text<'a>(&mut self, name: &str, node: &Node<'a>) -> Option<&'a str> {
        match node.str() {
            Some(text) => Some(text),
            None => self.type_error(name, node, "a string"),
        }
    }

    /// An optional string; the empty one counts as absent, as it does where JSON is read into Go.
    pub fn optional_text(&mut self, fields: &Fields<'_, '_>, name: &'static str) -> Option<String> {
        let text = self.text(name, fields.get(name)?)?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The strings of a list.
    pub fn texts(&mut self, name: &str, node: &Node<'_>) -> Vec<String> {
        let items = self.items(name, node).unwrap_or_default();
        each(items, |item| self.text(name, item).map(str::to_owned))
    }

    /// One of a few words; another one is reported with the nearest of them.
    pub fn word<T: Copy>(&mut self, code: Code, name: &str, node: &Node<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(name, node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let hint = match nearest(text, known.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write one of {}", known.join(", ")),
        };
        self.report(Diagnostic::error(code, node.span, format!("`{name}` cannot be {text:?}")).hint(hint));
        None
    }

    /// A boolean.
    pub fn boolean(&mut self, name: &str, node: &Node<'_>) -> Option<bool> {
        match node.value() {
            Some(Value::Bool(truth)) => Some(truth),
            _ => self.type_error(name, node, "true or false"),
        }
    }

    /// A whole number; `8.0` is one, as in JSON.
    pub fn integer(&mut self, name: &str, node: &Node<'_>) -> Option<i128> {
        match node.value() {
            Some(Value::Int(number)) => Some(number),
            #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 has an exact integer")]
            Some(Value::Float(number)) if number.fract() == 0.0 && number.abs() < 9e15 => Some(number as i128),
            _ => self.type_error(name, node, "a whole number"),
        }
    }

    /// A mapping of strings to strings, in the order written. Keys come with their nodes.
    pub fn string_map<'n, 'a>(
        &mut self,
        name: &str,
        node: &'n Node<'a>,
    ) -> Vec<(&'n Node<'a>, Cow<'a, str>, &'n Node<'a>, &'a str)> {
        let Some(fields) = self.fields(name, node) else {
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(fields.entries.len());
        for Entry { key, value } in fields.entries {
            let text = key.key_text();
            if value.is_null() {
                // The API reads null as the empty string.
                pairs.push((key, text, value, ""));
            } else if let Some(value_text) = self.text(&text, value) {
                pairs.push((key, text, value, value_text));
            }
        }
        pairs
    }

    /// Reports a wrong type.
    pub fn type_error<T>(&mut self, name: &str, node: &Node<'_>, needed: &str) -> Option<T> {
        let found = match &node.kind {
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Int(_) | Value::Float(_) => "a number",
                Value::Str(_) => "a string",
            },
        };
        let mut diagnostic =
            Diagnostic::error(codes::TYPE, node.span, format!("`{name}` is {found}, it must be {needed}"));
        if let Kind::Scalar(scalar) = &node.kind {
            let is_text = matches!(scalar.value(), Value::Str(_));
            if needed == "a string" {
                diagnostic = diagnostic.hint(format!("quote it: {:?}", scalar.text));
            } else if is_text && !scalar.plain && !matches!(needed, "a mapping" | "a list") {
                diagnostic = diagnostic.hint("write it without quotes");
            }
        }
        self.report(diagnostic);
        None
    }

    /// Reports a required field that is not there.
    pub fn missing<T>(&mut self, code: Code, name: &str, span: Span) -> Option<T> {
        self.error(code, span, format!("`{name}` is missing"));
        None
    }
}

/// A mapping whose fields are asked for by name. Those that nobody asked for are unknown.
pub struct Fields<'n, 'a> {
    /// The mapping.
    pub node: &'n Node<'a>,
    entries: &'n [Entry<'a>],
    asked: RefCell<Vec<&'static str>>,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// The value of a field; null counts as absent.
    pub fn get(&self, name: &'static str) -> Option<&'n Node<'a>> {
        self.entry(name).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// A field with its key; null counts as present.
    pub fn entry(&self, name: &'static str) -> Option<&'n Entry<'a>> {
        self.asked.borrow_mut().push(name);
        self.entries.iter().find(|entry| entry.key.is_key(name))
    }

    /// Accepts fields without reading them.
    pub fn ignore(&self, names: &[&'static str]) {
        self.asked.borrow_mut().extend(names);
    }

    /// Reports each field that nobody asked for.
    pub fn finish(self, ctx: &mut Ctx, what: impl Display) {
        let asked = self.asked.into_inner();
        for Entry { key, .. } in self.entries {
            let name = key.key_text();
            if asked.iter().any(|known| *known == name) {
                continue;
            }
            let message = format!("`{name}` is not a field of {what}");
            let diagnostic = if ctx.lenient {
                Diagnostic::warning(codes::RAW_FIELD, key.span, message).hint("Cilium ignores it; remove it")
            } else {
                Diagnostic::error(codes::UNKNOWN_FIELD, key.span, message)
            };
            ctx.report(match nearest(&name, asked.iter().copied()) {
                Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
                None => diagnostic,
            });
        }
    }
}

/// Reads each item; what could not be read was reported and is left out. There is room for no more than there are: most
/// lists of a policy are short, and there are many.
pub fn each<'n, 'a, T>(items: &'n [Node<'a>], read: impl FnMut(&'n Node<'a>) -> Option<T>) -> Vec<T> {
    let mut all = Vec::with_capacity(items.len());
    all.extend(items.iter().filter_map(read));
    all
}

/// Keeps the value, for uses where the reason for its absence was reported.
pub fn spanned<T>(node: &Node<'_>, value: T) -> crate::diag::Spanned<T> {
    crate::diag::Spanned { value, span: node.span }
}
