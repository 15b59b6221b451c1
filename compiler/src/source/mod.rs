//! Files and standard input: the only module that reads input.
