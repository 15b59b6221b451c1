//! Drop reasons: Cilium's numbers and words (flow.proto `DropReason`), and ours from 210 on.

/// Source address, IP or MAC, is not the endpoint's own.
pub const INVALID_SOURCE_IP: u8 = 132;
/// No allow rule matches and the direction is isolated.
pub const POLICY_DENIED: u8 = 133;
/// A header could not be read, or does not hold what it says.
pub const INVALID_PACKET: u8 = 134;
/// L4 protocol that is neither TCP, UDP, ICMP, ICMPv6 nor (when enabled) SCTP.
pub const CT_UNKNOWN_PROTO: u8 = 137;
/// L3 protocol that is neither ARP nor an enabled IP version.
pub const UNKNOWN_L3: u8 = 139;
/// The entry program of an endpoint found no program of its policy to jump to, or one of its programs not the other.
pub const MISSED_TAIL_CALL: u8 = 140;
/// The conntrack map is full (or refused the entry for another reason).
pub const CT_MAP_INSERT_FAILED: u8 = 155;
/// IPv6 extension header chain that is too long or unknown.
pub const INVALID_EXTHDR: u8 = 156;
/// A later fragment whose first one nobody remembers.
pub const FRAG_NOT_FOUND: u8 = 175;
/// The verdict is redirect and there is no proxy on this node.
pub const NO_PROXY: u8 = 178;
/// A deny rule matches.
pub const POLICY_DENY: u8 = 181;
/// The frame has a VLAN tag.
pub const VLAN_FILTERED: u8 = 182;
/// The verdict needs authentication that nobody has made.
pub const AUTH_REQUIRED: u8 = 189;
/// The packet came for an endpoint that the program of its policy does not have.
pub const EP_NOT_READY: u8 = 203;
/// Ours: the interface belongs to an endpoint whose labels no class of the bundle has.
pub const UNKNOWN_ENDPOINT: u8 = 210;

/// Cilium's text for a drop reason, as `cilium monitor` prints it.
pub fn text(reason: u8) -> &'static str {
    match reason {
        0 => "Forwarded",
        INVALID_SOURCE_IP => "Invalid source ip",
        POLICY_DENIED => "Policy denied",
        INVALID_PACKET => "Invalid packet",
        CT_UNKNOWN_PROTO => "Unknown L4 protocol",
        UNKNOWN_L3 => "Unsupported L3 protocol",
        MISSED_TAIL_CALL => "Missed tail call",
        CT_MAP_INSERT_FAILED => "Map insertion failed",
        INVALID_EXTHDR => "Invalid IPv6 extension header",
        FRAG_NOT_FOUND => "First logical datagram fragment not found",
        NO_PROXY => "No proxy for the redirect",
        POLICY_DENY => "Policy denied by denylist",
        VLAN_FILTERED => "VLAN traffic disallowed by VLAN filter",
        AUTH_REQUIRED => "Authentication required",
        EP_NOT_READY => "Endpoint policy program not available",
        UNKNOWN_ENDPOINT => "Endpoint unknown to the bundle",
        _ => "Unknown reason",
    }
}
