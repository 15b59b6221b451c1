//! The files of a tar archive, as the compiler writes it: plain files and folders, POSIX header.

use std::collections::BTreeMap;

use super::BundleError;

const BLOCK: usize = 512;

/// Splits an archive into its files. Links, devices and extended headers are refused: a bundle has none.
pub fn files(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    let mut files = BTreeMap::new();
    let mut rest = bytes;
    loop {
        let Some((header, behind)) = rest.split_at_checked(BLOCK) else {
            return Err(damaged("it ends without the two empty blocks that end an archive"));
        };
        if header.iter().all(|&b| b == 0) {
            return if behind.iter().all(|&b| b == 0) && behind.len() >= BLOCK && behind.len().is_multiple_of(BLOCK) {
                Ok(files)
            } else {
                Err(damaged("there is something behind its end"))
            };
        }
        let name = name(header).ok_or_else(|| damaged("a file name is not UTF-8"))?;
        if !checksum_is_right(header) && files.is_empty() {
            return Err(damaged("it does not begin as a tar archive does"));
        }
        if !checksum_is_right(header) {
            return Err(damaged(&format!("the header of `{name}` has a wrong checksum")));
        }
        let size = octal(&header[124..136]).ok_or_else(|| damaged(&format!("`{name}` has no readable size")))?;
        let padded = size.checked_next_multiple_of(BLOCK).and_then(|padded| behind.split_at_checked(padded));
        let Some((data, next)) = padded else {
            return Err(damaged(&format!("it ends inside `{name}`")));
        };
        match header[156] {
            b'0' | 0 => {
                if files.insert(name.clone(), data[..size].to_vec()).is_some() {
                    return Err(damaged(&format!("`{name}` is in it twice")));
                }
            }
            b'5' => {}
            _ => return Err(BundleError::NotAFile { path: name }),
        }
        rest = next;
    }
}

fn damaged(what: &str) -> BundleError {
    BundleError::Archive(what.to_owned())
}

fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok()
}

fn name(header: &[u8]) -> Option<String> {
    let name = text(&header[..100])?;
    // Only a POSIX header has the prefix; GNU's (`ustar  `) has times there.
    let prefix = if header[257..263] == *b"ustar\0" { text(&header[345..500])? } else { "" };
    let joined = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    Some(joined.strip_prefix("./").map_or(joined.clone(), str::to_owned))
}

fn octal(field: &[u8]) -> Option<usize> {
    usize::from_str_radix(text(field)?.trim(), 8).ok()
}

fn checksum_is_right(header: &[u8]) -> bool {
    let sum: usize =
        header.iter().enumerate().map(|(at, &b)| usize::from(if (148..156).contains(&at) { b' ' } else { b })).sum();
    octal(&header[148..156]) == Some(sum)
}
