//! Files and folders.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that a bundle may have in all: a bundle of 10 000 endpoints has a few hundred megabytes.
pub const BUNDLE_MAX: u64 = 1 << 30;

/// What reading a tree found.
#[derive(Debug)]
pub enum Tree {
    /// A folder: its files by relative path with `/`, and what is neither file nor folder.
    Folder {
        /// Contents by path.
        files: BTreeMap<String, Vec<u8>>,
        /// Links, devices and names that are not UTF-8.
        strange: Vec<String>,
    },
    /// One file.
    File(Vec<u8>),
}

/// Reads a folder with all below it, or one file. Links inside are not followed.
pub fn read_tree(path: &Path) -> io::Result<Tree> {
    let mut left = BUNDLE_MAX;
    if !fs::metadata(path)?.is_dir() {
        return Ok(Tree::File(read_bounded(path, &mut left)?));
    }
    let (mut files, mut strange) = (BTreeMap::new(), Vec::new());
    let mut open = vec![(path.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(|name| format!("{prefix}{name}")) else {
                strange.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
                continue;
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() {
                files.insert(name, read_bounded(&entry.path(), &mut left)?);
            } else {
                strange.push(name);
            }
        }
    }
    Ok(Tree::Folder { files, strange })
}

fn read_bounded(path: &Path, left: &mut u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(path)?;
    let mut bytes = Vec::new();
    file.take(*left + 1).read_to_end(&mut bytes)?;
    match left.checked_sub(bytes.len() as u64) {
        Some(rest) => *left = rest,
        None => return Err(io::Error::other(format!("more than {BUNDLE_MAX} bytes"))),
    }
    Ok(bytes)
}

/// Makes a folder and those above it, for root alone.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that nobody looks at before a rename of its folder.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// Writes a file so that readers see the old or the new one, whatever becomes of this process. It is not forced to a
/// disk: a machine that goes down takes the pins with it, which is all that the state is about.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push("_tmp");
    let aside = Path::new(&aside);
    let written = write(aside, bytes).and_then(|()| fs::rename(aside, path));
    if written.is_err() {
        // Where there is no room, half a file takes some of it.
        let _ = fs::remove_file(aside);
    }
    written
}

/// Names in a folder, sorted; none when there is no such folder.
pub fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The whole file, or `None` when there is none.
pub fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Removes a file or pin, or a folder of them, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if meta.is_dir() {
        for name in names(path)? {
            remove(&path.join(name))?;
        }
        return fs::remove_dir(path);
    }
    fs::remove_file(path)
}

/// Removes a folder if it is there, empty, and ours to remove: whoever made it for us, or mounted it, takes it away.
pub fn remove_if_empty(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    match fs::remove_dir(path) {
        Err(error)
            if matches!(
                error.kind(),
                NotFound | DirectoryNotEmpty | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Renames, in place of what had that name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}
