//! A node, its pods and the world outside, as namespaces; with a bundle loaded on the node.
//!
//! Each pod and each outside address is a namespace with one interface `eth0` and a default route to the node, which
//! forwards. Addresses of pods and node come from the bundle's manifest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ciliumc_abi::manifest::{MANIFEST_FILE, Manifest};

use crate::error::{Error, Result};
use crate::flow::Place;
use crate::netns::{self, Netns};
use crate::process;
use crate::setup::BPFFS;
use crate::tools::Tools;
use crate::wire::Tap;

/// A wired lab. Dropping it unloads the bundle and removes every namespace.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    tools: Tools,
    bundle: PathBuf,
    /// The node of the pods, when the input named one.
    node_name: Option<String>,
    /// First, so that what is loaded goes before the namespaces do.
    loaded: Loaded,
    node: Site,
    sites: BTreeMap<Place, Site>,
}

/// One namespace with its addresses.
#[derive(Debug)]
struct Site {
    netns: Netns,
    addresses: Vec<IpAddr>,
    /// Interface on the node that leads here; none for the node itself.
    interface: String,
}

/// Pins and state of the loader in this lab.
#[derive(Debug)]
struct Loaded {
    loader: PathBuf,
    pins: PathBuf,
    state: PathBuf,
}

impl Lab {
    /// Wires the pods of `bundle` that have addresses, and `outside`. `kind` is a word in the names of namespaces and
    /// pins; leftovers of ended processes with the same word are removed first.
    pub fn wire(kind: &str, number: u32, tools: &Tools, bundle: &Path, outside: &[IpAddr]) -> Result<Self> {
        let stem = format!("ciliumc-{kind}-");
        sweep(&stem);
        let manifest = read_manifest(bundle)?;
        let prefix = format!("{stem}{}-{number}", std::process::id());
        let loaded = Loaded {
            loader: tools.loader.clone(),
            pins: Path::new(BPFFS).join(&prefix),
            state: std::env::temp_dir().join(&prefix),
        };
        std::fs::create_dir_all(&loaded.state).map_err(|e| Error::io("make", &loaded.state, &e))?;
        let (node_name, addresses) = node_of(&manifest)?;
        let netns = Netns::create(format!("{prefix}-node"))?;
        let node = Site { netns, addresses, interface: String::new() };
        let lab = Lab {
            prefix,
            tools: tools.clone(),
            bundle: bundle.to_owned(),
            node_name,
            loaded,
            node,
            sites: BTreeMap::new(),
        };
        lab.furnish(&manifest, outside)
    }

    fn furnish(mut self, manifest: &Manifest, outside: &[IpAddr]) -> Result<Self> {
        let local = |address: &IpAddr| match address {
            IpAddr::V4(_) => format!("address add {address}/32 dev lo"),
            IpAddr::V6(_) => format!("address add {address}/128 dev lo nodad"),
        };
        self.node.netns.ip(&self.node.addresses.iter().map(local).collect::<Vec<_>>())?;
        self.node.netns.sysctl("ipv4/ip_forward", "1")?;
        self.node.netns.sysctl("ipv6/conf/all/forwarding", "1")?;
        for (name, endpoint) in &manifest.endpoints {
            if !endpoint.addresses.is_empty() && endpoint.node == self.node_name {
                self.connect(Place::Pod(name.clone()), endpoint.addresses.clone())?;
            }
        }
        for &address in outside {
            self.connect(Place::Outside(address), vec![address])?;
        }
        Ok(self)
    }

