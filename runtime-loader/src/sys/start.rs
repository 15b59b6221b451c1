//! What the standard library does before `main`, as far as the loader needs it.
//!
//! The library's own start also reports a stack overflow, and asks glibc where the stack ends; glibc's answer reads
//! `/proc` with `sscanf`, which is 80 KB of a static binary.
#![expect(unsafe_code, reason = "arguments, standard streams and a signal, as the C start-up leaves them")]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// The arguments that C's `main` was given, the program's name first.
///
/// # Safety
/// `argv` holds `argc` pointers to terminated strings, as C's `main` has them.
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    // SAFETY: the caller's promise.
    let argument = |at| unsafe { CStr::from_ptr(*argv.add(at)) };
    (0..count).map(|at| OsStr::from_bytes(argument(at).to_bytes()).to_owned()).collect()
}

/// Makes standard streams safe to use. A closed one becomes `/dev/null`: else the next map or link would have its
/// number, and what is printed would go there. A reader that went away is an error of a write, not the loader's end
/// between two steps.
pub fn streams() {
    for stream in 0..3 {
        // SAFETY: plain calls on numbers and a terminated path; whatever they answer is looked at.
        let is_open = unsafe { libc::fcntl(stream, libc::F_GETFD) } != -1;
        // SAFETY: as above. The lowest free number is this one, since those below are open.
        if !is_open && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != stream {
            std::process::abort();
        }
    }
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
