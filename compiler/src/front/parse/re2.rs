//! Regular expressions of the proxy, which are RE2's.
//!
//! The `regex` crate descends from RE2, but some texts mean more to it (`{`, `[` and `&&` in a class, `\<`), and it takes
//! what RE2 does not (`a**`, `(?x)`). So an expression is first written in the syntax that both read alike.

use regex::{Error, RegexBuilder};

use super::Wrong;

/// Memory for a compiled expression, in bytes. Larger ones are right all the same: only the syntax is checked here.
const SIZE_MAX: usize = 1 << 16;

/// Nesting. RE2 takes 1000; each level costs the stack of the `regex` crate.
const DEPTH_MAX: u32 = 200;

/// Highest count of a repetition.
const COUNT_MAX: u32 = 1000;

/// Classes by name, in `[[:alpha:]]`.
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Checks that an expression compiles, and gives it back in the syntax of the `regex` crate.
pub fn re2(text: &str) -> Result<String, Wrong> {
    let mut plain = Plain { text, at: 0, out: String::with_capacity(text.len()), repeated: false };
    plain.expression()?;
    match RegexBuilder::new(&plain.out).size_limit(SIZE_MAX).nest_limit(DEPTH_MAX).build() {
        Ok(_) | Err(Error::CompiledTooBig(_)) => Ok(plain.out),
        // Its own places are those of the rewritten text.
        Err(error) => {
            let all = error.to_string();
            let reason = all.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(Wrong::whole(text, reason))
        }
    }
}

/// An expression on its way to the common syntax.
struct Plain<'t> {
    text: &'t str,
    /// First byte that was not read yet.
    at: usize,
    out: String,
    /// The last thing written was a repetition.
    repeated: bool,
}

