//! `git:REF[:PATH]`: files of a revision, read through git's own plumbing.
//!
//! A repository may be somebody else's: nothing that its configuration names is run. Only commands that read objects are
//! used, without filters, hooks, pagers, file system monitors, or fetching what a partial clone lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Beginning of a path that means a revision.
pub const PREFIX: &str = "git:";
/// Symbolic links on the way to one file.
const LINKS_MAX: usize = 40;

/// Configuration that would run something.
const CONFIGURATION: [&str; 4] =
    ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "protocol.allow=never"];

/// A revision and a place in it, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Branch, tag, commit, `HEAD~1`, ...
    pub revision: &'a str,
    /// Below the current folder; empty is all of it.
    pub path: &'a str,
}

impl<'a> Place<'a> {
    /// Splits `git:REF[:PATH]`; `None` for other paths.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (revision, path) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Self { revision, path })
    }
}

/// One file of a revision.
pub struct Found {
    /// As `git:REF:PATH` names it.
    pub name: String,
    /// What tells it from other files of the repository.
    pub identity: PathBuf,
    /// Content.
    pub bytes: Vec<u8>,
}

/// The manifests below a place, or the one file that it names, in the order in which they would be read from disk.
/// `wanted` says which files and folders to read, by their path below the current folder. Errors are one line with the
/// remedy.
pub fn files(
    place: Place<'_>,
    is_excluded: impl Fn(&Path) -> bool,
    is_manifest: impl Fn(&Path) -> bool,
) -> Result<Vec<Found>, String> {
    let Place { revision, path } = place;
    let prefix = text(run(&["rev-parse", "--show-prefix"])?.map_err(|error| repository(&error))?)?;
    let tree = format!("{revision}^{{tree}}");
    let tree = run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &tree])?;
    let tree = text(tree.map_err(|_| {
        format!("`{revision}` is no revision here; `git branch -a` lists branches, and a shallow clone may lack it: `git fetch`")
    })?)?;
    let root = inside(Path::new(prefix.trim_end_matches('\n')), Path::new(path))
        .ok_or_else(|| format!("`{path}` leads out of the repository; name a path inside of it"))?;
    let listing = run(&["ls-tree", "-r", "-z", "--full-tree", tree.trim_end()])?.map_err(|error| repository(&error))?;
    let mut walk = Walk {
        entries: entries(&listing)?,
        objects: Objects::open()?,
        is_excluded: &is_excluded,
        is_manifest: &is_manifest,
        revision,
        seen: BTreeSet::new(),
        found: Vec::new(),
    };
    match walk.resolve(&root)? {
        Some(Target::File(real, object)) => walk.file(Path::new(path), real, &object)?,
        Some(Target::Folder(real)) => walk.folder(Path::new(path), real)?,
        Some(Target::Submodule) => return Err(submodule(Path::new(path))),
        None => {
            return Err(format!(
                "`{path}` is not in revision `{revision}`; `git ls-tree --name-only {revision}` shows what is"
            ));
        }
    }
    Ok(walk.found)
}

fn submodule(path: &Path) -> String {
    format!(
        "`{}` is a submodule, whose files are not in this revision; name a revision inside of it, or --exclude it",
        path.display()
    )
}

fn repository(message: &str) -> String {
    format!("git says: {message}; run this inside of a repository that git trusts")
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "the repository has a path that is not UTF-8; rename it".to_owned())
}

/// A path below a folder of the repository, with `.` and `..` resolved; `None` when it leads out.
fn inside(folder: &Path, path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in folder.components().chain(path.components()) {
        match component {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.args(["--no-pager", "--no-optional-locks", "--literal-pathspecs"]);
    command.args(CONFIGURATION.iter().flat_map(|setting| ["-c", setting]));
    command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command
}

/// Standard output, or the last line of standard error where git fails.
fn run(words: &[&str]) -> Result<Result<Vec<u8>, String>, String> {
    let output = git().args(words).stdin(Stdio::null()).output().map_err(|error| cannot_run(&error))?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.lines().find(|line| line.starts_with("fatal: ")).unwrap_or("fatal: it failed");
    Ok(Err(message.trim_start_matches("fatal: ").to_owned()))
}

fn cannot_run(error: &std::io::Error) -> String {
    format!("git cannot be run: {error}; install it, or check the revision out and name its folder")
}

/// What a revision has at a path.
#[derive(Debug, Clone)]
enum Entry {
    File(String),
    Link(String),
    Submodule,
}

/// Entries by path, in the order of a walk through folders that are sorted by name.
fn entries(listing: &[u8]) -> Result<BTreeMap<PathBuf, Entry>, String> {
    let mut out = BTreeMap::new();
    for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = text(line.to_vec())?;
        let unreadable = || format!("git lists an entry that cannot be read: `{line}`; update git");
        let (about, path) = line.split_once('\t').ok_or_else(unreadable)?;
        let mut words = about.split(' ');
        let (Some(mode), Some(_), Some(object)) = (words.next(), words.next(), words.next()) else {
            return Err(unreadable());
        };
        let entry = match mode {
            "120000" => Entry::Link(object.to_owned()),
            "160000" => Entry::Submodule,
            _ => Entry::File(object.to_owned()),
        };
        out.insert(PathBuf::from(path), entry);
    }
    Ok(out)
}

/// What a path leads to, links followed.
enum Target {
    File(PathBuf, String),
    Folder(PathBuf),
    Submodule,
}

struct Walk<'a> {
    entries: BTreeMap<PathBuf, Entry>,
    objects: Objects,
    is_excluded: &'a dyn Fn(&Path) -> bool,
    is_manifest: &'a dyn Fn(&Path) -> bool,
    revision: &'a str,
    /// Real paths of what was visited: links that lead in a circle end.
    seen: BTreeSet<PathBuf>,
    found: Vec<Found>,
}

