//! Requests and what a proxy is given: which of them pass (spec §2.14, "Verdict class").
//!
//! Requests are a set: method, path and host by expression, headers that are there and others of which nothing is said.
//! An item of a policy is a set of the same form, so "all pass", "none passes" and an example of either are exact.

use std::collections::BTreeMap;

use super::kafka;
use crate::ir::{HttpRequests, HttpRule, Requests, fqdn, re2};
use crate::language::{Language, LanguageError, witness};
use crate::resolve::{Items, Parser, Ruleset, TlsTerms};

/// Which of the requests pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Every one.
    All,
    /// None.
    None,
    /// Some: an example that passes, and one that does not.
    Some {
        /// Passes.
        passes: String,
        /// Is refused.
        refused: String,
    },
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Questions about expressions that one comparison may ask.
const QUESTIONS_MAX: usize = 4096;

/// What methods, paths and hosts of requests look like: an example is one that a client can send.
const METHOD: &str = "[A-Z]+";
const PATH: &str = "/[!-~]*";
const HOST: &str = "[!-~]*";

/// Asks a proxy's rules.
pub fn admission(ruleset: &Ruleset, requests: &Requests) -> Admission {
    match (&ruleset.parser, requests) {
        (Parser::Http | Parser::Tls, Requests::Http(requests)) => {
            http(ruleset, requests).unwrap_or_else(|error| Admission::Unknown(error.to_string()))
        }
        (Parser::Dns, Requests::Dns(name)) => dns(ruleset, name),
        (Parser::Kafka | Parser::Tls, Requests::Kafka(requests)) => kafka::admission(ruleset, requests),
        (Parser::Proto(name), requests) => Admission::Unknown(format!(
            "here an extension of the proxy, `{name}`, reads what is sent, and only it understands its rules; {} that it may \
             carry cannot be asked for",
            requests.word()
        )),
        (Parser::Listener(name), requests) => Admission::Unknown(format!(
            "the listener `{name}` decides here, whose configuration is no policy; {} cannot be asked for",
            requests.word()
        )),
        (Parser::Http | Parser::Kafka | Parser::Dns | Parser::Tls, requests) => Admission::Unknown(format!(
            "the proxy reads {} here, and no rule says what it makes of {}",
            ruleset.parser.word(),
            requests.word()
        )),
    }
}

fn dns(ruleset: &Ruleset, name: &str) -> Admission {
    let matches = |items: &Items| items.everything || items.dns.iter().any(|rule| fqdn::matches(rule, name));
    if ruleset.grants.values().any(matches) { Admission::All } else { Admission::None }
}

/// Something that a request has or has not, and that no expression describes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// A header of any value.
    Header(String),
    /// A header of this value.
    HeaderValue(String, String),
    /// A header with the value of a secret.
    HeaderSecret(String, String),
    /// TLS for one of these server names.
    ServerName(String),
}

impl Fact {
    fn text(&self) -> String {
        match self {
            Self::Header(name) => format!("header {name}"),
            Self::HeaderValue(name, value) => format!("header {name}: {value}"),
            Self::HeaderSecret(name, secret) => format!("header {name} with the value of secret {secret}"),
            Self::ServerName(names) => format!("TLS for {names}"),
        }
    }
}

/// Requests that have all of some expressions and none of others, and for which some facts hold and others do not.
#[derive(Debug, Clone, Default)]
struct Cell {
    parts: [(Vec<Language>, Vec<Language>); 3],
    facts: BTreeMap<Fact, bool>,
}

/// An item of a policy.
struct Item {
    parts: [Option<Language>; 3],
    facts: Vec<Fact>,
}

fn http(ruleset: &Ruleset, requests: &HttpRequests) -> Result<Admission, LanguageError> {
    let mut items = Vec::new();
    for (terms, granted) in &ruleset.grants {
        if granted.everything {
            items.push(Item { parts: [None, None, None], facts: tls(terms) });
        }
        for rule in &granted.http {
            items.push(item(terms, rule)?);
        }
    }
    let mut cell = Cell::default();
    let given = [(METHOD, &requests.method), (PATH, &requests.path), (HOST, &requests.host)];
    for (part, (universe, expression)) in cell.parts.iter_mut().zip(given) {
        part.0.push(language(universe)?);
        if let Some(expression) = expression {
            part.0.push(language(expression)?);
        }
    }
    for (name, value) in &requests.headers {
        let name = name.to_ascii_lowercase();
        cell.facts.insert(Fact::HeaderValue(name.clone(), value.clone()), true);
        cell.facts.insert(Fact::Header(name), true);
    }

    let mut ctx = Ctx { questions: 0 };
    let mut passes = None;
    for item in &items {
        if passes.is_none()
            && let Some(both) = cell.and(item)
        {
            passes = ctx.example(&both)?;
        }
    }
    let refused = ctx.remaining(&cell, &items)?;
    Ok(match (passes, refused) {
        (Some(passes), Some(refused)) => Admission::Some { passes, refused },
        (Some(_), None) => Admission::All,
        (None, Some(_)) => Admission::None,
        (None, None) => Admission::Unknown("no request is like this".into()),
    })
}

