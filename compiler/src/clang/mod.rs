//! Finds clang and runs it; the only module that starts a process.