impl Walk<'_> {
    /// Follows links, in the middle of the path too; `None` where there is nothing.
    fn resolve(&mut self, path: &Path) -> Result<Option<Target>, String> {
        let mut real = PathBuf::new();
        let mut rest: Vec<PathBuf> = components(path);
        let mut links = 0;
        while let Some(next) = rest.pop() {
            real.push(&next);
            match self.entries.get(&real) {
                Some(Entry::File(object)) if rest.is_empty() => return Ok(Some(Target::File(real, object.clone()))),
                Some(Entry::Submodule) => return Ok(Some(Target::Submodule)),
                Some(Entry::Link(object)) => {
                    links += 1;
                    let target = text(self.objects.read(&object.clone())?)?;
                    real.pop();
                    // What leads out of the repository has no revision.
                    let Some(target) = inside(&real, Path::new(&target)).filter(|_| links <= LINKS_MAX) else {
                        return Ok(None);
                    };
                    real = PathBuf::new();
                    rest.extend(components(&target));
                }
                Some(Entry::File(_)) => return Ok(None),
                None if self.is_folder(&real) => {}
                None => return Ok(None),
            }
        }
        Ok(self.is_folder(&real).then_some(Target::Folder(real)))
    }

    fn is_folder(&self, path: &Path) -> bool {
        path == Path::new("")
            || self.entries.range(path.to_owned()..).next().is_some_and(|(at, _)| at.starts_with(path))
    }

    /// `shown` is the path below the current folder, `real` that in the repository.
    fn folder(&mut self, shown: &Path, real: PathBuf) -> Result<(), String> {
        if !self.seen.insert(real.clone()) {
            return Ok(());
        }
        let below = self.entries.range(real.clone()..).map(|(path, _)| path).take_while(|path| path.starts_with(&real));
        let names = below.filter_map(|path| path.strip_prefix(&real).ok()?.components().next());
        let names: BTreeSet<PathBuf> = names.map(|name| PathBuf::from(name.as_os_str())).collect();
        for name in names {
            let (shown, path) = (shown.join(&name), real.join(&name));
            if (self.is_excluded)(&shown) {
                continue;
            }
            match self.resolve(&path)? {
                Some(Target::Folder(real)) => self.folder(&shown, real)?,
                Some(Target::File(real, object)) if (self.is_manifest)(&shown) => self.file(&shown, real, &object)?,
                Some(Target::File(..)) => {}
                Some(Target::Submodule) => return Err(submodule(&shown)),
                // A link that leads nowhere matters only when it has the name of a manifest.
                None if (self.is_manifest)(&shown) => {
                    return Err(format!(
                        "`{}` is a link to nothing in revision `{}`; leave it out with --exclude",
                        shown.display(),
                        self.revision
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, shown: &Path, real: PathBuf, object: &str) -> Result<(), String> {
        if self.seen.insert(real.clone()) {
            let bytes = self.objects.read(object)?;
            let name = format!("{PREFIX}{}:{}", self.revision, shown.display());
            self.found.push(Found { name, identity: real, bytes });
        }
        Ok(())
    }
}

/// The components of a path, the last one first.
fn components(path: &Path) -> Vec<PathBuf> {
    path.components().rev().map(|component| PathBuf::from(component.as_os_str())).collect()
}

/// `git cat-file --batch`, asked one object at a time.
struct Objects {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Objects {
    fn open() -> Result<Self, String> {
        let mut command = git();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| cannot_run(&error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answers)) => Ok(Self { child, ask, answers: BufReader::new(answers) }),
            _ => Err("git has no pipes; report this".into()),
        }
    }

    fn read(&mut self, object: &str) -> Result<Vec<u8>, String> {
        self.answer(object).map_err(|error| {
            format!("object {object} cannot be read: {error}; a partial clone may lack it: `git fetch --refetch`")
        })
    }

    fn answer(&mut self, object: &str) -> std::io::Result<Vec<u8>> {
        writeln!(self.ask, "{object}")?;
        self.ask.flush()?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        // `OBJECT blob SIZE`, or `OBJECT missing`.
        let size = head.trim_end().split_once(" blob ").and_then(|(_, size)| size.parse::<u64>().ok());
        let size = size.ok_or_else(|| std::io::Error::other("git does not have it"))?;
        let mut bytes = Vec::new();
        self.answers.by_ref().take(size).read_to_end(&mut bytes)?;
        let mut newline = [0];
        self.answers.read_exact(&mut newline)?;
        Ok(bytes)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // Both fail only when git has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
