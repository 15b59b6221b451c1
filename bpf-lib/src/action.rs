//! One cell of the `actions` table: what happens to a packet, and why. Mirror of `abi/action.h`.

/// `verdict` of an [`Action`]: the packet is dropped with [`Action::reason`].
pub const VERDICT_DENY: u8 = 0;
/// `verdict` of an [`Action`]: the packet passes.
pub const VERDICT_ALLOW: u8 = 1;
/// `verdict` of an [`Action`]: the packet goes to the L7 proxy, with [`Action::l7_ruleset`].
pub const VERDICT_REDIRECT: u8 = 2;

/// Bit of [`Action::flags`]: the packet would have been dropped, but `policy-audit-mode` lets it pass.
pub const FLAG_AUDITED: u8 = 1;

/// Cilium's match kinds: what the key of the policy map's entry said that let a packet pass. No entry, or none that allows.
pub const MATCH_NONE: u8 = 0;
/// The peer.
pub const MATCH_L3_ONLY: u8 = 1;
/// The peer and a port.
pub const MATCH_L3_L4: u8 = 2;
/// A port.
pub const MATCH_L4_ONLY: u8 = 3;
/// Nothing: everything passes.
pub const MATCH_ALL: u8 = 4;
/// The peer and a protocol.
pub const MATCH_L3_PROTO: u8 = 5;
/// A protocol.
pub const MATCH_PROTO_ONLY: u8 = 6;

/// Cilium's word for a match kind, as `cilium monitor` prints it.
pub fn match_word(match_type: u8) -> &'static str {
    match match_type {
        MATCH_L3_ONLY => "L3-Only",
        MATCH_L3_L4 => "L3-L4",
        MATCH_L4_ONLY => "L4-Only",
        MATCH_ALL => "all",
        MATCH_L3_PROTO => "L3-Proto",
        MATCH_PROTO_ONLY => "Proto-Only",
        _ => "none",
    }
}

/// What is done with a packet of one (row, class) cell. All fields zero means "deny".
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Action {
    /// One of `VERDICT_*`.
    pub verdict: u8,
    /// Cilium's drop reason (130-205) or ours (from 210) when `verdict` is deny, else 0.
    pub reason: u8,
    /// Authentication type, 0 none, 1 SPIFFE, 2 always fails (spec §4.4).
    pub auth: u8,
    /// Bits `FLAG_*`.
    pub flags: u8,
    /// One of `MATCH_*` (spec §4.1).
    pub match_type: u8,
    /// Always zero: the struct has no holes.
    pub pad: [u8; 3],
    /// L7 rule set of a redirect, 0 when there is none.
    pub l7_ruleset: u32,
    /// Index into `provenance.json`'s `causes`: the sorted set of rules that decided. 0 is "no rule".
    pub cause: u32,
}

const _: () = assert!(size_of::<Action>() == 16);

impl Action {
    /// The 16 bytes as the map holds them (host order, which is little endian on every BPF host we build for).
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[0] = self.verdict;
        out[1] = self.reason;
        out[2] = self.auth;
        out[3] = self.flags;
        out[4] = self.match_type;
        out[8..12].copy_from_slice(&self.l7_ruleset.to_le_bytes());
        out[12..16].copy_from_slice(&self.cause.to_le_bytes());
        out
    }

    /// Reads what [`Action::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            verdict: bytes[0],
            reason: bytes[1],
            auth: bytes[2],
            flags: bytes[3],
            match_type: bytes[4],
            pad: [0; 3],
            l7_ruleset: word(8),
            cause: word(12),
        }
    }
}
