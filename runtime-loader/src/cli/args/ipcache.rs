//! Arguments of the commands about addresses.

use std::net::IpAddr;

use clap::{Args, Subcommand};

/// Commands about addresses.
#[derive(Debug, Subcommand)]
pub enum Ipcache {
    /// Who has an address, and who said so.
    #[command(after_help = "Example:\n  ciliumc-loader ipcache get 10.0.1.7 -o json")]
    Get(Address),
    /// Say who has an address: a pod of another node. It holds through `apply` and `rollback`.
    ///
    /// `-` reads many from standard input, all or none of which are taken: a JSON object on each line, with `address`
    /// and `identity`, or `address`, `labels` and `namespace`; or the two words `ADDRESS IDENTITY`.
    #[command(after_help = "Examples:\n  ciliumc-loader ipcache upsert 10.0.1.7 38114\n  \
                      ciliumc-loader ipcache upsert 10.0.1.7 --labels app=web --namespace shop\n  \
                      printf '10.0.1.7 38114\\nfd00::7 38114\\n' | ciliumc-loader ipcache upsert -")]
    Upsert(Upsert),
    /// Take back what `upsert` said: the address is again what the bundle says. `-` reads many, one on a line.
    #[command(after_help = "Example:\n  ciliumc-loader ipcache delete 10.0.1.7")]
    Delete(Delete),
    /// All prefixes and addresses, with identity and labels.
    #[command(after_help = "Example:\n  ciliumc-loader ipcache list -o json")]
    List,
}

/// Arguments of `ipcache get`.
#[derive(Debug, Args)]
pub struct Address {
    /// The address.
    #[arg(value_name = "ADDRESS")]
    pub address: IpAddr,
}

/// Arguments of `ipcache upsert`.
#[derive(Debug, Args)]
pub struct Upsert {
    /// The address, or `-`.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Its identity, in Cilium's encoding.
    #[arg(value_name = "IDENTITY", conflicts_with = "labels")]
    pub identity: Option<u32>,
    /// Its labels: key=value or source:key=value, several with commas or repeated.
    #[arg(long, value_name = "LABEL,..", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// The pod's namespace; labels that derive from it then need not be given.
    #[arg(long, value_name = "NAME", requires = "labels")]
    pub namespace: Option<String>,
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `ipcache delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The address, or `-`.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Print the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}
