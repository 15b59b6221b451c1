//! Label keys, label values and names of objects.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{cut, opt, recognize, rest, verify};
use nom::multi::separated_list1;
use nom::sequence::{preceded, terminated};

use super::{At, Step, Wrong, whole};
use crate::front::objects::KeySource;

/// A selector key of the Cilium API: `[source:]key`, `$key` and `reserved.key` for source `reserved`; what follows
/// `=` is discarded. The result is valid as a qualified name with its source in front.
pub fn cilium_key(text: &str) -> Result<(KeySource, String), Wrong> {
    let until_equals = |input| take_while(|c| c != '=')(input);
    let dollar = preceded(char('$'), until_equals).map(|key| ("reserved", key));
    let prefixed = (terminated(take_while(|c| c != ':'), char(':')), until_equals);
    let dotted = preceded(tag("reserved."), until_equals).map(|key| ("reserved", key));
    let bare = until_equals.map(|key| ("", key));
    let parser = terminated(alt((dollar, prefixed, dotted, bare)), rest);
    let (source, key) = whole(text, "not a selector key", parser)?;
    let offset = text.find(key).unwrap_or(0);
    if key.is_empty() {
        return Err(Wrong::whole(text, "the key is empty"));
    }
    let (source, dotted) = match source {
        "" | "any" => (KeySource::Any, "any"),
        source => (KeySource::Only(source.to_owned().into()), source),
    };
    qualified_name(dotted, key).map_err(|wrong| Wrong { offset: wrong.offset + offset, ..wrong })?;
    Ok((source, key.to_owned()))
}

/// A key of a Kubernetes label: `[dns-prefix/]name`. With a `source`, lengths count as if it stood in front with a dot,
/// as Cilium has it.
pub fn qualified_name(source: &str, key: &str) -> Result<(), Wrong> {
    let source_len = if source.is_empty() { 0 } else { source.len() + 1 };
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let name_offset = key.len() - name.len();
    if let Some(prefix) = prefix {
        if prefix.len() + source_len > 253 {
            return Err(Wrong::new(
                0,
                prefix.len(),
                "the prefix of the key is longer than 253 characters with its source",
            ));
        }
        dns_subdomain(prefix)
            .map_err(|wrong| Wrong { message: format!("in the prefix of the key: {}", wrong.message), ..wrong })?;
    }
    let counted = name.len() + if prefix.is_some() { 0 } else { source_len };
    if counted > 63 {
        return Err(Wrong::new(
            name_offset,
            name.len(),
            format!("the name of the key has {counted} characters with its source, the limit is 63"),
        ));
    }
    whole(name, "a key has letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit", label_word)
        .map_err(|wrong| Wrong { offset: wrong.offset + name_offset, ..wrong })
        .map(drop)
}

/// A label value: empty, or up to 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
pub fn label_value(text: &str) -> Result<(), Wrong> {
    if text.len() > 63 {
        return Err(Wrong::beyond(text, 63, format!("the value has {} characters, the limit is 63", text.len())));
    }
    let message = "a value has letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit";
    whole(text, message, opt(label_word)).map(drop)
}

fn label_word(input: &str) -> Step<'_, &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let word = take_while1(inside).parse(input)?;
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !ends(word.1.chars().next()) {
        return Err(nom::Err::Failure(At { rest: input, message: None }));
    }
    if !ends(word.1.chars().next_back()) {
        let last = &input[word.1.len() - 1..];
        return Err(nom::Err::Failure(At { rest: last, message: None }));
    }
    Ok(word)
}

/// A DNS-1123 subdomain, as names of objects and prefixes of keys are.
pub fn dns_subdomain(text: &str) -> Result<(), Wrong> {
    if text.len() > 253 {
        return Err(Wrong::beyond(text, 253, format!("{} characters, the limit is 253", text.len())));
    }
    let message =
        "lower-case letters, digits, `-` and `.` make a name, with a letter or digit at both ends of each part";
    whole(text, message, recognize(separated_list1(char('.'), cut(dns_word)))).map(drop)
}

/// A DNS-1123 label, as names of namespaces are.
pub fn dns_label(text: &str) -> Result<(), Wrong> {
    if text.len() > 63 {
        return Err(Wrong::beyond(text, 63, format!("{} characters, the limit is 63", text.len())));
    }
    let message = "lower-case letters, digits and `-` make a name, with a letter or digit at both ends";
    whole(text, message, dns_word).map(drop)
}

fn dns_word(input: &str) -> Step<'_, &str> {
    verify(take_while1(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), |word: &str| {
        !word.starts_with('-') && !word.ends_with('-')
    })
    .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_sources() {
        let only = |source: &'static str, key: &str| Ok((KeySource::Only(source.into()), key.into()));
        assert_eq!(cilium_key("app"), Ok((KeySource::Any, "app".into())));
        assert_eq!(cilium_key("any:app"), Ok((KeySource::Any, "app".into())));
        assert_eq!(cilium_key("k8s:a.b/c"), only("k8s", "a.b/c"));
        assert_eq!(cilium_key("reserved:host"), only("reserved", "host"));
        assert_eq!(cilium_key("$host"), only("reserved", "host"));
        assert_eq!(cilium_key("reserved.host"), only("reserved", "host"));
        assert_eq!(cilium_key("a=b"), Ok((KeySource::Any, "a".into())));
        assert_eq!(cilium_key("k8s:a=b:c"), only("k8s", "a"));
    }

    #[test]
    fn bad_keys_point_at_the_part() {
        let wrong = |text: &str| cilium_key(text).map_err(|wrong| (wrong.offset, wrong.len)).unwrap_err();
        assert_eq!(wrong(""), (0, 0));
        assert_eq!(wrong("k8s:"), (0, 4));
        assert_eq!(wrong("=x"), (0, 2));
        assert_eq!(wrong("a b"), (1, 2));
        assert_eq!(wrong("k8s:a b"), (5, 2));
        assert_eq!(wrong("a/b/c"), (3, 2));
        assert_eq!(wrong("A/b").0, 0);
        assert_eq!(wrong("-a"), (0, 2));
        assert_eq!(wrong("a-"), (1, 1));
    }

    #[test]
    fn the_source_counts_in_the_length() {
        assert!(cilium_key(&"k".repeat(59)).is_ok());
        assert!(cilium_key(&"k".repeat(60)).is_err());
        assert!(cilium_key(&format!("p/{}", "k".repeat(63))).is_ok());
        assert!(cilium_key(&format!("p/{}", "k".repeat(64))).is_err());
        assert!(qualified_name("", &"k".repeat(63)).is_ok());
        assert!(qualified_name("", &"k".repeat(64)).is_err());
    }

    #[test]
    fn values() {
        assert!(label_value("").is_ok());
        assert!(label_value("a").is_ok());
        assert!(label_value("1.2_x-Y").is_ok());
        assert!(label_value(&"v".repeat(63)).is_ok());
        for bad in ["a b", "-a", "a-", "ä", &"v".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
        assert_eq!(label_value("ab cd").unwrap_err().offset, 2);
    }

    #[test]
    fn names() {
        for good in ["a", "a-b.c", "1"] {
            assert!(dns_subdomain(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a/b", "../a"] {
            assert!(dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(dns_label("a.b").is_err());
        assert!(dns_label("a-b").is_ok());
    }
}
