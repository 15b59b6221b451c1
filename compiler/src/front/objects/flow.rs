//! Flows as people write them: ends, ports and requests, for `trace` and for tests of policies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{FqdnSelector, KafkaRule, Protocol};
use crate::diag::{Span, Spanned};

/// A protocol with ports, or with ICMP types in their place. Sorted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// ICMP, by type.
    Icmp,
    /// ICMPv6, by type.
    Icmp6,
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// All that Cilium's policies know.
    pub const ALL: [Self; 5] = [Self::Icmp, Self::Icmp6, Self::Sctp, Self::Tcp, Self::Udp];
    /// Those that a NetworkPolicy knows.
    pub const WITH_PORTS: [Self; 3] = [Self::Sctp, Self::Tcp, Self::Udp];

    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Icmp6 => "ICMPv6",
            Self::Sctp => "SCTP",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The lowest port that a flow can have; ICMP has a type 0.
    pub fn lowest(self) -> u16 {
        match self {
            Self::Icmp | Self::Icmp6 => 0,
            Self::Sctp | Self::Tcp | Self::Udp => 1,
        }
    }

    /// The last port, or ICMP type.
    pub fn last(self) -> u16 {
        match self {
            Self::Icmp | Self::Icmp6 => 255,
            Self::Sctp | Self::Tcp | Self::Udp => u16::MAX,
        }
    }

    /// Whether these are all its ports.
    pub fn is_whole(self, ranges: &[(u16, u16)]) -> bool {
        ranges == [(self.lowest(), self.last())]
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

/// Ports of one protocol, inclusive; for ICMP its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpan {
    /// Protocol.
    pub transport: Transport,
    /// First.
    pub first: u16,
    /// Last.
    pub last: u16,
}

/// One end of a flow, as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndName {
    /// `[KIND/]NAMESPACE/NAME`: a pod, or what makes pods.
    Object {
        /// Kind in lower case, if written.
        kind: Option<String>,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// `labels:key=value,..[,ns=NAMESPACE]`.
    Labels(AssumedPod),
    /// `ip:ADDRESS`.
    Address(IpAddr),
    /// `node:NAME`.
    Node(String),
    /// `entity:NAME`.
    Entity(String),
    /// `fqdn:NAME`, in lower case.
    Fqdn(String),
}

/// A pod of which no document tells: that of a question, or of a test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssumedPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Several ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// Every pod, entity and address.
    Any,
    /// One end.
    One(Spanned<EndName>),
    /// Addresses outside of the cluster that lie in a prefix.
    Net(Spanned<IpNet>),
    /// Addresses of all names of a pattern.
    Names(Spanned<FqdnSelector>),
    /// Pods with these labels: of each key one of the values.
    Pods {
        /// One of these namespaces; none is every one.
        namespaces: Vec<String>,
        /// Labels.
        labels: BTreeMap<String, Vec<String>>,
    },
    /// Those of any of these.
    AnyOf(Vec<Ends>),
    /// All others.
    Not(Box<Ends>),
}

/// Requests of one protocol of layer 7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requests {
    /// HTTP.
    Http(HttpRequests),
    /// A question for this name, in lower case.
    Dns(String),
    /// Kafka: all requests that a rule like this would let pass.
    Kafka(KafkaRule),
}

impl Requests {
    /// The protocol of the requests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP",
            Self::Dns(_) => "DNS",
            Self::Kafka(_) => "Kafka",
        }
    }

    /// What it goes over, as far as a proxy reads it.
    pub fn transports(&self) -> &'static [Transport] {
        match self {
            Self::Http(_) | Self::Kafka(_) => &[Transport::Tcp],
            Self::Dns(_) => &[Transport::Tcp, Transport::Udp],
        }
    }

    /// What is wrong with ports that the requests are to go over.
    pub fn refuse(&self, ports: &[PortSpan]) -> Option<String> {
        let other = ports.iter().find(|ports| !self.transports().contains(&ports.transport))?;
        let over: Vec<&str> = self.transports().iter().map(|transport| transport.name()).collect();
        Some(format!("{} goes over {}, not over {}", self.word(), over.join(" and "), other.transport.name()))
    }
}

/// HTTP requests: those that match every given part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequests {
    /// Regular expression for the whole method.
    pub method: Option<String>,
    /// Regular expression for the whole path with its query string.
    pub path: Option<String>,
    /// Regular expression for the whole host.
    pub host: Option<String>,
    /// Headers that the requests have, with their values. Of all others nothing is said.
    pub headers: Vec<(String, String)>,
}

/// What somebody expects of a flow: the words of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expected {
    /// It passes.
    Allow,
    /// It is dropped, or the proxy refuses the request.
    Deny,
    /// It passes through a proxy that decides on requests.
    Redirect,
}

impl Expected {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Redirect => "redirect",
        }
    }
}

/// A document of tests.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// Where it begins.
    pub span: Span,
    /// Files and folders with objects that are there for these tests alone, relative to the file of the document.
    pub fixtures: Vec<Spanned<String>>,
    /// Pods that are there for these tests alone.
    pub endpoints: Vec<AssumedPod>,
    /// Tests, in the order written.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// Name, distinct in its document.
    pub name: String,
    /// Where it begins.
    pub span: Span,
    /// Sources; everyone when absent.
    pub from: Spanned<Ends>,
    /// Destinations; everyone when absent.
    pub to: Spanned<Ends>,
    /// Ports; `None` is every port of every protocol.
    pub ports: Option<Vec<PortSpan>>,
    /// Requests, where the proxy is asked too.
    pub requests: Option<Requests>,
    /// What is expected, and where it was written.
    pub expectation: Spanned<Expectation>,
    /// Policy that must be among those that decide: `[KIND ][NAMESPACE/]NAME`.
    pub because: Option<Spanned<String>>,
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// This verdict on each flow.
    Each(Expected),
    /// That exactly these pass, of all flows of the test.
    Exactly(Vec<SurfaceRow>),
}

/// One row of an exact surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurfaceRow {
    /// The end that the test leaves open.
    pub end: Spanned<Ends>,
    /// Ports that pass; `None` is every port of every protocol.
    pub ports: Option<Vec<PortSpan>>,
}
