//! The one lock of all commands that change something.
#![expect(unsafe_code, reason = "flock")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Holds the lock until dropped; a killed process lets go of it, too.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it; what they wrote about themselves.
    Held(String),
    /// The file cannot be used.
    Io(io::Error),
}

/// Takes the lock, waiting at most `timeout`, and writes `holder` into it for those who wait.
pub fn take(path: &Path, holder: &str, timeout: Duration) -> Result<Lock, LockError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = open.map_err(LockError::Io)?;
    let end = Instant::now() + timeout;
    loop {
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EWOULDBLOCK | libc::EINTR) => {}
            _ => return Err(LockError::Io(error)),
        }
        if Instant::now() >= end {
            let mut text = String::new();
            // What the holder wrote is a help, not a need.
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
            return Err(LockError::Held(text.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let note = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
    note.map_err(LockError::Io)?;
    Ok(Lock(file))
}
