//! Sets of strings that regular expressions describe, as automata that can be compared.
//!
//! In: expressions in the syntax of the `regex` crate. Out: [`Language`], and for several of them the [`Atom`]s: which
//! combinations of them a string can be in, each with a shortest example. That is all that union, difference and
//! inclusion need.
//!
//! Strings are ASCII: what HTTP methods, targets, hosts and names of DNS are made of. Sizes and steps are bounded; what is
//! too large is said to be so and never guessed.

mod ascii;
mod walk;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use walk::{Walk, alphabet};
pub use witness::witness;

/// Bytes of the automaton of one expression.
const SIZE_MAX: usize = 1 << 20;
/// Bytes while it is made.
const WORK_MAX: usize = 4 << 20;

/// Why an expression has no automaton, or several have no atoms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// It does not parse.
    #[error("`{0}` is no regular expression")]
    Syntax(String),
    /// Its automaton is larger than the bound.
    #[error("`{0}` is too large to be compared")]
    TooLarge(String),
    /// Telling them apart takes more steps than the bound.
    #[error("the patterns are too large to be compared with each other")]
    TooMany,
}

/// The strings that an expression matches as a whole.
#[derive(Debug, Clone)]
pub struct Language {
    automaton: Arc<DFA<Vec<u32>>>,
    start: StateID,
}

impl Language {
    /// Of an expression in the syntax of the `regex` crate; it has to match the whole string.
    pub fn new(expression: &str) -> Result<Self, LanguageError> {
        let too_large = || LanguageError::TooLarge(expression.to_owned());
        let hir = ascii::whole(expression).map_err(|_| LanguageError::Syntax(expression.to_owned()))?;
        let nfa = thompson::Config::new().nfa_size_limit(Some(SIZE_MAX)).shrink(false).utf8(false);
        let nfa = thompson::Compiler::new().configure(nfa).build_from_hir(&hir).map_err(|_| too_large())?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(SIZE_MAX))
            .determinize_size_limit(Some(WORK_MAX));
        let automaton = dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|_| too_large())?;
        let start = automaton.start_state(&start::Config::new().anchored(Anchored::Yes)).map_err(|_| too_large())?;
        Ok(Self { automaton: Arc::new(automaton), start })
    }

    /// Whether a string is one of them.
    pub fn contains(&self, text: &str) -> bool {
        let step = |state, &byte: &u8| self.automaton.next_state(state, byte);
        self.accepts(text.as_bytes().iter().fold(self.start, step))
    }

    fn accepts(&self, state: StateID) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }
}

/// Strings that are in the same of several languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom {
    /// By language: whether they are in it.
    pub inside: Vec<bool>,
    /// One of them: a usual one if there is, else one of the shortest.
    pub example: String,
}

/// A number of steps that comparisons share.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// What is left; a step looks up one byte in one automaton.
    steps: usize,
    /// What one comparison may take.
    once: usize,
}

impl Budget {
    /// For all comparisons, and for each one.
    pub fn new(steps: usize, once: usize) -> Self {
        Self { steps, once }
    }

    /// [`Language::new`], at the cost of its size.
    pub fn language(&mut self, expression: &str) -> Result<Language, LanguageError> {
        if self.steps == 0 {
            return Err(LanguageError::TooMany);
        }
        let language = Language::new(expression);
        let cost = language.as_ref().map_or(WORK_MAX, |language| language.automaton.memory_usage());
        self.steps = self.steps.saturating_sub(cost);
        language
    }
}

