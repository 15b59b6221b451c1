//! The C headers of the datapath, carried inside the compiler so that it needs no files beside itself.

/// A header: its path below the include directory, and its text.
pub type Header = (&'static str, &'static str);

/// Every header, by path.
pub const HEADERS: &[Header] = &[];
