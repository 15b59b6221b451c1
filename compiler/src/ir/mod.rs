//! The internal rule (spec §0.4): every policy object lowered to one form, every endpoint and node in one list.
//!
//! In: [`front::objects::Objects`](crate::front::objects::Objects). Out: a [`Cluster`]. Selectors are scoped to
//! namespace and cluster here (§0.6), absent and empty lists are told apart for the last time (§2.4), and the order of
//! everything is the sorted one: no later stage depends on the order of documents.
//!
//! This module does not know identities.

mod admin;
pub mod build;
mod cilium_peers;
mod cilium_policy;
pub mod fqdn;
mod groups;
pub mod labels;
mod network_policy;
pub mod options;
mod quirks;
pub mod scope;
mod services;
pub use scope::{CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS};
pub mod text;
pub mod verify;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use crate::front::cnp::kafka::api_key_name;
pub use crate::front::names::nearest;
pub use crate::front::objects::{
    AssumedPod, AuthMode, DnsRule, EndName, Ends, Entity, FqdnSelector, HeaderMatch, HttpRequests, HttpRule, KafkaRule,
    L7Rules, Listener, Mismatch, Owner, PortSpan, Protocol, Requests, Secret, Tier, TlsContext, Transport,
};
pub use crate::front::parse::re2;

use crate::diag::{ObjectRef, Span};
use labels::Selector;
use options::Options;

/// A rule: one allow or deny element of a policy object. Ids follow the sorted order, so they do not depend on the
/// order of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// Position in [`Cluster::policies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIndex(pub u32);

/// Position in [`Cluster::endpoints`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIndex(pub u32);

/// Position in [`Cluster::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u32);

/// Everything that verdicts depend on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The agent's options.
    pub options: Options,
    /// Labels of every namespace that is described or used.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Nodes, by name. Empty: one plain node that nobody described.
    pub nodes: Vec<Node>,
    /// Endpoints, by name.
    pub endpoints: Vec<Endpoint>,
    /// Pods on the host network: no endpoints, but as peers they are their node.
    pub host_pods: Vec<HostPod>,
    /// Addresses of the API server (backends of `default/kubernetes`).
    pub api_servers: BTreeSet<IpAddr>,
    /// CIDR groups, by name.
    pub cidr_groups: BTreeMap<String, CidrGroup>,
    /// Services, by namespace and name.
    pub services: Vec<Service>,
    /// Addresses that are known for the names of each FQDN selector in use, which is in its normal form.
    pub fqdn_addresses: BTreeMap<FqdnSelector, BTreeSet<IpAddr>>,
    /// Policies: one for each `spec` of each object, sorted by kind, namespace, name and spec index.
    pub policies: Vec<Policy>,
    /// Rules, by [`RuleId`]: sorted by policy, direction, and place in the object.
    pub rules: Vec<Rule>,
}

impl Cluster {
    /// The policy that a rule belongs to.
    pub fn policy_of(&self, rule: RuleId) -> &Policy {
        &self.policies[self.rule(rule).policy.0 as usize]
    }

    /// A rule.
    pub fn rule(&self, rule: RuleId) -> &Rule {
        &self.rules[rule.0 as usize]
    }

    /// Rules with their ids.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        (0..).map(RuleId).zip(&self.rules)
    }

    /// Rules of one policy with their ids: they stand together.
    pub fn rules_of(&self, policy: PolicyIndex) -> impl Iterator<Item = (RuleId, &Rule)> {
        let first = self.rules.partition_point(|rule| rule.policy < policy);
        let rules = self.rules.get(first..).unwrap_or_default().iter().take_while(move |rule| rule.policy == policy);
        (first as u32..).map(RuleId).zip(rules)
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Whether a document describes it: of others, which only a pod names, nobody knows the labels.
    pub described: bool,
    /// Kubernetes labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Address of its health endpoint.
    pub health: BTreeSet<IpAddr>,
    /// Address of its ingress proxy.
    pub ingress: BTreeSet<IpAddr>,
}

