//! Arguments of the commands about endpoints.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::mac::Mac;

/// Commands about endpoints.
#[derive(Debug, Subcommand)]
pub enum Endpoint {
    /// Attach the programs of an endpoint to its interface; again: renew them.
    ///
    /// Its class is found by its name in the bundle (--endpoint) or by its labels (--labels with --namespace). What the
    /// bundle does not know is refused with exit code 3, and its interface drops everything until that changes.
    ///
    /// --batch reads many from a file or, with `-`, from standard input: a JSON object on each line, with the fields
    /// `endpoint`, `labels` (a list, or an object of keys and values), `namespace`, `name`, `interface`, `netns`,
    /// `addresses`, `mac` and `gateways`. Each line is answered by one line; one that fails does not stop the others.
    #[command(after_help = "Examples:\n  ciliumc-loader endpoint add --bundle out/bundle --endpoint default/xwing \
                      --interface veth1 --address 10.0.0.3 --address fd00::3\n  \
                      ciliumc-loader endpoint add --labels app=web,tier=front --namespace shop --name shop/web-7d4 \
                      --interface veth2 --address 10.0.0.4\n  \
                      echo '{\"labels\":[\"app=web\"],\"namespace\":\"shop\",\"interface\":\"veth2\",\"addresses\":[\"10.0.0.4\"]}' \
                      | ciliumc-loader endpoint add --batch -")]
    Add(Box<Add>),
    /// Detach an endpoint and forget it.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint del --endpoint default/xwing")]
    Del(Del),
    /// One endpoint: its record, programs, and counters.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint get --endpoint default/xwing -o json")]
    Get(Which),
    /// The endpoints of this node.
    #[command(after_help = "Example:\n  ciliumc-loader endpoint list -o json")]
    List,
}

/// How to attach programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// tcx where the kernel has it.
    Auto,
    /// tcx, or fail.
    Tcx,
    /// clsact, even where the kernel has tcx.
    Clsact,
}

/// Arguments of `endpoint add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The bundle: a folder or a .tar file [default: the one in force].
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Name of this node in the bundle [default: its only node].
    #[arg(long, value_name = "NAME", requires = "bundle")]
    pub node: Option<String>,
    /// Print the steps and take none.
    #[arg(long, conflicts_with = "batch")]
    pub dry_run: bool,
    /// How to attach programs: tcx (Linux 6.6 and later) or filters of the clsact qdisc.
    #[arg(long, value_enum, default_value_t = Attach::Auto, value_name = "HOW")]
    pub attach: Attach,
    /// Read many endpoints, one JSON object on a line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "labels", "namespace", "name", "interface", "netns", "addresses", "mac", "gateways"])]
    pub batch: Option<PathBuf>,
    /// Name in the bundle, of a pod or of the workload that it belongs to.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["labels", "namespace"], required_unless_present_any = ["labels", "batch"])]
    pub endpoint: Option<String>,
    /// Labels: key=value or source:key=value, several with commas or repeated.
    #[arg(long, value_name = "LABEL,..", value_delimiter = ',', requires = "name")]
    pub labels: Vec<String>,
    /// The pod's namespace; labels that derive from it then need not be given.
    #[arg(long, value_name = "NAME", requires = "labels")]
    pub namespace: Option<String>,
    /// What to call it on this node [default: its name in the bundle].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Host side of the endpoint's veth.
    #[arg(long, value_name = "IF", required_unless_present = "batch")]
    pub interface: Option<String>,
    /// Network namespace of that interface, if it is not this one.
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
    /// Address of the endpoint, one of each family [default: what the bundle says].
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// MAC address of the endpoint's interface: frames and ARP packets with another one are dropped (132) [default: not
    /// checked].
    #[arg(long, value_name = "MAC")]
    pub mac: Option<Mac>,
    /// Gateway of the endpoint, one of each family: the program answers ARP and neighbour solicitations for it with the
    /// MAC address of --interface [default: the host answers].
    #[arg(long = "gateway", value_name = "ADDRESS")]
    pub gateways: Vec<IpAddr>,
}

/// Which endpoint a command is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "which")]
pub struct Which {
    /// Its name.
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
