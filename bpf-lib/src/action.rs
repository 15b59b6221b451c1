//! One cell of the `actions` table: what happens to a packet, and why. Mirror of `abi/action.h`.

/// `verdict` of an [`Action`]: the packet is dropped with [`Action::reason`].
pub const VERDICT_DENY: u8 = 0;
/// `verdict` of an [`Action`]: the packet passes.
pub const VERDICT_ALLOW: u8 = 1;
/// `verdict` of an [`Action`]: the packet goes to the L7 proxy, with [`Action::l7_ruleset`].
pub const VERDICT_REDIRECT: u8 = 2;

/// Bit of [`Action::flags`]: the packet would have been dropped, but `policy-audit-mode` lets it pass.
pub const FLAG_AUDITED: u8 = 1;

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
    /// Cilium's match kind, 0-6 (spec §4.1).
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
