//! The steps of a plan, each with the line that `--dry-run` prints for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ciliumc_abi::endpoint;
use ciliumc_abi::manifest::Section;

use crate::attach::Place;
use crate::ipcache::Tries;
use crate::names::Hook;
use crate::program::{Binding, Scalars};
use crate::state::{self, Slot};
use crate::sys::bpf::Layout;

/// One thing to do. A step may fail; the ones before it are then undone, as long as no program was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Remove what a crash left unfinished.
    RemoveLeftover(PathBuf),
    /// Create a map of the node.
    CreateNodeMap {
        /// Its name.
        name: String,
        /// Its layout.
        layout: Layout,
    },
    /// Create, fill, freeze and pin the tables of a class direction.
    PublishClass {
        /// Name of the published form.
        digest: String,
        /// Path of the table file.
        file: String,
        /// The tables: name, place in the file, layout.
        tables: Vec<(String, Section, Layout)>,
    },
    /// Write a bundle's documents and create its maps.
    PublishGeneration(Box<Publication>),
    /// Keep the objects and tables of a bundle that endpoints of this node may need.
    StoreFiles {
        /// Generation of the bundle.
        generation: u32,
        /// Their paths in the bundle.
        files: Vec<String>,
    },
    /// Write an endpoint's record.
    RecordEndpoint(state::Endpoint),
    /// Load a program that endpoints share, with its own maps.
    LoadProgram(Box<ProgramLoad>),
    /// Fill a slot of a program, and load the entry that leads an endpoint's packets there.
    Load(Box<Load>),
    /// Load the program that drops everything, with a new map of counters.
    LoadDenyAll {
        /// Endpoint.
        endpoint: u16,
        /// Its name.
        name: String,
        /// Which program.
        hook: Hook,
    },
    /// Attach a loaded program.
    Attach {
        /// Where.
        place: Place,
        /// Which program.
        hook: Hook,
    },
    /// Put a loaded program in the place of the one that runs.
    Switch {
        /// Where.
        place: Place,
        /// Which program.
        hook: Hook,
        /// The program that must run until then.
        from: u32,
    },
    /// Make the programs of an endpoint strangers, since they are about to be replaced: one by the other would judge by
    /// a policy that is half in force.
    Part {
        /// Endpoint.
        endpoint: u16,
        /// Its slots until then.
        slots: Vec<Slot>,
    },
    /// Let the programs of an endpoint ask each other about replies to older flows: both are in force.
    Meet {
        /// Endpoint.
        endpoint: u16,
        /// Its slots.
        slots: BTreeMap<Hook, Slot>,
    },
    /// See that both programs of these endpoints are the ones that were just put there.
    Verify(Vec<u16>),
    /// Write down who has the addresses of other nodes.
    SetRemotes(state::Remotes),
    /// Say whose an address is.
    SetAddress {
        /// Generation whose table is changed.
        generation: u32,
        /// The address.
        address: IpAddr,
        /// Identity index.
        index: u32,
        /// Identity index without the endpoint.
        base: u32,
    },
    /// Remove the conntrack entries of an address of this node.
    ForgetConnections(IpAddr),
    /// Say which generation new endpoints get.
    SetCurrent(state::Current),
    /// Detach an endpoint's programs and remove its pins and record.
    RemoveEndpoint(u16),
    /// Wait until no packet is in a program that was replaced.
    Settle,
    /// Free slots of a program that no entry leads to.
    FreeSlots {
        /// The program.
        program: String,
        /// The slots.
        slots: Vec<u32>,
    },
    /// Remove a program that no entry leads to.
    RemoveProgram(String),
    /// Remove a class that no program uses.
    RemoveClass(String),
    /// Remove the maps of a generation that no program uses.
    RemoveGeneration(u32),
    /// Remove the objects and tables of a generation that no endpoint can get any more.
    RemoveFiles(u32),
    /// Remove the documents of a generation that no event can name any more.
    RemoveDocuments(u32),
    /// Remove the node's maps, and what is left of the loader's folders.
    RemoveNode {
        /// Folders, in order.
        folders: Vec<PathBuf>,
    },
}

/// A generation to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What it is.
    pub generation: state::Generation,
    /// Its maps.
    pub maps: Vec<(String, Layout)>,
    /// Contents of its tries.
    pub tries: Tries,
    /// Numeric identity by index.
    pub identities: Vec<u32>,
}

/// A program to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramLoad {
    /// Its name on this node.
    pub name: String,
    /// Which program of the object.
    pub hook: Hook,
    /// Path of the object.
    pub object: String,
    /// Its values.
    pub scalars: Scalars,
    /// How many endpoints it can serve.
    pub slots: u32,
    /// Its own maps.
    pub maps: Vec<(String, Layout)>,
    /// The pins of all its maps; its own ones are made aside.
    pub bindings: Vec<Binding>,
}