/// A pod with a Cilium endpoint, or a workload whose pods will be some.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `namespace/name` of a pod, `kind/namespace/name` of a workload.
    pub name: String,
    /// Kind of the object.
    pub kind: String,
    /// What made the pod.
    pub owner: Option<Owner>,
    /// Namespace.
    pub namespace: String,
    /// Labels of the pod, as written.
    pub labels: BTreeMap<String, String>,
    /// Service account; `default` when none is named.
    pub service_account: String,
    /// Ports that have a name.
    pub named_ports: BTreeSet<NamedPort>,
    /// Node, when the input tells.
    pub node: Option<NodeIndex>,
    /// Addresses, when the input tells.
    pub addresses: BTreeSet<IpAddr>,
    /// Where the object begins.
    pub span: Span,
}

/// A Service.
#[derive(Debug, Clone)]
pub struct Service {
    /// The object.
    pub object: ObjectRef,
    /// Its own labels, as written.
    pub labels: BTreeMap<String, String>,
    /// The labels of pods it selects; empty when it selects none by itself.
    pub selector: BTreeMap<String, String>,
    /// Addresses of its EndpointSlices.
    pub backends: BTreeSet<IpAddr>,
    /// Where the object begins.
    pub span: Span,
}

/// A CiliumCIDRGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidrGroup {
    /// Its labels, as written.
    pub labels: BTreeMap<String, String>,
    /// Its prefixes.
    pub prefixes: BTreeSet<IpNet>,
}

/// A pod on the host network.
#[derive(Debug, Clone)]
pub struct HostPod {
    /// `namespace/name`.
    pub name: String,
    /// Its node, when the input tells.
    pub node: Option<NodeIndex>,
}

/// A container port with a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Name, in lower case.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Number.
    pub port: u16,
}

/// Direction, seen from the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// `ingress` or `egress`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// One `spec` of a policy object.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The object.
    pub object: ObjectRef,
    /// 0 for `spec`, from 1 on for the items of `specs`.
    pub spec_index: u32,
    /// `spec` or `specs[i]`.
    pub path: String,
    /// What it constrains.
    pub subject: Subject,
    /// Namespace it is confined to; `None` for cluster-wide policies.
    pub namespace: Option<String>,
    /// Where it stands; `None` is the regular tier of NetworkPolicy and Cilium's own (spec §6.2).
    pub tier: Option<TierPlace>,
    /// Whether it isolates ingress and egress, where it has rules (spec §3.2).
    pub default_deny: DefaultDeny,
    /// Text for flow logs.
    pub log: Option<String>,
    /// Where it begins.
    pub span: Span,
}

/// Place of a policy in its tier: the lowest is asked first, then by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierPlace {
    /// Tier.
    pub tier: Tier,
    /// 0 to 1000; above for a BaselineAdminNetworkPolicy.
    pub priority: u16,
}

/// `enableDefaultDeny`, always filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultDeny {
    /// For ingress.
    pub ingress: bool,
    /// For egress.
    pub egress: bool,
}

impl DefaultDeny {
    /// For one direction.
    pub fn of(self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// What a policy constrains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Endpoints, never the host.
    Endpoints(Selector),
    /// The host endpoint of matching nodes; inert without the host firewall.
    Nodes(Selector),
}

/// What a rule does with the traffic it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleAction {
    /// Allow.
    Allow,
    /// Deny: beats every allow of the regular tier.
    Deny,
    /// Leave the tier; not in the regular one.
    Pass,
}

impl RuleAction {
    /// `allow`, `deny` or `pass`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Pass => "pass",
        }
    }
}

