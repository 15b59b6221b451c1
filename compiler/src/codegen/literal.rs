//! The only ways in which text reaches generated C.

use std::fmt;

/// An identifier of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CIdent(&'static str);

impl CIdent {
    /// A name that we wrote ourselves. In a constant, a name that is no identifier does not compile.
    pub const fn from_static(name: &'static str) -> Self {
        debug_assert!(is_ident(name.as_bytes()), "not an identifier of C");
        Self(name)
    }

    /// The identifier's text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for CIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const fn is_ident(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        let letter = name[at].is_ascii_alphabetic() || name[at] == b'_';
        if !letter && (at == 0 || !name[at].is_ascii_digit()) {
            return false;
        }
        at += 1;
    }
    !name.is_empty()
}

/// A number as C writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Literal(String);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A decimal number. Without a suffix: `#if` compares it, and C gives it a type that holds it.
pub fn u32(value: u32) -> Literal {
    Literal(value.to_string())
}

/// A switch: 0 or 1, for `#if`.
pub fn flag(value: bool) -> Literal {
    u32(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for good in ["A", "_x", "CT_ENTRIES_MAX", "a1"] {
            assert!(is_ident(good.as_bytes()), "{good}");
        }
        for bad in ["", "1a", "a-b", "a b", "ä", "a\n"] {
            assert!(!is_ident(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(u32(u32::MAX).to_string(), "4294967295");
        assert_eq!(flag(true).to_string(), "1");
    }
}
