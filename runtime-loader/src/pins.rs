//! Where things are pinned, and where what bpffs cannot hold is written.
//!
//! ```text
//! ROOT/node/{conntrack4,conntrack6,events,metrics}       once per node
//! ROOT/classes/DIGEST/{id_row,port_class,verdict,actions} once per table file
//! ROOT/generations/N/{ipcache4,ipcache6,identities}      once per published bundle
//! ROOT/programs/NAME/{endpoints,opposites,counters,jump,program} once per program of a generation
//! ROOT/endpoints/ID/{from_container,to_container}        links
//! ROOT/endpoints/ID/{from_container,to_container}_counters while they drop everything
//! STATE/lock  STATE/current.json  STATE/ipcache.json  STATE/endpoints/ID.json  STATE/rcu_expedited
//! STATE/monitor.lock
//! STATE/generations/N/{generation.json,manifest.json,provenance.json,ipcache.bin}
//! STATE/generations/N/files/{objects,tables}/*                of the current and the previous generation
//! ```
//!
//! Names that end in [`ASIDE`] are unfinished: a rename commits them, and a crash leaves them for the next run to
//! remove.

use std::path::{Path, PathBuf};

use crate::names::Hook;

/// End of the name of what is not complete. (bpffs has no dots in names.)
pub const ASIDE: &str = "_tmp";

/// What entries jump through, in the folder of a program.
pub const JUMP: &str = "jump";

/// The program itself, beside its maps: others are told of it by this pin.
pub const PROGRAM: &str = "program";

/// The two folders of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// Folder on bpffs.
    pub root: PathBuf,
    /// Folder on a file system with the same lifetime.
    pub state: PathBuf,
}

impl Pins {
    /// Folder of the node's maps.
    pub fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// Folder of all classes.
    pub fn classes(&self) -> PathBuf {
        self.root.join("classes")
    }

    /// Folder of a class's tables.
    pub fn class(&self, digest: &str) -> PathBuf {
        self.classes().join(digest)
    }

    /// Folder of all generations.
    pub fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    /// Folder of a generation's maps.
    pub fn generation(&self, number: u32) -> PathBuf {
        self.generations().join(number.to_string())
    }

    /// Folder of all programs.
    pub fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// Folder of a program: its maps, and the map through which entries jump to it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Folder of all endpoints.
    pub fn endpoints(&self) -> PathBuf {
        self.root.join("endpoints")
    }

    /// Folder of an endpoint.
    pub fn endpoint(&self, id: u16) -> PathBuf {
        self.endpoints().join(id.to_string())
    }

    /// Link of an endpoint's program.
    pub fn link(&self, id: u16, hook: Hook) -> PathBuf {
        self.endpoint(id).join(hook.program())
    }

    /// Counters of the program that drops everything of an endpoint.
    pub fn counters(&self, id: u16, hook: Hook) -> PathBuf {
        self.endpoint(id).join(format!("{hook}_counters"))
    }

    /// The lock of all commands that change something.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// Which monitor reads the events.
    pub fn monitor_lock(&self) -> PathBuf {
        self.state.join("monitor.lock")
    }

    /// What the kernel's switch for short grace periods was before a command turned it on.
    pub fn expedited(&self) -> PathBuf {
        self.state.join("rcu_expedited")
    }

    /// Which generation is in force.
    pub fn current(&self) -> PathBuf {
        self.state.join("current.json")
    }

    /// Addresses of other nodes.
    pub fn remotes(&self) -> PathBuf {
        self.state.join("ipcache.json")
    }

    /// Folder of the records of endpoints.
    pub fn endpoint_records(&self) -> PathBuf {
        self.state.join("endpoints")
    }

    /// Record of an endpoint.
    pub fn endpoint_record(&self, id: u16) -> PathBuf {
        self.endpoint_records().join(format!("{id}.json"))
    }

    /// Folder of the documents of all generations.
    pub fn all_documents(&self) -> PathBuf {
        self.state.join("generations")
    }

    /// Folder of a generation's documents.
    pub fn documents(&self, number: u32) -> PathBuf {
        self.all_documents().join(number.to_string())
    }

    /// Folder of the objects and tables of a generation that endpoints may still get.
    pub fn files(&self, number: u32) -> PathBuf {
        self.documents(number).join("files")
    }
}

/// The name under which something is made before a rename commits it.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE);
    PathBuf::from(name)
}
