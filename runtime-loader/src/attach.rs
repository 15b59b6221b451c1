//! Putting a program where an endpoint's packets pass: tcx, or clsact on kernels before 6.6.
//!
//! A tcx link is pinned, lives without its interface's namespace, and is replaced by compare and swap (with
//! CAP_SYS_ADMIN). A clsact filter lives with the interface: it is found and replaced over netlink, in the interface's
//! namespace, atomically for packets; that the program is still the expected one is looked at just before. Neither is
//! ever detached to be replaced.
//!
//! Ours goes before all others, and somebody else may do the same later: [`ahead`] sees it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error};
use crate::names::Hook;
use crate::pins::Pins;
use crate::sys::bpf::{self, Link};
use crate::sys::{files, net, query, tc};

/// The two mechanisms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Links at the interface, Linux 6.6 and later.
    #[default]
    Tcx,
    /// Filters of the clsact qdisc.
    Clsact,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

/// The host side of an endpoint's veth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The endpoint.
    pub endpoint: u16,
    /// How its programs are attached.
    pub mechanism: Mechanism,
    /// The interface, for the reader.
    pub interface: String,
    /// The interface, for the kernel.
    pub ifindex: u32,
    /// Its namespace, when that is not the loader's own.
    pub netns: Option<String>,
}

impl Place {
    fn filter_name(&self, hook: Hook) -> String {
        format!("ciliumc:{}:{hook}", self.endpoint)
    }

    /// The interface and the side of it.
    pub fn named(&self, hook: Hook) -> String {
        format!("{} ({} {})", self.interface, self.mechanism, hook.side())
    }

    /// Runs `work` in the interface's namespace.
    fn inside<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.netns {
            None => work(),
            Some(path) => net::in_netns(Path::new(path), work)?,
        }
    }

    /// Our filter, and the error when the place is taken by another.
    fn filter(&self, hook: Hook) -> Result<Option<tc::Filter>, Error> {
        let found = self.inside(|| tc::find(self.ifindex, parent(hook)));
        let found = found.context(|| format!("cannot look at the filters of {}", self.named(hook)))?;
        match found {
            Some(filter) if filter.name != self.filter_name(hook) => Err(Error::Refused(format!(
                "{} has a filter `{}` at priority 1, handle 1, which is not of this endpoint; remove it with `tc filter \
                 del`, or move it to another priority",
                self.named(hook),
                filter.name
            ))),
            found => Ok(found),
        }
    }
}

/// The link of an endpoint's tcx program, `None` when there is no pin.
pub fn tcx_link(pins: &Pins, endpoint: u16, hook: Hook) -> Result<Option<Link>, Error> {
    let path = pins.link(endpoint, hook);
    let link = match bpf::obj_get(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        link => link.context(|| format!("cannot open the link `{}`", path.display()))?,
    };
    bpf::link_info(link.as_fd()).context(|| format!("cannot look at `{}`", path.display())).map(Some)
}

/// What judges the packets of a place now. A clsact filter of somebody else, or in a namespace that is gone, is
/// nothing.
pub fn find(pins: &Pins, place: &Place, hook: Hook) -> Result<Option<Link>, Error> {
    match place.mechanism {
        Mechanism::Tcx => tcx_link(pins, place.endpoint, hook),
        Mechanism::Clsact => {
            let found = place.inside(|| tc::find(place.ifindex, parent(hook)));
            let found = match found {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                found => found.context(|| format!("cannot look at the filters of {}", place.named(hook)))?,
            };
            let ours = found.filter(|filter| filter.name == place.filter_name(hook));
            Ok(ours.map(|filter| Link { ifindex: place.ifindex, prog_id: filter.prog_id }))
        }
    }
}

/// A program or filter of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Kernel id of the program; 0 for a filter that is no program.
    pub program: u32,
    /// What its owner calls it, or the kind of the filter; empty where nobody may tell (it takes CAP_SYS_ADMIN).
    pub name: String,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { program: 0, name } => write!(f, "filter `{name}`"),
            Self { program, name } => write!(f, "program {program} `{name}`"),
        }
    }
}

