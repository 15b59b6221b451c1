//! What a scalar means to Kubernetes: YAML 1.1 as the Go library behind `sigs.k8s.io/yaml` reads it.

use super::Scalar;

/// The value of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'n> {
    /// Nothing, `~`, `null`.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// Decimal, `0x`, `0o`, `0b`, and octal with a leading 0.
    Int(i128),
    /// Everything else that looks like a number.
    Float(f64),
    /// Text.
    Str(&'n str),
}

impl<'a> Scalar<'a> {
    /// The value by tag, quotes and spelling.
    pub fn value(&self) -> Value<'a> {
        let text = self.text;
        match self.tag {
            // A bare `!` forces a string too.
            Some("!" | "tag:yaml.org,2002:str" | "tag:yaml.org,2002:binary") => Value::Str(text),
            Some(
                "tag:yaml.org,2002:null"
                | "tag:yaml.org,2002:bool"
                | "tag:yaml.org,2002:int"
                | "tag:yaml.org,2002:float",
            ) => plain(text),
            Some(_) => Value::Str(text),
            None if self.plain => plain(text),
            None => Value::Str(text),
        }
    }
}

/// Letters of the longest word that is not text.
const WORD_MAX: usize = 5;

fn plain(text: &str) -> Value<'_> {
    // Most scalars are longer than any word and begin like no number: every key is asked what it is.
    if text.len() > WORD_MAX && text.as_bytes()[0].is_ascii_alphabetic() {
        return Value::Str(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => number(text).unwrap_or(Value::Str(text)),
    }
}

fn number(text: &str) -> Option<Value<'static>> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    // The Go library drops underscores wherever they stand.
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(value) = integer(&digits) {
        return Some(Value::Int(value));
    }
    looks_like_float(&digits).then(|| digits.parse().ok().map(Value::Float)).flatten()
}

/// Go's `ParseInt(text, 0, 64)`, then `ParseUint`.
fn integer(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// `[-+]? ( "." digits | digits [ "." digits? ] ) ( [eE] [-+]? digits )?`
fn looks_like_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && (fraction.is_empty() || all_digits(fraction)),
        None => all_digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|exponent| all_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_1_1_words() {
        for text in ["y", "Yes", "ON", "true"] {
            assert_eq!(plain(text), Value::Bool(true), "{text}");
        }
        for text in ["n", "No", "off", "FALSE"] {
            assert_eq!(plain(text), Value::Bool(false), "{text}");
        }
        for text in ["", "~", "Null"] {
            assert_eq!(plain(text), Value::Null, "{text}");
        }
        for text in ["yES", "nULL", "truE", "nope", "oN"] {
            assert_eq!(plain(text), Value::Str(text));
        }
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", 0),
            ("8080", 8080),
            ("-1", -1),
            ("+5", 5),
            ("0x1F", 31),
            ("017", 15),
            ("0o17", 15),
            ("0b101", 5),
            ("1_000", 1000),
        ] {
            assert_eq!(plain(text), Value::Int(value), "{text}");
        }
        for (text, value) in [("1.20", 1.2), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("08", 8.0), ("-1.5E-1", -0.15)]
        {
            assert_eq!(plain(text), Value::Float(value), "{text}");
        }
        for text in ["1.2.3", "0x", "10.0.0.0/8", "80a", "-", ".", "+", "1e", "2024-01-01", "0xZZ", "e5", "--1"] {
            assert_eq!(plain(text), Value::Str(text));
        }
        assert_eq!(plain("18446744073709551615"), Value::Int(i128::from(u64::MAX)));
        assert_eq!(plain("18446744073709551616"), Value::Float(18_446_744_073_709_551_616.0));
    }
}
