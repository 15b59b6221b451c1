//! Requests of Kafka and what a proxy is given: which of them pass (spec §2.14).
//!
//! A request has an API key, a version, a client and a topic. Rules name single values of these, so the values that they
//! name, and one that none names, stand for every request there is.

use std::collections::BTreeSet;

use super::l7::Admission;
use crate::ir::{KafkaRule, api_key_name};
use crate::resolve::Ruleset;

/// Requests that one comparison may try.
const REQUESTS_MAX: usize = 65_536;

/// The API keys that have names; a number beyond stands for those that have none.
const KEYS: std::ops::RangeInclusive<i16> = 0..=34;

/// One request; `None` is a value that no rule names.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    key: i16,
    version: Option<i16>,
    client: Option<&'a str>,
    topic: Option<&'a str>,
    /// Names of the server in TLS, as a rule has them.
    server: Option<&'a BTreeSet<String>>,
}

/// Asks the rules about all requests that `asked` describes.
pub(super) fn admission(ruleset: &Ruleset, asked: &KafkaRule) -> Admission {
    let rules = || ruleset.grants.values().flat_map(|items| &items.kafka);
    let texts = |asked: Option<&'_ String>, of: fn(&KafkaRule) -> Option<&String>| -> Vec<Option<String>> {
        match asked {
            Some(text) => vec![Some(text.clone())],
            None => {
                let named: BTreeSet<String> = rules().filter_map(of).cloned().collect();
                named.into_iter().map(Some).chain([None]).collect()
            }
        }
    };
    let keys: Vec<i16> = if asked.api_keys.is_empty() { KEYS.collect() } else { asked.api_keys.clone() };
    let versions: Vec<Option<i16>> = match asked.api_version {
        Some(version) => vec![Some(version)],
        None => {
            let named: BTreeSet<i16> = rules().filter_map(|rule| rule.api_version).collect();
            named.into_iter().map(Some).chain([None]).collect()
        }
    };
    let clients = texts(asked.client_id.as_ref(), |rule| rule.client_id.as_ref());
    let topics = texts(asked.topic.as_ref(), |rule| rule.topic.as_ref());
    let servers = ruleset.grants.keys().map(|terms| &terms.server_names).filter(|names| !names.is_empty());
    let servers: Vec<Option<&BTreeSet<String>>> = servers.map(Some).chain([None]).collect();
    if [&versions.len(), &clients.len(), &topics.len(), &servers.len()].into_iter().product::<usize>() * keys.len()
        > REQUESTS_MAX
    {
        return Admission::Unknown("too many different rules".into());
    }
    let (mut passes, mut refused) = (None, None);
    for &key in &keys {
        for &version in &versions {
            for client in &clients {
                for topic in &topics {
                    for &server in &servers {
                        let (client, topic) = (client.as_deref(), topic.as_deref());
                        let request = Request { key, version, client, topic, server };
                        let first = if request.is_granted(ruleset) { &mut passes } else { &mut refused };
                        first.get_or_insert(request);
                    }
                }
            }
        }
    }
    match (passes, refused) {
        (Some(passes), Some(refused)) => Admission::Some { passes: passes.text(), refused: refused.text() },
        (Some(_), None) => Admission::All,
        (None, Some(_)) => Admission::None,
        (None, None) => Admission::Unknown("no request is like this".into()),
    }
}

impl Request<'_> {
    fn is_granted(&self, ruleset: &Ruleset) -> bool {
        ruleset.grants.iter().any(|(terms, items)| {
            (terms.server_names.is_empty() || self.server == Some(&terms.server_names))
                && (items.everything || items.kafka.iter().any(|rule| self.is_in(rule)))
        })
    }

    /// Whether all that the rule names is what the request has.
    fn is_in(&self, rule: &KafkaRule) -> bool {
        (rule.api_keys.is_empty() || rule.api_keys.contains(&self.key))
            && rule.api_version.is_none_or(|version| self.version == Some(version))
            && rule.client_id.as_deref().is_none_or(|client| self.client == Some(client))
            && rule.topic.as_deref().is_none_or(|topic| self.topic == Some(topic))
    }

    fn text(&self) -> String {
        let other = |text: Option<String>| text.unwrap_or_else(|| "(another)".into());
        let mut out = api_key_name(self.key).map_or_else(|| self.key.to_string(), str::to_owned);
        out += &format!(" topic={}", other(self.topic.map(str::to_owned)));
        out += &format!(" clientID={}", other(self.client.map(str::to_owned)));
        out += &format!(" apiVersion={}", other(self.version.map(|version| version.to_string())));
        if let Some(names) = self.server {
            out += &format!(" with TLS for {}", names.iter().cloned().collect::<Vec<_>>().join(","));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resolve::{Items, Parser, TlsTerms};

    const PRODUCE: &[i16] = &[0, 3, 18];

    fn rule(keys: &[i16], topic: &str) -> KafkaRule {
        let topic = (!topic.is_empty()).then(|| topic.to_owned());
        KafkaRule { api_keys: keys.to_vec(), topic, ..KafkaRule::default() }
    }

    fn ask(rules: &[KafkaRule], asked: &KafkaRule) -> Admission {
        let items = Items { kafka: rules.iter().cloned().collect(), ..Items::default() };
        let ruleset = Ruleset { parser: Parser::Kafka, grants: BTreeMap::from([(TlsTerms::default(), items)]) };
        admission(&ruleset, asked)
    }

    #[test]
    fn all_that_a_rule_names_has_to_match() {
        let rules = [rule(PRODUCE, "orders")];
        assert_eq!(ask(&rules, &rule(&[0], "orders")), Admission::All);
        assert_eq!(ask(&rules, &rule(PRODUCE, "orders")), Admission::All);
        assert_eq!(ask(&rules, &rule(&[1], "orders")), Admission::None);
        assert_eq!(ask(&rules, &rule(&[0], "other")), Admission::None);
        let versioned = KafkaRule { api_version: Some(1), ..rule(&[0], "orders") };
        assert_eq!(ask(std::slice::from_ref(&versioned), &versioned), Admission::All);
        let newer = KafkaRule { api_version: Some(2), ..versioned.clone() };
        assert_eq!(ask(&[versioned], &newer), Admission::None);
        assert_eq!(ask(&[rule(&[], "")], &rule(&[7], "x")), Admission::All);
        assert_eq!(ask(&[], &rule(&[7], "x")), Admission::None);
    }

    #[test]
    fn what_a_request_leaves_open_is_every_value() {
        let rules = [rule(PRODUCE, "orders"), rule(&[1], "")];
        assert_eq!(ask(&rules, &rule(&[1], "")), Admission::All);
        let Admission::Some { passes, refused } = ask(&rules, &rule(&[0], "")) else { panic!("not some") };
        assert!(passes.starts_with("produce topic=orders "), "{passes}");
        assert!(refused.starts_with("produce topic=(another) "), "{refused}");
        // Together they cover what none does alone.
        let client = |client: &str| KafkaRule { client_id: Some(client.into()), ..rule(&[0], "orders") };
        assert_eq!(ask(&[client("a"), rule(&[0], "orders")], &client("b")), Admission::All);
        assert_eq!(ask(&[client("a")], &client("b")), Admission::None);
    }
}
