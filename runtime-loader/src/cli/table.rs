//! Tables for people: columns under a head, as `cilium` prints them.

use std::io::Write;

use crate::error::Error;

/// Prints the head and the rows, each column as wide as its widest cell.
pub fn print(out: &mut dyn Write, head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Error> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        line.trim_end().to_owned()
    };
    super::print(out, line(&mut head.iter().copied()))?;
    rows.iter().try_for_each(|row| super::print(out, line(&mut row.iter().map(String::as_str))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_under_their_heads() {
        let mut out = Vec::new();
        let rows = vec![vec!["1".to_owned(), "web".to_owned()], vec!["65535".to_owned(), String::new()]];
        super::print(&mut out, &["ID", "NAME"], rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID      NAME\n1       web\n65535\n");
    }
}
