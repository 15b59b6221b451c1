//! AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy (spec §6).

use ipnet::IpNet;

use super::{Meta, Protocol, Selector};
use crate::diag::{Span, Spanned};

/// A policy of one of the tiers around the regular one.
#[derive(Debug, Clone)]
pub struct AdminPolicy {
    /// Metadata; cluster-wide.
    pub meta: Meta,
    /// Tier.
    pub tier: Tier,
    /// 0 to 1000, the lowest first; a BaselineAdminNetworkPolicy, which has none, comes behind all others.
    pub priority: u16,
    /// `subject`.
    pub subject: PodSelector,
    /// `ingress`, in the order in which rules are tried.
    pub ingress: Vec<AdminRule>,
    /// `egress`.
    pub egress: Vec<AdminRule>,
}

/// Before or behind the regular tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before.
    Admin,
    /// Behind.
    Baseline,
}

/// `namespaces`, or `pods` with both of its selectors; keys are `k8s`. Pods on the host network are never selected.
#[derive(Debug, Clone)]
pub struct PodSelector {
    /// Over labels of the namespace.
    pub namespaces: Selector,
    /// Over labels of the pod; `None` is every pod.
    pub pods: Option<Selector>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct AdminRule {
    /// `name`, if written.
    pub name: Option<String>,
    /// `action`.
    pub action: AdminAction,
    /// `from` or `to`: whoever one of them selects.
    pub peers: Vec<AdminPeer>,
    /// `ports` or `protocols`; `None` is every protocol and port, ICMP included.
    pub ports: Option<Vec<AdminPort>>,
    /// Where the rule begins.
    pub span: Span,
}

/// What the first matching rule of a tier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminAction {
    /// `Allow` or `Accept`.
    Allow,
    /// `Deny`.
    Deny,
    /// `Pass`: leave the tier.
    Pass,
}

/// One peer.
#[derive(Debug, Clone)]
pub enum AdminPeer {
    /// `namespaces` or `pods`.
    Pods(PodSelector),
    /// `networks`: by address, pods and nodes included.
    Networks(Vec<Spanned<IpNet>>),
    /// `nodes`, over labels of nodes.
    Nodes(Selector),
    /// `domainNames`, in lower case; one leading `*.` is one or more labels.
    DomainNames(Vec<Spanned<String>>),
    /// No field that is known: fails closed (spec §6.1).
    Unknown(Span),
}

/// One port of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminPort {
    /// Numbers, inclusive.
    Range {
        /// Protocol.
        protocol: Protocol,
        /// First port; 1 at least.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// `namedPort` or `destinationNamedPort`, of whatever protocol; resolved at the destination pod.
    Named {
        /// Name, in lower case.
        name: String,
        /// Where it was written.
        span: Span,
    },
}
