//! Which rules two versions of an input have in common, by their text.

use std::collections::{BTreeMap, BTreeSet};

use super::{Connectivity, RuleIndex, RuleRef};
use crate::diag::{ObjectRef, Span};
use crate::source::SourceMap;

/// One version: what it lets pass, and the texts that its spans are about.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Who may talk to whom.
    pub connectivity: &'a Connectivity,
    /// The files.
    pub sources: &'a SourceMap,
}

/// What happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edit {
    /// The other version has no rule in its place.
    Added,
    /// Likewise, seen from the new version.
    Removed,
    /// The other version has another one in its place.
    Changed,
    /// The other version has a rule in its place; whether it is the same cannot be told from a bundle.
    Unknown,
    /// It stands in both versions, in policies that differ elsewhere.
    Moved,
    /// Its policy is the same in both.
    Kept,
}

impl Edit {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Unknown => "in both",
            Self::Moved => "policy changed",
            Self::Kept => "unchanged",
        }
    }
}

/// What happened to the rules of both versions.
pub struct Edits<'a> {
    old: Vec<(&'a RuleRef, Edit)>,
    new: Vec<(&'a RuleRef, Edit)>,
}

impl<'a> Edits<'a> {
    /// Compares the texts of all rules.
    pub fn new(old: Version<'a>, new: Version<'a>) -> Self {
        let (before, after) = (Texts::new(old), Texts::new(new));
        let has_texts = old.sources.has_texts() && new.sources.has_texts();
        let of = |own: &Texts<'a>, other: &Texts<'a>, alone| {
            let rules = own.all.iter();
            let edit = |text: &Text<'a>| match has_texts {
                true => edit(text, own, other, alone),
                false if other.places.contains_key(&(&text.rule.object, text.rule.path.as_str())) => Edit::Unknown,
                false => alone,
            };
            rules.map(|text| (text.rule, edit(text))).collect()
        };
        Self { old: of(&before, &after, Edit::Removed), new: of(&after, &before, Edit::Added) }
    }

    /// A rule of the new or of the old version.
    pub fn of(&self, index: RuleIndex, is_new: bool) -> Option<(&'a RuleRef, Edit)> {
        let rules = if is_new { &self.new } else { &self.old };
        rules.get(index.0 as usize).copied()
    }

    /// Rules of the old version, then those of the new one; the flag tells.
    pub fn all(&self) -> impl Iterator<Item = (&'a RuleRef, Edit, bool)> {
        let old = self.old.iter().map(|&(rule, edit)| (rule, edit, false));
        old.chain(self.new.iter().map(|&(rule, edit)| (rule, edit, true)))
    }
}

/// A rule with its text and that of its policy.
struct Text<'a> {
    rule: &'a RuleRef,
    own: String,
    policy: String,
}

/// The rules of a version by their texts.
struct Texts<'a> {
    all: Vec<Text<'a>>,
    rules: BTreeSet<(&'a ObjectRef, String)>,
    policies: BTreeSet<(&'a ObjectRef, String)>,
    places: BTreeMap<(&'a ObjectRef, &'a str), String>,
}

impl<'a> Texts<'a> {
    fn new(version: Version<'a>) -> Self {
        let rules = version.connectivity.rules.iter();
        // A host policy that begins or ceases to act is another one.
        let text = |rule: &RuleRef, span| match rule.of_hosts {
            true => format!("of hosts: {}", text(version.sources, span)),
            false => text(version.sources, span),
        };
        let all: Vec<Text<'a>> =
            rules.map(|rule| Text { rule, own: text(rule, rule.span), policy: text(rule, rule.policy) }).collect();
        Self {
            rules: all.iter().map(|text| (&text.rule.object, text.own.clone())).collect(),
            policies: all.iter().map(|text| (&text.rule.object, text.policy.clone())).collect(),
            places: all.iter().map(|t| ((&t.rule.object, t.rule.path.as_str()), t.own.clone())).collect(),
            all,
        }
    }
}

/// What happened to one rule; `alone` is that the other version has nothing like it.
fn edit(text: &Text<'_>, own: &Texts<'_>, other: &Texts<'_>, alone: Edit) -> Edit {
    let object = &text.rule.object;
    if other.policies.contains(&(object, text.policy.clone())) {
        return Edit::Kept;
    }
    if other.rules.contains(&(object, text.own.clone())) {
        return Edit::Moved;
    }
    // A rule that only moved on made room for this one.
    let there = other.places.get(&(object, text.rule.path.as_str()));
    let is_gone = there.is_some_and(|there| !own.rules.contains(&(object, there.clone())));
    if is_gone { Edit::Changed } else { alone }
}

/// What a span holds, whatever its indentation.
fn text(sources: &SourceMap, span: Span) -> String {
    let text = sources.file(span.file).and_then(|file| file.text.get(span.start as usize..span.end as usize));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
