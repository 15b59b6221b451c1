//! Describe: what the node has now.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ciliumc_abi::endpoint::{self, Endpoint as Value};
use ciliumc_abi::names as abi;

use crate::attach::{self, Foreign, Mechanism};
use crate::error::{Context, Error};
use crate::gather::gather;
use crate::names::Hook;
use crate::pins::{ASIDE, PROGRAM, Pins};
use crate::plan::Step;
use crate::state::{self, Current, Documents, Endpoint, Remotes};
use crate::sys::bpf::{self, Layout, Link};
use crate::sys::{files, net, probe, query};

/// Layouts of pinned maps, by name.
pub type Maps = BTreeMap<String, Layout>;

/// A node's pins and records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The node's maps.
    pub node: Maps,
    /// Published classes, by digest.
    pub classes: BTreeMap<String, Maps>,
    /// Loaded programs, by name.
    pub programs: BTreeMap<String, Program>,
    /// Published generations, by number.
    pub generations: BTreeMap<u32, Generation>,
    /// Generations of which there are documents, published or past.
    pub documents: BTreeSet<u32>,
    /// Generations whose objects and tables are stored: endpoints may get them.
    pub stored: BTreeSet<u32>,
    /// The generation in force, and the one before it.
    pub current: Option<Current>,
    /// Addresses of other nodes.
    pub remotes: Remotes,
    /// Endpoints, by number.
    pub endpoints: BTreeMap<u16, Seen>,
    /// What a crash left unfinished.
    pub leftovers: Vec<PathBuf>,
}

/// A loaded program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its maps.
    pub maps: Maps,
    /// Numbers of the endpoints that its slots belong to; 0 for a free one.
    pub slots: Vec<u16>,
    /// Slots from which it may ask the endpoint's other program.
    pub asks: BTreeSet<u32>,
}

impl Program {
    /// Whether a slot belongs to an endpoint.
    pub fn has(&self, number: u32, endpoint: u16) -> bool {
        self.slots.get(number as usize) == Some(&endpoint)
    }
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
    /// What of others sees packets before its programs do; no entry where nobody could tell.
    pub ahead: BTreeMap<Hook, Vec<Foreign>>,
    /// Number of its interface now; `None` when it is gone, or in a namespace that this process may
    /// not enter.
    pub ifindex: Option<u32>,
}

impl Seen {
    /// Whether the program of `hook` judges packets.
    pub fn attached(&self, hook: Hook) -> bool {
        self.links.get(&hook).is_some_and(|link| link.ifindex != 0)
    }

    /// Whether both programs judge packets, and are those that the record is about.
    pub fn as_recorded(&self) -> bool {
        let recorded = |hook| self.record.as_ref().and_then(|record| record.programs.get(&hook));
        let runs = |hook| self.links.get(&hook).filter(|link| link.ifindex != 0).map(|link| &link.prog_id);
        Hook::ALL.into_iter().all(|hook| runs(hook).is_some() && runs(hook) == recorded(hook))
    }

    /// Why it is not under policy although it has a record, and what to do; `None` when both programs judge packets.
    pub fn detached(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        if Hook::ALL.into_iter().all(|hook| self.attached(hook)) {
            return None;
        }
        let (id, name, interface) = (record.id, &record.name, &record.interface);
        let what = match (self.any_attached(), self.ifindex) {
            (true, _) => format!("one of its two programs is not at {interface}; add it again"),
            (false, Some(_)) => format!("nothing judges packets of {interface}; add it again"),
            (false, None) => format!("its interface {interface} is gone; `endpoint del --id {id}` forgets it"),
        };
        Some(format!("endpoint {id} {name}: {what}"))
    }

    /// A sentence for each program of somebody else that sees packets before ours.
    pub fn overtaken(&self) -> Vec<String> {
        let Some(record) = &self.record else { return Vec::new() };
        let all = self.ahead.iter().flat_map(|(hook, ahead)| ahead.iter().map(move |foreign| (*hook, foreign)));
        let sentence = |(hook, foreign): (Hook, &Foreign)| {
            format!(
                "endpoint {} {}: {foreign} stands before {hook} at {}, so what it passes or redirects nobody judges; \
                 remove it, or attach it again behind",
                record.id,
                record.name,
                record.place().named(hook)
            )
        };
        all.map(sentence).collect()
    }

    /// Whether nobody could tell what sees packets before a program of ours.
    pub fn is_blind(&self) -> bool {
        Hook::ALL.into_iter().any(|hook| self.attached(hook) && !self.ahead.contains_key(&hook))
    }

    /// Whether any program judges packets.
    pub fn any_attached(&self) -> bool {
        Hook::ALL.into_iter().any(|hook| self.attached(hook))
    }
}

