//! Checks a built object offline: programs, maps, helpers, instruction counts.
