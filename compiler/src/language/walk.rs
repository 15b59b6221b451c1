//! Several automata side by side, byte by byte, in the order of the shortest string.

use std::collections::HashSet;

use regex_automata::util::primitives::StateID;

use super::Language;

/// Bytes of which each stands for all that no automaton tells from it, in the order in which examples use them.
pub fn alphabet(languages: &[&Language]) -> Vec<u8> {
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(*b"/-_.");
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let all = readable.chain(0..=127);
    let is_new = |byte: &u8| {
        seen.insert(languages.iter().map(|language| language.automaton.byte_classes().get(*byte)).collect())
    };
    all.filter(is_new).collect()
}

/// Combinations of states in the order in which they were reached.
#[derive(Default)]
pub struct Walk {
    /// A state of each automaton.
    pub states: Vec<Box<[StateID]>>,
    /// From which one, by which byte; none is the start.
    from: Vec<Option<(usize, u8)>>,
    places: HashSet<Box<[StateID]>>,
}

impl Walk {
    /// Notes a combination, and how it was reached, unless it is known.
    pub fn reach(&mut self, states: Box<[StateID]>, from: Option<(usize, u8)>) {
        if self.places.insert(states.clone()) {
            self.states.push(states);
            self.from.push(from);
        }
    }

    /// The string that leads there.
    pub fn text(&self, place: usize) -> String {
        let mut bytes = Vec::new();
        let mut at = place;
        while let Some(Some((from, byte))) = self.from.get(at) {
            bytes.push(*byte);
            at = *from;
        }
        bytes.iter().rev().map(|byte| char::from(*byte)).collect()
    }
}
