//! DNS names and patterns of them (spec §2.15).
//!
//! The results are in lower case and without the dot at the end, which every name has when it is compared. One pattern
//! keeps its dot: `*.` is any name of one label, `*` is every name.

use super::Wrong;

/// Longest name or pattern, in bytes.
const LEN_MAX: usize = 255;

/// A name: letters, digits, `-` and `_` with single dots between.
pub fn name(text: &str) -> Result<String, Wrong> {
    normalised(text, false)
}

/// A pattern: a name in which `*` may stand for characters other than the dot.
pub fn pattern(text: &str) -> Result<String, Wrong> {
    normalised(text, true)
}

/// A TLS server name as written: a name, with `*.` or `**.` in front for one more label or several.
pub fn server_name(text: &str) -> Result<(), Wrong> {
    let rest = text.strip_prefix("**.").or(text.strip_prefix("*.")).unwrap_or(text);
    let skipped = text.len() - rest.len();
    name(rest).map(drop).map_err(|wrong| {
        let star = text.get(skipped + wrong.offset..).is_some_and(|rest| rest.starts_with('*'));
        let message =
            if star { "a server name has `*` only in front, as `*.` or `**.`".to_owned() } else { wrong.message };
        Wrong { offset: wrong.offset + skipped, message, ..wrong }
    })
}

fn normalised(text: &str, star: bool) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::whole(text, "the name is empty"));
    }
    let mut label_len = 0;
    for (offset, c) in text.char_indices() {
        match c {
            '.' if offset == 0 => return Err(Wrong::new(0, 1, "a name does not begin with a dot")),
            '.' if label_len == 0 => return Err(Wrong::new(offset, 1, "two dots in a row")),
            '.' => label_len = 0,
            '*' if !star => return Err(Wrong::new(offset, 1, "`*` is for patterns: write `matchPattern`")),
            '*' | '-' | '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => label_len += 1,
            _ => return Err(Wrong::new(offset, c.len_utf8(), format!("a name has no {c:?}"))),
        }
    }
    // Only ASCII is left, so that bytes are characters.
    if text.len() > LEN_MAX {
        let message = format!("{} characters, the limit is {LEN_MAX}", text.len());
        return Err(Wrong::new(LEN_MAX, text.len() - LEN_MAX, message));
    }
    let lower = text.to_ascii_lowercase();
    Ok(match lower.strip_suffix('.') {
        None | Some("*") => lower,
        Some(relative) => relative.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_normalised() {
        assert_eq!(name("A.Example.com"), Ok("a.example.com".into()));
        assert_eq!(name("a.io."), Ok("a.io".into()));
        assert_eq!(name("_x-1"), Ok("_x-1".into()));
        assert!(name(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn patterns_have_stars() {
        for good in ["*", "**", "*.", "*.a_b.io", "**.io", "sub*.b.io", "*b"] {
            assert_eq!(pattern(good), Ok(good.into()));
        }
        assert_eq!(pattern("*.IO."), Ok("*.io".into()));
    }

    #[test]
    fn bad_names_point_at_the_part() {
        let wrong = |text: &str| name(text).map_err(|wrong| (wrong.offset, wrong.len)).unwrap_err();
        assert_eq!(wrong(""), (0, 0));
        assert_eq!(wrong(".a"), (0, 1));
        assert_eq!(wrong("a..b"), (2, 1));
        assert_eq!(wrong("a.."), (2, 1));
        assert_eq!(wrong("a b"), (1, 1));
        assert_eq!(wrong("aä"), (1, 2));
        assert_eq!(wrong("*.io"), (0, 1));
        assert_eq!(wrong(&"a".repeat(256)), (255, 1));
        assert!(pattern("*..io").is_err() && pattern("a/*").is_err() && pattern("").is_err());
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing(text in "[*a-cA-C.é-]{0,12}") {
            for read in [name, pattern] {
                if let Ok(once) = read(&text) {
                    prop_assert_eq!(read(&once), Ok(once.clone()));
                }
            }
        }
    }
}