/// Refuses to go on when this process or kernel cannot do what it takes to change something.
pub fn require_machine(pins: &Pins) -> Result<(), Error> {
    let missing = probe::missing_capability().context(|| "cannot read the capabilities".to_owned())?;
    if let Some(missing) = missing {
        return Err(Error::Machine(format!(
            "this process lacks {missing}; run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
        )));
    }
    require_bpffs(pins)?;
    if !bpf::has_ringbuf() {
        return Err(Error::Machine("the kernel has no BPF ring buffer; Linux 5.13 or later is needed".to_owned()));
    }
    Ok(())
}

/// Refuses to go on where there can be no pins. To look at them takes no capability, only the right to their files: the
/// kernel says it when that is missing.
pub fn require_bpffs(pins: &Pins) -> Result<(), Error> {
    let root = pins.root.display();
    if !probe::on_bpffs(&pins.root).context(|| format!("cannot look at `{root}`"))? {
        return Err(Error::Machine(format!(
            "`{root}` is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf"
        )));
    }
    Ok(())
}

impl Snapshot {
    /// Number of the generation in force.
    pub fn in_force(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.generation)
    }

    /// The records of all endpoints that have one.
    pub fn records(&self) -> BTreeMap<u16, &Endpoint> {
        gather(self.endpoints.iter().filter_map(|(id, seen)| Some((*id, seen.record.as_ref()?))))
    }
}

/// How to attach programs on this kernel.
pub fn mechanism() -> Result<Mechanism, Error> {
    let has_tcx = query::has_tcx().context(|| "cannot ask the kernel for tcx".to_owned())?;
    Ok(if has_tcx { Mechanism::Tcx } else { Mechanism::Clsact })
}

/// Describes the node. Nothing is changed, and nothing has to be there.
pub fn snapshot(pins: &Pins) -> Result<Snapshot, Error> {
    let mut seen = Snapshot { node: maps_in(&pins.node())?, ..Snapshot::default() };
    let folders = [
        pins.node(),
        pins.classes(),
        pins.programs(),
        pins.generations(),
        pins.state.clone(),
        pins.all_documents(),
        pins.endpoint_records(),
    ];
    for folder in folders {
        leftovers(&folder, &mut seen.leftovers)?;
    }
    for digest in names(&pins.classes())? {
        seen.classes.insert(digest.clone(), maps_in(&pins.class(&digest))?);
    }
    for name in names(&pins.programs())? {
        seen.programs.insert(name.clone(), program(pins, &name)?);
    }
    for number in numbers(&pins.generations())? {
        seen.generations.insert(number, generation(pins, number)?);
    }
    seen.documents = numbers(&pins.all_documents())?;
    for number in &seen.documents {
        leftovers(&pins.documents(*number), &mut seen.leftovers)?;
        if pins.files(*number).exists() {
            seen.stored.insert(*number);
        }
    }
    seen.current = state::read(&pins.current())?;
    seen.remotes = state::read(&pins.remotes())?.unwrap_or_default();
    let mut ids = numbers::<u16>(&pins.endpoints())?;
    ids.extend(
        names(&pins.endpoint_records())?.iter().filter_map(|file| file.strip_suffix(".json")?.parse::<u16>().ok()),
    );
    for id in ids {
        leftovers(&pins.endpoint(id), &mut seen.leftovers)?;
        seen.endpoints.insert(id, endpoint(pins, id)?);
    }
    Ok(seen)
}

/// Brings a snapshot up to date behind steps that were taken: what they touched is looked at again, nothing else is.
pub fn refresh(pins: &Pins, seen: &mut Snapshot, steps: &[Step]) -> Result<(), Error> {
    let (mut touched, mut filled) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::RemoveLeftover(path) => seen.leftovers.retain(|left| left != path),
            Step::CreateNodeMap { .. } => seen.node = maps_in(&pins.node())?,
            Step::PublishClass { digest, .. } => {
                seen.classes.insert(digest.clone(), maps_in(&pins.class(digest))?);
            }
            Step::PublishGeneration(publication) => {
                let number = publication.generation.number;
                seen.generations.insert(number, generation(pins, number)?);
                seen.documents.insert(number);
            }
            Step::StoreFiles { generation, .. } => drop(seen.stored.insert(*generation)),
            Step::LoadProgram(load) => {
                seen.programs.insert(load.name.clone(), program(pins, &load.name)?);
            }
            Step::Load(load) => drop(filled.insert(load.slot.program.as_str())),
            Step::Part { slots, .. } => filled.extend(slots.iter().map(|slot| slot.program.as_str())),
            Step::Meet { slots, .. } => filled.extend(slots.values().map(|slot| slot.program.as_str())),
            Step::FreeSlots { program, .. } => drop(filled.insert(program.as_str())),
            Step::RemoveProgram(name) => drop(seen.programs.remove(name)),
            Step::RecordEndpoint(record) => drop(touched.insert(record.id)),
            Step::Attach { place, .. } | Step::Switch { place, .. } => drop(touched.insert(place.endpoint)),
            Step::RemoveEndpoint(id) => {
                touched.remove(id);
                seen.endpoints.remove(id);
            }
            Step::SetRemotes(remotes) => seen.remotes.clone_from(remotes),
            Step::SetCurrent(current) => seen.current = Some(current.clone()),
            Step::RemoveClass(digest) => drop(seen.classes.remove(digest)),
            Step::RemoveGeneration(number) => drop(seen.generations.remove(number)),
            Step::RemoveFiles(number) => drop(seen.stored.remove(number)),
            Step::RemoveDocuments(number) => {
                seen.documents.remove(number);
                seen.stored.remove(number);
            }
            Step::RemoveNode { .. } => *seen = Snapshot::default(),
            Step::LoadDenyAll { .. }
            | Step::Verify(_)
            | Step::Settle
            | Step::SetAddress { .. }
            | Step::ForgetConnections(_) => {}
        }
    }
    for name in filled {
        // One that the same steps removed is gone.
        if let Some(known) = seen.programs.get_mut(name) {
            *known = program(pins, name)?;
        }
    }
    for id in touched {
        seen.endpoints.insert(id, endpoint(pins, id)?);
    }
    Ok(())
}

