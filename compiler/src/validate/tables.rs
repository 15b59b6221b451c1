//! The lowered tables asked in place of the reference model: `trace --engine tables`.

use ciliumc_abi::action::VERDICT_ALLOW;
use ciliumc_abi::drop_reason::POLICY_DENY;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP};

use crate::eval::probe::{Answer, Probe};
use crate::eval::{Decision, L4, Reason, Verdict};
use crate::ir::{Cluster, Protocol, RuleId};
use crate::lower::shape::PolicyMode;
use crate::lower::{Lowered, LoweredDirection};

/// What the datapath will do with a flow: verdict and the rules that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVerdict {
    /// Verdict, before audit mode.
    pub allowed: bool,
    /// Drop reason, 0 when allowed.
    pub reason: u8,
    /// The rules of its cause.
    pub rules: Vec<RuleId>,
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
    let denied = |reason, cause: u32| TableVerdict {
        allowed: false,
        reason,
        rules: lowered.causes.get(cause as usize).cloned().unwrap_or_default(),
    };
    let action = match (direction.shape.mode, direction.tables) {
        (PolicyMode::AllowAll, _) => return TableVerdict { allowed: true, reason: 0, rules: Vec::new() },
        (PolicyMode::L3Only | PolicyMode::Tables, Some(index)) => {
            let (directory, port) = place(l4);
            lowered.tables[index.0 as usize].decide(peer, directory, port)
        }
        (PolicyMode::DenyAll, _) | (PolicyMode::L3Only | PolicyMode::Tables, None) => {
            return denied(ciliumc_abi::drop_reason::POLICY_DENIED, direction.default_cause);
        }
    };
    TableVerdict { allowed: action.verdict == VERDICT_ALLOW, ..denied(action.reason, action.cause) }
}

/// The model's answer with verdict, reason and rules taken from the tables.
pub fn answer(cluster: &Cluster, lowered: &Lowered, probe: &Probe, model: Answer) -> Answer {
    // Before any table: the datapath drops a protocol that is switched off.
    if model.decision.reason == Reason::ProtocolDisabled {
        return model;
    }
    let direction = lowered.classes[model.class.0 as usize].direction(probe.direction);
    let read = decide(lowered, direction, model.peer, model.l4);
    let audited = !read.allowed && cluster.options.audit;
    let reason = match (direction.shape.mode, read.allowed, read.rules.is_empty()) {
        (PolicyMode::AllowAll, ..) => Reason::NotEnforced,
        (_, true, false) => Reason::AllowRule,
        (_, true, true) => Reason::DefaultAllow,
        (_, false, _) if read.reason == POLICY_DENY => Reason::DenyRule,
        (_, false, _) => Reason::DefaultDeny,
    };
    let verdict = if read.allowed || audited { Verdict::Allow } else { Verdict::Deny };
    Answer { decision: Decision { verdict, reason, rules: read.rules, audited }, ..model }
}
