//! `rulesets.json` read back: the inverse of [`super::rulesets`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::ir::{FqdnSelector, HeaderMatch, HttpRule, KafkaRule, Mismatch, Secret, TlsContext};
use crate::resolve::{Items, Parser, Ruleset, TlsTerms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    rulesets: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: u32,
    parser: String,
    listener: Option<String>,
    #[serde(default)]
    grants: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    #[serde(default, rename = "serverNames")]
    server_names: BTreeSet<String>,
    #[serde(rename = "terminatingTLS")]
    terminating: Option<Context>,
    #[serde(rename = "originatingTLS")]
    originating: Option<Context>,
    #[serde(default)]
    everything: bool,
    #[serde(default)]
    http: Vec<Http>,
    #[serde(default)]
    kafka: Vec<Kafka>,
    #[serde(default)]
    dns: Vec<Dns>,
    #[serde(default)]
    l7: BTreeSet<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    secret: Name,
    #[serde(rename = "trustedCA")]
    trusted_ca: Option<String>,
    certificate: Option<String>,
    #[serde(rename = "privateKey")]
    private_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    path: Option<String>,
    method: Option<String>,
    host: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default, rename = "headerMatches")]
    header_matches: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: Option<String>,
    secret: Option<Name>,
    mismatch: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    #[serde(default, rename = "apiKeys")]
    api_keys: Vec<i16>,
    #[serde(rename = "apiVersion")]
    api_version: Option<i16>,
    #[serde(rename = "clientID")]
    client_id: Option<String>,
    topic: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum Dns {
    #[serde(rename = "matchName")]
    Name(String),
    #[serde(rename = "matchPattern")]
    Pattern(String),
}

/// The rule sets of the document, in the order of their numbers, or what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Vec<Arc<Ruleset>>, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if document.schema != super::rulesets::SCHEMA {
        return Err(format!("has schema {}, this program reads {}", document.schema, super::rulesets::SCHEMA));
    }
    let in_order = (1..).zip(&document.rulesets).all(|(n, ruleset): (u32, _)| ruleset.id == n);
    if !in_order {
        return Err("has rule sets out of order".into());
    }
    document.rulesets.into_iter().map(|ruleset| ruleset.read().map(Arc::new)).collect()
}

impl Written {
    fn read(self) -> Result<Ruleset, String> {
        let parser = match (self.parser.as_str(), self.listener) {
            (_, Some(listener)) => Parser::Listener(listener),
            ("http", None) => Parser::Http,
            ("kafka", None) => Parser::Kafka,
            ("tls", None) => Parser::Tls,
            ("dns", None) => Parser::Dns,
            (_, None) => Parser::Proto(self.parser),
        };
        let grants = self.grants.into_iter().map(Grant::read).collect::<Result<_, String>>()?;
        Ok(Ruleset { parser, grants })
    }
}

impl Grant {
    fn read(self) -> Result<(TlsTerms, Items), String> {
        let terms = TlsTerms {
            server_names: self.server_names,
            terminating: self.terminating.map(Context::read),
            originating: self.originating.map(Context::read),
        };
        let items = Items {
            everything: self.everything,
            http: self.http.into_iter().map(Http::read).collect::<Result<_, String>>()?,
            kafka: self.kafka.into_iter().map(Kafka::read).collect(),
            dns: self.dns.into_iter().map(Dns::read).collect(),
            proto: self.l7,
        };
        Ok((terms, items))
    }
}

impl Context {
    fn read(self) -> TlsContext {
        TlsContext {
            secret: self.secret.read(),
            trusted_ca: self.trusted_ca,
            certificate: self.certificate,
            private_key: self.private_key,
        }
    }
}

impl Name {
    fn read(self) -> Secret {
        Secret { namespace: self.namespace, name: self.name }
    }
}

impl Http {
    fn read(self) -> Result<HttpRule, String> {
        Ok(HttpRule {
            path: self.path,
            method: self.method,
            host: self.host,
            headers: self.headers,
            header_matches: self.header_matches.into_iter().map(Header::read).collect::<Result<_, String>>()?,
        })
    }
}

impl Header {
    fn read(self) -> Result<HeaderMatch, String> {
        let mismatch = match self.mismatch.as_deref() {
            None => None,
            Some("LOG") => Some(Mismatch::Log),
            Some("ADD") => Some(Mismatch::Add),
            Some("DELETE") => Some(Mismatch::Delete),
            Some("REPLACE") => Some(Mismatch::Replace),
            Some(other) => return Err(format!("has an unknown action `{other}` for a mismatch")),
        };
        Ok(HeaderMatch { name: self.name, value: self.value, secret: self.secret.map(Name::read), mismatch })
    }
}

impl Kafka {
    fn read(self) -> KafkaRule {
        KafkaRule {
            api_keys: self.api_keys,
            api_version: self.api_version,
            client_id: self.client_id,
            topic: self.topic,
        }
    }
}

impl Dns {
    fn read(self) -> FqdnSelector {
        match self {
            Self::Name(name) => FqdnSelector::Name(name),
            Self::Pattern(pattern) => FqdnSelector::Pattern(pattern),
        }
    }
}
