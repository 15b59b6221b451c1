//! Regular languages of the proxy's expressions, as automata that are asked together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind, util::start};

use crate::ir::re2;

/// Bytes of one automaton, and of the states on the way to it.
const SIZE_MAX: usize = 1 << 22;
/// States of several automata together that one question may visit.
const STATES_MAX: usize = 1 << 16;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The automaton of an expression is too large.
    #[error("the expression {0:?} is too large to be compared")]
    TooLarge(String),
    /// Together they have too many states.
    #[error("the expressions are too large to be compared with each other")]
    TooMany,
}

/// The texts that an expression matches as a whole.
#[derive(Debug, Clone)]
pub struct Language(Arc<dense::DFA<Vec<u32>>>);

impl Language {
    /// Of an expression of RE2.
    pub fn of(expression: &str) -> Result<Self, NoAnswer> {
        let too_large = || NoAnswer::TooLarge(expression.to_owned());
        let common = re2(expression).map_err(|_| too_large())?;
        // Requests are bytes, and RE2's classes `\d`, `\w` and `\s` are those of ASCII.
        let built = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(SIZE_MAX))
                    .determinize_size_limit(Some(SIZE_MAX)),
            )
            .build(&format!(r"\A(?:{common})\z"));
        built.map(|dfa| Self(Arc::new(dfa))).map_err(|_| too_large())
    }

    fn start(&self) -> Option<StateID> {
        self.0.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()
    }

    fn accepts(&self, state: StateID) -> bool {
        self.0.is_match_state(self.0.next_eoi_state(state))
    }
}

/// A shortest text that all of `inside` have and none of `outside` has, if there is one.
pub fn witness(inside: &[&Language], outside: &[&Language]) -> Result<Option<String>, NoAnswer> {
    let all: Vec<&Language> = inside.iter().chain(outside).copied().collect();
    let Some(start) = all.iter().map(|language| language.start()).collect::<Option<Vec<_>>>() else {
        return Err(NoAnswer::TooMany);
    };
    let bytes = representatives(&all);
    // The place of each state and the byte that led there, to read the text backwards.
    let mut seen: HashMap<Vec<StateID>, usize> = HashMap::from([(start.clone(), 0)]);
    let mut steps: Vec<(usize, u8)> = vec![(0, 0)];
    let mut queue = VecDeque::from([start]);
    while let Some(states) = queue.pop_front() {
        let at = seen.get(&states).copied().unwrap_or_default();
        let accepted = |(language, state): (&&Language, &StateID)| language.accepts(*state);
        let (within, without) = states.split_at(inside.len());
        if inside.iter().zip(within).all(accepted) && !outside.iter().zip(without).any(accepted) {
            return Ok(Some(text(&steps, at)));
        }
        for &byte in &bytes {
            let next: Vec<StateID> =
                all.iter().zip(&states).map(|(language, state)| language.0.next_state(*state, byte)).collect();
            if inside.iter().zip(&next).any(|(language, state)| language.0.is_dead_state(*state)) {
                continue;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = seen.entry(next.clone()) {
                entry.insert(steps.len());
                steps.push((at, byte));
                queue.push_back(next);
            }
        }
        if steps.len() > STATES_MAX {
            return Err(NoAnswer::TooMany);
        }
    }
    Ok(None)
}

/// One byte of each set that no automaton tells apart; letters first, since people read the text.
fn representatives(all: &[&Language]) -> Vec<u8> {
    let mut order: Vec<u8> = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').collect();
    order.extend((0..=u8::MAX).filter(|byte| !byte.is_ascii_alphanumeric()));
    let mut seen: Vec<Vec<u8>> = Vec::new();
    order.retain(|&byte| {
        let classes: Vec<u8> = all.iter().map(|language| language.0.byte_classes().get(byte)).collect();
        let is_new = !seen.contains(&classes);
        if is_new {
            seen.push(classes);
        }
        is_new
    });
    order
}

fn text(steps: &[(usize, u8)], mut at: usize) -> String {
    let mut bytes = Vec::new();
    while at != 0 {
        let Some(&(before, byte)) = steps.get(at) else { break };
        bytes.push(byte);
        at = before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(text: &str) -> Language {
        Language::of(text).unwrap()
    }

    #[test]
    fn a_witness_is_shortest_and_of_the_difference() {
        let (wide, narrow) = (language("/v[0-9]+/items/[^/]+"), language("/v1/items/[a-z]+"));
        assert_eq!(witness(&[&narrow], &[&wide]), Ok(None));
        let text = witness(&[&wide], &[&narrow]).unwrap().unwrap();
        assert!(regex::Regex::new("^/v[0-9]+/items/[^/]+$").unwrap().is_match(&text), "{text}");
        assert!(!regex::Regex::new("^/v1/items/[a-z]+$").unwrap().is_match(&text), "{text}");
        assert_eq!(witness(&[&language("a|b"), &language("b|c")], &[]), Ok(Some("b".into())));
        assert_eq!(witness(&[&language("a(b|c)")], &[&language("ab|ac")]), Ok(None));
        // The whole text counts.
        assert_eq!(witness(&[&language("/a/x")], &[&language("/a")]), Ok(Some("/a/x".into())));
    }

    #[test]
    fn what_is_too_large_is_said() {
        assert!(matches!(Language::of("(a|b)*a(a|b){60}"), Err(NoAnswer::TooLarge(_))));
    }
}
