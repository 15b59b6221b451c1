//! What a proxy lets pass, as one text.

use crate::ir::{FqdnSelector, HttpRule, KafkaRule};
use crate::resolve::{Items, Ruleset, TlsTerms};

/// The proxy, then what passes it: `http GET /v1/.* | POST /v2`.
pub fn text(ruleset: &Ruleset) -> String {
    let grants = ruleset.grants.iter().map(|(terms, items)| format!("{}{}", self::items(items), tls(terms)));
    format!("{} {}", ruleset.parser, grants.collect::<Vec<_>>().join(" | "))
}

fn items(items: &Items) -> String {
    if items.everything {
        return "everything".into();
    }
    let proto = items.proto.iter().map(|fields| {
        let fields = fields.iter().map(|(key, value)| format!("{key}={value}"));
        fields.collect::<Vec<_>>().join(" ")
    });
    let all = items.http.iter().map(http).chain(items.kafka.iter().map(kafka)).chain(items.dns.iter().map(dns));
    let all: Vec<String> = all.chain(proto).collect();
    if all.is_empty() { "nothing".into() } else { all.join(" | ") }
}

fn http(rule: &HttpRule) -> String {
    let mut words = vec![rule.method.clone().unwrap_or_else(|| "*".into()), rule.path.clone().unwrap_or("*".into())];
    words.extend(rule.host.iter().map(|host| format!("host={host}")));
    words.extend(rule.headers.iter().map(|header| format!("header={header:?}")));
    words.extend(rule.header_matches.iter().map(|header| match &header.value {
        Some(value) => format!("header={}:{value}", header.name),
        None => format!("header={}", header.name),
    }));
    words.join(" ")
}

fn kafka(rule: &KafkaRule) -> String {
    let mut words = Vec::new();
    if !rule.api_keys.is_empty() {
        words.push(format!("apiKeys={:?}", rule.api_keys));
    }
    words.extend(rule.api_version.map(|version| format!("apiVersion={version}")));
    words.extend(rule.client_id.iter().map(|id| format!("clientID={id}")));
    words.extend(rule.topic.iter().map(|topic| format!("topic={topic}")));
    if words.is_empty() { "*".into() } else { words.join(" ") }
}

fn dns(name: &FqdnSelector) -> String {
    match name {
        FqdnSelector::Name(name) | FqdnSelector::Pattern(name) => name.clone(),
    }
}

fn tls(terms: &TlsTerms) -> String {
    let mut out = String::new();
    if !terms.server_names.is_empty() {
        out += &format!(" sni={}", terms.server_names.iter().cloned().collect::<Vec<_>>().join(","));
    }
    for (word, context) in [("terminating", &terms.terminating), ("originating", &terms.originating)] {
        if let Some(context) = context {
            out += &format!(" {word}TLS={}", context.secret.name);
        }
    }
    out
}
