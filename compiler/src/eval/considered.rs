//! Every rule that selects an endpoint, and whether it is about a flow: what a trace shows beside the decision.

use super::Flow;
use super::precedence::covers;
use crate::ir::{RuleAction, RuleId};
use crate::resolve::{DirectionPolicy, L4Match, PeerSet};

/// One rule beside one flow. Rules whose peers nobody is are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered {
    /// The rule; none is the local host's implicit allow.
    pub rule: Option<RuleId>,
    /// What it does.
    pub action: RuleAction,
    /// Whether it is about the peer.
    pub peer: bool,
    /// Whether it is about the protocol and port.
    pub l4: bool,
}

/// The rules in the order in which the tiers ask, inside the regular tier by number.
pub fn considered(policy: &DirectionPolicy, flow: Flow) -> Vec<Considered> {
    let one = |rule, action, peers: &PeerSet, l4: &[L4Match]| Considered {
        rule,
        action,
        peer: peers.contains(flow.peer),
        l4: l4.iter().any(|l4| covers(*l4, flow.l4)),
    };
    let tier = |rules: &[crate::resolve::TierRule]| -> Vec<Considered> {
        rules.iter().map(|rule| one(Some(rule.rule), rule.action, &rule.peers, &rule.l4)).collect()
    };
    let mut out = tier(&policy.tiers.admin);
    out.extend(policy.filters.iter().map(|f| one(f.rule, f.action, &f.peers, &[f.l4])));
    out.extend(tier(&policy.tiers.baseline));
    // A rule has a filter for each of its ports, side by side.
    out.dedup_by(|next, kept| {
        let same = next.rule == kept.rule && next.peer == kept.peer;
        if same {
            kept.l4 |= next.l4;
        }
        same
    });
    out
}
