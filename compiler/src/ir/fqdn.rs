//! Names and patterns of names (spec §2.15): the one place that knows what a pattern matches.
//!
//! 1.18 knows no double star, 1.19 knows one at the beginning of a pattern. [`normal`] decides which, so that every
//! pattern behind it has one meaning: a leading `**.` is one or more labels, and no other run of stars is left.

use super::FqdnSelector;

/// Beginning of a pattern that stands for one or more labels.
const LABELS: &str = "**.";

/// The selector with its stars in the normal form.
pub fn normal(selector: &FqdnSelector, double_star: bool) -> FqdnSelector {
    match selector {
        FqdnSelector::Name(name) => FqdnSelector::Name(name.clone()),
        FqdnSelector::Pattern(pattern) => FqdnSelector::Pattern(match pattern.strip_prefix(LABELS) {
            Some(rest) if double_star => format!("{LABELS}{}", single_stars(rest)),
            _ => single_stars(pattern),
        }),
    }
}

fn rootless(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// A run of stars is one star.
fn single_stars(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

/// The text of a selector, which is also the key of its label, source `fqdn`.
pub fn text(selector: &FqdnSelector) -> &str {
    match selector {
        FqdnSelector::Name(text) | FqdnSelector::Pattern(text) => text,
    }
}

/// Whether a name, with or without the dot of the root and in any case, is one that the normal form means.
pub fn matches(selector: &FqdnSelector, name: &str) -> bool {
    let name = rootless(name).to_ascii_lowercase();
    match selector {
        FqdnSelector::Name(only) => *only == name,
        FqdnSelector::Pattern(pattern) if pattern == "*" => true,
        // With its dot, a star is any name of one label.
        FqdnSelector::Pattern(pattern) => match rootless(pattern).strip_prefix(LABELS) {
            // Every dot may be the one behind the labels.
            Some(rest) => name.match_indices('.').any(|(dot, _)| {
                glob(rest.as_bytes(), &name.as_bytes()[dot + 1..]) && name[..dot].split('.').all(is_label)
            }),
            None => glob(rootless(pattern).as_bytes(), name.as_bytes()),
        },
    }
}

/// The same as a regular expression for the whole name, in lower case and without the dot of the root.
pub fn expression(selector: &FqdnSelector) -> String {
    match selector {
        FqdnSelector::Name(only) => regex::escape(rootless(only)),
        FqdnSelector::Pattern(pattern) if pattern == "*" => ".*".into(),
        FqdnSelector::Pattern(pattern) => {
            let pattern = rootless(pattern);
            let (labels, rest) = match pattern.strip_prefix(LABELS) {
                Some(rest) => (r"(?:[-a-z0-9_]+\.)+", rest),
                None => ("", pattern),
            };
            let parts: Vec<String> = rest.split('*').map(regex::escape).collect();
            format!("{labels}{}", parts.join("[-a-z0-9_]*"))
        }
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(is_of_label)
}

/// What a star may stand for: never a dot.
fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// A star is zero or more bytes of one label. Only the last star is ever widened: an earlier one cannot reach past the
/// dot or the text that ended it, so the time is at most the product of both lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() || p < pattern.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, end)) if name.get(end).copied().is_some_and(is_of_label) => {
                    star = Some((at, end + 1));
                    (p, n) = (at + 1, end + 1);
                }
                _ => return false,
            },
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str, double_star: bool) -> FqdnSelector {
        normal(&FqdnSelector::Pattern(text.into()), double_star)
    }

    #[test]
    fn the_table_of_the_spec() {
        let table: [(&str, &[&str], &[&str]); 8] = [
            ("*", &["a", "a.b.c"], &[]),
            ("*.", &["a"], &["a.b"]),
            ("*.b.io", &["x.b.io"], &["b.io", "x.y.b.io", "x.b.io.io"]),
            ("*b.io", &["b.io", "xb.io"], &["x.b.io", "b.iox"]),
            ("sub*.b.io", &["sub.b.io", "subx.b.io"], &["su.b.io", "sub.x.b.io"]),
            ("**.b.io", &["x.b.io"], &["b.io", "x.y.b.io"]),
            ("a*b*c.d", &["abc.d", "axbxbyc.d"], &["ab.c.d", "acb.d"]),
            ("a.**", &["a.x"], &["a.x.y", "b.x"]),
        ];
        for (text, names, others) in table {
            let selector = pattern(text, false);
            for name in names {
                assert!(matches(&selector, name), "{text} {name}");
                assert!(matches(&selector, &format!("{}.", name.to_uppercase())), "{text} {name}");
            }
            for name in others {
                assert!(!matches(&selector, name), "{text} {name}");
            }
        }
    }

    #[test]
    fn the_expression_says_the_same() {
        for text in ["*", "*.b.io", "*b.io", "sub*.b.io", "**.b.io", "a*b*c.d", "a.**", "**.*.io", "*."] {
            for double_star in [false, true] {
                let selector = pattern(text, double_star);
                let expression = regex::Regex::new(&format!("^(?:{})$", expression(&selector))).unwrap();
                for name in
                    ["a", "b.io", "x.b.io", "x.y.b.io", "subx.b.io", "abc.d", "axbxbyc.d", "a.x", "a.x.y", ".io"]
                {
                    assert_eq!(expression.is_match(name), matches(&selector, name), "{text} {name}");
                }
            }
        }
    }

    #[test]
    fn a_double_star_is_of_1_19_and_leads() {
        let selector = pattern("**.b.io", true);
        for (name, expected) in [("x.b.io", true), ("x.y.b.io", true), ("b.io", false), (".b.io", false)] {
            assert_eq!(matches(&selector, name), expected, "{name}");
        }
        assert_eq!(pattern("x**.b.io", true), FqdnSelector::Pattern("x*.b.io".into()));
        assert!(matches(&pattern("**.*.io", true), "a.b.c.io"));
        assert!(!matches(&pattern("**.*.io", true), "c.io"));
    }

    #[test]
    fn a_name_is_itself_and_nothing_else() {
        let selector = normal(&FqdnSelector::Name("a.b".into()), false);
        assert!(matches(&selector, "A.b"));
        assert!(!matches(&selector, "x.a.b"));
        assert!(!matches(&selector, "axb"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn a_pattern_is_its_regular_expression(text in "[ab*]{1,3}(\\.[ab*]{1,3}){0,2}", name in "[ab]{1,3}(\\.[ab]{1,3}){0,2}") {
            let star = if text.trim_matches('*').is_empty() { ".*" } else { "[-a-z0-9_]*" };
            let regex = regex::Regex::new(&format!("^{}$", text.replace('.', "\\.").replace('*', star))).unwrap();
            prop_assert_eq!(matches(&pattern(&text, false), &name), regex.is_match(&name), "{} {}", text, name);
            let (double, rest) = match text.strip_prefix("**.") {
                Some(rest) => ("([-a-z0-9_]+\\.)+", rest),
                None => ("", text.as_str()),
            };
            let star = if double.is_empty() { star } else { "[-a-z0-9_]*" };
            let text_1_19 = format!("^{double}{}$", rest.replace('.', "\\.").replace('*', star));
            let regex = regex::Regex::new(&text_1_19).unwrap();
            prop_assert_eq!(matches(&pattern(&text, true), &name), regex.is_match(&name), "{} {}", text, name);
        }
    }
}
