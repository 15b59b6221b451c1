//! Describe: what the node has now.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error};
use crate::names::Hook;
use crate::pins::{ASIDE, Pins};
use crate::state::{self, Current, Documents, Endpoint};
use crate::sys::bpf::{self, Layout, Link};
use crate::sys::{files, net, probe};

/// Layouts of pinned maps, by name.
pub type Maps = BTreeMap<String, Layout>;

/// A node's pins and records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The node's maps.
    pub node: Maps,
    /// Published classes, by digest.
    pub classes: BTreeMap<String, Maps>,
    /// Published generations, by number.
    pub generations: BTreeMap<u32, Generation>,
    /// Generations of which there are documents, published or past.
    pub documents: BTreeSet<u32>,
    /// The generation in force.
    pub current: Option<u32>,
    /// Endpoints, by number.
    pub endpoints: BTreeMap<u16, Seen>,
    /// What a crash left unfinished.
    pub leftovers: Vec<PathBuf>,
}

/// A published generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its maps.
    pub maps: Maps,
    /// What the bundle said; `None` when the state was lost.
    pub documents: Option<Documents>,
}

/// An endpoint: pins, record, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its record; `None` when the state was lost.
    pub record: Option<Endpoint>,
    /// Its pinned links.
    pub links: BTreeMap<Hook, Link>,
    /// Number of its interface now; `None` when it is gone or in another namespace.
    pub ifindex: Option<u32>,
}

impl Seen {
    /// Whether the program of `hook` judges packets.
    pub fn attached(&self, hook: Hook) -> bool {
        self.links.get(&hook).is_some_and(|link| link.ifindex != 0)
    }

    /// Whether any program judges packets.
    pub fn any_attached(&self) -> bool {
        Hook::ALL.into_iter().any(|hook| self.attached(hook))
    }
}

/// Refuses to go on when this process or kernel cannot do what the loader needs.
pub fn require_machine(pins: &Pins) -> Result<(), Error> {
    let missing = probe::missing_capability().context(|| "cannot read the capabilities".to_owned())?;
    if let Some(missing) = missing {
        return Err(Error::Machine(format!("this process lacks {missing}; run it as root")));
    }
    let root = pins.root.display();
    if !probe::on_bpffs(&pins.root).context(|| format!("cannot look at `{root}`"))? {
        return Err(Error::Machine(format!(
            "`{root}` is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf"
        )));
    }
    if !bpf::has_tcx().context(|| "cannot ask the kernel for tcx".to_owned())? {
        return Err(Error::Machine("the kernel has no tcx (attach points); Linux 6.6 or later is needed".to_owned()));
    }
    if !bpf::has_ringbuf() {
        return Err(Error::Machine("the kernel has no BPF ring buffer; Linux 6.6 or later is needed".to_owned()));
    }
    Ok(())
}

/// Describes the node. Nothing is changed, and nothing has to be there.
pub fn snapshot(pins: &Pins) -> Result<Snapshot, Error> {
    let mut seen = Snapshot { node: maps_in(&pins.node())?, ..Snapshot::default() };
    for folder in [pins.node(), pins.classes(), pins.generations(), pins.all_documents(), pins.endpoint_records()] {
        leftovers(&folder, &mut seen.leftovers)?;
    }
    for digest in names(&pins.classes())? {
        seen.classes.insert(digest.clone(), maps_in(&pins.class(&digest))?);
    }
    for number in numbers(&pins.generations())? {
        let documents = state::documents(pins, number)?;
        seen.generations.insert(number, Generation { maps: maps_in(&pins.generation(number))?, documents });
    }
    seen.documents = numbers(&pins.all_documents())?;
    seen.current = state::read::<Current>(&pins.current())?.map(|current| current.generation);
    endpoints(pins, &mut seen)?;
    Ok(seen)
}

fn endpoints(pins: &Pins, seen: &mut Snapshot) -> Result<(), Error> {
    for id in numbers::<u16>(&pins.endpoints())? {
        let entry = seen.endpoints.entry(id).or_default();
        leftovers(&pins.endpoint(id), &mut seen.leftovers)?;
        for hook in Hook::ALL {
            let path = pins.link(id, hook);
            let link = match bpf::obj_get(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                link => link.context(|| format!("cannot open the link `{}`", path.display()))?,
            };
            let info = bpf::link_info(link.as_fd()).context(|| format!("cannot look at `{}`", path.display()))?;
            entry.links.insert(hook, info);
        }
    }
    for file in names(&pins.endpoint_records())? {
        let Some(id) = file.strip_suffix(".json").and_then(|id| id.parse::<u16>().ok()) else {
            continue;
        };
        let entry = seen.endpoints.entry(id).or_default();
        entry.record = state::read(&pins.endpoint_record(id))?;
        let here = entry.record.as_ref().filter(|record| record.netns.is_none());
        entry.ifindex = here.and_then(|record| net::ifindex(&record.interface));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let mut names = files::names(folder).context(|| format!("cannot list `{}`", folder.display()))?;
    names.retain(|name| !name.ends_with(ASIDE));
    Ok(names)
}

fn numbers<N: std::str::FromStr + Ord>(folder: &Path) -> Result<BTreeSet<N>, Error> {
    Ok(names(folder)?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn leftovers(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    let names = files::names(folder).context(|| format!("cannot list `{}`", folder.display()))?;
    into.extend(names.iter().filter(|name| name.ends_with(ASIDE)).map(|name| folder.join(name)));
    Ok(())
}

fn maps_in(folder: &Path) -> Result<Maps, Error> {
    let mut maps = Maps::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        let map = crate::maps::open(&path)?;
        let layout = bpf::map_layout(map.as_fd()).context(|| format!("cannot look at `{}`", path.display()))?;
        maps.insert(name, layout);
    }
    Ok(maps)
}
