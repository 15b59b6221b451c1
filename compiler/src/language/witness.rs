//! Whether some languages have a string that others have not.

use regex_automata::dfa::Automaton;

use super::walk::{Walk, alphabet};
use super::{Language, LanguageError};

/// Combinations of states that one question may visit.
const STATES_MAX: usize = 1 << 16;

/// A shortest string that all of `inside` have and none of `outside` has, if there is one.
pub fn witness(inside: &[&Language], outside: &[&Language]) -> Result<Option<String>, LanguageError> {
    let all: Vec<&Language> = inside.iter().chain(outside).copied().collect();
    let alphabet = alphabet(&all);
    let mut walk = Walk::default();
    walk.reach(all.iter().map(|language| language.start).collect(), None);
    let mut at = 0;
    while let Some(states) = walk.states.get(at).cloned() {
        let mut accepts = all.iter().zip(&*states).map(|(language, state)| language.accepts(*state));
        if accepts.by_ref().take(inside.len()).all(|inside| inside) && !accepts.any(|outside| outside) {
            return Ok(Some(walk.text(at)));
        }
        for &byte in &alphabet {
            let next: Box<[_]> =
                all.iter().zip(&*states).map(|(language, state)| language.automaton.next_state(*state, byte)).collect();
            if !inside.iter().zip(&*next).any(|(language, state)| language.automaton.is_dead_state(*state)) {
                walk.reach(next, Some((at, byte)));
            }
        }
        at += 1;
        if walk.states.len() > STATES_MAX {
            return Err(LanguageError::TooMany);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(text: &str) -> Language {
        Language::new(text).unwrap()
    }

    #[test]
    fn a_witness_is_shortest_and_of_the_difference() {
        let (wide, narrow) = (language("/v[0-9]+/items/[^/]+"), language("/v1/items/[a-z]+"));
        assert_eq!(witness(&[&narrow], &[&wide]), Ok(None));
        let text = witness(&[&wide], &[&narrow]).unwrap().unwrap();
        assert!(wide.contains(&text) && !narrow.contains(&text), "{text}");
        assert_eq!(witness(&[&language("a|b"), &language("b|c")], &[]), Ok(Some("b".into())));
        assert_eq!(witness(&[&language("a(b|c)")], &[&language("ab|ac")]), Ok(None));
        // The whole text counts.
        assert_eq!(witness(&[&language("/a/x")], &[&language("/a")]), Ok(Some("/a/x".into())));
    }
}
