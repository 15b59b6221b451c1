//! From paths to texts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{SourceMap, git};
use crate::diag::FileId;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Files, folders, `-` for standard input, and `git:REF[:PATH]` for what a revision has there.
    pub paths: Vec<String>,
    /// Globs over paths as found; what matches below a folder is not read. Files named in `paths` are always read.
    pub exclude: Vec<String>,
}

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path does not exist.
    #[error("{path}: no such file or folder; check the path")]
    Missing {
        /// The path, as given.
        path: String,
    },
    /// The system refused.
    #[error("{path}: cannot be read: {error}; check type and permissions of the path")]
    Read {
        /// The path, as given or found.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The content is not text.
    #[error("{path}: not UTF-8 at byte {offset}; convert the file, or leave it out with --exclude")]
    NotUtf8 {
        /// The path, as given or found.
        path: String,
        /// First byte that is not UTF-8.
        offset: usize,
    },
    /// Spans have 32 bits.
    #[error("{path}: {size} bytes, the limit is 4 GiB; split the file")]
    TooLarge {
        /// The path, as given or found.
        path: String,
        /// Size in bytes.
        size: usize,
    },
    /// A revision cannot be read.
    #[error("{path}: {message}")]
    Git {
        /// The path, as given.
        path: String,
        /// Why, and what to do.
        message: String,
    },
    /// `--exclude` does not parse.
    #[error("--exclude {glob}: {message}; see the syntax of globs in the help")]
    Glob {
        /// The glob, as given.
        glob: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads everything, folders recursively and sorted by name, each file once. All problems are returned together.
pub fn load(options: &LoadOptions) -> Result<SourceMap, Vec<LoadError>> {
    let mut ctx = Ctx::new(SourceMap::default());
    ctx.exclude(&options.exclude);
    for path in &options.paths {
        ctx.named(path);
    }
    if ctx.errors.is_empty() { Ok(ctx.map) } else { Err(ctx.errors) }
}

/// Reads what a file names as fixtures, relative to itself; a file that was read already is none of the input any more.
pub fn load_fixtures(
    map: &mut SourceMap,
    from: FileId,
    paths: &[&str],
    exclude: &[String],
) -> Result<BTreeSet<FileId>, Vec<LoadError>> {
    let folder = map.name(from).rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let place = folder.or_else(|| map.name(from).rsplit_once(':').map(|(revision, _)| format!("{revision}:")));
    let mut ctx = Ctx::new(std::mem::take(map));
    ctx.exclude(exclude);
    for path in paths {
        match &place {
            Some(folder) if !path.starts_with('/') => ctx.named(&join(folder, path)),
            Some(_) | None => ctx.named(path),
        }
    }
    let found = std::mem::take(&mut ctx.visited);
    *map = ctx.map;
    map.fixtures.extend(&found);
    if ctx.errors.is_empty() { Ok(found) } else { Err(ctx.errors) }
}

/// A path below a folder, which may be one of a revision.
fn join(folder: &str, path: &str) -> String {
    if folder.ends_with(':') { format!("{folder}{path}") } else { format!("{folder}/{path}") }
}

/// Reads the file of `--groups`.
pub fn load_groups(map: &mut SourceMap, path: &str) -> Result<(), LoadError> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.to_owned() },
        _ => LoadError::Read { path: path.to_owned(), error },
    })?;
    map.groups = Some(push(map, path.to_owned(), bytes)?);
    Ok(())
}

fn push(map: &mut SourceMap, path: String, bytes: Vec<u8>) -> Result<FileId, LoadError> {
    match String::from_utf8(bytes) {
        Ok(text) => {
            let size = text.len();
            map.push(path.clone(), text).ok_or(LoadError::TooLarge { path, size })
        }
        Err(error) => Err(LoadError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() }),
    }
}

struct Ctx {
    exclude: GlobSet,
    map: SourceMap,
    /// Canonical paths of folders already visited: symlink loops end.
    seen: BTreeSet<PathBuf>,
    /// Files of this visit, those that were read before too.
    visited: BTreeSet<FileId>,
    errors: Vec<LoadError>,
}

impl Ctx {
    fn new(map: SourceMap) -> Self {
        Self { exclude: GlobSet::empty(), map, seen: BTreeSet::new(), visited: BTreeSet::new(), errors: Vec::new() }
    }

    /// What the user named.
    fn named(&mut self, path: &str) {
        match git::Place::parse(path) {
            _ if path == "-" => self.stdin(),
            Some(place) => self.revision(path, place),
            None => self.path(Path::new(path)),
        }
    }