/// Every combination of languages that a string of the universe can be in. Of the strings in one combination a `usual` one
/// is the example, else a shortest one, letters first.
///
/// The automata run side by side, breadth first, so that the first string that leads somewhere is a shortest one.
pub fn atoms(
    universe: &Language,
    languages: &[&Language],
    usual: &[&str],
    budget: &mut Budget,
) -> Result<Vec<Atom>, LanguageError> {
    let mut found: HashMap<Vec<bool>, usize> = HashMap::new();
    let mut atoms = Vec::new();
    for example in usual.iter().filter(|text| universe.contains(text)) {
        let inside: Vec<bool> = languages.iter().map(|language| language.contains(example)).collect();
        if !found.contains_key(&inside) {
            found.insert(inside.clone(), atoms.len());
            atoms.push(Atom { inside, example: (*example).to_owned() });
        }
    }
    let all: Vec<&Language> = [universe].into_iter().chain(languages.iter().copied()).collect();
    let alphabet = alphabet(&all);
    let mut allowed = budget.once.min(budget.steps);
    let mut walk = Walk::default();
    walk.reach(all.iter().map(|language| language.start).collect(), None);
    let mut at = 0;
    while let Some(states) = walk.states.get(at).cloned() {
        let cost = all.len() * (alphabet.len() + 1);
        allowed = allowed.checked_sub(cost).ok_or(LanguageError::TooMany)?;
        budget.steps -= cost;
        let accepts: Vec<bool> = all.iter().zip(&*states).map(|(language, state)| language.accepts(*state)).collect();
        if let Some((true, inside)) = accepts.split_first()
            && !found.contains_key(inside)
        {
            found.insert(inside.to_vec(), atoms.len());
            atoms.push(Atom { inside: inside.to_vec(), example: walk.text(at) });
        }
        for &byte in &alphabet {
            let next = all.iter().zip(&*states).map(|(l, state)| l.automaton.next_state(*state, byte));
            let next: Box<[StateID]> = next.collect();
            // No string that goes on from here is in the universe.
            if next.first().is_some_and(|state| !universe.automaton.is_dead_state(*state)) {
                walk.reach(next, Some((at, byte)));
            }
        }
        at += 1;
    }
    Ok(atoms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(text: &str) -> Language {
        Language::new(text).unwrap()
    }

    fn budget() -> Budget {
        Budget::new(1 << 24, 1 << 22)
    }

    /// A shortest string in the first and not in the second.
    fn difference(one: &str, other: &str) -> Option<String> {
        let (one, other) = (language(one), language(other));
        let atoms = atoms(&language("[!-~]*"), &[&one, &other], &[], &mut budget()).unwrap();
        atoms.into_iter().find(|atom| atom.inside == [true, false]).map(|atom| atom.example)
    }

    #[test]
    fn a_difference_has_a_shortest_example() {
        assert_eq!(difference("/v[0-9]+/items/[^/]+", "/v1/items/[a-z]+").as_deref(), Some("/v0/items/a"));
        assert_eq!(difference("/v1/items/[^/]+", "/v1/items/[a-z]+").as_deref(), Some("/v1/items/0"));
        assert_eq!(difference("/a(b|c)", "/ab|/ac"), None);
        assert_eq!(difference("/ab|/ac", "/a(b|c)"), None);
        assert_eq!(difference("a.*", "a"), Some("aa".into()));
        assert_eq!(difference("a", "a.*"), None);
    }

    #[test]
    fn the_whole_string_has_to_match() {
        let public = language("/public");
        assert!(public.contains("/public"));
        assert!(!public.contains("/public/x") && !public.contains("x/public") && !public.contains(""));
        // Each branch of an alternative, not the first and the last alone.
        let either = language("a|b");
        assert!(either.contains("a") && either.contains("b") && !either.contains("ab"));
        assert!(language("^a$").contains("a") && language("").contains(""));
        assert!(language(r"a\b.*").contains("a-") && !language(r"a\b.*").contains("ab"));
    }

    #[test]
    fn only_ascii_counts() {
        assert!(language(r"\w+\pL").contains("ab"));
        assert_eq!(difference(r"\w", "[0-9A-Za-z_]"), None);
        assert_eq!(difference("ä", "x"), None);
        assert_eq!(difference("(?i)k", "k|K"), None);
    }

    #[test]
    fn a_usual_string_is_preferred() {
        let (any, get) = (language("[A-Z]+"), language("GET"));
        let atoms = atoms(&any, &[&get], &["GET", "POST"], &mut budget()).unwrap();
        let seen: Vec<(bool, &str)> = atoms.iter().map(|atom| (atom.inside[0], atom.example.as_str())).collect();
        assert_eq!(seen, [(true, "GET"), (false, "POST")]);
    }

    #[test]
    fn what_is_too_large_is_said_to_be_so() {
        let error = |text| Language::new(text).unwrap_err();
        assert!(matches!(error("((a{1000}){1000}){1000}"), LanguageError::TooLarge(_)));
        assert!(matches!(error("(a|b)*a(a|b){40}"), LanguageError::TooLarge(_)));
        assert!(matches!(error("("), LanguageError::Syntax(_)));
        let long: Vec<Language> = (0..12).map(|n| language(&format!(".*a.{{{n}}}b.*"))).collect();
        let long: Vec<&Language> = long.iter().collect();
        assert_eq!(atoms(&language(".*"), &long, &[], &mut budget()), Err(LanguageError::TooMany));
    }
}
