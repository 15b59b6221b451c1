//! The bundle: a directory (or one tar) that is the same bytes for the same input.