fn program(pins: &Pins, name: &str) -> Result<Program, Error> {
    let maps = maps_in(&pins.program(name))?;
    if maps.get(abi::ENDPOINTS).is_none_or(|map| map.value_size as usize != endpoint::ENDPOINT_BYTES) {
        // Somebody took the pin away, or another loader made it: whoever is in it gets another one.
        return Ok(Program { maps, ..Program::default() });
    }
    let path = pins.program(name).join(abi::ENDPOINTS);
    let map = crate::maps::open(&path)?;
    let bytes = bpf::array_values(map.as_fd()).context(|| format!("cannot read `{}`", path.display()))?;
    let (slots, _) = bytes.as_chunks::<{ endpoint::ENDPOINT_BYTES }>();
    let slots: Vec<u16> = slots.iter().map(|slot| Value::id_of(slot) as u16).collect();
    let mut asks = BTreeSet::new();
    if maps.contains_key(abi::OPPOSITES) {
        let path = pins.program(name).join(abi::OPPOSITES);
        let map = crate::maps::open(&path)?;
        for (number, _) in (0..).zip(&slots).filter(|(_, id)| **id != 0) {
            let has = bpf::prog_array_has(map.as_fd(), number);
            if has.context(|| format!("cannot read `{}`", path.display()))? {
                asks.insert(number);
            }
        }
    }
    Ok(Program { maps, slots, asks })
}

fn generation(pins: &Pins, number: u32) -> Result<Generation, Error> {
    Ok(Generation { maps: maps_in(&pins.generation(number))?, documents: state::documents(pins, number)? })
}

fn endpoint(pins: &Pins, id: u16) -> Result<Seen, Error> {
    let mut seen = Seen { record: state::read(&pins.endpoint_record(id))?, ..Seen::default() };
    for hook in Hook::ALL {
        let link = match &seen.record {
            Some(record) => attach::find(pins, &record.place(), hook)?,
            None => attach::tcx_link(pins, id, hook)?,
        };
        if let (Some(record), Some(link)) = (&seen.record, link)
            && let Some(ahead) = attach::ahead(&record.place(), hook, link)
        {
            seen.ahead.insert(hook, ahead);
        }
        seen.links.extend(link.map(|link| (hook, link)));
    }
    seen.ifindex = seen.record.as_ref().and_then(|record| match &record.netns {
        None => net::ifindex(&record.interface),
        Some(path) => net::ifindex_in(Path::new(path), &record.interface).ok()?,
    });
    Ok(seen)
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let mut names = files::names(folder).context(|| format!("cannot list `{}`", folder.display()))?;
    names.retain(|name| !name.ends_with(ASIDE));
    Ok(names)
}

fn numbers<N: std::str::FromStr + Ord>(folder: &Path) -> Result<BTreeSet<N>, Error> {
    Ok(gather(names(folder)?.iter().filter_map(|name| name.parse().ok())))
}

fn leftovers(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    let names = files::names(folder).context(|| format!("cannot list `{}`", folder.display()))?;
    into.extend(names.iter().filter(|name| name.ends_with(ASIDE)).map(|name| folder.join(name)));
    Ok(())
}

fn maps_in(folder: &Path) -> Result<Maps, Error> {
    let mut maps = Maps::new();
    for name in names(folder)?.into_iter().filter(|name| name != PROGRAM) {
        let path = folder.join(&name);
        let map = crate::maps::open(&path)?;
        let layout = bpf::map_layout(map.as_fd()).context(|| format!("cannot look at `{}`", path.display()))?;
        maps.insert(name, layout);
    }
    Ok(maps)
}
