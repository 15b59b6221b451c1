//! Compare: which steps lead from what the node has to what was asked. Pure.
//!
//! In: a checked bundle, a [`Snapshot`], a request. Out: a [`Plan`] that `--dry-run` prints and `reconcile` takes.
//!
//! **Order:** the node's maps, classes, the generation, all programs, slots, then attaching and replacing, then
//! addresses; nothing is removed before nothing uses it.

mod add;
mod addresses;
mod apply;
mod del;
mod garbage;
mod programs;
mod publish;
mod remote;
pub mod step;
mod who;

use ciliumc_abi::manifest::{Manifest, Node};

pub use add::{AddRequest, add};
pub use apply::apply;
pub use del::{Which, del};
pub use garbage::unload;
pub use remote::{Change, remotes};
pub use step::{Load, ProgramLoad, Publication, Step};

use crate::bundle::Bundle;
use crate::error::Error;
use crate::observe::Snapshot;
use crate::pins::Pins;

/// Steps in order, and what the user should know besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub steps: Vec<Step>,
    /// Sentences about endpoints that are left as they are.
    pub notes: Vec<String>,
    /// Why the request is refused, although there is something to do: an unknown endpoint is cut off.
    pub refused: Option<String>,
}

impl Plan {
    /// Whether more than one endpoint is attached or detached: each waits for grace periods of the kernel.
    pub fn moves_several(&self) -> bool {
        let mut moved = self.steps.iter().filter_map(|step| match step {
            Step::Attach { place, .. } => Some(place.endpoint),
            Step::RemoveEndpoint(id) => Some(*id),
            _ => None,
        });
        let first = moved.next();
        moved.any(|other| Some(other) != first)
    }
}

/// What all plans start from.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Where things are pinned.
    pub pins: &'a Pins,
    /// The bundle.
    pub bundle: &'a Bundle,
    /// Name of this node in the bundle; `None` when the bundle has no nodes.
    pub node: Option<&'a str>,
    /// What there is.
    pub snapshot: &'a Snapshot,
}

impl<'a> Scene<'a> {
    /// This node in the bundle.
    fn node(&self) -> Option<&'a Node> {
        self.node.and_then(|name| self.bundle.manifest.nodes.get(name))
    }

    /// The published generation whose bundle this is.
    fn is_in_force(&self) -> bool {
        self.snapshot.current.is_none() || self.snapshot.in_force() == publish::published(self)
    }

    /// Variant of the classes that apply here.
    fn variant(&self) -> u32 {
        self.node().map_or(0, |node| node.variant)
    }
}

/// Which node of the bundle this is: the one asked for, or the only one.
pub fn choose_node(manifest: &Manifest, asked: Option<&str>) -> Result<Option<String>, Error> {
    let names = || manifest.nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut nodes = manifest.nodes.keys();
    match (asked, nodes.next(), nodes.next()) {
        // A bundle without nodes has one plain variant: right everywhere.
        (_, None, _) => Ok(None),
        (Some(asked), _, _) if manifest.nodes.contains_key(asked) => Ok(Some(asked.to_owned())),
        (Some(asked), _, _) => Err(Error::Refused(format!("the bundle has no node `{asked}`; it has {}", names()))),
        (None, Some(only), None) => Ok(Some(only.clone())),
        (None, Some(_), Some(_)) => {
            Err(Error::Usage(format!("which node is this? use --node with one of {}", names())))
        }
    }
}

#[cfg(test)]
mod tests;