    /// A namespace, a cable to it, addresses and routes at both ends.
    fn connect(&mut self, place: Place, addresses: Vec<IpAddr>) -> Result<()> {
        process::check()?;
        let number = self.sites.len();
        let interface = format!("lxc{number}");
        let netns = Netns::create(format!("{}-{number}", self.prefix))?;
        let node = |ipv6: bool| self.node.addresses.iter().find(|a| a.is_ipv6() == ipv6);
        let mut near = vec![
            format!("link add {interface} type veth peer name eth0 netns {}", netns.name()),
            format!("link set {interface} up"),
        ];
        let mut far = vec!["link set eth0 up".to_owned()];
        if let Some(gateway) = node(true) {
            // A node answers neighbour solicitations only for addresses of the interface that they come in on.
            near.push(format!("address add {gateway}/128 dev {interface} nodad"));
        }
        for address in &addresses {
            let ipv6 = address.is_ipv6();
            let (bits, any, flag) = if ipv6 { (128, "::/0", " nodad") } else { (32, "0.0.0.0/0", "") };
            let Some(gateway) = node(ipv6) else {
                return Err(Error::Failed(format!(
                    "{place} has {address}, but its node has no address of that family"
                )));
            };
            near.push(format!("route add {address}/{bits} dev {interface} src {gateway}"));
            far.push(format!("address add {address}/{bits} dev eth0{flag}"));
            far.push(format!("route add {gateway}/{bits} dev eth0"));
            far.push(format!("route add {any} via {gateway} dev eth0 src {address}"));
        }
        self.node.netns.ip(&near)?;
        netns.ip(&far)?;
        self.sites.insert(place, Site { netns, addresses, interface });
        Ok(())
    }

    /// Attaches every pod's programs. Until then the lab forwards everything.
    pub fn attach(&self) -> Result<()> {
        for (place, site) in &self.sites {
            let Place::Pod(name) = place else { continue };
            let mut command = self.loader(&["endpoint", "add"]);
            command.arg("--bundle").arg(&self.bundle).args(["--endpoint", name, "--interface", &site.interface]);
            if let Some(node) = &self.node_name {
                command.args(["--node", node]);
            }
            self.node.netns.within(|| process::stdout(&mut command))??;
        }
        Ok(())
    }

    /// Forgets every neighbour, so that ARP and neighbour discovery happen again, now under the programs' eyes.
    pub fn forget_neighbours(&self) -> Result<()> {
        let flush = ["neigh flush all".to_owned()];
        self.sites.values().chain([&self.node]).try_for_each(|site| site.netns.ip(&flush))
    }

    /// Starts `ciliumc-loader monitor` on the node, its standard output piped.
    pub fn monitor(&self) -> Result<process::Guard> {
        let mut command = self.loader(&["monitor"]);
        command.stdout(std::process::Stdio::piped());
        self.node.netns.within(|| process::Guard::spawn(&mut command))?
    }

    /// Runs the loader on the node and returns what it prints.
    pub fn load(&self, words: &[&str]) -> Result<String> {
        let mut command = self.loader(words);
        self.node.netns.within(|| process::stdout(&mut command))?
    }

    /// Moves the node to another bundle.
    pub fn apply(&self, bundle: &Path) -> Result<()> {
        let mut command = self.loader(&["apply"]);
        command.arg("--bundle").arg(bundle);
        if let Some(node) = &self.node_name {
            command.args(["--node", node]);
        }
        self.node.netns.within(|| process::stdout(&mut command))?.map(drop)
    }

