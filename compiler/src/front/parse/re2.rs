//! Regular expressions of the proxy, which are RE2's.

use regex::{Error, RegexBuilder};

use super::Wrong;

/// Memory for a compiled expression, in bytes. Larger ones are right all the same: only the syntax is checked here.
const SIZE_MAX: usize = 1 << 16;

/// Checks that an expression compiles.
pub fn re2(text: &str) -> Result<(), Wrong> {
    match RegexBuilder::new(text).size_limit(SIZE_MAX).build() {
        Ok(_) | Err(Error::CompiledTooBig(_)) => Ok(()),
        Err(error) => {
            let text_of = error.to_string();
            let reason = text_of.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(Wrong::whole(text, reason))
        }
    }
}
