//! The two numbers of an identity: Cilium's numeric identity and our dense index.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A security identity in Cilium's encoding (spec §4.6): what the lock, events, the skb mark and the CLI show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumericIdentity(pub u32);

/// A dense number for the same: 0 unknown, 1-255 the reserved identity of that number, then all others. Tables are
/// indexed by it, and the `identities` array gives the numeric identity back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityIndex(pub u32);

impl fmt::Display for NumericIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for IdentityIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// First index that is not reserved.
pub const FIRST_DYNAMIC_INDEX: u32 = 256;
/// First cluster-wide numeric identity.
pub const FIRST_CLUSTER_IDENTITY: u32 = 256;
/// Last cluster-wide numeric identity of cluster 0.
pub const LAST_CLUSTER_IDENTITY: u32 = 65535;
/// Flag of node-local identities (CIDRs and the like).
pub const LOCAL_SCOPE: u32 = 1 << 24;
/// Flag of remote nodes with an identity of their own.
pub const REMOTE_NODE_SCOPE: u32 = 2 << 24;

/// The reserved identities that policy can meet, by number (spec §4.6).
pub mod reserved {
    /// Nobody knows who this is; never allowed where anything is enforced.
    pub const UNKNOWN: u32 = 0;
    /// The local node.
    pub const HOST: u32 = 1;
    /// Outside, in single-stack clusters.
    pub const WORLD: u32 = 2;
    /// Pods without a Cilium endpoint.
    pub const UNMANAGED: u32 = 3;
    /// The health endpoint.
    pub const HEALTH: u32 = 4;
    /// Endpoints whose labels are not known yet.
    pub const INIT: u32 = 5;
    /// Other nodes.
    pub const REMOTE_NODE: u32 = 6;
    /// Other nodes that run an API server.
    pub const KUBE_APISERVER: u32 = 7;
    /// The ingress proxy.
    pub const INGRESS: u32 = 8;
    /// Outside over IPv4, dual stack.
    pub const WORLD_IPV4: u32 = 9;
    /// Outside over IPv6, dual stack.
    pub const WORLD_IPV6: u32 = 10;
}