/// The texts that an expression of RE2 matches as a whole.
fn language(expression: &str) -> Result<Language, LanguageError> {
    Language::new(&re2(expression).map_err(|_| LanguageError::Syntax(expression.to_owned()))?)
}

fn item(terms: &TlsTerms, rule: &HttpRule) -> Result<Item, LanguageError> {
    let part = |expression: &Option<String>| expression.as_deref().map(language).transpose();
    let mut facts = tls(terms);
    for header in &rule.headers {
        let (name, value) = header.split_once(' ').unwrap_or((header, ""));
        let name = name.trim_end_matches(':').to_ascii_lowercase();
        facts.push(match value.trim() {
            "" => Fact::Header(name),
            value => Fact::HeaderValue(name, value.to_owned()),
        });
    }
    // With a `mismatch` action the item matches all the same.
    for header in rule.header_matches.iter().filter(|header| header.mismatch.is_none()) {
        let name = header.name.to_ascii_lowercase();
        facts.push(match (&header.secret, &header.value) {
            (Some(secret), _) => Fact::HeaderSecret(name, secret.name.clone()),
            (None, Some(value)) => Fact::HeaderValue(name, value.clone()),
            (None, None) => Fact::Header(name),
        });
    }
    Ok(Item { parts: [part(&rule.method)?, part(&rule.path)?, part(&rule.host)?], facts })
}

fn tls(terms: &TlsTerms) -> Vec<Fact> {
    if terms.server_names.is_empty() {
        return Vec::new();
    }
    vec![Fact::ServerName(terms.server_names.iter().cloned().collect::<Vec<_>>().join(","))]
}

impl Cell {
    /// What is in the item too; none where a fact stands against it.
    fn and(&self, item: &Item) -> Option<Self> {
        let mut out = self.clone();
        for (part, language) in out.parts.iter_mut().zip(&item.parts) {
            part.0.extend(language.clone());
        }
        for fact in &item.facts {
            if !*out.facts.entry(fact.clone()).or_insert(true) {
                return None;
            }
        }
        Some(out)
    }

    /// What is not in the item, as cells that have nothing in common.
    fn without(&self, item: &Item) -> Vec<Self> {
        let mut out = Vec::new();
        let mut rest = self.clone();
        for (n, language) in item.parts.iter().enumerate() {
            let Some(language) = language else { continue };
            let mut outside = rest.clone();
            outside.parts[n].1.push(language.clone());
            out.push(outside);
            rest.parts[n].0.push(language.clone());
        }
        for fact in &item.facts {
            match rest.facts.get(fact) {
                Some(true) => {}
                Some(false) => {
                    out.push(rest);
                    return out;
                }
                None => {
                    let mut outside = rest.clone();
                    outside.facts.insert(fact.clone(), false);
                    out.push(outside);
                    rest.facts.insert(fact.clone(), true);
                }
            }
        }
        out
    }
}

struct Ctx {
    questions: usize,
}

