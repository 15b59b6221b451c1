//! The lowered tables asked in place of the reference model: `trace --engine tables`.

use std::sync::Arc;

use ciliumc_abi::action::{VERDICT_ALLOW, VERDICT_REDIRECT};
use ciliumc_abi::drop_reason::{POLICY_DENIED, POLICY_DENY};
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP};

use crate::eval::probe::{Answer, Probe};
use crate::eval::{Decision, L4, Reason, Verdict};
use crate::ir::{Cluster, Protocol, RuleId};
use crate::lower::shape::PolicyMode;
use crate::lower::{Lowered, LoweredDirection};
use crate::resolve::{AuthType, Ruleset};

/// What the tables say on a flow, before audit mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVerdict {
    /// Allow, deny or redirect.
    pub verdict: Verdict,
    /// Drop reason, 0 unless denied.
    pub reason: u8,
    /// The rules of its cause.
    pub rules: Vec<RuleId>,
    /// What the proxy is given; only for a redirect.
    pub ruleset: Option<Arc<Ruleset>>,
    /// Authentication that comes first.
    pub auth: AuthType,
}

/// Directory and port of a flow.
pub fn place(l4: L4) -> (u32, u16) {
    match l4 {
        L4::Port(Protocol::Tcp, port) => (DIR_TCP, port),
        L4::Port(Protocol::Udp, port) => (DIR_UDP, port),
        L4::Port(Protocol::Sctp, port) => (DIR_SCTP, port),
        L4::Icmp(icmp_type) => (DIR_ICMP, u16::from(icmp_type)),
        L4::Icmp6(icmp_type) => (DIR_ICMP6, u16::from(icmp_type)),
    }
}

/// Reads the tables of one direction as the object does.
pub fn decide(lowered: &Lowered, direction: &LoweredDirection, peer: IdentityIndex, l4: L4) -> TableVerdict {
    let plain = |verdict, reason, rules| TableVerdict { verdict, reason, rules, ruleset: None, auth: AuthType::None };
    let rules = |cause: u32| lowered.causes.get(cause as usize).cloned().unwrap_or_default();
    let action = match (direction.shape.mode, direction.tables) {
        (PolicyMode::AllowAll, _) => return plain(Verdict::Allow, 0, Vec::new()),
        (PolicyMode::L3Only | PolicyMode::Tables, Some(index)) => {
            let (directory, port) = place(l4);
            lowered.tables[index.0 as usize].decide(peer, directory, port)
        }
        (PolicyMode::DenyAll, _) | (PolicyMode::L3Only | PolicyMode::Tables, None) => {
            return plain(Verdict::Deny, POLICY_DENIED, rules(direction.default_cause));
        }
    };
    let verdict = match action.verdict {
        VERDICT_ALLOW => Verdict::Allow,
        VERDICT_REDIRECT => Verdict::Redirect,
        // As the object does with what it does not know.
        _ => Verdict::Deny,
    };
    TableVerdict {
        ruleset: lowered.ruleset(action.l7_ruleset).cloned(),
        // A number that nobody gave is no way around authentication.
        auth: AuthType::of_number(action.auth).unwrap_or(AuthType::AlwaysFail),
        ..plain(verdict, action.reason, rules(action.cause))
    }
}

/// The model's answer with verdict, reason, rules, proxy and authentication taken from the tables.
pub fn answer(cluster: &Cluster, lowered: &Lowered, probe: &Probe, model: Answer) -> Answer {
    // Before any table: the datapath drops a protocol that is switched off, and there are no tables without a policy.
    if matches!(model.decision.reason, Reason::ProtocolDisabled | Reason::HostIcmp6 | Reason::Conflict) {
        return model;
    }
    // Without the host firewall a host has neither policy nor tables.
    let Some((lowered, direction)) = lowered.of(model.class, probe.direction) else { return model };
    let read = decide(lowered, direction, model.peer, model.l4);
    let audited = read.verdict == Verdict::Deny && cluster.options.audit;
    let reason = match (direction.shape.mode, read.verdict, read.rules.is_empty()) {
        (PolicyMode::AllowAll, ..) => Reason::NotEnforced,
        (_, Verdict::Allow | Verdict::Redirect, false) => Reason::AllowRule,
        (_, Verdict::Allow | Verdict::Redirect, true) => Reason::DefaultAllow,
        (_, Verdict::Deny | Verdict::Error, _) if read.reason == POLICY_DENY => Reason::DenyRule,
        (_, Verdict::Deny | Verdict::Error, _) => Reason::DefaultDeny,
    };
    let verdict = if audited { Verdict::Allow } else { read.verdict };
    let TableVerdict { rules, ruleset, auth, .. } = read;
    Answer { decision: Decision { verdict, reason, rules, audited, ruleset, auth }, ..model }
}
