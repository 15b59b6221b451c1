//! Arguments of the commands that look at policy, identities, connections, maps and counters.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand};

/// Commands about policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// What an endpoint's peers may do, read back from the tables that its programs read, with packets and rules.
    ///
    /// Packets and bytes are those of a rule set (an action): lines with the same rules share them.
    #[command(after_help = "Example:\n  ciliumc-loader policy get default/deathstar\n  \
                      ciliumc-loader policy get 1 -o json")]
    Get(PolicyGet),
}

/// Arguments of `policy get`.
#[derive(Debug, Args)]
pub struct PolicyGet {
    /// Name of the endpoint, or its number on this node.
    #[arg(value_name = "NAME|ID")]
    pub endpoint: String,
}

/// Commands about identities.
#[derive(Debug, Subcommand)]
pub enum Identity {
    /// Identities of the bundle in force.
    #[command(after_help = "Example:\n  ciliumc-loader identity list -o json")]
    List,
    /// One identity with its labels, addresses and endpoints.
    #[command(after_help = "Example:\n  ciliumc-loader identity get 38114")]
    Get(IdentityGet),
}

/// Arguments of `identity get`.
#[derive(Debug, Args)]
pub struct IdentityGet {
    /// Its number, in Cilium's encoding.
    #[arg(value_name = "IDENTITY")]
    pub identity: u32,
}

/// Commands about connections.
#[derive(Debug, Subcommand)]
pub enum Ct {
    /// Connections of this node's endpoints.
    #[command(after_help = "Example:\n  ciliumc-loader ct list --address 10.0.0.3")]
    List(CtList),
    /// Forget connections: replies of those that go on are judged again.
    #[command(after_help = "Example:\n  ciliumc-loader ct flush --address 10.0.0.3")]
    Flush(CtFlush),
}

/// Arguments of `ct list`.
#[derive(Debug, Args)]
pub struct CtList {
    /// Only those with this address at either end.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// Also those that have expired, which count as absent.
    #[arg(long)]
    pub expired: bool,
}

/// Arguments of `ct flush`.
#[derive(Debug, Args)]
pub struct CtFlush {
    /// Only those of the endpoint with this address.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
}

/// Commands about maps.
#[derive(Debug, Subcommand)]
pub enum Map {
    /// All pinned maps, with what they hold where that can fill up.
    #[command(after_help = "Example:\n  ciliumc-loader map list -o json")]
    List,
}

/// Arguments of `metrics`.
#[derive(Debug, Args)]
pub struct Metrics {
    /// Prometheus text, with Cilium's names where the meaning is the same.
    #[arg(long)]
    pub prometheus: bool,
    /// Answer HTTP requests at this address with Prometheus text, until SIGTERM. One client is answered at a time, and
    /// has two seconds.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}