/// A slot to fill, and the entry of an endpoint to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Endpoint.
    pub endpoint: u16,
    /// Its name.
    pub name: String,
    /// Where the entry will be attached.
    pub hook: Hook,
    /// The slot.
    pub slot: Slot,
    /// What is written there.
    pub value: endpoint::Endpoint,
    /// How many counters the slot has, which begin at zero.
    pub counters: u32,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveLeftover(path) => write!(f, "remove unfinished {}", path.display()),
            Self::CreateNodeMap { name, layout } => {
                write!(f, "create node map {name} with {} entries", layout.max_entries)
            }
            Self::PublishClass { digest, file, tables } => {
                write!(f, "publish class {digest} from {file}:")?;
                for (name, section, _) in tables {
                    write!(f, " {name}[{}]", section.entries)?;
                }
                Ok(())
            }
            Self::PublishGeneration(publication) => {
                let generation = &publication.generation;
                write!(f, "publish generation {} of bundle {}", generation.number, short(&generation.bundle))?;
                if let Some(node) = &generation.node {
                    write!(f, " as node {node}")?;
                }
                for (at, (name, layout)) in publication.maps.iter().enumerate() {
                    write!(f, "{} {name}[{}]", if at == 0 { ":" } else { "" }, layout.max_entries)?;
                }
                Ok(())
            }
            Self::StoreFiles { generation, files } => {
                write!(f, "store {} objects and tables of generation {generation}", files.len())
            }
            Self::RecordEndpoint(endpoint) => {
                write!(f, "record endpoint {} {} on {}", endpoint.id, endpoint.name, endpoint.interface)?;
                write!(f, " in generation {}", endpoint.generation)
            }
            Self::LoadProgram(load) => {
                write!(f, "load program {} from {} with {} slots", load.name, load.object, load.slots)
            }
            Self::Load(load) => {
                let Slot { program, number } = &load.slot;
                write!(f, "load {} of endpoint {} {}: slot {number} of {program}", load.hook, load.endpoint, load.name)
            }
            Self::LoadDenyAll { endpoint, name, hook } => {
                write!(f, "load {hook} of endpoint {endpoint} {name}: deny-all")
            }
            Self::Attach { place, hook } => {
                let (endpoint, interface) = (place.endpoint, &place.interface);
                let (mechanism, side) = (place.mechanism, hook.side());
                write!(f, "attach {hook} of endpoint {endpoint} to {interface}, {mechanism} {side}")
            }
            Self::Switch { place, hook, from } => {
                write!(f, "replace {hook} of endpoint {} (program {from})", place.endpoint)
            }
            Self::Part { endpoint, .. } => {
                write!(f, "let replies of endpoint {endpoint} pass while its programs change")
            }
            Self::Meet { endpoint, .. } => write!(f, "judge replies of endpoint {endpoint} by its new programs"),
            Self::Verify(endpoints) => write!(f, "verify the programs of {} endpoints", endpoints.len()),
            Self::SetRemotes(remotes) => write!(f, "record {} addresses of other nodes", remotes.len()),
            Self::SetAddress { generation, address, index, base: _ } => {
                write!(f, "set {address} to identity index {index} in generation {generation}")
            }
            Self::ForgetConnections(address) => write!(f, "forget connections of {address}"),
            Self::SetCurrent(current) => {
                write!(f, "make generation {} the current one", current.generation)?;
                current.previous.map_or(Ok(()), |previous| write!(f, ", {previous} the previous one"))
            }
            Self::RemoveEndpoint(id) => write!(f, "detach and remove endpoint {id}"),
            Self::Settle => write!(f, "wait until no packet is in a program that was replaced"),
            Self::FreeSlots { program, slots } => write!(f, "free {} slots of {program}", slots.len()),
            Self::RemoveProgram(name) => write!(f, "remove program {name}"),
            Self::RemoveClass(digest) => write!(f, "remove class {digest}"),
            Self::RemoveGeneration(number) => write!(f, "remove the maps of generation {number}"),
            Self::RemoveFiles(number) => write!(f, "remove the objects and tables of generation {number}"),
            Self::RemoveDocuments(number) => {
                write!(f, "remove the documents of generation {number}")
            }
            Self::RemoveNode { folders } => {
                write!(f, "remove")?;
                folders.iter().try_for_each(|folder| write!(f, " {}", folder.display()))
            }
        }
    }
}

/// A digest, short enough for a line.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
