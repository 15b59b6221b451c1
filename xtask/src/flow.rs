//! A flow: who opens what to whom; and what `ciliumc trace` expects of it.
//!
//! A flow is allowed when the node lets it pass by the egress row of its source and by the ingress row of its destination. A side that
//! is no endpoint (the node, an address outside) has no row.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::process;
use crate::tools::Tools;

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `pod:NAMESPACE/NAME`: an endpoint of the bundle.
    Pod(String),
    /// `host`: the node that the pods run on.
    Host,
    /// `ip:ADDRESS`: somebody outside of the node.
    Outside(IpAddr),
}

/// What is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// A UDP question and its answer.
    Udp,
    /// The same with so much in them that both travel in fragments.
    Fragments,
    /// An echo request and its reply; the port is the ICMP type, 8 or 128.
    Ping,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Who opens it.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// What.
    pub transport: Transport,
    /// Over IPv6 instead of IPv4.
    pub ipv6: bool,
    /// Destination port, or ICMP type.
    pub port: u16,
}

/// What happens, or is to happen, to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer comes back.
    Allow,
    /// It does not.
    Deny,
}

impl Flow {
    /// Protocol, as `ciliumc trace` calls it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match (self.transport, self.ipv6) {
            (Transport::Tcp, _) => "TCP",
            (Transport::Udp | Transport::Fragments, _) => "UDP",
            (Transport::Ping, false) => "ICMP",
            (Transport::Ping, true) => "ICMPv6",
        }
    }

    /// The questions to `ciliumc trace`: one for each side that is an endpoint.
    fn probes(&self) -> Vec<String> {
        let sides = [(&self.from, "egress", &self.to), (&self.to, "ingress", &self.from)];
        let probe = |(endpoint, direction, peer): (&Place, &str, &Place)| match endpoint {
            Place::Pod(name) => {
                let peer = match peer {
                    Place::Pod(name) => format!("pod:{name}"),
                    Place::Host => "entity:host".to_owned(),
                    Place::Outside(address) => format!("ip:{address}"),
                };
                Some(format!("{name}\t{direction}\t{peer}\t{}\t{}", self.protocol(), self.port))
            }
            Place::Host | Place::Outside(_) => None,
        };
        sides.into_iter().filter_map(probe).collect()
    }
}

/// Asks `ciliumc trace` about flows over `input`. `scratch` is a folder for the questions.
pub fn expectations(tools: &Tools, input: &Path, scratch: &Path, flows: &[Flow]) -> Result<Vec<Verdict>> {
    let questions: Vec<Vec<String>> = flows.iter().map(Flow::probes).collect();
    let text: String = questions.iter().flatten().map(|probe| format!("{probe}\n")).collect();
    let file = scratch.join("probes.tsv");
    std::fs::write(&file, text).map_err(|e| Error::io("write", &file, &e))?;
    let mut command = Command::new(&tools.ciliumc);
    command.arg("trace").arg(input).arg("--probes").arg(&file).args(["-o", "json"]);
    let answers: serde_json::Value = serde_json::from_str(&process::stdout(&mut command)?)
        .map_err(|e| Error::Failed(format!("`ciliumc trace` printed no JSON: {e}")))?;
    let mut answers = answers["flows"].as_array().into_iter().flatten();
    let mut verdict = |probes: &Vec<String>| {
        let mut verdict = Verdict::Allow;
        for probe in probes {
            // What a proxy or a handshake would allow the node drops, as long as it has neither.
            match answers.next().and_then(|answer| answer["node"]["passes"].as_bool()) {
                Some(true) => {}
                Some(false) => verdict = Verdict::Deny,
                None => {
                    return Err(Error::Failed(format!("`ciliumc trace` gave no answer to `{probe}`")));
                }
            }
        }
        Ok(verdict)
    };
    questions.iter().map(&mut verdict).collect()
}

/// Reads a table of flows, one a line, `#` for comments. A fifth column is the verdict that somebody wrote down.
pub fn read_table(path: &Path) -> Result<Vec<(Flow, Option<Verdict>)>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let row = |(number, line): (usize, &str)| {
        let (flow, verdict) = match line.trim_end().rsplit_once(char::is_whitespace) {
            Some((flow, word)) if word.parse::<Verdict>().is_ok() => (flow, word.parse().ok()),
            _ => (line, None),
        };
        let flow = flow.parse().map_err(|e| Error::Failed(format!("{}:{}: {e}", path.display(), number + 1)))?;
        Ok((flow, verdict))
    };
    lines.map(row).collect()
}

