//! What an allow asks for besides passing: a proxy, authentication (spec §4.4), and the L7 rules that a proxy is given
//! for a flow (§2.14).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::ir::{AuthMode, DnsRule, HttpRule, KafkaRule, L7Rules, PortMatch, ProxyPolicy, TlsContext};

/// Attributes of an allow; a plain allow has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// Where to, when not straight on.
    pub redirect: Option<Redirect>,
    /// Explicit authentication; absence inherits (spec §4.5).
    pub auth: Option<AuthMode>,
}

/// A way through a proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redirect {
    /// Stored priority, from 1 on; larger wins.
    pub priority: u8,
    /// Which proxy.
    pub parser: Parser,
    /// What it is asked for.
    pub proxy: Arc<ProxyPolicy>,
}

/// Kind of a redirect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parser {
    /// HTTP rules.
    Http,
    /// Kafka rules.
    Kafka,
    /// `l7proto`: a parser of this name.
    Proto(String),
    /// TLS contexts or server names alone.
    Tls,
    /// DNS rules.
    Dns,
    /// A listener of the user's own Envoy configuration, by qualified name.
    Listener(String),
}

impl Parser {
    /// The word of reports: `http`, `kafka`, the name of `l7proto`, `tls`, `dns`, `crd`.
    pub fn word(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::Kafka => "kafka",
            Self::Proto(name) => name,
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Listener(_) => "crd",
        }
    }

    /// Whether rules of `other`, merged with rules of this kind, are of this kind too: TLS interception goes with any
    /// parser but DNS and listeners (spec §2.14).
    pub fn takes(&self, other: &Self) -> bool {
        match self {
            Self::Http | Self::Kafka | Self::Proto(_) | Self::Tls => self == other || *other == Self::Tls,
            Self::Dns | Self::Listener(_) => self == other,
        }
    }
}

impl fmt::Display for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Http | Self::Kafka | Self::Proto(_) | Self::Tls | Self::Dns => f.write_str(self.word()),
        }
    }
}

/// Authentication of a flow, after inheritance. Larger is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AuthType {
    /// None.
    #[default]
    None,
    /// Mutual, SPIFFE.
    Spire,
    /// For tests of Cilium itself.
    AlwaysFail,
}

impl AuthType {
    /// The number that the datapath reports (spec §4.4).
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Spire => 1,
            Self::AlwaysFail => 2,
        }
    }

    /// The type of a number.
    pub fn of_number(number: u8) -> Option<Self> {
        [Self::None, Self::Spire, Self::AlwaysFail].into_iter().find(|auth| auth.number() == number)
    }

    /// The word of reports; none for no authentication.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Spire => Some("spire"),
            Self::AlwaysFail => Some("test-always-fail"),
        }
    }
}

impl From<AuthMode> for AuthType {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::Disabled => Self::None,
            AuthMode::Required => Self::Spire,
            AuthMode::TestAlwaysFail => Self::AlwaysFail,
        }
    }
}

impl Attributes {
    /// What an allow asks for; `None` for a plain one.
    pub fn new(proxy: Option<&Arc<ProxyPolicy>>, auth: Option<AuthMode>) -> Option<Arc<Self>> {
        let redirect = proxy.map(Redirect::new);
        (redirect.is_some() || auth.is_some()).then(|| Arc::new(Self { redirect, auth }))
    }

    /// Of a rule's allow for some of its ports.
    pub fn of(port: &PortMatch, auth: Option<AuthMode>) -> Option<Arc<Self>> {
        Self::new(port.proxy.as_ref(), auth)
    }
}

impl Redirect {
    /// Spec §4.4's table.
    fn new(proxy: &Arc<ProxyPolicy>) -> Self {
        let (priority, parser) = match (&proxy.listener, &proxy.l7) {
            (Some(listener), _) => {
                let priority = listener.priority.map_or(2, |explicit| 128 - explicit.min(127));
                (priority, Parser::Listener(listener.name.clone()))
            }
            (None, Some(L7Rules::Http(_))) => (27, Parser::Http),
            (None, Some(L7Rules::Kafka(_))) => (22, Parser::Kafka),
            (None, Some(L7Rules::Proto { name, .. })) => (17, Parser::Proto(name.clone())),
            (None, Some(L7Rules::Dns(_))) => (7, Parser::Dns),
            (None, None) => (12, Parser::Tls),
        };
        Self { priority, parser, proxy: proxy.clone() }
    }

    /// Order in which redirects win: the larger priority, then the smaller name (Cilium compares the numbers of proxy
    /// ports, which nobody knows ahead of time).
    pub fn rank(&self) -> (u8, Reverse<&Parser>) {
        (self.priority, Reverse(&self.parser))
    }
}

/// What a proxy is given for a flow: grants, ORed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ruleset {
    /// Who reads them.
    pub parser: Parser,
    /// Grants, by what they ask of TLS.
    pub grants: BTreeMap<TlsTerms, Items>,
}