impl<'t> Plain<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads a text, if it comes next.
    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Copies bytes up to the end of a text, or else one character.
    fn copy_through(&mut self, open: &str, close: &str) {
        let len = match self.rest().starts_with(open).then(|| self.rest().find(close)).flatten() {
            Some(end) => end + close.len(),
            None => self.rest().chars().next().map_or(0, char::len_utf8),
        };
        self.out.extend(self.rest().get(..len));
        self.at += len;
    }

    fn wrong(&self, from: usize, message: &str) -> Wrong {
        Wrong::new(from, self.at - from, message)
    }

    fn expression(&mut self) -> Result<(), Wrong> {
        loop {
            let from = self.at;
            let Some(c) = self.next() else {
                return Ok(());
            };
            match c {
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.repetition(from)?;
                    continue;
                }
                '{' => {
                    if let Some(len) = count(self.rest()).map_err(|message| Wrong::new(from, 1, message))? {
                        self.at += len;
                        self.out.extend(self.text.get(from..self.at));
                        self.repetition(from)?;
                        continue;
                    }
                    self.out.push_str(r"\{");
                }
                '\\' => self.escape(from)?,
                '[' => self.class(from)?,
                '(' => self.group(from)?,
                '}' | ']' => self.literal(c),
                _ => self.out.push(c),
            }
            self.repeated = false;
        }
    }

    /// Behind a repetition: it may be lazy, but not repeated.
    fn repetition(&mut self, from: usize) -> Result<(), Wrong> {
        if self.eat("?") {
            self.out.push('?');
        }
        if self.repeated {
            return Err(self.wrong(from, "a repetition of a repetition"));
        }
        self.repeated = true;
        Ok(())
    }

    /// Behind `(`: of `(?` RE2 has names and the flags i, m, s and U.
    fn group(&mut self, from: usize) -> Result<(), Wrong> {
        self.out.push('(');
        if !self.eat("?") {
            return Ok(());
        }
        self.out.push('?');
        if self.eat("P<") || self.eat("<") {
            self.out.push_str("P<");
            return Ok(());
        }
        while let Some(c) = self.next() {
            self.out.push(c);
            match c {
                'i' | 'm' | 's' | 'U' | '-' => {}
                ':' | ')' => return Ok(()),
                _ => break,
            }
        }
        Err(self.wrong(from, "RE2 has no such group"))
    }

    /// Behind a backslash outside of a class.
    fn escape(&mut self, from: usize) -> Result<(), Wrong> {
        match self.rest().chars().next() {
            Some('Q') => {
                self.at += 1;
                let rest = self.rest();
                let quoted = rest.split(r"\E").next().unwrap_or_default();
                self.out.push_str(&regex::escape(quoted));
                self.at += quoted.len();
                self.eat(r"\E");
                Ok(())
            }
            Some(c @ ('b' | 'B')) => {
                self.at += 1;
                // Alone, so that no brace can follow it.
                self.out.push_str(if c == 'b' { r"(?:\b)" } else { r"(?:\B)" });
                Ok(())
            }
            Some(c @ ('A' | 'z')) => {
                self.at += 1;
                self.out.extend(['\\', c]);
                Ok(())
            }
            Some(_) if self.class_escape() => Ok(()),
            _ => self.char_escape(from),
        }
    }

    /// An escape that stands for a set of characters, if one comes next.
    fn class_escape(&mut self) -> bool {
        match self.rest().chars().next() {
            Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                self.at += 1;
                self.out.extend(['\\', c]);
            }
            Some(c @ ('p' | 'P')) => {
                self.at += 1;
                self.out.extend(['\\', c]);
                self.copy_through("{", "}");
            }
            _ => return false,
        }
        true
    }

    /// An escape that stands for one character.
    fn char_escape(&mut self, from: usize) -> Result<(), Wrong> {
        match self.next() {
            Some(c @ ('a' | 'f' | 't' | 'n' | 'r' | 'v')) => self.out.extend(['\\', c]),
            Some('x') => {
                self.out.push_str(r"\x");
                if self.rest().starts_with('{') {
                    self.copy_through("{", "}");
                } else {
                    self.copy_through("", "");
                    self.copy_through("", "");
                }
            }
            Some('0'..='7') => self.octal(from)?,
            Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => self.literal(c),
            Some(_) => return Err(self.wrong(from, "RE2 has no such escape")),
            None => return Err(self.wrong(from, "a backslash at the end")),
        }
        Ok(())
    }

    /// Up to three octal digits, of which one was read; one that is not 0 would be a back reference.
    fn octal(&mut self, from: usize) -> Result<(), Wrong> {
        while self.at - from < 4 && self.rest().starts_with(|c| matches!(c, '0'..='7')) {
            self.at += 1;
        }
        let digits = self.text.get(from + 1..self.at).unwrap_or_default();
        if digits.len() == 1 && digits != "0" {
            return Err(self.wrong(from, "RE2 has no back references"));
        }
        let number = u32::from_str_radix(digits, 8).unwrap_or_default();
        self.out.push_str(&format!(r"\x{{{number:x}}}"));
        Ok(())
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// Behind `[`.
    fn class(&mut self, from: usize) -> Result<(), Wrong> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let first = self.at;
        loop {
            if self.rest().is_empty() {
                return Err(self.wrong(from, "a class without its `]`"));
            }
            if self.at > first && self.eat("]") {
                self.out.push(']');
                return Ok(());
            }
            if let Some(end) = self.rest().strip_prefix("[:").and_then(|rest| rest.find(":]")) {
                let named = self.at;
                let name = self.rest().get(2..2 + end).unwrap_or_default();
                self.at += end + 4;
                if !CLASSES.contains(&name.trim_start_matches('^')) {
                    return Err(self.wrong(named, "RE2 has no such class"));
                }
                self.out.push_str(&format!("[:{name}:]"));
                continue;
            }
            if self.rest().starts_with('\\') {
                self.at += 1;
                if self.class_escape() {
                    continue;
                }
                self.at -= 1;
            }
            self.class_char()?;
            if self.rest().starts_with('-') && !matches!(self.rest().as_bytes(), [b'-'] | [b'-', b']', ..]) {
                self.at += 1;
                self.out.push('-');
                self.class_char()?;
            }
        }
    }

    fn class_char(&mut self) -> Result<(), Wrong> {
        let from = self.at;
        match self.next() {
            Some('\\') => self.char_escape(from),
            Some(c) => {
                self.literal(c);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Length of the rest of a counted repetition, behind its `{`; another brace is a brace.
fn count(rest: &str) -> Result<Option<usize>, &'static str> {
    let Some(inner) = rest.find('}').and_then(|end| rest.get(..end)) else {
        return Ok(None);
    };
    let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits && (text.len() == 1 || !text.starts_with('0'));
        plain.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let (Some(first), Some(last)) = (number(least), if most.is_empty() { number(least) } else { number(most) }) else {
        return Ok(None);
    };
    if first > COUNT_MAX || last > COUNT_MAX {
        return Err("a repetition of more than 1000");
    }
    if last < first {
        return Err("a repetition whose end is below its begin");
    }
    Ok(Some(inner.len() + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_re2_takes() {
        for good in [
            "",
            "/a.*[0-9]+",
            "GET|HEAD",
            r"a\.io",
            "/users/{id}",
            "{",
            "a{,3}",
            "a{2}",
            "a{2,}?",
            "a{1000}",
            "a{01}",
            "x*?",
            "[[]",
            "[a&&b]",
            "[+--]",
            "[]a]",
            "[^]a]",
            "[a-]",
            "[-a]",
            "[a-b-c]",
            "[[:alpha:]_]",
            "[[:^digit:]]",
            "[[:a]",
            r"[\d\-x]",
            r"\<a\>",
            r"\_",
            r"\-",
            r"\Qa{*\Eb",
            r"\Q",
            r"\b{x",
            r"\pL",
            r"\p{Greek}",
            r"\x41\x{1F600}",
            r"\07\123",
            "(?i)a",
            "(?i:a)",
            "(?P<n>a)",
            "(?<n>a)",
            "(?s-m:.)",
            "^$",
            "a|",
            "()",
            r"\z\A",
            "]}",
            r"[\]\n]",
            "ä+",
        ] {
            assert!(re2(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_it_does_not() {
        for bad in [
            "/(",
            "a)",
            "[",
            "[a",
            "[z-a]",
            "[a--b]",
            "[]",
            "[[:foo:]]",
            "a**",
            "a+*",
            "a{2}{3}",
            "a{2}*",
            "*",
            "+a",
            "a|*",
            "a{1001}",
            "a{3,2}",
            r"a\",
            r"\1",
            r"\8",
            r"\u0041",
            r"\y",
            r"[\b]",
            r"\ä",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?x)a",
            "(?u)a",
            "(?P=n)",
            r"\p{Nope}",
            r"\xg",
            r"\x{110000}",
            r"[a-\d]",
        ] {
            assert!(re2(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn large_and_deep_ones_end() {
        assert!(re2("((a{1000}){1000}){1000}").is_ok());
        assert!(re2(&"(".repeat(100_000)).is_err());
        let deep = format!("{}a{}", "(".repeat(150), ")".repeat(150));
        assert!(re2(&deep).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"[\\(\[{^*+?a-cQEx0-9:\-\])},ä]{0,16}") {
            if let Err(wrong) = re2(&text) {
                prop_assert!(wrong.offset + wrong.len <= text.len(), "{:?}", wrong);
                prop_assert!(text.is_char_boundary(wrong.offset));
            }
        }
    }
}
