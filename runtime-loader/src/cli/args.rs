//! The arguments, with an example for every command.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Report format.
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
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
    /// which is said.
    #[command(after_help = "Example:\n  ciliumc-loader apply --bundle out/bundle --node worker-1 --dry-run")]
    Apply(Apply),
    /// Put endpoints under policy, or take them out.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  ciliumc-loader endpoint list -o json"
    )]
    Endpoint(Endpoint),
    /// What runs on this node.
    #[command(after_help = "Example:\n  ciliumc-loader status -o json")]
    Status,
    /// Show drops and verdicts as they happen, with the rules that decided.
    #[command(after_help = "Example:\n  ciliumc-loader monitor --type drop --endpoint default/deathstar --timeout 10")]
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

/// Commands about endpoints.
#[derive(Debug, Subcommand)]
pub enum Endpoint {
    /// Attach the programs of an endpoint to its interface; again: renew them.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint add --bundle out/bundle --endpoint default/xwing \
                      --interface veth1 --address 10.0.0.3 --address fd00::3")]
    Add(Add),
    /// Detach an endpoint and forget it.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint del --endpoint default/xwing")]
    Del(Del),
    /// The endpoints of this node.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint list -o json")]
    List,
}

/// Arguments of `endpoint add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Name in the bundle.
    #[arg(long, value_name = "NAME")]
    pub endpoint: String,
    /// Host side of the endpoint's veth.
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// Network namespace of that interface, if it is not this one.
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
    /// Address of the endpoint, one of each family [default: what the bundle says].
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
}

/// Arguments of `endpoint del`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "which")]
pub struct Which {
    /// Name in the bundle.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Number on this node.
    #[arg(long, value_name = "ID")]
    pub id: Option<u16>,
}

/// Arguments of `endpoint del`.
#[derive(Debug, Args)]
pub struct Del {
    /// Which endpoint.
    #[command(flatten)]
    pub which: Which,
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
