//! Aspects of requests, the tests of each, and the kinds of values that the tests tell apart.

use std::collections::{BTreeMap, BTreeSet};

use super::Protocol;
use crate::front::parse;
use crate::language::{self, Budget, Language};

/// What requests of a protocol differ in, in the order in which examples show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// How TLS is ended and begun on the way.
    Context,
    /// Method of HTTP.
    Method,
    /// Path with its query.
    Path,
    /// `Host`, or `:authority`.
    Host,
    /// A header, by its name in lower case.
    Header(String),
    /// Number of a Kafka request.
    ApiKey,
    /// Version of a Kafka request.
    ApiVersion,
    /// Client of a Kafka request.
    ClientId,
    /// Topic of a Kafka request.
    Topic,
    /// The name that a DNS query asks for.
    Name,
    /// Server name of TLS; empty is none.
    ServerName,
}

/// A condition on one aspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// A regular expression of the proxy matches the whole value.
    Re2(String),
    /// An expression of ours does.
    Expression(String),
    /// It is one of these.
    AnyOf(BTreeSet<String>),
    /// It is there at all.
    Present,
    /// It is what this secret holds, which nobody here knows.
    Secret(String),
}

/// A test of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestPlace {
    aspect: Aspect,
    number: usize,
}

/// The tests of both sides of a comparison.
pub struct Tests(BTreeMap<Aspect, Vec<Test>>);

impl Tests {
    /// None yet; the aspects that every example shows.
    pub fn new(protocol: Protocol) -> Self {
        let shown: &[Aspect] = match protocol {
            Protocol::Http => &[Aspect::Method, Aspect::Path],
            Protocol::Kafka => &[Aspect::ApiKey],
            Protocol::Dns => &[Aspect::Name],
            Protocol::Tls => &[],
        };
        Self(shown.iter().map(|aspect| (aspect.clone(), Vec::new())).collect())
    }

    /// Adds a test, unless it is there.
    pub fn add(&mut self, aspect: Aspect, test: Test) -> TestPlace {
        let tests = self.0.entry(aspect.clone()).or_default();
        let number = tests.iter().position(|other| *other == test).unwrap_or_else(|| {
            tests.push(test);
            tests.len() - 1
        });
        TestPlace { aspect, number }
    }

    /// What they tell apart, or why nobody can tell.
    pub fn kinds(self, budget: &mut Budget) -> Result<Kinds, String> {
        let kinds = self.0.into_iter().map(|(aspect, tests)| {
            let kinds = kinds(&aspect, &tests, budget)?;
            Ok((aspect, kinds))
        });
        Ok(Kinds(kinds.collect::<Result<_, String>>()?))
    }
}

/// Values of an aspect that pass the same tests.
struct Kind {
    /// By test.
    passes: Vec<bool>,
    /// One of them.
    example: String,
}

/// The kinds of each aspect. A request is one of each: their positions, in the order of the aspects.
pub struct Kinds(Vec<(Aspect, Vec<Kind>)>);

