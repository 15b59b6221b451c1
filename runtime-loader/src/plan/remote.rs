//! The plan of `ipcache upsert` and `ipcache delete`: who has an address of another node.
//!
//! Every identity of the bundle has its row in every class, so an address is the last of the ordered stores and the
//! only one. What is said is written down before, what is taken back is struck out behind: who was killed in between
//! can say the same again, and a new generation is published with what is written down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ciliumc_abi::identity::reserved;
use ciliumc_abi::manifest::Identity;

use super::{Plan, Scene, Step, addresses};
use crate::error::Error;
use crate::gather::gather;
use crate::labels::Labels;
use crate::state::{Endpoint, Remote, Remotes};

/// One change of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It belongs to the identity of this number in Cilium's encoding.
    Identity(IpAddr, u32),
    /// It belongs to whoever has these labels.
    Labels(IpAddr, Labels),
    /// It is again what the bundle says.
    Delete(IpAddr),
}

impl Change {
    /// The address.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Identity(address, _) | Self::Labels(address, _) | Self::Delete(address) => *address,
        }
    }
}

/// Takes all changes or, when one is refused, none.
pub fn remotes(scene: &Scene<'_>, changes: &[Change]) -> Result<Plan, Error> {
    let snapshot = scene.snapshot;
    let records = snapshot.records();
    let owners = records.values().flat_map(|record| record.addresses.iter().map(|address| (*address, *record)));
    let numbers = scene.bundle.manifest.identities.iter().map(|identity| (identity.identity.0, identity));
    let ctx = Ctx { scene, owners: gather(owners), numbers: gather(numbers) };
    let mut remotes = snapshot.remotes.clone();
    // What is written down while addresses change: with what is new, and with what is still to be taken back.
    let mut meanwhile = remotes.clone();
    for change in changes {
        let address = change.address();
        match ctx.remote(change)? {
            Some(remote) => {
                meanwhile.insert(address, remote.clone());
                remotes.insert(address, remote);
            }
            None if remotes.remove(&address).is_some() => {}
            None => {
                let why = format!("nobody said who has {address}; `ipcache list` shows what was said");
                return Err(Error::Refused(why));
            }
        }
    }
    let mut plan = Plan::default();
    if meanwhile != snapshot.remotes {
        plan.steps.push(Step::SetRemotes(meanwhile.clone()));
    }
    let nobody = Remotes::new();
    // Many addresses have the same labels, and finding those reads all identities.
    let mut known = BTreeMap::new();
    for address in changes.iter().map(Change::address).filter(|address| !ctx.owners.contains_key(address)) {
        plan.steps.extend(addresses::everywhere(snapshot, address, |documents| match remotes.get(&address) {
            None => Some(addresses::base(documents, &nobody, address)),
            Some(remote) => {
                let key = (documents.generation.number, &remote.labels);
                Some(*known.entry(key).or_insert_with(|| documents.index(&remote.labels)))
            }
        }));
    }
    if remotes != meanwhile {
        plan.steps.push(Step::SetRemotes(remotes));
    }
    Ok(plan)
}

struct Ctx<'a> {
    scene: &'a Scene<'a>,
    owners: BTreeMap<IpAddr, &'a Endpoint>,
    numbers: BTreeMap<u32, &'a Identity>,
}

impl Ctx<'_> {
    /// What is to be remembered of an address; `None` for nothing.
    fn remote(&self, change: &Change) -> Result<Option<Remote>, Error> {
        let address = change.address();
        let refused = |why: String| Error::Refused(format!("{address}: {why}"));
        let unknown = |number| format!("the bundle has no identity {number}; `identity list` shows those it has");
        let identity = match change {
            Change::Delete(_) => return Ok(None),
            Change::Identity(_, number) => self.numbers.get(number).copied().ok_or_else(|| refused(unknown(number)))?,
            Change::Labels(_, labels) => labels.find(&self.scene.bundle.manifest).map_err(refused)?,
        };
        if identity.index.0 == reserved::HOST {
            return Err(refused("identity 1 (host) is this node itself; another node is remote-node".to_owned()));
        }
        if address.is_unspecified() || address.is_multicast() {
            return Err(refused("it cannot be the address of a pod".to_owned()));
        }
        if self.scene.node().is_some_and(|node| node.addresses.contains(&address)) {
            return Err(refused("it is this node's own".to_owned()));
        }
        if let Some(record) = self.owners.get(&address) {
            return Err(refused(format!("it belongs to endpoint {} {} of this node", record.id, record.name)));
        }
        Ok(Some(Remote { identity: identity.identity.0, labels: Labels::of(identity) }))
    }
}
