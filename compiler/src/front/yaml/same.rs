//! Whether two nodes mean the same.

use std::collections::BTreeMap;

use super::{Kind, Node, Value};

/// Equal as JSON values: order of fields, quotes and comments do not matter.
pub fn same(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (&left.kind, &right.kind) {
        (Kind::Scalar(left), Kind::Scalar(right)) => match (left.value(), right.value()) {
            (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits(),
            (left, right) => left == right,
        },
        (Kind::Sequence(left), Kind::Sequence(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| same(left, right))
        }
        (Kind::Mapping(left), Kind::Mapping(right)) => {
            let right: BTreeMap<_, _> = right.iter().map(|entry| (entry.key.key_text(), &entry.value)).collect();
            left.len() == right.len()
                && left
                    .iter()
                    .all(|entry| right.get(&entry.key.key_text()).is_some_and(|value| same(&entry.value, value)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, parse};
    use super::*;
    use crate::diag::FileId;

    fn same_text(left: &str, right: &str) -> bool {
        let arena = Arena::new();
        let left = parse(FileId(0), left, &arena);
        let right = parse(FileId(1), right, &arena);
        same(&left.documents[0].root, &right.documents[0].root)
    }

    #[test]
    fn order_and_quotes_do_not_matter() {
        assert!(same_text("{a: 1, b: [x, 'y z']}", "b:\n- \"x\"\n- y z\na: 0x1\n"));
    }

    #[test]
    fn values_do() {
        assert!(!same_text("{a: 1}", "{a: '1'}"));
        assert!(!same_text("{a: 1}", "{a: 1, b: 2}"));
        assert!(!same_text("[a, b]", "[b, a]"));
    }
}