    fn exclude(&mut self, globs: &[String]) {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            match GlobBuilder::new(glob).literal_separator(true).build() {
                Ok(parsed) => {
                    set.add(parsed);
                }
                Err(error) => self.bad_glob(glob, &error),
            }
        }
        match set.build() {
            Ok(set) => self.exclude = set,
            Err(error) => self.bad_glob("", &error),
        }
    }

    fn bad_glob(&mut self, glob: &str, error: &globset::Error) {
        self.errors.push(LoadError::Glob { glob: glob.to_owned(), message: error.kind().to_string() });
    }

    fn stdin(&mut self) {
        let place = PathBuf::from("-");
        if self.was_read(&place) {
            return;
        }
        let mut bytes = Vec::new();
        match io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => self.bytes(place, "-".to_owned(), bytes),
            Err(error) => self.errors.push(LoadError::Read { path: "-".to_owned(), error }),
        }
    }

    /// A revision that the user named. Its files are others than those on disk, whatever their names.
    fn revision(&mut self, path: &str, place: git::Place<'_>) {
        match git::files(place, |path| self.exclude.is_match(path), is_manifest) {
            Ok(files) => {
                for file in files {
                    let place = PathBuf::from(format!("git:{}", place.revision)).join(file.identity);
                    if !self.was_read(&place) {
                        self.bytes(place, file.name, file.bytes);
                    }
                }
            }
            Err(message) => self.errors.push(LoadError::Git { path: path.to_owned(), message }),
        }
    }

    /// A path that the user named.
    fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.folder(path),
            Ok(_) => self.file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.errors.push(LoadError::Missing { path: display(path) });
            }
            Err(error) => self.unreadable(path, error),
        }
    }

    fn folder(&mut self, folder: &Path) {
        if !self.seen.insert(canonical(folder)) {
            return;
        }
        let entries = match fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, error),
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            if self.exclude.is_match(&path) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => self.folder(&path),
                Ok(meta) if meta.is_file() && is_manifest(&path) => self.file(&path),
                Ok(_) => {}
                // A dangling symlink matters only when it has the name of a manifest.
                Err(error) if is_manifest(&path) => self.unreadable(&path, error),
                Err(_) => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let place = canonical(path);
        if self.was_read(&place) {
            return;
        }
        match fs::read(path) {
            Ok(bytes) => self.bytes(place, display(path), bytes),
            Err(error) => self.unreadable(path, error),
        }
    }

    fn bytes(&mut self, place: PathBuf, path: String, bytes: Vec<u8>) {
        match push(&mut self.map, path, bytes) {
            Ok(id) => {
                self.map.places.insert(place, id);
                self.visited.insert(id);
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Whether a file is in the map: each is read once.
    fn was_read(&mut self, place: &Path) -> bool {
        let id = self.map.places.get(place).copied();
        self.visited.extend(id);
        id.is_some()
    }

    fn unreadable(&mut self, path: &Path, error: io::Error) {
        self.errors.push(LoadError::Read { path: display(path), error });
    }
}

/// Where the system cannot name it canonically (/dev/stdin, say), the path itself has to do.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("b.yaml", "b"), ("a.yml", "a"), ("sub/c.json", "{}"), ("notes.txt", "n"), ("sub/skip/d.yaml", "d")]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn names(options: &LoadOptions, root: &Path) -> Vec<String> {
        let map = load(options).unwrap();
        let prefix = format!("{}/", root.display());
        map.files().map(|(_, file)| file.name.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }

    #[test]
    fn folders_are_sorted_and_hold_manifests_only() {
        let root = folder();
        let options = LoadOptions { paths: vec![display(root.path())], exclude: vec![] };
        assert_eq!(names(&options, root.path()), ["a.yml", "b.yaml", "sub/c.json", "sub/skip/d.yaml"]);
    }

    #[test]
    fn exclude_spares_named_files() {
        let root = folder();
        let named = display(&root.path().join("sub/skip/d.yaml"));
        let options = LoadOptions { paths: vec![display(root.path())], exclude: vec!["**/skip/**".into()] };
        assert_eq!(names(&options, root.path()), ["a.yml", "b.yaml", "sub/c.json"]);
        let options = LoadOptions { paths: vec![named], exclude: vec!["**/skip/**".into()] };
        assert_eq!(names(&options, root.path()), ["sub/skip/d.yaml"]);
    }

    #[test]
    fn a_named_file_is_read_whatever_its_name_and_once() {
        let root = folder();
        let named = display(&root.path().join("notes.txt"));
        let options = LoadOptions { paths: vec![named.clone(), named], exclude: vec![] };
        assert_eq!(names(&options, root.path()), ["notes.txt"]);
    }

    #[test]
    fn all_problems_at_once() {
        let root = folder();
        fs::write(root.path().join("x.yaml"), b"a: \xff").unwrap();
        let paths = vec![display(root.path()), display(&root.path().join("absent"))];
        let errors = load(&LoadOptions { paths, exclude: vec!["a[".into()] }).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3, "{text:?}");
        assert!(text[0].contains("--exclude a["));
        assert!(text[1].contains("not UTF-8 at byte 3"));
        assert!(text[2].contains("absent: no such file"));
    }

    #[test]
    fn a_symlink_loop_ends() {
        let root = folder();
        std::os::unix::fs::symlink(root.path(), root.path().join("sub/again")).unwrap();
        let options = LoadOptions { paths: vec![display(root.path())], exclude: vec![] };
        assert_eq!(names(&options, root.path()).len(), 4);
    }
}
