//! A function of glibc that a static binary would drag 30 KB along for: messages for its own failures, formatted also in
//! wide characters.
//!
//! A linker takes what it finds first, and this comes before the archive.
#![expect(unsafe_code, reason = "a definition of C's function")]

use std::ffi::{c_char, c_int};

/// Where glibc finds that it is broken: expression, file, line, function.
#[unsafe(no_mangle)]
pub extern "C" fn __assert_fail(_: *const c_char, _: *const c_char, _: c_int, _: *const c_char) -> ! {
    std::process::abort()
}
