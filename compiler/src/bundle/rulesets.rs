//! L7 rule sets by number, for the proxy that redirects will go to. Fields have the names of the policy API; what is
//! empty or absent is left out.

use serde_json::{Map, Value, json};

use crate::ir::{FqdnSelector, HeaderMatch, HttpRule, KafkaRule, Mismatch, Secret, TlsContext};
use crate::lower::Lowered;
use crate::resolve::{Items, Parser, Ruleset, TlsTerms};

/// File name in a bundle that has redirects.
pub const RULESETS_FILE: &str = "rulesets.json";
/// Version of its format.
pub const SCHEMA: &str = "ciliumc/rulesets/v1";

/// The document; nothing when no flow is redirected.
pub fn rulesets(lowered: &Lowered) -> Option<Value> {
    let one = |(id, ruleset): (u32, &std::sync::Arc<Ruleset>)| self::ruleset(id, ruleset);
    let list: Vec<Value> = (1..).zip(&lowered.rulesets).map(one).collect();
    (!list.is_empty()).then(|| json!({ "schema": SCHEMA, "rulesets": list }))
}

fn ruleset(id: u32, ruleset: &Ruleset) -> Value {
    let listener = match &ruleset.parser {
        Parser::Listener(name) => Some(name.clone()),
        Parser::Http | Parser::Kafka | Parser::Proto(_) | Parser::Tls | Parser::Dns => None,
    };
    let grants: Vec<Value> = ruleset.grants.iter().map(|(terms, items)| grant(terms, items)).collect();
    object([
        ("id", json!(id)),
        ("parser", json!(ruleset.parser.word())),
        ("listener", json!(listener)),
        ("grants", json!(grants)),
    ])
}

fn grant(terms: &TlsTerms, items: &Items) -> Value {
    object([
        ("serverNames", json!(terms.server_names)),
        ("terminatingTLS", json!(terms.terminating.as_ref().map(tls))),
        ("originatingTLS", json!(terms.originating.as_ref().map(tls))),
        ("everything", json!(items.everything.then_some(true))),
        ("http", json!(items.http.iter().map(http).collect::<Vec<_>>())),
        ("kafka", json!(items.kafka.iter().map(kafka).collect::<Vec<_>>())),
        ("dns", json!(items.dns.iter().map(dns).collect::<Vec<_>>())),
        ("l7", json!(items.proto)),
    ])
}

fn tls(context: &TlsContext) -> Value {
    object([
        ("secret", secret(&context.secret)),
        ("trustedCA", json!(context.trusted_ca)),
        ("certificate", json!(context.certificate)),
        ("privateKey", json!(context.private_key)),
    ])
}

fn secret(secret: &Secret) -> Value {
    object([("namespace", json!(secret.namespace)), ("name", json!(secret.name))])
}

fn http(rule: &HttpRule) -> Value {
    object([
        ("path", json!(rule.path)),
        ("method", json!(rule.method)),
        ("host", json!(rule.host)),
        ("headers", json!(rule.headers)),
        ("headerMatches", json!(rule.header_matches.iter().map(header).collect::<Vec<_>>())),
    ])
}

fn header(header: &HeaderMatch) -> Value {
    let mismatch = header.mismatch.map(|mismatch| match mismatch {
        Mismatch::Log => "LOG",
        Mismatch::Add => "ADD",
        Mismatch::Delete => "DELETE",
        Mismatch::Replace => "REPLACE",
    });
    object([
        ("name", json!(header.name)),
        ("value", json!(header.value)),
        ("secret", json!(header.secret.as_ref().map(secret))),
        ("mismatch", json!(mismatch)),
    ])
}

fn kafka(rule: &KafkaRule) -> Value {
    object([
        ("apiKeys", json!(rule.api_keys)),
        ("apiVersion", json!(rule.api_version)),
        ("clientID", json!(rule.client_id)),
        ("topic", json!(rule.topic)),
    ])
}

fn dns(name: &FqdnSelector) -> Value {
    match name {
        FqdnSelector::Name(name) => json!({ "matchName": name }),
        FqdnSelector::Pattern(pattern) => json!({ "matchPattern": pattern }),
    }
}

/// The fields that say something.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let says = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    let fields = fields.into_iter().filter(|(_, value)| says(value));
    Value::Object(fields.map(|(name, value)| (name.to_string(), value)).collect::<Map<_, _>>())
}
