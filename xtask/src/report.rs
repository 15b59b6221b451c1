//! The only place of this crate that prints. Colour is for terminals.

use std::io::{IsTerminal, Write};

/// What a text means to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// Came out as it should.
    Good,
    /// Came out wrong.
    Bad,
    /// Read it only if you want to know more.
    Faint,
}

/// Standard output of a chore.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    colour: bool,
}

impl Report {
    /// Writes to standard output, in colour when that is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn stdout() -> Self {
        Report { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// One line.
    pub fn line(self, text: impl AsRef<str>) {
        // Nobody is left to tell when standard output is gone.
        let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
    }

    /// A heading with an empty line above it.
    pub fn heading(self, text: &str) {
        self.line(format!("\n{}", self.paint(Tone::Strong, text)));
    }

    /// `text`, coloured where colour is wanted.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// An error, on standard error.
pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
}

/// Rows with every column as wide as its widest cell; the last column is left ragged.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:<w$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_do_not_trail() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(columns(&rows), ["a    bb", "ccc  d"]);
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert_eq!(Report { colour: false }.paint(Tone::Bad, "x"), "x");
        assert_eq!(Report { colour: true }.paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