impl Ctx {
    /// A request of the cell.
    fn example(&mut self, cell: &Cell) -> Result<Option<String>, LanguageError> {
        self.questions += 1;
        if self.questions > QUESTIONS_MAX {
            return Err(LanguageError::TooMany);
        }
        // A header with a value is a header.
        let contradicts = |(fact, holds): (&Fact, &bool)| match fact {
            Fact::HeaderValue(name, _) | Fact::HeaderSecret(name, _) => {
                *holds && cell.facts.get(&Fact::Header(name.clone())) == Some(&false)
            }
            Fact::Header(_) | Fact::ServerName(_) => false,
        };
        if cell.facts.iter().any(contradicts) {
            return Ok(None);
        }
        let mut words = Vec::new();
        for (inside, outside) in &cell.parts {
            let (inside, outside): (Vec<&Language>, Vec<&Language>) =
                (inside.iter().collect(), outside.iter().collect());
            match witness(&inside, &outside)? {
                Some(text) => words.push(text),
                None => return Ok(None),
            }
        }
        let [method, path, host] = words.as_slice() else { return Ok(None) };
        let mut text = format!("{method} {path}");
        if !host.is_empty() {
            text += &format!(" host={host}");
        }
        for (fact, holds) in &cell.facts {
            text += &format!(" {}{}", if *holds { "with " } else { "without " }, fact.text());
        }
        Ok(Some(text))
    }

    /// A request of the cell that is in none of the items.
    fn remaining(&mut self, cell: &Cell, items: &[Item]) -> Result<Option<String>, LanguageError> {
        let Some(example) = self.example(cell)? else { return Ok(None) };
        let Some((first, rest)) = items.split_first() else { return Ok(Some(example)) };
        for outside in cell.without(first) {
            if let Some(found) = self.remaining(&outside, rest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&str, &str, &[&str])]) -> Ruleset {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let rule = |(method, path, headers): &(&str, &str, &[&str])| HttpRule {
            method: text(method),
            path: text(path),
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            ..HttpRule::default()
        };
        let items = Items { http: rules.iter().map(rule).collect(), ..Items::default() };
        Ruleset { parser: Parser::Http, grants: BTreeMap::from([(TlsTerms::default(), items)]) }
    }

    fn ask(ruleset: &Ruleset, method: &str, path: &str, headers: &[(&str, &str)]) -> Admission {
        let requests = HttpRequests {
            method: (!method.is_empty()).then(|| method.into()),
            path: Some(path.into()),
            host: None,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        admission(ruleset, &Requests::Http(requests))
    }

    #[test]
    fn one_request_passes_or_not() {
        let ruleset = rules(&[("GET", "/v1/.*", &[]), ("POST", "/v1/orders", &[])]);
        assert_eq!(ask(&ruleset, "GET", "/v1/x", &[]), Admission::All);
        assert_eq!(ask(&ruleset, "GET", "/v2/x", &[]), Admission::None);
        assert_eq!(ask(&ruleset, "POST", "/v1/x", &[]), Admission::None);
        assert_eq!(ask(&ruleset, "PGET", "/v1/x", &[]), Admission::None);
    }

    #[test]
    fn two_items_may_cover_what_none_covers_alone() {
        let ruleset = rules(&[("GET", "/a[0-4]", &[]), ("GET", "/a[5-9]", &[])]);
        assert_eq!(ask(&ruleset, "GET", "/a[0-9]", &[]), Admission::All);
        let Admission::Some { passes, refused } = ask(&ruleset, "", "/a[0-9]", &[]) else { panic!("not some") };
        assert_eq!(passes, "GET /a0");
        assert!(refused.ends_with("/a0") && !refused.starts_with("GET "), "{refused}");
    }

    #[test]
    fn a_header_of_which_nothing_is_said_may_be_there_or_not() {
        let ruleset = rules(&[("GET", "", &["X-Token: a"])]);
        assert_eq!(ask(&ruleset, "GET", "/", &[("x-token", "a")]), Admission::All);
        let Admission::Some { passes, refused } = ask(&ruleset, "GET", "/", &[]) else { panic!("not some") };
        assert_eq!(
            (passes.as_str(), refused.as_str()),
            ("GET / with header x-token: a", "GET / without header x-token: a")
        );
        assert_eq!(ask(&rules(&[("GET", "", &["X-Token"])]), "GET", "/", &[("X-Token", "b")]), Admission::All);
    }

    #[test]
    fn names_are_matched_as_patterns() {
        let items = Items { dns: [crate::ir::FqdnSelector::Pattern("*.a.io".into())].into(), ..Items::default() };
        let ruleset = Ruleset { parser: Parser::Dns, grants: BTreeMap::from([(TlsTerms::default(), items)]) };
        assert_eq!(admission(&ruleset, &Requests::Dns("x.a.io".into())), Admission::All);
        assert_eq!(admission(&ruleset, &Requests::Dns("a.io".into())), Admission::None);
        assert!(matches!(admission(&ruleset, &Requests::Http(HttpRequests::default())), Admission::Unknown(_)));
    }
}
