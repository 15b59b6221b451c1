//! Whose an address is, in every published generation: an endpoint of this node, then a pod of another one, then what
//! the bundle says.

use std::net::IpAddr;

use ciliumc_abi::names;

use super::{Scene, Step};
use crate::ipcache;
use crate::labels::Labels;
use crate::observe::{Generation, Snapshot};
use crate::state::{Documents, Remotes};

/// Addresses of other nodes' pods, with their identity indices in a bundle.
pub fn remotes(scene: &Scene<'_>) -> Vec<(IpAddr, u32)> {
    let manifest = &scene.bundle.manifest;
    let index = |labels: &Labels| labels.find(manifest).map_or(0, |identity| identity.index.0);
    scene.snapshot.remotes.iter().map(|(address, remote)| (*address, index(&remote.labels))).collect()
}

/// Gives an address to an identity of this bundle in all published generations, some of which are of other bundles.
pub fn assign(scene: &Scene<'_>, address: IpAddr, index: u32) -> Vec<Step> {
    let labels = scene.bundle.manifest.identities.iter().find(|identity| identity.index.0 == index).map(Labels::of);
    everywhere(scene.snapshot, address, |documents| {
        if documents.generation.bundle == scene.bundle.digest {
            return Some(index);
        }
        Some(labels.as_ref().map_or(0, |labels| documents.index(labels)))
    })
}

/// Takes an address back in every generation.
pub fn withdraw(snapshot: &Snapshot, address: IpAddr) -> Vec<Step> {
    everywhere(snapshot, address, |_| None)
}

/// Sets an address in every generation to what `index` says, or else to what it is without an endpoint.
pub fn everywhere(snapshot: &Snapshot, address: IpAddr, mut index: impl FnMut(&Documents) -> Option<u32>) -> Vec<Step> {
    let step = |(number, seen): (&u32, &Generation)| {
        let documents = seen.documents.as_ref()?;
        let table = if address.is_ipv4() { names::IPCACHE4 } else { names::IPCACHE6 };
        seen.maps.get(table)?;
        let base = base(documents, &snapshot.remotes, address);
        let index = index(documents).map_or(base, |index| documents.manifest.index_at(address, index));
        Some(Step::SetAddress { generation: *number, address, index, base })
    };
    snapshot.generations.iter().filter_map(step).collect()
}

/// What an address is in a generation when no endpoint of this node has it.
pub fn base(documents: &Documents, remotes: &Remotes, address: IpAddr) -> u32 {
    let node = documents.generation.node.as_ref().and_then(|name| documents.manifest.nodes.get(name));
    let own = node.is_some_and(|node| node.addresses.contains(&address));
    match remotes.get(&address) {
        Some(remote) if !own => documents.manifest.index_at(address, documents.index(&remote.labels)),
        _ => ipcache::base(&documents.manifest, &documents.records, node, address),
    }
}
