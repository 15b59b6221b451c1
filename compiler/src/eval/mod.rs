//! The reference model: a flow's verdict, straight from the resolved rules.
//!
//! In: a [`Resolved`](crate::resolve::Resolved). Out: a [`Decision`] for one flow at one endpoint and direction.
//! Written from spec §4.5's declarative form and knowing nothing of `lower` or the datapath, so that the two can be
//! held against each other.

mod considered;
pub mod flow;
mod host;
mod kafka;
pub mod l7;
pub mod near;
mod precedence;
pub mod probe;
mod tiers;

use std::sync::Arc;

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::options::Options;
use crate::ir::{Cluster, Direction, Protocol, RuleId, Transport};
use crate::resolve::{AuthType, Holder, Resolved, Ruleset};

pub use considered::{Considered, considered};
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

impl L4 {
    /// A port of a protocol, or an ICMP type, which is at most 255.
    pub fn new(transport: Transport, port: u16) -> Self {
        let icmp_type = u8::try_from(port).unwrap_or(u8::MAX);
        match transport {
            Transport::Tcp => Self::Port(Protocol::Tcp, port),
            Transport::Udp => Self::Port(Protocol::Udp, port),
            Transport::Sctp => Self::Port(Protocol::Sctp, port),
            Transport::Icmp => Self::Icmp(icmp_type),
            Transport::Icmp6 => Self::Icmp6(icmp_type),
        }
    }
}

/// What happens to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
    /// It passes through the L7 proxy, which decides on requests.
    Redirect,
    /// The endpoint's policy cannot be computed.
    Error,
}

impl Verdict {
    /// The word of every report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Redirect => "redirect",
            Self::Error => "error",
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
    /// Rules of the endpoint exclude each other (spec §2.14).
    Conflict,
    /// SCTP without `enable-sctp`: dropped as an unknown protocol, whatever the policy.
    ProtocolDisabled,
    /// ICMPv6 but for echo at a host with the host firewall: its type decides, whatever the policy (spec §2.19).
    HostIcmp6,
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
    /// What the proxy is given; only for a redirect.
    pub ruleset: Option<Arc<Ruleset>>,
    /// Authentication that an allow or a redirect needs first.
    pub auth: AuthType,
}

impl Decision {
    /// Without proxy, authentication or audit.
    pub fn new(verdict: Verdict, reason: Reason, rules: Vec<RuleId>) -> Self {
        Self { verdict, reason, rules, audited: false, ruleset: None, auth: AuthType::None }
    }

    /// Kind of the proxy, for a redirect.
    pub fn parser(&self) -> Option<&str> {
        self.ruleset.as_ref().map(|ruleset| ruleset.parser.word())
    }
}

/// Types of ICMPv6 at which a host begins to treat them otherwise (spec §2.19).
pub const HOST_ICMP6: [u16; 12] = [1, 5, 128, 129, 130, 137, 141, 144, 148, 150, 151, 154];

/// What the holder of a policy says of a flow: what is decided before any policy, else its policy.
pub fn decide_at(cluster: &Cluster, resolved: &Resolved, at: Holder, direction: Direction, flow: Flow) -> Decision {
    before_policy(&cluster.options, at, flow.l4)
        .unwrap_or_else(|| decide(resolved, resolved.class(at).policy(direction), flow))
}

/// What is decided before any policy is asked. Audit mode and `enable-policy` change nothing about it.
fn before_policy(options: &Options, at: Holder, l4: L4) -> Option<Decision> {
    match (l4, at) {
        (L4::Port(Protocol::Sctp, _), _) if !options.sctp => {
            Some(Decision::new(Verdict::Deny, Reason::ProtocolDisabled, Vec::new()))
        }
        (L4::Icmp6(icmp_type), Holder::Host(_)) if options.host_firewall => {
            let verdict = match icmp_type {
                // Echo is for the policy.
                128 | 129 => return None,
                // Errors, and what neighbours and listeners of multicast say to each other.
                1..=4 | 130..=136 | 141..=143 | 148..=149 | 151..=153 => Verdict::Allow,
                _ => Verdict::Deny,
            };
            Some(Decision::new(verdict, Reason::HostIcmp6, Vec::new()))
        }
        (L4::Port(..) | L4::Icmp(_) | L4::Icmp6(_), Holder::Class(_) | Holder::Host(_)) => None,
    }
}

/// A flow at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The other end.
    pub peer: IdentityIndex,
    /// Protocol and port.
    pub l4: L4,
}
