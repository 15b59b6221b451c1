//! Files that go with the input: the lock and probes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file; `None` when there is no such file.
pub fn optional(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}

/// The text of a file, or of standard input for `-`.
pub fn text(path: &str) -> Result<String, String> {
    let read = if path == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|error| format!("{path}: cannot be read: {error}"))
}