/// Addresses of the flows' ends that are neither pod nor node.
#[must_use]
pub fn outside(flows: &[Flow]) -> Vec<IpAddr> {
    let ends = flows.iter().flat_map(|f| [&f.from, &f.to]);
    let address = |place: &Place| match place {
        Place::Outside(address) => Some(*address),
        Place::Pod(_) | Place::Host => None,
    };
    ends.filter_map(address).collect::<BTreeSet<_>>().into_iter().collect()
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "host" {
            return Ok(Place::Host);
        }
        if let Some(name) = text.strip_prefix("pod:") {
            return Ok(Place::Pod(name.to_owned()));
        }
        let address =
            text.strip_prefix("ip:").ok_or_else(|| format!("`{text}` is not pod:NS/NAME, host or ip:ADDR"))?;
        address.parse().map(Place::Outside).map_err(|e| format!("`{text}`: {e}"))
    }
}

/// `FROM TO PROTOCOL PORT`; protocol is `tcp`, `udp`, `frag` or `ping` with the family behind it; a ping has no port.
impl FromStr for Flow {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut word = |what: &str| words.next().ok_or_else(|| format!("`{text}` has no {what}"));
        let (from, to) = (word("source")?.parse()?, word("destination")?.parse()?);
        let (transport, ipv6) = match word("protocol")? {
            "tcp4" => (Transport::Tcp, false),
            "tcp6" => (Transport::Tcp, true),
            "udp4" => (Transport::Udp, false),
            "udp6" => (Transport::Udp, true),
            "frag4" => (Transport::Fragments, false),
            "frag6" => (Transport::Fragments, true),
            "ping4" => (Transport::Ping, false),
            "ping6" => (Transport::Ping, true),
            other => {
                return Err(format!("`{other}` is none of tcp udp frag ping with 4 or 6 behind it"));
            }
        };
        let port = match transport {
            Transport::Ping if ipv6 => 128,
            Transport::Ping => 8,
            Transport::Tcp | Transport::Udp | Transport::Fragments => {
                word("port")?.parse().map_err(|e| format!("port in `{text}`: {e}"))?
            }
        };
        match words.next() {
            Some(extra) => Err(format!("`{extra}` is too much in `{text}`")),
            None => Ok(Flow { from, to, transport, ipv6, port }),
        }
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "allow" => Ok(Verdict::Allow),
            "deny" => Ok(Verdict::Deny),
            other => Err(format!("`{other}` is not allow or deny")),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Pod(name) => f.write_str(name),
            Place::Host => f.write_str("host"),
            Place::Outside(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { 6 } else { 4 };
        write!(f, "{} -> {} ", self.from, self.to)?;
        match self.transport {
            Transport::Tcp => write!(f, "tcp{family} {}", self.port),
            Transport::Udp => write!(f, "udp{family} {}", self.port),
            Transport::Fragments => write!(f, "frag{family} {}", self.port),
            Transport::Ping => write!(f, "ping{family}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_asks_both_endpoints() {
        let flow: Flow = "pod:a/x pod:a/y tcp6 80".parse().expect("a flow");
        assert_eq!(flow.probes(), ["a/x\tegress\tpod:a/y\tTCP\t80", "a/y\tingress\tpod:a/x\tTCP\t80"]);
    }

    #[test]
    fn the_outside_is_not_asked() {
        let flow: Flow = "ip:2001:db8::7 pod:a/y ping6".parse().expect("a flow");
        assert_eq!(flow.probes(), ["a/y\tingress\tip:2001:db8::7\tICMPv6\t128"]);
        let flow: Flow = "host pod:a/y udp4 53".parse().expect("a flow");
        assert_eq!(flow.probes(), ["a/y\tingress\tentity:host\tUDP\t53"]);
    }

    #[test]
    fn nonsense_is_named() {
        assert!("pod:a/x pod:a/y".parse::<Flow>().expect_err("short").contains("protocol"));
        assert!("pod:a/x a/y tcp4 1".parse::<Flow>().expect_err("bare").contains("a/y"));
        assert!("host host tcp4 1 2".parse::<Flow>().expect_err("long").contains("`2`"));
    }
}
