//! The command `ciliumc-loader`. [`start`] says why it is C's `main`.
#![no_main]
#![expect(unsafe_code, reason = "the symbol `main`, and its arguments")]

use std::ffi::{c_char, c_int};

use ciliumc_loader::sys::start;

/// C's entry point.
///
/// # Safety
/// For the C start-up alone, which calls it once with the process's arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    start::streams();
    // SAFETY: they are the process's arguments.
    let arguments = unsafe { start::arguments(argc, argv) };
    ciliumc_loader::cli::main(arguments).into()
}
