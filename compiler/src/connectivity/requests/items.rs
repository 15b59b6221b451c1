//! Rule sets as sets of requests: items, ORed, each of tests that all have to pass.

use std::collections::BTreeSet;

use super::aspect::{Aspect, Kinds, Test, TestPlace, Tests};
use crate::ir::fqdn;
use crate::ir::{HeaderMatch, HttpRule, KafkaRule};
use crate::resolve::{Ruleset, TlsTerms};

/// What one proxy lets pass.
pub struct Set(Vec<Vec<TestPlace>>);

impl Set {
    /// Whether it is about requests of this combination of kinds.
    pub fn contains(&self, kinds: &Kinds, request: &[usize]) -> bool {
        self.0.iter().any(|item| item.iter().all(|test| kinds.passes(test, request)))
    }
}

/// The requests of a rule set; its tests are added to those of the comparison.
pub fn set(ruleset: &Ruleset, tests: &mut Tests) -> Set {
    let mut out = Vec::new();
    for (terms, items) in &ruleset.grants {
        let common = tls(terms, tests);
        let mut add = |own: Vec<TestPlace>| out.push(common.iter().cloned().chain(own).collect());
        if items.everything {
            add(Vec::new());
            continue;
        }
        for rule in &items.http {
            add(http(rule, tests));
        }
        for rule in &items.kafka {
            add(kafka(rule, tests));
        }
        for name in &items.dns {
            add(vec![tests.add(Aspect::Name, Test::Expression(fqdn::expression(name)))]);
        }
    }
    Set(out)
}

/// Contexts are not compared but have to be the same; a name of the server is one (spec §2.16).
fn tls(terms: &TlsTerms, tests: &mut Tests) -> Vec<TestPlace> {
    let context = match (&terms.terminating, &terms.originating) {
        (None, None) => String::new(),
        contexts => format!("{contexts:?}"),
    };
    let mut out = vec![tests.add(Aspect::Context, Test::AnyOf(BTreeSet::from([context])))];
    if !terms.server_names.is_empty() {
        let names = terms.server_names.iter().map(|name| server_name(name)).collect::<Vec<_>>().join("|");
        out.push(tests.add(Aspect::ServerName, Test::Expression(names)));
    }
    out
}

/// `name`, `*.name` with one more label, `**.name` with one or more (spec §2.16).
fn server_name(pattern: &str) -> String {
    let pattern = pattern.to_ascii_lowercase();
    match (pattern.strip_prefix("**."), pattern.strip_prefix("*.")) {
        (Some(rest), _) => format!(r"(?:[-a-z0-9_]+\.)+{}", regex::escape(rest)),
        (None, Some(rest)) => format!(r"[-a-z0-9_]+\.{}", regex::escape(rest)),
        (None, None) => regex::escape(&pattern),
    }
}

fn http(rule: &HttpRule, tests: &mut Tests) -> Vec<TestPlace> {
    let mut out = Vec::new();
    let parts = [(Aspect::Method, &rule.method), (Aspect::Path, &rule.path), (Aspect::Host, &rule.host)];
    for (aspect, expression) in parts {
        // Cilium takes an empty one for none.
        if let Some(expression) = expression.as_ref().filter(|text| !text.is_empty()) {
            out.push(tests.add(aspect, Test::Re2(expression.clone())));
        }
    }
    out.extend(rule.headers.iter().map(|text| {
        // Cilium splits at the first blank and takes the colon off.
        let (name, test) = match text.split_once(' ') {
            Some((name, value)) => (name.trim_end_matches(':'), Test::AnyOf(BTreeSet::from([value.to_owned()]))),
            None => (text.as_str(), Test::Present),
        };
        tests.add(Aspect::Header(name.to_ascii_lowercase()), test)
    }));
    // A header with an action for a mismatch lets the request pass all the same.
    let strict = rule.header_matches.iter().filter(|header| header.mismatch.is_none());
    out.extend(strict.map(|header| tests.add(Aspect::Header(header.name.to_ascii_lowercase()), self::header(header))));
    out
}

fn header(header: &HeaderMatch) -> Test {
    match (&header.secret, &header.value) {
        (Some(secret), _) => {
            let namespace = secret.namespace.as_deref().unwrap_or_default();
            Test::Secret(format!("{namespace}/{}", secret.name))
        }
        (None, Some(value)) if !value.is_empty() => Test::AnyOf(BTreeSet::from([value.clone()])),
        (None, Some(_) | None) => Test::Present,
    }
}

fn kafka(rule: &KafkaRule, tests: &mut Tests) -> Vec<TestPlace> {
    let mut out = Vec::new();
    if !rule.api_keys.is_empty() {
        out.push(tests.add(Aspect::ApiKey, Test::AnyOf(rule.api_keys.iter().map(ToString::to_string).collect())));
    }
    let version = rule.api_version.map(|version| version.to_string());
    for (aspect, value) in
        [(Aspect::ApiVersion, &version), (Aspect::ClientId, &rule.client_id), (Aspect::Topic, &rule.topic)]
    {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            out.push(tests.add(aspect, Test::AnyOf(BTreeSet::from([value.clone()]))));
        }
    }
    out
}
