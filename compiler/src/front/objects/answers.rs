//! What no object tells: the answers of `--groups FILE`, and choices of the command line.

use std::net::IpAddr;

use super::Group;

/// The file that goes with the input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// `groups`: what the provider answers for a group.
    pub groups: Vec<(Group, Vec<IpAddr>)>,
    /// `apiServers`: addresses of API servers beyond those of `default/kubernetes`.
    pub api_servers: Vec<IpAddr>,
    /// `dns`: what the DNS proxy would have learnt; names are in lower case.
    pub dns: Vec<(String, Vec<IpAddr>)>,
}

/// Choices of the command line that change verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choices {
    /// `--compat-toservices`: `toServices` that finds nothing is as if it were not written, as in 1.18 (spec §7.2).
    pub literal_to_services: bool,
    /// `--fqdn-double-star=1.19`: a leading `**.` of a pattern is one or more labels (spec §2.15).
    pub fqdn_double_star: bool,
}
