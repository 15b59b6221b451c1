//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (spec §2).

use ipnet::IpNet;

use super::{FqdnSelector, L7Rules, Listener, Meta, Protocol, Selector, TlsContext};
use crate::diag::{Span, Spanned};

/// CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy (spec §2).
#[derive(Debug, Clone)]
pub struct CiliumPolicy {
    /// Metadata; an empty namespace means cluster-wide.
    pub meta: Meta,
    /// A list of raw rules (spec §2.13): cluster-wide, and its selectors are not scoped.
    pub raw: bool,
    /// `spec` (index 0, path `spec`) and `specs` (paths `specs[i]`), in this order.
    pub rules: Vec<CiliumRule>,
}

/// One rule (`spec` or an item of `specs`).
#[derive(Debug, Clone)]
pub struct CiliumRule {
    /// `spec`, or `specs[2]`.
    pub path: String,
    /// `endpointSelector` or `nodeSelector`.
    pub subject: Subject,
    /// `ingress`; absent and `null` are `None`.
    pub ingress: Option<Vec<Element>>,
    /// `ingressDeny`.
    pub ingress_deny: Option<Vec<Element>>,
    /// `egress`.
    pub egress: Option<Vec<Element>>,
    /// `egressDeny`.
    pub egress_deny: Option<Vec<Element>>,
    /// `enableDefaultDeny.ingress`, if written.
    pub default_deny_ingress: Option<bool>,
    /// `enableDefaultDeny.egress`, if written.
    pub default_deny_egress: Option<bool>,
    /// `log.value`, if written.
    pub log: Option<String>,
    /// Where the rule begins.
    pub span: Span,
}

/// What a rule constrains.
#[derive(Debug, Clone)]
pub enum Subject {
    /// `endpointSelector`.
    Endpoints(Selector),
    /// `nodeSelector` (CCNP only).
    Nodes(Selector),
}

/// One allow or deny element. Where an L3 list is an `Option`, `None` is absent and `Some(vec![])` is present and empty:
/// they differ (spec §2.4). At most one L3 list is non-empty.
#[derive(Debug, Clone)]
pub struct Element {
    /// `fromEndpoints` / `toEndpoints`.
    pub endpoints: Option<Vec<Selector>>,
    /// `fromRequires` / `toRequires`; no L3 kind of its own, absent and `[]` are the same.
    pub requires: Vec<Selector>,
    /// `fromCIDR` / `toCIDR`, host bits masked off.
    pub cidr: Option<Vec<Spanned<IpNet>>>,
    /// `fromCIDRSet` / `toCIDRSet`.
    pub cidr_set: Option<Vec<CidrSet>>,
    /// `fromEntities` / `toEntities`.
    pub entities: Option<Vec<Spanned<Entity>>>,
    /// `fromNodes` / `toNodes`; keys are the nodes' own, source `node`.
    pub nodes: Option<Vec<Selector>>,
    /// `fromGroups` / `toGroups`; absent and `[]` are the same.
    pub groups: Vec<Spanned<Group>>,
    /// `toServices`; absent and `[]` are the same.
    pub services: Vec<ServiceRef>,
    /// `toFQDNs`; absent and `[]` are the same.
    pub fqdns: Vec<Spanned<FqdnSelector>>,
    /// `toPorts`, absent and `[]` are `None`.
    pub to_ports: Option<Vec<PortRule>>,
    /// `icmps`, absent and `[]` are `None`; an item without fields is an empty list.
    pub icmps: Option<Vec<Vec<IcmpField>>>,
    /// `authentication.mode`, if written.
    pub authentication: Option<Spanned<AuthMode>>,
    /// Where the element begins.
    pub span: Span,
}

/// One item of a CIDR set (spec §2.8).
#[derive(Debug, Clone)]
pub struct CidrSet {
    /// Which prefixes.
    pub source: CidrSource,
    /// Exceptions, host bits masked off.
    pub except: Vec<Spanned<IpNet>>,
    /// Where the item begins.
    pub span: Span,
}

/// Which prefixes an item of a CIDR set is about.
#[derive(Debug, Clone)]
pub enum CidrSource {
    /// `cidr`, host bits masked off.
    Cidr(Spanned<IpNet>),
    /// `cidrGroupRef`: name of a CiliumCIDRGroup, which need not exist.
    GroupRef(Spanned<String>),
    /// `cidrGroupSelector` over labels of groups; keys carry source `cidrgroup`.
    GroupSelector(Selector),
}

