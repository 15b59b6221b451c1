//! A memory control group for the loader's processes: what the kernel keeps for them is counted there, and nowhere
//! else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The group; removed when dropped, what is still charged to it goes to the one above.
pub struct Cgroup(PathBuf);

/// Where groups may be made, and whether they are those of version 1.
fn parent() -> Option<(PathBuf, bool)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let old = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let new = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let below = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    match (old, new) {
        (Some(path), _) => Some((below("/sys/fs/cgroup/memory", path), true)),
        (None, Some(path)) => Some((below("/sys/fs/cgroup", path), false)),
        (None, None) => None,
    }
}

impl Cgroup {
    /// Makes a group; `None`, and the reason printed, where this machine allows none.
    pub fn new(name: &str) -> Option<Self> {
        let made = parent().and_then(|(parent, old)| {
            let group = Self(parent.join(name));
            fs::create_dir(&group.0).ok()?;
            let counts = group.0.join(if old { "memory.kmem.usage_in_bytes" } else { "memory.stat" }).exists();
            counts.then_some(group)
        });
        if made.is_none() {
            // libtest captures what a test prints; this has to be seen all the same.
            let _ = writeln!(std::io::stderr(), "no memory control group can be made: memory is not looked at");
        }
        made
    }

    /// The program, to be run inside.
    pub fn enter(&self, program: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo 0 > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs")).arg(program);
        shell
    }

    /// Bytes that the kernel keeps for what ran inside: maps, programs, links, files.
    pub fn kernel_bytes(&self) -> u64 {
        if let Ok(bytes) = fs::read_to_string(self.0.join("memory.kmem.usage_in_bytes")) {
            return bytes.trim().parse().expect("a number");
        }
        let stat = fs::read_to_string(self.0.join("memory.stat")).expect("memory.stat");
        let bytes = stat.lines().find_map(|line| line.strip_prefix("kernel ")).expect("bytes of the kernel");
        bytes.trim().parse().expect("a number")
    }

    /// Sets the most bytes that it may have, those of user space included.
    pub fn limit(&self, bytes: u64) {
        let old = self.0.join("memory.limit_in_bytes");
        let file = if old.exists() { old } else { self.0.join("memory.max") };
        fs::write(file, bytes.to_string()).expect("limit");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
