//! A folder with input, and `ciliumc` run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder.
pub struct Project {
    pub dir: tempfile::TempDir,
    /// Where runs keep what they built.
    cache: PathBuf,
}

impl Project {
    /// A folder with these files: names and texts. It has a cache of its own in `cache`, unless that names another folder.
    pub fn with(files: &[(&str, &str)], cache: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = Self { cache: dir.path().join(cache), dir };
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ciliumc"));
        command.args(args).current_dir(self.dir.path()).env("XDG_CACHE_HOME", &self.cache);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}
