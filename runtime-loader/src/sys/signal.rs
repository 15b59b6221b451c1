//! SIGTERM and SIGINT as a wish that whoever runs until then can look at.
//!
//! The first process of a container gets no signal that it does not handle, so there the default would be to be killed
//! after the grace period.
#![expect(unsafe_code, reason = "sigaction")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn ask(_signal: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From now on these signals are a wish. A call that waits is interrupted by them.
pub fn catch() -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = ask as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler stores one atomic, which a signal handler may do; `action` outlives the call.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether somebody asked this process to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