/// What a grant asks of TLS; all empty is nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TlsTerms {
    /// Server names that may pass; none is any, and no TLS either.
    pub server_names: BTreeSet<String>,
    /// TLS towards the client.
    pub terminating: Option<TlsContext>,
    /// TLS towards the server.
    pub originating: Option<TlsContext>,
}

/// Which requests a grant lets pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Items {
    /// Every request. The items below count all the same: those with a `mismatch` action have side effects.
    pub everything: bool,
    /// Of an HTTP ruleset.
    pub http: BTreeSet<HttpRule>,
    /// Of a Kafka ruleset.
    pub kafka: BTreeSet<KafkaRule>,
    /// Of a DNS ruleset.
    pub dns: BTreeSet<DnsRule>,
    /// Of a ruleset of `l7proto`.
    pub proto: BTreeSet<BTreeMap<String, String>>,
}

impl Ruleset {
    /// The effective rules of a flow that goes to `parser`, from the redirects of every allow that covers it; `None` is
    /// an allow without one, which lets every request pass (spec §2.14, "Verdict class" and "Merging").
    pub fn new<'a>(parser: &Parser, allows: impl Iterator<Item = Option<&'a Redirect>>) -> Self {
        let mut grants: BTreeMap<TlsTerms, Items> = BTreeMap::new();
        for redirect in allows {
            match redirect {
                None => grants.entry(TlsTerms::default()).or_default().everything = true,
                Some(redirect) if parser.takes(&redirect.parser) => {
                    let proxy = &redirect.proxy;
                    let terms = TlsTerms {
                        server_names: proxy.server_names.clone(),
                        terminating: proxy.terminating_tls.clone(),
                        originating: proxy.originating_tls.clone(),
                    };
                    grants.entry(terms).or_default().add(proxy.l7.as_ref());
                }
                // Another kind of proxy never sees the flow.
                Some(_) => {}
            }
        }
        Self { parser: parser.clone(), grants }
    }
}

impl Items {
    fn add(&mut self, rules: Option<&L7Rules>) {
        match rules {
            None => self.everything = true,
            Some(L7Rules::Http(items)) => self.http.extend(items.iter().cloned()),
            Some(L7Rules::Kafka(items)) => self.kafka.extend(items.iter().cloned()),
            Some(L7Rules::Dns(items)) => self.dns.extend(items.iter().cloned()),
            Some(L7Rules::Proto { rules, .. }) => {
                self.everything |= rules.is_empty();
                self.proto.extend(rules.iter().cloned());
            }
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.http.len() + self.kafka.len() + self.dns.len() + self.proto.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Listener;

    fn redirect(proxy: ProxyPolicy) -> Redirect {
        Redirect::new(&Arc::new(proxy))
    }

    fn http(path: &str) -> Redirect {
        let rule = HttpRule { path: Some(path.into()), ..HttpRule::default() };
        redirect(ProxyPolicy { l7: Some(L7Rules::Http(vec![rule])), ..ProxyPolicy::default() })
    }

    fn listener(name: &str, priority: Option<u8>) -> Redirect {
        let listener = Listener { name: name.into(), priority };
        redirect(ProxyPolicy { listener: Some(listener), ..ProxyPolicy::default() })
    }

    #[test]
    fn stored_priorities_are_those_of_the_table() {
        let names = BTreeSet::from(["a.io".to_string()]);
        let tls = redirect(ProxyPolicy { server_names: names, ..ProxyPolicy::default() });
        assert_eq!([http("/").priority, tls.priority], [27, 12]);
        let explicit = [listener("l", None), listener("l", Some(1)), listener("l", Some(100))];
        assert_eq!(explicit.map(|l| l.priority), [2, 127, 28]);
        // One priority: the smaller name.
        assert!(listener("a", None).rank() > listener("b", None).rank());
        assert!(listener("b", Some(1)).rank() > listener("a", Some(2)).rank());
    }

    #[test]
    fn a_ruleset_unites_items_and_a_plain_allow_lets_everything_pass() {
        let (a, b) = (http("/a"), http("/b"));
        let rules = |allows: &[Option<&Redirect>]| Ruleset::new(&Parser::Http, allows.iter().copied());
        let both = rules(&[Some(&b), Some(&a)]);
        assert_eq!(both, rules(&[Some(&a), Some(&b), Some(&a)]));
        let items = &both.grants[&TlsTerms::default()];
        assert_eq!((items.http.len(), items.everything), (2, false));
        assert!(rules(&[Some(&a), None]).grants[&TlsTerms::default()].everything);
        // A listener's flow is no business of the HTTP proxy.
        let other = listener("l", None);
        assert_eq!(rules(&[Some(&a), Some(&other)]), rules(&[Some(&a)]));
    }
}
