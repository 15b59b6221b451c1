//! Grace periods: when every packet that was on its way has left the programs that it was in.
#![expect(unsafe_code, reason = "membarrier")]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files;

/// `MEMBARRIER_CMD_GLOBAL`.
const GLOBAL: libc::c_int = 1;
/// Longer than any grace period that is not a fault of the kernel's own.
const LONG: Duration = Duration::from_millis(200);
/// The kernel's switch: anything but 0 makes every grace period of the machine a short one, paid for with an interrupt
/// on every CPU.
pub const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// Waits until programs that began before now have ended: some milliseconds.
pub fn synchronize() {
    // SAFETY: no pointers.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    // Kernels that keep CPUs free of ticks refuse.
    if done != 0 {
        std::thread::sleep(LONG);
    }
}

/// Short grace periods for the whole machine, until dropped. Where an administrator set `rcu_normal` the kernel keeps
/// to that, whatever this switch says.
#[derive(Debug)]
pub struct Expedited(PathBuf);

impl Expedited {
    /// Turns them on. `note` remembers what there was before, for whoever comes when this process was killed.
    pub fn begin(note: &Path) -> io::Result<Self> {
        let before = std::fs::read_to_string(SWITCH)?;
        if before.trim() == "0" {
            let noted = files::write_atomic(note, before.as_bytes());
            noted.map_err(|error| io::Error::other(format!("`{}`: {error}", note.display())))?;
            if let Err(error) = set(b"1") {
                files::remove(note)?;
                return Err(error);
            }
        }
        Ok(Self(note.to_owned()))
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        // The note stays, and the next command tries again.
        let _ = restore(&self.0);
    }
}

/// Puts the switch back to what a note says, when there is one. Both stay as they are when that cannot be.
pub fn restore(note: &Path) -> io::Result<()> {
    let Some(before) = files::read_optional(note)? else { return Ok(()) };
    set(&before)?;
    files::remove(note)
}

/// The switch is the kernel's to make: where it is missing, it stays missing.
fn set(value: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(SWITCH)?.write_all(value)
}