    /// Puts `far` behind the outside place `router`, over a link whose packets have at most `mtu` bytes.
    pub fn hop(&mut self, router: IpAddr, far: IpAddr, mtu: u32) -> Result<()> {
        let (bits, any, flag) = if far.is_ipv6() { (128, "::/0", " nodad") } else { (32, "0.0.0.0/0", "") };
        let site = self.site(&Place::Outside(router))?;
        let netns = Netns::create(format!("{}-{}", self.prefix, self.sites.len()))?;
        site.netns.sysctl("ipv4/ip_forward", "1")?;
        site.netns.sysctl("ipv6/conf/all/forwarding", "1")?;
        let mut near = vec![
            format!("link add far0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}", netns.name()),
            "link set far0 up".to_owned(),
            format!("route add {far}/{bits} dev far0"),
        ];
        if far.is_ipv6() {
            near.push(format!("address add {router}/128 dev far0 nodad"));
        }
        site.netns.ip(&near)?;
        netns.ip(&[
            "link set eth0 up".to_owned(),
            format!("address add {far}/{bits} dev eth0{flag}"),
            format!("route add {router}/{bits} dev eth0"),
            // It does not know how narrow its own cable is, and so nobody is told when the connection opens.
            format!("route add {any} via {router} dev eth0 src {far} advmss 1440"),
        ])?;
        let interface = site.interface.clone();
        self.node.netns.ip(&[format!("route add {far}/{bits} via {router} dev {interface}")])?;
        self.sites.insert(Place::Outside(far), Site { netns, addresses: vec![far], interface });
        Ok(())
    }

    /// The place's end of its cable.
    pub fn tap(&self, place: &Place) -> Result<Tap> {
        let failed = |e: std::io::Error| Error::Machine(format!("cannot open a packet socket at {place}: {e}"));
        self.netns(place)?.within(|| Tap::open("eth0"))?.map_err(failed)
    }

    /// The node's end of a place's cable.
    pub fn near_tap(&self, place: &Place) -> Result<Tap> {
        let failed = |e: std::io::Error| Error::Machine(format!("cannot open a packet socket before {place}: {e}"));
        let interface = &self.site(place)?.interface;
        self.node.netns.within(|| Tap::open(interface))?.map_err(failed)
    }

    fn loader(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.tools.loader);
        command.args(words).arg("--root").arg(&self.loaded.pins).arg("--state-dir").arg(&self.loaded.state);
        command
    }

    /// The node's end of a place's cable; empty for the node.
    pub fn interface(&self, place: &Place) -> Result<&str> {
        Ok(&self.site(place)?.interface)
    }

    /// The namespace of a place.
    pub fn netns(&self, place: &Place) -> Result<&Netns> {
        Ok(&self.site(place)?.netns)
    }

    /// The address of a place in one family.
    pub fn address(&self, place: &Place, ipv6: bool) -> Result<IpAddr> {
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        let found = self.site(place)?.addresses.iter().find(|a| a.is_ipv6() == ipv6);
        found.copied().ok_or_else(|| Error::Failed(format!("{place} has no {family} address")))
    }

    fn site(&self, place: &Place) -> Result<&Site> {
        match place {
            Place::Host => Ok(&self.node),
            Place::Pod(_) | Place::Outside(_) => {
                self.sites.get(place).ok_or_else(|| Error::Failed(format!("{place} is not in the lab")))
            }
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // Not through `process`: a clean-up after an interrupt must not be interrupted. What the loader does not
        // remove (it may be what failed) goes with the folder.
        let mut unload = Command::new(&self.loader);
        let _ = unload.arg("unload").arg("--root").arg(&self.pins).arg("--state-dir").arg(&self.state).output();
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// Removes what ended processes left under `stem`.
fn sweep(stem: &str) {
    netns::sweep(stem);
    for folder in [PathBuf::from(BPFFS), std::env::temp_dir()] {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix(stem).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
                // The next run tries again.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn read_manifest(bundle: &Path) -> Result<Manifest> {
    let path = bundle.join(MANIFEST_FILE);
    let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    serde_json::from_slice(&text).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))
}

/// The node that the first pod runs on, with its addresses.
fn node_of(manifest: &Manifest) -> Result<(Option<String>, Vec<IpAddr>)> {
    let mut pods = manifest.endpoints.values().filter(|e| !e.addresses.is_empty());
    let name = pods.next().and_then(|e| e.node.clone());
    let node = name.as_ref().and_then(|name| manifest.nodes.get(name));
    match node {
        Some(node) => Ok((name, node.addresses.clone())),
        None => Err(Error::Failed("the input has no pod with an address on a node that it describes".to_owned())),
    }
}
