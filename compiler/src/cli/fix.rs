//! Edits of findings, as a patch or in the files.

use std::collections::BTreeMap;
use std::path::Path;

use similar::TextDiff;

use crate::diag::{Diagnostic, Edit, FileId, edits};
use crate::driver::Failure;
use crate::source::{self, SourceMap};

/// Lines around a change in a patch.
const CONTEXT: usize = 3;

/// A file with its edits made.
pub struct Change<'s> {
    name: &'s str,
    old: &'s str,
    new: String,
    /// How many edits.
    pub count: usize,
}

/// What the edits of the findings make of each file, in the order of the files.
pub fn plan<'s>(sources: &'s SourceMap, found: &[Diagnostic]) -> Vec<Change<'s>> {
    let mut by_file: BTreeMap<FileId, Vec<&Edit>> = BTreeMap::new();
    for edit in found.iter().filter_map(|diagnostic| diagnostic.edit.as_ref()) {
        by_file.entry(edit.span.file).or_default().push(edit);
    }
    let change = |(id, edits): (FileId, Vec<&Edit>)| {
        let file = sources.file(id)?;
        let (new, count) = edits::apply(&file.text, edits);
        Some(Change { name: &file.name, old: &file.text, new, count })
    };
    by_file.into_iter().filter_map(change).filter(|change| change.count > 0).collect()
}

/// The changes as one patch.
pub fn patch(changes: &[Change<'_>]) -> String {
    let of = |change: &Change<'_>| {
        let diff = TextDiff::from_lines(change.old, &change.new);
        let (old, new) = (format!("a/{}", change.name), format!("b/{}", change.name));
        diff.unified_diff().context_radius(CONTEXT).header(&old, &new).to_string()
    };
    changes.iter().map(of).collect()
}

/// Writes a change, unless somebody else changed the file since it was read. A symbolic link stays one.
pub fn write(change: &Change<'_>) -> Result<(), Failure> {
    let path = Path::new(change.name);
    let now = source::optional(path).map_err(Failure::Machine)?;
    if now.as_deref() != Some(change.old) {
        return Err(Failure::Input(format!("{}: changed since it was read; run the command again", change.name)));
    }
    let target = std::fs::canonicalize(path).map_err(|error| Failure::Machine(format!("{}: {error}", change.name)))?;
    super::replace_file(&target, &change.new)
}