/// One item of `toServices` (spec §2.9).
#[derive(Debug, Clone)]
pub enum ServiceRef {
    /// `k8sService`.
    Name {
        /// `serviceName`.
        name: String,
        /// `namespace`; empty or absent is every namespace.
        namespace: Option<String>,
        /// Where the item begins.
        span: Span,
    },
    /// `k8sServiceSelector`; wins where both are given.
    Selector {
        /// Over labels of the Service object.
        selector: Selector,
        /// `namespace`; empty or absent is every namespace.
        namespace: Option<String>,
        /// Where the item begins.
        span: Span,
    },
}

/// One item of `fromGroups` or `toGroups`: `aws` (spec §2.18). Lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// `labels`, sorted by key.
    pub labels: Vec<(String, String)>,
    /// `securityGroupsIds`.
    pub security_group_ids: Vec<String>,
    /// `securityGroupsNames`.
    pub security_group_names: Vec<String>,
    /// `region`.
    pub region: Option<String>,
}

/// `authentication.mode` (spec §2.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthMode {
    /// Explicitly none; absence inherits instead.
    Disabled,
    /// Mutual, SPIFFE.
    Required,
    /// For tests of Cilium itself.
    TestAlwaysFail,
}

impl AuthMode {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Required => "required",
            Self::TestAlwaysFail => "test-always-fail",
        }
    }
}

/// One item of `toPorts` (spec §2.11).
#[derive(Debug, Clone)]
pub struct PortRule {
    /// `ports`; none selects nothing.
    pub ports: Vec<PortSpec>,
    /// `rules`; a kind with an empty list is `None`, as if it were not there.
    pub l7: Option<Spanned<L7Rules>>,
    /// `serverNames`, sorted.
    pub server_names: Vec<String>,
    /// `terminatingTLS`.
    pub terminating_tls: Option<TlsContext>,
    /// `originatingTLS`.
    pub originating_tls: Option<TlsContext>,
    /// `listener`, egress only.
    pub listener: Option<Listener>,
    /// Where the item begins.
    pub span: Span,
}

/// One port item. `Named` and `Range` carry the protocol; `None` is `ANY` (CNP).
#[derive(Debug, Clone)]
pub enum PortSpec {
    /// Numbers, inclusive; 0-65535 is every port.
    Range {
        /// Protocol; `None` is TCP, UDP and SCTP.
        protocol: Option<Protocol>,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// Where the item begins.
        span: Span,
    },
    /// A name, in lower case.
    Named {
        /// Protocol; `None` is TCP, UDP and SCTP.
        protocol: Option<Protocol>,
        /// Name.
        name: String,
        /// Where the item begins.
        span: Span,
    },
}

/// Entities (spec §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// Everyone.
    All,
    /// Outside of the cluster.
    World,
    /// Outside of the cluster over IPv4; raw rules only.
    WorldIpv4,
    /// Outside of the cluster over IPv6; raw rules only.
    WorldIpv6,
    /// Nodes, their special endpoints, and the pods of the local cluster.
    Cluster,
    /// The local node.
    Host,
    /// Endpoints whose labels are not known yet.
    Init,
    /// The ingress proxy.
    Ingress,
    /// Pods without a Cilium endpoint.
    Unmanaged,
    /// Other nodes.
    RemoteNode,
    /// The health endpoint.
    Health,
    /// Nobody.
    None,
    /// API servers.
    KubeApiserver,
}

/// One field of `icmps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpField {
    /// ICMPv6 instead of ICMP.
    pub ipv6: bool,
    /// Type.
    pub icmp_type: u8,
    /// Where it was written.
    pub span: Span,
}

impl Entity {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::World => "world",
            Self::WorldIpv4 => "world-ipv4",
            Self::WorldIpv6 => "world-ipv6",
            Self::Cluster => "cluster",
            Self::Host => "host",
            Self::Init => "init",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
            Self::RemoteNode => "remote-node",
            Self::Health => "health",
            Self::None => "none",
            Self::KubeApiserver => "kube-apiserver",
        }
    }
}
