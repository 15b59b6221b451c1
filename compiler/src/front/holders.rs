//! Which items of a list hold a place.

use crate::diag::Span;

use super::yaml::Node;

/// The items of a list by where they were written.
pub struct Holders {
    /// Start, end and index, sorted.
    items: Vec<(u32, u32, usize)>,
    /// The furthest end of an item and all before it.
    reach: Vec<u32>,
}

impl Holders {
    /// Of the items of one document's list.
    pub fn new(nodes: &[Node<'_>]) -> Self {
        let mut items: Vec<_> =
            nodes.iter().zip(0..).map(|(node, index)| (node.span.start, node.span.end, index)).collect();
        items.sort_unstable();
        let mut furthest = 0;
        let reach = items.iter().map(|(_, end, _)| {
            furthest = furthest.max(*end);
            furthest
        });
        Self { reach: reach.collect(), items }
    }

    /// Indices of the items around a place: none, one, or more when an alias repeats a part of another item.
    pub fn of(&self, place: Span) -> impl Iterator<Item = usize> {
        let behind = self.items.partition_point(|(start, _, _)| *start <= place.start);
        // Items seldom overlap, so this ends after the first one.
        let near =
            self.items.iter().zip(&self.reach).take(behind).rev().take_while(move |(_, reach)| **reach >= place.end);
        near.filter(move |((_, end, _), _)| *end >= place.end).map(|((_, _, index), _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::front::yaml::{Arena, parse};

    fn holders(text: &str, part: &str) -> Vec<usize> {
        let arena = Arena::new();
        let parsed = parse(FileId(0), text, &arena);
        let start = text.find(part).unwrap() as u32;
        let place = Span { file: FileId(0), start, end: start + part.len() as u32 };
        let mut found: Vec<_> = Holders::new(parsed.documents[0].root.items().unwrap()).of(place).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn each_place_has_its_item() {
        let text = "- {a: 1}\n- {b: [c, d]}\n- e\n";
        assert_eq!(holders(text, "a"), [0]);
        assert_eq!(holders(text, "d"), [1]);
        assert_eq!(holders(text, "e"), [2]);
        assert!(holders(text, "- {b").is_empty());
    }

    #[test]
    fn an_alias_is_another_holder() {
        let text = "- {a: &x {b: c}, d: e}\n- *x\n- f\n- {g: h}\n";
        assert_eq!(holders(text, "c"), [0, 1]);
        assert_eq!(holders(text, "d"), [0]);
        assert_eq!(holders(text, "h"), [3]);
    }
}
