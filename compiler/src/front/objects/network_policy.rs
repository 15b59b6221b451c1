//! `networking.k8s.io/v1` NetworkPolicy (spec §1).

use ipnet::IpNet;

use super::{Meta, PortSpec, Selector};
use crate::diag::{Span, Spanned};

/// `networking.k8s.io/v1` NetworkPolicy (spec §1).
#[derive(Debug, Clone)]
pub struct NetworkPolicy {
    /// Metadata.
    pub meta: Meta,
    /// `spec.podSelector`; keys have source `k8s`.
    pub pod_selector: Selector,
    /// `policyTypes`, if written and not empty: (ingress, egress).
    pub policy_types: Option<(bool, bool)>,
    /// `spec.ingress`; absent and `null` are `None`.
    pub ingress: Option<Vec<NpRule>>,
    /// `spec.egress`; absent and `null` are `None`.
    pub egress: Option<Vec<NpRule>>,
}

/// One item of `spec.ingress` or `spec.egress`.
#[derive(Debug, Clone)]
pub struct NpRule {
    /// `from` or `to`; absent and `[]` are both empty and mean everyone.
    pub peers: Vec<NpPeer>,
    /// `ports`; absent and `[]` are both empty and mean everything.
    pub ports: Vec<PortSpec>,
    /// Where the item begins.
    pub span: Span,
}

/// One item of `from` or `to`.
#[derive(Debug, Clone)]
pub enum NpPeer {
    /// `ipBlock`.
    IpBlock(IpBlock),
    /// `podSelector` and/or `namespaceSelector`, at least one of them present.
    Pods {
        /// `podSelector`.
        pods: Option<Selector>,
        /// `namespaceSelector`; keys are the namespace's own, source `k8s`.
        namespaces: Option<Selector>,
        /// Where the item begins.
        span: Span,
    },
}

/// A prefix with exceptions. Host bits are masked off.
#[derive(Debug, Clone)]
pub struct IpBlock {
    /// The prefix.
    pub cidr: Spanned<IpNet>,
    /// Exceptions, each strictly inside of the prefix.
    pub except: Vec<Spanned<IpNet>>,
}