/// What of others sees packets before our program does, and so may let them pass or send them elsewhere unseen. `None`
/// where nobody can tell: it takes CAP_NET_ADMIN, and CAP_SYS_ADMIN in another namespace.
pub fn ahead(place: &Place, hook: Hook, ours: Link) -> Option<Vec<Foreign>> {
    let look = || {
        let mut tcx = match query::tcx_programs(ours.ifindex, hook.attach_type()) {
            // A kernel without tcx.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Vec::new(),
            tcx => tcx?,
        };
        // All of tcx comes before any filter.
        if place.mechanism == Mechanism::Tcx {
            // Another interface with this number: ours went to another namespace.
            let at = tcx.iter().position(|id| *id == ours.prog_id).ok_or(io::ErrorKind::NotFound)?;
            tcx.truncate(at);
        }
        let named = |program: u32| Foreign { program, name: bpf::prog_name(program).unwrap_or_default() };
        let mut found: Vec<_> = tcx.into_iter().map(named).collect();
        if place.mechanism == Mechanism::Clsact {
            let filters = tc::ahead(ours.ifindex, parent(hook))?.into_iter();
            found.extend(filters.map(|filter| Foreign { program: filter.prog_id, name: filter.name }));
        }
        Ok(found)
    };
    if ours.ifindex == 0 { None } else { place.inside(look).ok() }
}

/// Attaches a program where none of this endpoint is.
pub fn attach(pins: &Pins, place: &Place, hook: Hook, program: BorrowedFd<'_>) -> Result<(), Error> {
    let cannot = || format!("cannot attach {hook} to {}", place.named(hook));
    match place.mechanism {
        Mechanism::Tcx => {
            let path = pins.link(place.endpoint, hook);
            // A link whose interface went away.
            files::remove(&path).context(|| format!("cannot remove `{}`", path.display()))?;
            // Numbers of interfaces are those of a namespace: elsewhere this one may be another interface's.
            let link = place.inside(|| bpf::tcx_attach(program, place.ifindex, hook.attach_type())).context(cannot)?;
            bpf::obj_pin(link.as_fd(), &path).context(|| format!("cannot pin the link `{}`", path.display()))
        }
        Mechanism::Clsact => {
            place.inside(|| tc::ensure_qdisc(place.ifindex)).context(cannot)?;
            place.filter(hook)?;
            let name = place.filter_name(hook);
            place.inside(|| tc::replace(place.ifindex, parent(hook), program, &name)).context(cannot)
        }
    }
}

/// Puts a program in the place of the one that must run until then.
pub fn replace(pins: &Pins, place: &Place, hook: Hook, program: BorrowedFd<'_>, from: u32) -> Result<(), Error> {
    let endpoint = place.endpoint;
    let changed =
        || format!("cannot replace {hook} of endpoint {endpoint}: somebody else may have replaced program {from}");
    match place.mechanism {
        Mechanism::Tcx => {
            let path = pins.link(endpoint, hook);
            let link = bpf::obj_get(&path).context(|| format!("cannot open the link `{}`", path.display()))?;
            match bpf::prog_by_id(from) {
                Ok(old) => bpf::link_update(link.as_fd(), program, Some(old.as_fd())).context(changed),
                // Programs by number are for CAP_SYS_ADMIN. Without it the kernel does not compare; all who keep to the
                // lock wait, and anybody else is looked for just before.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let now = bpf::link_info(link.as_fd()).context(changed)?;
                    if now.prog_id != from {
                        return Err(Error::Machine(changed()));
                    }
                    bpf::link_update(link.as_fd(), program, None).context(changed)
                }
                Err(error) => Err(error).context(|| format!("cannot open program {from} of endpoint {endpoint}")),
            }
        }
        Mechanism::Clsact => {
            let found = place.filter(hook)?;
            if found.is_none_or(|filter| filter.prog_id != from) {
                return Err(Error::Machine(changed()));
            }
            let name = place.filter_name(hook);
            place.inside(|| tc::replace(place.ifindex, parent(hook), program, &name)).context(changed)
        }
    }
}

/// Takes a program off its interface.
pub fn detach(pins: &Pins, place: &Place, hook: Hook) -> Result<(), Error> {
    match place.mechanism {
        Mechanism::Tcx => detach_tcx(pins, place.endpoint, hook),
        Mechanism::Clsact => {
            if find(pins, place, hook)?.is_none() {
                return Ok(());
            }
            let remove =
                || tc::remove(place.ifindex, parent(hook)).and_then(|()| tc::remove_empty_qdisc(place.ifindex));
            place.inside(remove).context(|| format!("cannot detach {hook} from {}", place.named(hook)))
        }
    }
}

/// Takes a pinned program off its interface, and the pin away.
pub fn detach_tcx(pins: &Pins, endpoint: u16, hook: Hook) -> Result<(), Error> {
    let path = pins.link(endpoint, hook);
    match bpf::obj_get(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        link => {
            let link = link.context(|| format!("cannot open the link `{}`", path.display()))?;
            bpf::link_detach(link.as_fd()).context(|| format!("cannot detach `{}`", path.display()))?;
        }
    }
    files::remove(&path).context(|| format!("cannot remove `{}`", path.display()))
}

fn parent(hook: Hook) -> u32 {
    match hook {
        Hook::FromContainer => tc::INGRESS,
        Hook::ToContainer => tc::EGRESS,
    }
}
