//! Names of DNS that selectors tell apart.
//!
//! Which addresses a name has, the input does not know; which names a policy lets pass, it does. So names are parties like
//! prefixes: all that the same selectors select are one, and it has an example.

use std::collections::{BTreeMap, BTreeSet};

use super::Party;
use crate::ir::{FqdnSelector, fqdn};
use crate::language::{self, Atom, Budget, Language, LanguageError};

/// What a name looks like, in lower case and without the dot of the root.
const NAME: &str = r"[-a-z0-9_]+(?:\.[-a-z0-9_]+)*";

/// Steps in which patterns are told apart: seconds.
const STEPS_MAX: usize = 1 << 28;

/// Every combination of selectors that some name is selected by. Names in `known` have addresses of their own, under which
/// they are parties already.
pub fn parties(selectors: &BTreeSet<FqdnSelector>, known: &BTreeSet<&str>) -> Result<Vec<Party>, LanguageError> {
    let literals: BTreeSet<&str> = selectors.iter().filter_map(literal).collect();
    let patterns: Vec<&FqdnSelector> = selectors.iter().filter(|selector| literal(selector).is_none()).collect();
    let taken: BTreeSet<&str> = literals.union(known).copied().collect();
    let atoms = pattern_atoms(&patterns, &taken)?;
    let named = literals.difference(known).map(|name| party(name, name));
    let others = atoms.iter().filter(|atom| !taken.contains(atom.example.as_str()));
    Ok(named.chain(others.map(|atom| party(&text(&patterns, &atoms, atom), &atom.example))).collect())
}

fn party(names: &str, example: &str) -> Party {
    Party::Names { names: names.to_owned(), example: example.to_owned() }
}

fn literal(selector: &FqdnSelector) -> Option<&str> {
    match selector {
        FqdnSelector::Name(name) => Some(name),
        FqdnSelector::Pattern(_) => None,
    }
}

/// The combinations of patterns, each with an example that is none of `taken` where there is one.
fn pattern_atoms(patterns: &[&FqdnSelector], taken: &BTreeSet<&str>) -> Result<Vec<Atom>, LanguageError> {
    let mut budget = Budget::new(STEPS_MAX, STEPS_MAX);
    let universe = budget.language(NAME)?;
    let mut languages = Vec::new();
    for pattern in patterns {
        languages.push(budget.language(&fqdn::expression(pattern))?);
    }
    let usual: Vec<String> = patterns.iter().map(|pattern| usual(pattern)).collect();
    let usual: Vec<&str> = usual.iter().map(String::as_str).collect();
    // Thousands of names side by side would take long. Only one that came out as an example stands in the way of others.
    let mut apart: BTreeMap<&str, Language> = BTreeMap::new();
    loop {
        let all: Vec<&Language> = languages.iter().chain(apart.values()).collect();
        let mut atoms = language::atoms(&universe, &all, &usual, &mut budget)?;
        let found: Vec<&str> = taken
            .iter()
            .filter(|name| !apart.contains_key(**name) && atoms.iter().any(|atom| atom.example == **name))
            .copied()
            .collect();
        if found.is_empty() {
            atoms.iter_mut().for_each(|atom| atom.inside.truncate(patterns.len()));
            atoms.retain(|atom| atom.inside.contains(&true));
            return Ok(atoms);
        }
        for name in found {
            apart.insert(name, budget.language(&regex::escape(name))?);
        }
    }
}

/// A name that a reader would think of.
fn usual(pattern: &FqdnSelector) -> String {
    let text = fqdn::text(pattern).trim_end_matches('.');
    let text =
        text.strip_prefix("**.").or(text.strip_prefix("*.")).map_or(text.to_owned(), |rest| format!("www.{rest}"));
    text.replace('*', "x")
}

/// The narrowest patterns of a combination: whoever is in these is in the others.
fn text(patterns: &[&FqdnSelector], atoms: &[Atom], atom: &Atom) -> String {
    let within = |a: usize, b: usize| atoms.iter().all(|atom| !atom.inside[a] || atom.inside[b]);
    let inside: Vec<usize> = (0..patterns.len()).filter(|&n| atom.inside[n]).collect();
    let is_narrowest = |&b: &usize| !inside.iter().any(|&a| a != b && within(a, b) && (!within(b, a) || a < b));
    let narrowest = inside.iter().copied().filter(is_narrowest).map(|n| fqdn::text(patterns[n]));
    narrowest.collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], patterns: &[&str], known: &[&str]) -> Vec<(String, String)> {
        let names = names.iter().map(|text| FqdnSelector::Name((*text).into()));
        let patterns = patterns.iter().map(|text| fqdn::normal(&FqdnSelector::Pattern((*text).into()), true));
        let found = parties(&names.chain(patterns).collect(), &known.iter().copied().collect()).unwrap();
        let pair = |party| match party {
            Party::Names { names, example } => (names, example),
            other => panic!("{other:?}"),
        };
        found.into_iter().map(pair).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
    }

    #[test]
    fn a_combination_is_named_by_its_narrowest_selectors() {
        assert_eq!(of(&["a.io"], &[], &[]), pairs(&[("a.io", "a.io")]));
        assert_eq!(of(&[], &["*.b.io", "*"], &[]), pairs(&[("*", "x"), ("*.b.io", "www.b.io")]));
        let crossing = of(&[], &["a*.io", "*b.io"], &[]);
        assert_eq!(
            crossing.iter().map(|(names, _)| names.as_str()).collect::<Vec<_>>(),
            ["*b.io", "a*.io", "*b.io+a*.io"]
        );
        assert!(crossing.iter().all(|(_, example)| example.ends_with(".io")), "{crossing:?}");
    }

    #[test]
    fn an_example_is_no_name_that_stands_for_itself() {
        let found = of(&["www.b.io"], &["*.b.io"], &[]);
        assert_eq!(found, pairs(&[("www.b.io", "www.b.io"), ("*.b.io", "a.b.io")]));
        assert_eq!(of(&[], &["*.b.io"], &["www.b.io"]), pairs(&[("*.b.io", "a.b.io")]));
        assert_eq!(of(&["www.b.io"], &[], &["www.b.io"]), []);
        // A pattern without a star is one name: nothing is left of it.
        assert_eq!(of(&["b.io"], &["b.io"], &[]), pairs(&[("b.io", "b.io")]));
    }
}
