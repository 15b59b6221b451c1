//! The arguments, with an example for every command.

mod endpoint;
mod ipcache;
mod show;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use endpoint::{Add, Attach, Del, Endpoint, Which};
pub use ipcache::{Address, Delete, Ipcache, Upsert};
pub use show::{Ct, CtFlush, CtList, Identity, IdentityGet, Map, Metrics, Policy, PolicyGet};

/// Runs a ciliumc bundle on this node.
#[derive(Debug, Parser)]
#[command(
    name = "ciliumc-loader",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok, 2 usage, 3 bundle or request refused, 5 the machine (kernel, privileges, I/O, interface).\n\n\
                  Example:\n  ciliumc-loader apply --bundle out/bundle\n  \
                  ciliumc-loader endpoint add --bundle out/bundle --endpoint default/xwing --interface veth1"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder on a BPF file system for all pins.
    #[arg(long, global = true, default_value = "/sys/fs/bpf/ciliumc", value_name = "DIR")]
    pub root: PathBuf,
    /// Folder for what bpffs cannot hold; must not outlive the pins.
    #[arg(long, global = true, default_value = "/run/ciliumc", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Seconds to wait for another command that changes something.
    #[arg(long, global = true, default_value_t = 10, value_name = "SECONDS")]
    pub lock_timeout: u64,
    /// When to shorten the kernel's grace periods (/sys/kernel/rcu_expedited) while a command attaches or detaches: tcx
    /// waits for one each time, some 10 ms. Without WHEN: always. What was set before is set again at the end, or by the
    /// next command.
    #[arg(long, global = true, value_name = "WHEN", num_args = 0..=1, require_equals = true,
          default_value = "auto", default_missing_value = "always")]
    pub expedite_rcu: Expedite,
    /// Report format.
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// When grace periods are expedited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expedite {
    /// For more than one endpoint.
    Auto,
    /// For one, too.
    Always,
    /// Leave it to the kernel.
    Never,
}

/// Report formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a bundle and move every endpoint of this node to it.
    ///
    /// Nothing is attached: `endpoint add` does that. An endpoint that the bundle does not know keeps its old policy,
    /// which is said. What was in force before is kept for `rollback`.
    #[command(after_help = "Example:\n  ciliumc-loader apply --bundle out/bundle --node worker-1 --dry-run")]
    Apply(Apply),
    /// Go back to the bundle that was in force before; once more: forth again.
    ///
    /// The previous generation is kept until the next one follows, with its objects and tables, so this needs no
    /// bundle.
    #[command(after_help = "Examples:\n  ciliumc-loader rollback --dry-run\n  ciliumc-loader rollback --to 7")]
    Rollback(Rollback),
    /// Put endpoints under policy, or take them out.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  ciliumc-loader endpoint list -o json"
    )]
    Endpoint(Endpoint),
    /// Who has an address: look it up, or say it for pods of other nodes.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  ciliumc-loader ipcache get 10.0.1.7"
    )]
    Ipcache(Ipcache),
    /// What an endpoint's policy says.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  ciliumc-loader policy get default/deathstar"
    )]
    Policy(Policy),
    /// Identities and their labels.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example:\n  ciliumc-loader identity list")]
    Identity(Identity),
    /// Connections.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example:\n  ciliumc-loader ct list")]
    Ct(Ct),
    /// Pinned maps.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example:\n  ciliumc-loader map list")]
    Map(Map),
    /// Packets and bytes of the node by outcome.
    #[command(after_help = "Example:\n  ciliumc-loader metrics --listen 127.0.0.1:9962")]
    Metrics(Metrics),
    /// What runs on this node.
    #[command(after_help = "Example:\n  ciliumc-loader status -o json")]
    Status,
    /// Show drops, verdicts and packets that pass as they happen, with the rules that decided.
    #[command(
        visible_alias = "events",
        after_help = "Example:\n  ciliumc-loader monitor --type drop --endpoint default/deathstar --timeout 10\n  \
                      ciliumc-loader events --address 10.0.0.3 --port 53 --protocol udp -o json"
    )]
    Monitor(Monitor),
    /// Detach everything and remove all pins and state.
    #[command(after_help = "Example:\n  ciliumc-loader unload --dry-run")]
    Unload(Unload),
}

/// Which bundle, and which of its nodes this is.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The bundle: a folder or a .tar file.
    #[arg(long, value_name = "PATH")]
    pub bundle: PathBuf,
    /// Name of this node in the bundle [default: its only node].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Generation to go to, of the two that `status` names; said twice it changes nothing more [default: the previous].
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u32>,
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `unload`.
#[derive(Debug, Args)]
pub struct Unload {
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventType {
    /// Dropped packets.
    Drop,
    /// Verdicts on first packets.
    Verdict,
    /// Packets that pass, as many of them as `monitor-aggregation` says.
    Trace,
}

/// Directions of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct Monitor {
    /// Only these events.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: Option<EventType>,
    /// Only events of this endpoint's programs: its name, or its number on this node.
    #[arg(long, value_name = "NAME|ID")]
    pub endpoint: Option<String>,
    /// Only packets in this direction, as the endpoint sees it.
    #[arg(long, value_enum, value_name = "DIRECTION")]
    pub direction: Option<Direction>,
    /// Only packets with this address at either end.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// Only packets with this port at either end.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only packets of this protocol: tcp, udp, sctp, icmp, icmpv6.
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// Only packets with this identity at either end.
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<u32>,
    /// Show the labels of both ends (JSON always does).
    #[arg(long)]
    pub labels: bool,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}
