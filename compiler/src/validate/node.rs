//! What a node does with a decision, as long as it has neither proxy nor handshake.

use ciliumc_abi::drop_reason;

use crate::eval::{Decision, Reason, Verdict};
use crate::ir::options::Options;
use crate::resolve::AuthType;

/// Whether the built datapath lets the flow pass, or the drop reason.
pub fn passes(options: &Options, decision: &Decision) -> Result<(), u8> {
    let needs_auth = decision.auth != AuthType::None;
    match (decision.verdict, needs_auth) {
        // Authentication comes first there, and audit mode passes what lacks it.
        (Verdict::Redirect | Verdict::Allow, true) if options.audit => Ok(()),
        (Verdict::Redirect | Verdict::Allow, true) => Err(drop_reason::AUTH_REQUIRED),
        (Verdict::Redirect, false) => Err(drop_reason::NO_PROXY),
        (Verdict::Allow, false) => Ok(()),
        (Verdict::Deny, _) if decision.reason == Reason::DenyRule => Err(drop_reason::POLICY_DENY),
        (Verdict::Deny, _) if decision.reason == Reason::ProtocolDisabled => Err(drop_reason::CT_UNKNOWN_PROTO),
        (Verdict::Deny | Verdict::Error, _) => Err(drop_reason::POLICY_DENIED),
    }
}
