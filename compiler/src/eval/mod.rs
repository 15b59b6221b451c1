//! The reference model: a flow's verdict, straight from the resolved rules.
//!
//! In: a [`Resolved`](crate::resolve::Resolved). Out: a [`Decision`] for one flow at one endpoint and direction.
//! Written from spec §4.5's declarative form and knowing nothing of `lower` or the datapath, so that the two can be
//! held against each other.

mod precedence;
pub mod probe;
mod tiers;

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::{Protocol, RuleId};

pub use precedence::decide;

/// The L4 part of a flow's first packet, as the endpoint's policy hook sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4 {
    /// Destination port.
    Port(Protocol, u16),
    /// ICMP type.
    Icmp(u8),
    /// ICMPv6 type.
    Icmp6(u8),
}

/// What happens to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

impl Verdict {
    /// The word of every report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The direction is not enforced.
    NotEnforced,
    /// A deny rule matches.
    DenyRule,
    /// An allow rule matches.
    AllowRule,
    /// The local host may always reach its endpoints (spec §3.4).
    LocalHost,
    /// Nothing matches, and every rule has default deny switched off.
    DefaultAllow,
    /// Nothing matches in an isolated direction.
    DefaultDeny,
    /// The peer is unknown and the direction is enforced.
    UnknownPeer,
    /// SCTP without `enable-sctp`: dropped as an unknown protocol, whatever the policy.
    ProtocolDisabled,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rules that decide, sorted: all matching denies, all matching allows, or the rules that isolate.
    pub rules: Vec<RuleId>,
    /// Audit mode lets it pass; `verdict` is then allow.
    pub audited: bool,
}

/// A flow at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The other end.
    pub peer: IdentityIndex,
    /// Protocol and port.
    pub l4: L4,
}
