//! What each code means: a page with a wrong example, the right form, and the reason.
//!
//! In: a code as the user wrote it. Out: its page, or codes that look like it. The pages are Markdown files beside this
//! one; it knows nothing of how codes come about. `tests/explain.rs` holds pages, codes and examples together.

mod pages;

pub use pages::PAGES;

/// The page of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// `E-210`.
    pub code: &'static str,
    /// Markdown. The first line is `# CODE: title`; each example is a fenced block of YAML.
    pub text: &'static str,
}

impl Page {
    /// One lower-case line.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.split_once(": ").map_or(first, |(_, title)| title)
    }

    /// The examples in the order they are shown: what is reported, then what to write in its place.
    pub fn examples(&self) -> impl Iterator<Item = &'static str> {
        let blocks = self.text.split("```yaml\n").skip(1);
        blocks.filter_map(|block| block.split_once("```").map(|(example, _)| example))
    }
}

/// The page of a code; capitals do not matter, and the dash may be left out.
pub fn page(code: &str) -> Option<&'static Page> {
    let wanted = plain(code);
    PAGES.iter().find(|page| plain(page.code) == wanted)
}

/// Codes that look like one that does not exist, the nearest first.
pub fn near(code: &str) -> Vec<&'static str> {
    let wanted = plain(code);
    let near = PAGES.iter().map(|page| (plain(page.code), page.code)).filter_map(|(code, name)| {
        let differing = differing(&wanted, &code);
        (differing <= NEAR_MAX).then(|| (differing, number(&wanted).abs_diff(number(&code)), name))
    });
    let mut near: Vec<_> = near.collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_COUNT).map(|(_, _, name)| name).collect()
}

/// Letters in which a near code may differ.
const NEAR_MAX: usize = 1;
/// How many near codes are of use.
const NEAR_COUNT: usize = 5;

/// `e210` for `E-210`.
fn plain(code: &str) -> String {
    code.trim().chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// 210 for `e210`; 0 for what has no number.
fn number(plain: &str) -> u32 {
    plain.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or(0)
}

/// Letters that differ, one by one; those that one of the two lacks differ.
fn differing(left: &str, right: &str) -> usize {
    let common = left.bytes().zip(right.bytes()).filter(|(a, b)| a == b).count();
    left.len().max(right.len()) - common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_typed() {
        for typed in ["E-210", "e-210", "E210", " e210 "] {
            assert_eq!(page(typed).map(|page| page.code), Some("E-210"), "{typed}");
        }
        for typed in ["E-21", "E-2100", "210", "", "É-210"] {
            assert_eq!(page(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_wrong_digit_or_letter_finds_its_neighbours() {
        assert!(near("W-210").contains(&"E-210"));
        assert!(near("E-209").contains(&"E-208"));
        assert!(near("help").is_empty());
    }
}
