//! One network namespace, gone with its owner.
//!
//! Code enters it with `setns` on a thread of its own: `ip netns exec` would mount a fresh `/sys` and hide the BPF file
//! system. Children of such a thread start in the namespace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::process;

/// Where `ip netns` keeps its handles.
const HANDLES: &str = "/run/netns";

/// A named namespace. Dropping it deletes it, with the interfaces in it.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with a working loopback and without IPv6 duplicate address detection, which would keep every
    /// address unusable for a second.
    pub fn create(name: String) -> Result<Self> {
        process::stdout(Command::new("ip").args(["netns", "add", &name]))?;
        let netns = Netns { name };
        for interface in ["all", "default"] {
            netns.sysctl(&format!("ipv6/conf/{interface}/accept_dad"), "0")?;
        }
        netns.ip(&["link set lo up".to_owned()])?;
        Ok(netns)
    }

    /// Name, as `ip netns` lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` in the namespace, all in one process; the first that fails ends it.
    pub fn ip(&self, lines: &[String]) -> Result<()> {
        let mut batch = tempfile::NamedTempFile::new().map_err(|e| Error::io("make", "a temporary file", &e))?;
        std::io::Write::write_all(&mut batch, (lines.join("\n") + "\n").as_bytes())
            .map_err(|e| Error::io("write", batch.path(), &e))?;
        let mut command = Command::new("ip");
        command.arg("-batch").arg(batch.path());
        // Not `ip -n`: it makes a mount namespace, which a root that is no mount point (a chroot) refuses.
        self.within(|| process::stdout(&mut command))?
            .map(drop)
            .map_err(|e| Error::Machine(format!("{e}\nin:\n{}", lines.join("\n"))))
    }

    /// Sets `/proc/sys/net/KEY`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key);
        self.within(|| std::fs::write(&path, value))?.map_err(|e| Error::io("write", &path, &e))
    }

    /// Runs `work` in the namespace. Sockets and children that it makes stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let handle = handle(&self.name);
        let file = File::open(&handle).map_err(|e| Error::io("open", &handle, &e))?;
        let result = thread::scope(|scope| {
            let entered = scope.spawn(|| setns(&file, CloneFlags::CLONE_NEWNET).map(|()| work()));
            entered.join()
        });
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(errno)) => Err(Error::Machine(format!("cannot enter network namespace {}: {errno}", self.name))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Removes the namespaces `PREFIX<pid>-...` that a process left which is no more, and returns those pids.
pub fn sweep(prefix: &str) -> Vec<u32> {
    let mut dead = Vec::new();
    let Ok(entries) = Path::new(HANDLES).read_dir() else {
        return dead;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = owner(&name, prefix) else {
            continue;
        };
        if Path::new("/proc").join(pid.to_string()).exists() {
            continue;
        }
        dead.push(pid);
        end_processes(&name);
        delete(&name);
    }
    dead.sort_unstable();
    dead.dedup();
    dead
}

fn owner(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

/// Only processes that were started in a namespace of ours are in it.
fn end_processes(name: &str) {
    let mut command = Command::new("ip");
    let Ok(pids) = process::stdout(command.args(["netns", "pids", name])) else {
        return;
    };
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        // It may have ended in between.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Not through [`process`]: a clean-up after an interrupt must not be interrupted.
fn delete(name: &str) {
    // What is left is swept by the next run.
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

fn handle(name: &str) -> PathBuf {
    Path::new(HANDLES).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_have_an_owner() {
        assert_eq!(owner("ciliumc-demo-17-node", "ciliumc-demo-"), Some(17));
        assert_eq!(owner("ciliumc-demo-x-node", "ciliumc-demo-"), None);
        assert_eq!(owner("cni-17-node", "ciliumc-demo-"), None);
    }
}
