//! What a `toPorts` item asks of the proxy (spec §2.14-§2.16). These types carry no spans, so that equal rules are equal
//! wherever they were written.

use std::collections::BTreeMap;

/// `rules` of a `toPorts` item: exactly one kind, not empty. Items are ORed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L7Rules {
    /// `http`.
    Http(Vec<HttpRule>),
    /// `kafka`.
    Kafka(Vec<KafkaRule>),
    /// `dns`.
    Dns(Vec<DnsRule>),
    /// `l7proto` with `l7`; without items it still redirects.
    Proto {
        /// Name of the proxy's parser.
        name: String,
        /// `l7`: maps of strings, none with an empty key.
        rules: Vec<BTreeMap<String, String>>,
    },
}

/// One HTTP item: all given fields must match; an empty item matches every request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HttpRule {
    /// `path`: a regular expression for the whole path with its query string.
    pub path: Option<String>,
    /// `method`: a regular expression for the whole method.
    pub method: Option<String>,
    /// `host`: a regular expression for the whole Host or `:authority` value.
    pub host: Option<String>,
    /// `headers`: `Name`, or `Name: value`.
    pub headers: Vec<String>,
    /// `headerMatches`.
    pub header_matches: Vec<HeaderMatch>,
}

/// One item of `headerMatches`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// `name`.
    pub name: String,
    /// `value`, if written.
    pub value: Option<String>,
    /// `secret` that holds the value, if written.
    pub secret: Option<Secret>,
    /// What to do with a mismatch; absent means that the item does not match.
    pub mismatch: Option<Mismatch>,
}

/// `mismatch` of a header: the item matches all the same, and the header is logged or rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// `LOG`.
    Log,
    /// `ADD`.
    Add,
    /// `DELETE`.
    Delete,
    /// `REPLACE`.
    Replace,
}

/// Name of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret {
    /// Namespace, if written.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// One Kafka item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KafkaRule {
    /// API keys that match, by number; `role` is expanded; empty is every key.
    pub api_keys: Vec<i16>,
    /// `apiVersion`, if written.
    pub api_version: Option<i16>,
    /// `clientID`, if written.
    pub client_id: Option<String>,
    /// `topic`, if written.
    pub topic: Option<String>,
}

/// One DNS item: which names may be asked for.
pub type DnsRule = FqdnSelector;

/// A name or a pattern of names, as [`crate::front::parse::fqdn`] gives them: in lower case, without the dot at the end
/// (spec §2.15).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FqdnSelector {
    /// `matchName`.
    Name(String),
    /// `matchPattern`.
    Pattern(String),
}

/// A TLS context (spec §2.16).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsContext {
    /// `secret`.
    pub secret: Secret,
    /// `trustedCA`, if written.
    pub trusted_ca: Option<String>,
    /// `certificate`, if written.
    pub certificate: Option<String>,
    /// `privateKey`, if written.
    pub private_key: Option<String>,
}

/// A listener of an Envoy configuration (spec §2.16).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// Qualified: `namespace/config/listener`, the namespace empty for a cluster-wide configuration.
    pub name: String,
    /// `priority`, 1 to 100, if written and not 0.
    pub priority: Option<u8>,
}
