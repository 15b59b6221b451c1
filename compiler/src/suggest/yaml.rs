//! YAML to write: values, in one line or in several.

use std::fmt::Write;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Fields in this order.
    Map(Vec<(String, Flow)>),
    /// Items.
    List(Vec<Flow>),
    /// A number.
    Number(u16),
    /// Text that needs no quotes, or has them.
    Text(String),
}

impl Flow {
    /// Fields in this order.
    pub fn map<'k>(fields: impl IntoIterator<Item = (&'k str, Flow)>) -> Self {
        Self::Map(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A name or a word of the API.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Text that would be a number, or has colons.
    pub fn quoted(text: &str) -> Self {
        Self::Text(format!("\"{text}\""))
    }

    /// The value of a label: quoted where YAML could read it as something else.
    pub fn label(value: &str) -> Self {
        let word = value.to_ascii_lowercase();
        let plain = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && !matches!(word.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
        if plain { Self::text(value) } else { Self::quoted(value) }
    }
}

/// In one line.
pub fn flow(value: &Flow) -> String {
    match value {
        Flow::Map(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("{key}: {}", flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Flow::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Flow::Number(number) => number.to_string(),
        Flow::Text(text) => text.clone(),
    }
}

/// A document: a line for each field, and for each field of `spec`.
pub fn block(value: &Flow) -> String {
    let Flow::Map(fields) = value else { return format!("{}\n", flow(value)) };
    let mut out = String::new();
    for (key, value) in fields {
        // Writing to a String cannot fail.
        let _ = match value {
            Flow::Map(inner) if key == "spec" => {
                let lines = inner.iter().map(|(key, value)| match value {
                    Flow::List(items) => {
                        let items = items.iter().map(|item| format!("  - {}\n", flow(item)));
                        format!("  {key}:\n{}", items.collect::<String>())
                    }
                    Flow::Map(_) | Flow::Number(_) | Flow::Text(_) => format!("  {key}: {}\n", flow(value)),
                });
                writeln!(out, "{key}:\n{}", lines.collect::<String>().trim_end())
            }
            Flow::Map(_) | Flow::List(_) | Flow::Number(_) | Flow::Text(_) => writeln!(out, "{key}: {}", flow(value)),
        };
    }
    out
}

/// The text that makes an item of a list in front of the item at an offset: on a line of its own in a list with dashes,
/// else in the same line.
pub fn before(text: &str, offset: usize, item: &Flow) -> Option<String> {
    let head = text.get(..offset)?;
    let line = head.rfind('\n').map_or(head, |newline| &head[newline + 1..]);
    let written = flow(item);
    match line.trim_start_matches(' ').strip_prefix('-') {
        Some(rest) if rest.trim().is_empty() => {
            // The new item takes the dash that is there, and the old one gets a line and a dash of its own.
            let indent = line.len() - line.trim_start_matches(' ').len();
            Some(format!("{written}\n{}-{rest}", " ".repeat(indent)))
        }
        Some(_) | None => {
            let opens = head.trim_end().ends_with('[');
            opens.then(|| format!("{written}, "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_goes_in_front_of_another() {
        let item = Flow::map([("port", Flow::quoted("80"))]);
        let insert = |text: &str, at: &str| {
            let offset = text.find(at).unwrap();
            let inserted = before(text, offset, &item)?;
            Some(format!("{}{inserted}{}", &text[..offset], &text[offset..]))
        };
        assert_eq!(insert("a:\n  - port: 1\n", "port").as_deref(), Some("a:\n  - {port: \"80\"}\n  - port: 1\n"));
        assert_eq!(insert("a: [{p: 1}]\n", "{p").as_deref(), Some("a: [{port: \"80\"}, {p: 1}]\n"));
        assert_eq!(insert("a: [0, {p: 1}]\n", "{p"), None);
    }

    #[test]
    fn labels_that_yaml_would_read_are_quoted() {
        assert_eq!(
            [Flow::label("web"), Flow::label("no"), Flow::label("1")].map(|l| flow(&l)),
            ["web", "\"no\"", "\"1\""]
        );
    }
}
