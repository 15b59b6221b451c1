//! Three pods on one node, and what a test does with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use xtask::flow::{Flow, Place, Verdict};
use xtask::lab::Lab;
use xtask::report::Report;
use xtask::setup::{self, Need};
use xtask::tools::{self, Tools};
use xtask::traffic::{self, Servers};
use xtask::wire::{Tap, addressed, essence};
use xtask::{process, suite};

pub const ALLOW: Verdict = Verdict::Allow;
pub const DENY: Verdict = Verdict::Deny;

pub const CLI: &str = "pod:t/cli";
pub const SRV: &str = "pod:t/srv";
pub const OTH: &str = "pod:t/oth";

/// The pods' addresses: client, server, another one; of either family.
pub const PODS: [[&str; 3]; 2] =
    [["10.0.1.11", "10.0.1.10", "10.0.1.12"], ["fd00:0:0:1::11", "fd00:0:0:1::10", "fd00:0:0:1::12"]];
/// The node's.
pub const NODE: [&str; 2] = ["172.18.0.1", "fd00:18::1"];
/// Somebody outside, and somebody else.
pub const OUTSIDE: [[&str; 2]; 2] = [["198.51.100.7", "198.51.100.8"], ["2001:db8::7", "2001:db8::8"]];

/// The server takes TCP, UDP and SCTP 8080 and echoes from the client, and opens nothing itself; the client may open
/// everything.
pub const GUARDED: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: srv, namespace: t}
spec:
  endpointSelector: {matchLabels: {app: srv}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: cli}}]
    toPorts: [{ports: [{port: \"8080\", protocol: ANY}]}]
  - fromEndpoints: [{matchLabels: {app: cli}}]
    icmps: [{fields: [{family: IPv4, type: 8}, {family: IPv6, type: 128}]}]
  egress: [{}]
";

/// Every pod may do everything.
pub const OPEN: &str = "";

/// Nobody may do anything, but for the host.
pub const SHUT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: shut, namespace: t}
spec:
  endpointSelector: {}
  ingress: [{}]
  egress: [{}]
";

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It came out at the other end.
    Passed,
    /// A program dropped it, and said why.
    Dropped(u8),
    /// It is gone, and no program has it.
    Lost,
}

pub struct World {
    pub lab: Lab,
    scratch: tempfile::TempDir,
    tools: Tools,
    bundles: AtomicU32,
}

/// An address.
pub fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn place(text: &str) -> Place {
    text.parse().unwrap()
}

/// The number in an environment variable: how much of an expensive test to run.
pub fn amount(variable: &str, sample: usize) -> usize {
    std::env::var(variable).map_or(sample, |text| text.parse().unwrap())
}

impl World {
    /// The world under a policy; `None`, and the reason printed, where that cannot be.
    pub fn new(policies: &str) -> Option<Self> {
        Self::with(&[], policies, &[])
    }

    /// The same with options of `cilium-config` and addresses outside.
    pub fn with(options: &[(&str, &str)], policies: &str, outside: &[&str]) -> Option<Self> {
        let world = Self::unguarded(options, policies, outside)?;
        world.lab.attach().unwrap();
        world.lab.forget_neighbours().unwrap();
        Some(world)
    }

    /// The same before any program is attached.
    pub fn unguarded(options: &[(&str, &str)], policies: &str, outside: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if let Some(reason) = suite::skip_reason() {
            eprintln!("skipped: {reason}");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let tools = tools();
        let bundle = build(&tools, scratch.path(), 0, options, policies);
        let outside: Vec<IpAddr> = outside.iter().map(|text| addr(text)).collect();
        let lab = Lab::wire("packets", COUNT.fetch_add(1, Ordering::Relaxed), &tools, &bundle, &outside).unwrap();
        Some(Self { lab, scratch, tools, bundles: AtomicU32::new(1) })
    }

    /// Another bundle for the node.
    pub fn bundle(&self, options: &[(&str, &str)], policies: &str) -> PathBuf {
        let number = self.bundles.fetch_add(1, Ordering::Relaxed);
        build(&self.tools, self.scratch.path(), number, options, policies)
    }

    /// Opens every flow, all at once, and compares.
    pub fn check(&self, table: &[(&str, Verdict)]) {
        let flows: Vec<Flow> = table.iter().map(|(text, _)| text.parse().unwrap()).collect();
        let expected: Vec<Verdict> = table.iter().map(|(_, verdict)| *verdict).collect();
        let _servers = Servers::start(&self.lab, &flows).unwrap();
        let observed = traffic::observe(&self.lab, &flows, &expected).unwrap();
        let wrong: Vec<String> = (0..flows.len())
            .filter(|&at| observed[at] != expected[at])
            .map(|at| format!("{}: expected {}, got {}", flows[at], expected[at], observed[at]))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Runs something on a thread in the namespace of a place.
    pub fn at<T: Send>(&self, where_: &str, work: impl FnOnce() -> T + Send) -> T {
        self.lab.netns(&place(where_)).unwrap().within(work).unwrap()
    }

    /// Packets that the programs dropped, by reason, in either direction.
    pub fn drops(&self) -> BTreeMap<u8, u64> {
        let rows: serde_json::Value =
            serde_json::from_str(&self.lab.load(&["metrics", "-o", "json"]).unwrap()).unwrap();
        let mut drops = BTreeMap::new();
        for row in rows.as_array().unwrap() {
            let reason = u8::try_from(row["reason"].as_u64().unwrap()).unwrap();
            if reason != 0 {
                *drops.entry(reason).or_default() += row["packets"].as_u64().unwrap();
            }
        }
        drops
    }

    /// Sends frames from one place to another.
    pub fn road(&self, from: &str, to: &str) -> Road<'_> {
        let (from, to) = (place(from), place(to));
        let near = self.lab.near_tap(&from).unwrap();
        Road { world: self, from: self.lab.tap(&from).unwrap(), to: self.lab.tap(&to).unwrap(), gateway: near.mac }
    }
}

/// Where frames go in and come out.
pub struct Road<'a> {
    world: &'a World,
    pub from: Tap,
    pub to: Tap,
    pub gateway: [u8; 6],
}

impl Road<'_> {
    /// Puts a frame in, addressed to the node's end of the cable.
    pub fn put(&self, frame: &[u8]) {
        self.from.send(&addressed(frame, self.from.mac, self.gateway)).unwrap();
    }

    /// Sends a frame and looks where it stays.
    pub fn fate(&self, frame: &[u8]) -> Fate {
        self.to.drain();
        let before = self.world.drops();
        self.put(frame);
        let plain = |frame: &[u8]| essence(&addressed(frame, [0; 6], [0; 6]));
        let mut is_it = |seen: &[u8]| plain(seen) == plain(frame);
        for _ in 0..20 {
            if self.to.find(Duration::from_millis(100), &mut is_it).unwrap().is_some() {
                return Fate::Passed;
            }
            let after = self.world.drops();
            let moved = after.iter().find(|(reason, count)| before.get(reason).copied().unwrap_or(0) < **count);
            if let Some((reason, _)) = moved {
                return Fate::Dropped(*reason);
            }
        }
        Fate::Lost
    }
}

fn tools() -> Tools {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    let make = || {
        setup::ensure(Need::Kernel, Report::stdout()).expect("what the lab needs");
        tools::build().expect("the programs")
    };
    TOOLS.get_or_init(make).clone()
}

fn build(tools: &Tools, scratch: &Path, number: u32, options: &[(&str, &str)], policies: &str) -> PathBuf {
    let input = scratch.join(format!("input{number}.yaml"));
    std::fs::write(&input, manifests(options, policies)).unwrap();
    let bundle = scratch.join(format!("bundle{number}"));
    let mut command = Command::new(&tools.ciliumc);
    command.arg("build").arg(&input).arg("--out").arg(&bundle).arg("--lock").arg(scratch.join("lock"));
    process::stdout(&mut command).unwrap();
    bundle
}

fn manifests(options: &[(&str, &str)], policies: &str) -> String {
    let mut text = String::from("apiVersion: v1\nkind: Namespace\nmetadata: {name: t}\n");
    let default =
        [("enable-sctp", "true")].into_iter().filter(|(key, _)| options.iter().all(|(other, _)| other != key));
    let options = default.chain(options.iter().copied());
    let options: Vec<String> = options.map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\n\
         data: {{{}}}\n",
        options.join(", ")
    );
    for (number, last) in [(1, 1), (2, 2)] {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: n{number}}}\nstatus: {{addresses: [{{type: InternalIP, \
             address: 172.18.0.{last}}}, {{type: InternalIP, address: \"fd00:18::{last}\"}}]}}\n"
        );
    }
    for (name, last) in [("cli", 11), ("srv", 10), ("oth", 12)] {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: t, labels: {{app: {name}}}}}\n\
             spec: {{nodeName: n1, containers: [{{name: main}}]}}\n\
             status: {{podIPs: [{{ip: 10.0.1.{last}}}, {{ip: \"fd00:0:0:1::{last}\"}}]}}\n"
        );
    }
    if !policies.trim().is_empty() {
        let _ = write!(text, "---{policies}");
    }
    text
}
