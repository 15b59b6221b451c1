//! Files and standard input: the only module that reads input.
//!
//! In: paths as the user wrote them. Out: a [`SourceMap`] with every text once, in a fixed order. It knows nothing of
//! YAML; an empty file is as good as any other.

mod beside;
mod git;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::diag::{FileId, Span};

pub use beside::{optional, text};
pub use load::{LoadError, LoadOptions, load, load_fixtures, load_groups};

/// Every text that was read.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    groups: Option<FileId>,
    /// Canonical names of files on disk, or whatever tells them from others.
    places: BTreeMap<PathBuf, FileId>,
    /// Files that only some tests read.
    fixtures: BTreeSet<FileId>,
    /// The texts are not at hand: a byte offset is the index of a line.
    stands_in: bool,
}

/// One text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path as given, or as found below a folder as given; `-` is standard input.
    pub name: String,
    /// Content.
    pub text: String,
    /// Byte offset of the first byte of each line; never empty.
    line_starts: Vec<u32>,
}

/// A place for people: both numbers begin with 1, the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineCol {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl SourceMap {
    /// A map of texts that are in memory already. Texts of 4 GiB and more do not fit a [`Span`] and are left out.
    pub fn from_texts<N: Into<String>, T: Into<String>>(texts: impl IntoIterator<Item = (N, T)>) -> Self {
        let mut map = Self::default();
        for (name, text) in texts {
            map.push(name.into(), text.into());
        }
        map
    }

    /// Files that are not at hand: a span begins at the index, from 0, of its line.
    pub fn of_lines<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { stands_in: true, ..Self::from_texts(names.into_iter().map(|name| (name, ""))) }
    }

    /// Whether the texts are at hand.
    pub fn has_texts(&self) -> bool {
        !self.stands_in
    }

    /// Adds a text, or tells that it is too large for byte offsets of 32 bits.
    fn push(&mut self, name: String, text: String) -> Option<FileId> {
        let id = FileId(u32::try_from(self.files.len()).ok()?);
        self.files.push(SourceFile::new(name, text)?);
        Some(id)
    }

    /// The same texts, with one inserted into a file at a byte offset; `None` where there is no such place.
    pub fn inserted(&self, id: FileId, offset: u32, text: &str) -> Option<Self> {
        let mut map = self.clone();
        let file = map.files.get_mut(id.0 as usize)?;
        let (head, tail) = file.text.split_at_checked(offset as usize)?;
        *file = SourceFile::new(file.name.clone(), format!("{head}{text}{tail}"))?;
        Some(map)
    }

    /// The files in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().zip(0..).map(|(file, index)| (FileId(index), file))
    }

    /// One file; `None` when the id is another map's.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// Name of a file, empty when the id is another map's.
    pub fn name(&self, id: FileId) -> &str {
        self.file(id).map_or("", |file| &file.name)
    }

    /// The text of a span; empty when it is another map's.
    pub fn text(&self, span: Span) -> &str {
        let file = self.file(span.file);
        file.and_then(|file| file.text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    }

    /// Where a span begins.
    pub fn line_col(&self, span: Span) -> LineCol {
        if self.stands_in {
            return LineCol { line: span.start as usize + 1, column: 1 };
        }
        self.file(span.file).map_or(LineCol { line: 1, column: 1 }, |file| file.line_col(span.start))
    }

    /// The file of `--groups`, which is no manifest.
    pub fn groups(&self) -> Option<FileId> {
        self.groups
    }

    /// Whether only some tests read a file.
    pub fn is_fixture(&self, id: FileId) -> bool {
        self.fixtures.contains(&id)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl SourceFile {
    fn new(name: String, text: String) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let mut line_starts = vec![0];
        line_starts.extend((0u32..).zip(text.bytes()).filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Some(Self { name, text, line_starts })
    }

    /// Line and column of a byte offset; beyond the end is the end.
    pub fn line_col(&self, offset: u32) -> LineCol {
        let line = self.line_index(offset);
        let start = self.line_start(line);
        let head = self.text.as_bytes().get(start..self.clamp(offset)).unwrap_or_default();
        let continuation = head.iter().filter(|byte| **byte & 0xc0 == 0x80).count();
        LineCol { line: line + 1, column: head.len() - continuation + 1 }
    }

    /// Number of lines.
    pub fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// Index, from 0, of the line that holds a byte offset.
    pub fn line_index(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Byte offset of a line by its index; the end of the text for lines behind the last.
    pub fn line_start(&self, index: usize) -> usize {
        self.line_starts.get(index).map_or(self.text.len(), |start| *start as usize)
    }

    fn clamp(&self, offset: u32) -> usize {
        (offset as usize).min(self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let map = SourceMap::from_texts([("a.yaml", "ä: 1\nbé: x\n")]);
        let at = |start| map.line_col(Span { file: FileId(0), start, end: start });
        assert_eq!(at(0), LineCol { line: 1, column: 1 });
        assert_eq!(at(2), LineCol { line: 1, column: 2 });
        assert_eq!(at(6), LineCol { line: 2, column: 1 });
        assert_eq!(at(9), LineCol { line: 2, column: 3 });
        assert_eq!(at(900), LineCol { line: 3, column: 1 });
    }

    #[test]
    fn a_foreign_id_is_no_panic() {
        let map = SourceMap::default();
        assert_eq!(map.name(FileId(7)), "");
        assert_eq!(map.line_col(Span { file: FileId(7), start: 3, end: 4 }), LineCol { line: 1, column: 1 });
    }
}
