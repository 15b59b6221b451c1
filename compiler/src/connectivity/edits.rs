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
            Self::Moved => "policy changed",
            Self::Kept => "unchanged",
        }
    }
}

/// The rules of both versions by their texts.
pub struct Edits<'a> {
    old: Texts<'a>,
    new: Texts<'a>,
}

struct Texts<'a> {
    version: Version<'a>,
    rules: BTreeSet<(&'a ObjectRef, String)>,
    policies: BTreeSet<(&'a ObjectRef, String)>,
    places: BTreeMap<(&'a ObjectRef, &'a str), String>,
}

impl<'a> Texts<'a> {
    fn new(version: Version<'a>) -> Self {
        let rules = &version.connectivity.rules;
        Self {
            version,
            rules: rules.iter().map(|rule| (&rule.object, text(version.sources, rule.span))).collect(),
            policies: rules.iter().map(|rule| (&rule.object, text(version.sources, rule.policy))).collect(),
            places: rules
                .iter()
                .map(|rule| ((&rule.object, rule.path.as_str()), text(version.sources, rule.span)))
                .collect(),
        }
    }
}

impl<'a> Edits<'a> {
    /// Reads the texts of every rule.
    pub fn new(old: Version<'a>, new: Version<'a>) -> Self {
        Self { old: Texts::new(old), new: Texts::new(new) }
    }

    /// What happened to a rule of the old version.
    pub fn of_old(&self, index: RuleIndex) -> Option<(&'a RuleRef, Edit)> {
        Self::of(&self.old, &self.new, index, Edit::Removed)
    }

    /// What happened to a rule of the new version.
    pub fn of_new(&self, index: RuleIndex) -> Option<(&'a RuleRef, Edit)> {
        Self::of(&self.new, &self.old, index, Edit::Added)
    }

    fn of(own: &Texts<'a>, other: &Texts<'a>, index: RuleIndex, alone: Edit) -> Option<(&'a RuleRef, Edit)> {
        let rule = own.version.connectivity.rule(index)?;
        let sources = own.version.sources;
        let edit = if other.policies.contains(&(&rule.object, text(sources, rule.policy))) {
            Edit::Kept
        } else if other.rules.contains(&(&rule.object, text(sources, rule.span))) {
            Edit::Moved
        } else {
            // A rule that only moved on made room for this one.
            let there = other.places.get(&(&rule.object, &rule.path));
            let gone = there.is_some_and(|there| !own.rules.contains(&(&rule.object, there.clone())));
            if gone { Edit::Changed } else { alone }
        };
        Some((rule, edit))
    }
}

/// What a span holds, whatever its indentation.
fn text(sources: &SourceMap, span: Span) -> String {
    let text = sources.file(span.file).and_then(|file| file.text.get(span.start as usize..span.end as usize));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