impl Kinds {
    /// Number of requests; `None` beyond what a number holds.
    pub fn combinations(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |count, (_, kinds)| count.checked_mul(kinds.len()))
    }

    /// One request, by its number.
    pub fn combination(&self, number: usize) -> Vec<usize> {
        let mut rest = number;
        let digits = self.0.iter().map(|(_, kinds)| {
            let count = kinds.len().max(1);
            let digit = rest % count;
            rest /= count;
            digit
        });
        digits.collect()
    }

    /// Whether a request passes a test.
    pub fn passes(&self, test: &TestPlace, request: &[usize]) -> bool {
        let Ok(place) = self.0.binary_search_by(|(aspect, _)| aspect.cmp(&test.aspect)) else { return false };
        let kind = request.get(place).and_then(|kind| self.0.get(place)?.1.get(*kind));
        kind.and_then(|kind| kind.passes.get(test.number).copied()).unwrap_or_default()
    }

    fn of<'a>(&'a self, request: &'a [usize]) -> impl Iterator<Item = (&'a Aspect, &'a Kind)> {
        let parts = self.0.iter().zip(request);
        parts.filter_map(|((aspect, kinds), kind)| Some((aspect, kinds.get(*kind)?)))
    }

    /// Bytes of the examples of a request's kinds.
    pub fn length(&self, request: &[usize]) -> usize {
        self.of(request).map(|(_, kind)| kind.example.len()).sum()
    }

    /// The request as people write it: `GET /v1/a host=a.io`.
    pub fn text(&self, request: &[usize]) -> String {
        let words = self.of(request).filter(|(_, kind)| !kind.example.is_empty()).filter_map(|(aspect, kind)| {
            let example = &kind.example;
            match aspect {
                Aspect::Context => None,
                Aspect::Method | Aspect::Path | Aspect::Name => Some(example.clone()),
                Aspect::Host => Some(format!("host={example}")),
                Aspect::Header(name) => Some(format!("header={name}:{example}")),
                Aspect::ApiKey => Some(format!("apiKey={example}")),
                Aspect::ApiVersion => Some(format!("apiVersion={example}")),
                Aspect::ClientId => Some(format!("clientID={example}")),
                Aspect::Topic => Some(format!("topic={example}")),
                Aspect::ServerName => Some(format!("sni={example}")),
            }
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { "any".into() } else { words.join(" ") }
    }
}

/// A value that no test names.
const OTHER: &str = "other";
/// Labels of a name, in lower case: names are compared so.
const NAME: &str = r"[-a-z0-9_]+(?:\.[-a-z0-9_]+)*";

fn kinds(aspect: &Aspect, tests: &[Test], budget: &mut Budget) -> Result<Vec<Kind>, String> {
    match aspect {
        // RFC 9110 §5.6.2.
        Aspect::Method => {
            let usual = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"];
            strings("[!#$%&'*+.^_`|~0-9A-Za-z-]+", &usual, tests, budget)
        }
        // RFC 9112 §3.2: proxies make the absolute form this one, and `OPTIONS *` asks for no resource.
        Aspect::Path => strings("/[!-~]*", &["/"], tests, budget),
        // RFC 3986 §3.2.2, with a port.
        Aspect::Host => strings(r"[0-9A-Za-z._~!$&'()*+,;=%:\[\]-]+", &["example.com"], tests, budget),
        Aspect::Name => strings(NAME, &[], tests, budget),
        Aspect::ServerName => strings(&format!("(?:{NAME})?"), &[], tests, budget),
        Aspect::Header(name) => header(name, tests),
        // There is no other context than those that are named.
        Aspect::Context => Ok(values(tests)),
        Aspect::ApiKey | Aspect::ApiVersion | Aspect::ClientId | Aspect::Topic => {
            let other = Kind { passes: vec![false; tests.len()], example: OTHER.into() };
            Ok(values(tests).into_iter().chain([other]).collect())
        }
    }
}

/// Kinds of strings, by automata.
fn strings(universe: &str, usual: &[&str], tests: &[Test], budget: &mut Budget) -> Result<Vec<Kind>, String> {
    let text = |error: language::LanguageError| error.to_string();
    let universe = budget.language(universe).map_err(text)?;
    let mut languages: Vec<Language> = Vec::with_capacity(tests.len());
    for test in tests {
        let expression = match test {
            Test::Re2(expression) => {
                parse::re2(expression).map_err(|wrong| format!("`{expression}`: {}", wrong.message))?
            }
            Test::Expression(expression) => expression.clone(),
            Test::AnyOf(values) => values.iter().map(|value| regex::escape(value)).collect::<Vec<_>>().join("|"),
            Test::Present => ".*".into(),
            Test::Secret(name) => return Err(format!("nobody knows what the secret {name} holds")),
        };
        languages.push(budget.language(&expression).map_err(text)?);
    }
    let languages: Vec<&Language> = languages.iter().collect();
    let atoms = language::atoms(&universe, &languages, usual, budget).map_err(text)?;
    Ok(atoms.into_iter().map(|atom| Kind { passes: atom.inside, example: atom.example }).collect())
}

/// One kind for each value that a test names.
fn values(tests: &[Test]) -> Vec<Kind> {
    let of = |test: &Test| match test {
        Test::AnyOf(values) => values.iter().cloned().collect(),
        Test::Secret(name) => vec![format!("<{name}>")],
        Test::Re2(_) | Test::Expression(_) | Test::Present => Vec::new(),
    };
    let named: BTreeSet<String> = tests.iter().flat_map(of).collect();
    let passes = |value: &str, test: &Test| match test {
        Test::AnyOf(values) => values.contains(value),
        Test::Secret(name) => value == format!("<{name}>"),
        Test::Present => true,
        Test::Re2(_) | Test::Expression(_) => false,
    };
    let kind = |value: String| Kind { passes: tests.iter().map(|test| passes(&value, test)).collect(), example: value };
    named.into_iter().map(kind).collect()
}

/// A header is absent, or has one of the values that tests name, or another.
fn header(name: &str, tests: &[Test]) -> Result<Vec<Kind>, String> {
    let valued = tests.iter().filter(|test| **test != Test::Present);
    if tests.iter().any(|test| matches!(test, Test::Secret(_))) && valued.count() > 1 {
        return Err(format!("nobody knows whether secrets and values of the header `{name}` are the same"));
    }
    let absent = Kind { passes: vec![false; tests.len()], example: String::new() };
    let other = tests.iter().map(|test| *test == Test::Present).collect();
    let other = Kind { passes: other, example: OTHER.into() };
    Ok([absent].into_iter().chain(values(tests)).chain([other]).collect())
}