/// One allow or deny element.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Policy it belongs to.
    pub policy: PolicyIndex,
    /// Direction.
    pub direction: Direction,
    /// Allow or deny.
    pub action: RuleAction,
    /// Path in the object: `spec.ingress[0]`.
    pub path: String,
    /// Where it was written.
    pub span: Span,
    /// The L3 part.
    pub peers: Peers,
    /// `fromRequires` / `toRequires`, scoped: they constrain the label selectors of every rule with the same action that
    /// selects the endpoint (spec §2.6).
    pub requires: Vec<Selector>,
    /// The L4 part.
    pub ports: Ports,
    /// `authentication.mode`; absence inherits (spec §2.17).
    pub auth: Option<AuthMode>,
}

/// Peers of a rule, after spec §2.4's table of absent and empty lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// Nobody: the rule isolates and allows nothing.
    Nobody,
    /// Everyone, known or not. A NetworkPolicy without `from` is the empty selector instead, which a `requires` of
    /// another rule constrains.
    Everyone,
    /// Whoever one of these selects.
    AnyOf(Vec<Peer>),
}

/// One way to name peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Identities whose labels match.
    Labels(Selector),
    /// Addresses outside of the cluster.
    Cidr(CidrPeer),
    /// Addresses outside of the cluster that a name stands for (spec §2.15), in the normal form of [`fqdn`].
    Fqdn(FqdnSelector),
    /// Nodes by labels of source `node`, never the local one (spec §2.10).
    Nodes(Selector),
    /// A prefix, compared by address: pods and nodes inside of it too (spec §6.4).
    Network(IpNet),
    /// A reserved word.
    Entity(Entity),
}

/// Prefixes with exceptions (spec §2.8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrPeer {
    /// Which prefixes.
    pub source: CidrSource,
    /// Exceptions: they shrink this peer and deny nothing.
    pub except: Vec<IpNet>,
    /// Written as a CIDR set (or `ipBlock`): decides what a /0 means in a single-stack cluster (G-43).
    pub set: bool,
}

/// Which prefixes a CIDR peer is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CidrSource {
    /// This one, host bits zero.
    Net(IpNet),
    /// Those of the CIDR group of this name.
    Group(String),
    /// Those of groups whose labels (source `cidrgroup`) match; also every identity that the selector happens to match.
    Groups(Selector),
}

impl CidrSource {
    /// The prefix, where one was written.
    pub fn net(&self) -> Option<&IpNet> {
        match self {
            Self::Net(net) => Some(net),
            Self::Group(_) | Self::Groups(_) => None,
        }
    }
}

/// The L4 part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Every protocol and port, ICMP included.
    All,
    /// Only these; an empty list matches nothing.
    AnyOf(Vec<PortMatch>),
}

/// Ports with what the proxy is asked to do with them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMatch {
    /// Ports.
    pub port: Port,
    /// What the proxy does; `None` passes without it.
    pub proxy: Option<Arc<ProxyPolicy>>,
}

/// What a `toPorts` item asks of the proxy (spec §2.14-§2.16); at least one field is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProxyPolicy {
    /// Rules of one L7 kind.
    pub l7: Option<L7Rules>,
    /// TLS server names that may pass.
    pub server_names: BTreeSet<String>,
    /// TLS towards the client.
    pub terminating_tls: Option<TlsContext>,
    /// TLS towards the server.
    pub originating_tls: Option<TlsContext>,
    /// Listener of the user's own Envoy configuration.
    pub listener: Option<Listener>,
}

/// One way to name ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// Destination ports, inclusive; 0-65535 is every port of the protocol.
    Range {
        /// Protocol.
        protocol: Protocol,
        /// First.
        first: u16,
        /// Last.
        last: u16,
    },
    /// A container port's name, in lower case.
    Named {
        /// Protocol.
        protocol: Protocol,
        /// Name.
        name: String,
        /// Where it was written.
        span: Span,
    },
    /// A container port's name in whatever protocol, resolved at the destination pod (spec §6.1).
    NamedAtPeer {
        /// Name.
        name: String,
        /// Where it was written.
        span: Span,
    },
    /// ICMP type; type 0 means every type (G-40).
    Icmp(u8),
    /// ICMPv6 type; type 0 means every type (G-40).
    Icmp6(u8),
}
