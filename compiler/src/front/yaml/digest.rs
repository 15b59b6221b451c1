//! A name for what a node means.

use std::collections::BTreeMap;

use ciliumc_abi::manifest::hex;
use sha2::{Digest, Sha256};

use super::{Kind, Node, Value};

/// SHA-256, hexadecimal: equal for nodes that are the [`super::same`], wherever and however they were written.
pub fn digest(node: &Node<'_>) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, node);
    hex(&hash.finalize())
}

/// Each value begins with a letter of its type and says its length, so that no two values give the same bytes.
fn feed(hash: &mut Sha256, node: &Node<'_>) {
    match &node.kind {
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Null => hash.update("n"),
            Value::Bool(truth) => hash.update(if truth { "t" } else { "f" }),
            Value::Int(number) => hash.update(format!("i{number};")),
            Value::Float(number) => hash.update(format!("d{:x};", number.to_bits())),
            Value::Str(text) => feed_text(hash, text),
        },
        Kind::Sequence(items) => {
            hash.update(format!("l{};", items.len()));
            items.iter().for_each(|item| feed(hash, item));
        }
        Kind::Mapping(entries) => {
            let fields: BTreeMap<_, _> = entries.iter().map(|entry| (entry.key.key_text(), &entry.value)).collect();
            hash.update(format!("m{};", fields.len()));
            for (key, value) in fields {
                feed_text(hash, &key);
                feed(hash, value);
            }
        }
    }
}

fn feed_text(hash: &mut Sha256, text: &str) {
    hash.update(format!("s{};", text.len()));
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, parse};
    use super::*;
    use crate::diag::FileId;

    fn digest_of(text: &str) -> String {
        digest(&parse(FileId(0), text, &Arena::new()).documents[0].root)
    }

    #[test]
    fn order_and_quotes_do_not_matter() {
        assert_eq!(digest_of("{a: 1, b: [x, 'y z']}"), digest_of("b:\n- \"x\"\n- y z\na: 0x1\n"));
    }

    #[test]
    fn values_do() {
        let texts =
            ["{a: 1}", "{a: '1'}", "{a: true}", "{a: null}", "{}", "[a, b]", "[b, a]", "[ab]", "[[a], b]", "[[a, b]]"];
        let digests: std::collections::BTreeSet<_> = texts.iter().map(|text| digest_of(text)).collect();
        assert_eq!(digests.len(), texts.len());
    }
}
