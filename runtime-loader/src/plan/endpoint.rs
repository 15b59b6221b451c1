//! Plans of the three commands about endpoints: `apply` moves all of them, `add` and `del` one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Plan, Scene, Step, garbage, publish};
use crate::error::Error;
use crate::ipcache;
use crate::names::Hook;
use crate::observe::{Generation, Seen, Snapshot};
use crate::pins::Pins;
use crate::state::Endpoint;

/// What `endpoint add` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddRequest {
    /// Name in the bundle.
    pub name: String,
    /// Host side of its veth.
    pub interface: String,
    /// Number of that interface.
    pub ifindex: u32,
    /// Namespace file of that interface, when it is not in the loader's own.
    pub netns: Option<String>,
    /// Its addresses; empty: those of the bundle.
    pub addresses: Vec<IpAddr>,
}

/// Which endpoint `endpoint del` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By name in the bundle; there may be one only.
    Name(String),
    /// By number on this node.
    Id(u16),
}

/// Publishes a bundle and moves every endpoint to it.
///
/// An endpoint whose name the bundle does not know keeps its programs and its generation: they enforce the policy that
/// its labels had, which neither cuts it nor opens it. A note says so.
pub fn apply(scene: &Scene<'_>) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    publish::node(scene, &mut plan)?;
    let (mut records, mut moved, mut hosts) = (records(scene.snapshot), Vec::new(), Vec::new());
    for (id, seen) in &scene.snapshot.endpoints {
        let Some(record) = &seen.record else {
            plan.notes.push(format!(
                "endpoint {id} has pins and no record (was the state folder removed?): left as it is; `endpoint del --id {id}`, then add it again"
            ));
            continue;
        };
        let class = scene.bundle.endpoint(&record.name).and_then(|e| scene.bundle.class(e, scene.variant()));
        let Some(class) = class else {
            plan.notes.push(format!(
                "endpoint {id} {} is not in the bundle: it keeps the policy of generation {}; `endpoint del` removes it",
                record.name, record.generation
            ));
            let index = index_elsewhere(scene, record);
            hosts.extend(record.addresses.iter().map(|&address| (address, index)));
            continue;
        };
        hosts.extend(record.addresses.iter().map(|&address| (address, class.identity.0)));
        if !seen.any_attached() && seen.ifindex != Some(record.ifindex) {
            plan.notes.push(format!(
                "endpoint {id} {}: its interface {} is gone; `endpoint del --id {id}` forgets it",
                record.name, record.interface
            ));
            continue;
        }
        moved.push((*id, seen, record, class));
    }

    let number = publish::generation(scene, &hosts, &mut plan)?;
    let mut planned = BTreeSet::new();
    let mut switches = Vec::new();
    let mut loads = Vec::new();
    for (id, seen, record, class) in moved {
        let tables = publish::class(scene, class, &mut planned, &mut plan)?;
        let identity = numeric(scene, class.identity.0);
        let record = Endpoint { class: class.id, identity, generation: number, tables, ..record.clone() };
        let whole = Hook::ALL.into_iter().all(|hook| seen.attached(hook));
        if whole && seen.record.as_ref() == Some(&record) {
            continue;
        }
        loads.extend(publish::loads(scene, class, &record)?);
        switches.extend(in_force(seen, &record));
        switches.push(Step::RecordEndpoint(record.clone()));
        records.insert(id, record);
    }
    plan.steps.extend(loads.into_iter().map(|load| Step::Load(Box::new(load))));
    plan.steps.extend(switches);
    if scene.snapshot.current != Some(number) {
        plan.steps.push(Step::SetCurrent(number));
    }
    garbage::collect(scene.snapshot, &records, Some(number), &mut plan);
    Ok(plan)
}

/// Puts one endpoint under policy, or renews it.
pub fn add(scene: &Scene<'_>, request: &AddRequest) -> Result<Plan, Error> {
    let name = &request.name;
    let endpoint = scene.bundle.endpoint(name).ok_or_else(|| unknown_endpoint(scene, name))?;
    if let (Some(at), Some(here)) = (&endpoint.node, scene.node)
        && at != here
    {
        return Err(Error::Refused(format!("endpoint `{name}` runs on node {at}, and this is {here}")));
    }
    let class = scene.bundle.class(endpoint, scene.variant()).ok_or_else(|| {
        Error::Refused(format!("the bundle has no policy for `{name}` on this node (variant {})", scene.variant()))
    })?;
    let addresses = if request.addresses.is_empty() { &endpoint.addresses } else { &request.addresses };
    check_addresses(name, addresses)?;
    if let Some(current) = scene.snapshot.current
        && publish::published(scene) != Some(current)
    {
        return Err(Error::Refused(format!(
            "generation {current} was made from another bundle; `apply` this one first"
        )));
    }
    let (id, seen) = place(scene.snapshot, request, &endpoint.kind, addresses)?;

    let mut plan = Plan::default();
    publish::node(scene, &mut plan)?;
    let tables = publish::class(scene, class, &mut BTreeSet::new(), &mut plan)?;
    let new_addresses: Vec<_> = addresses.iter().map(|&address| (address, class.identity.0)).collect();
    let mut hosts = hosts_of_others(scene, id);
    hosts.extend(&new_addresses);
    let number = publish::generation(scene, &hosts, &mut plan)?;
    let record = Endpoint {
        id,
        name: name.clone(),
        interface: request.interface.clone(),
        ifindex: request.ifindex,
        netns: request.netns.clone(),
        addresses: addresses.clone(),
        identity: numeric(scene, class.identity.0),
        class: class.id,
        generation: number,
        tables,
    };
    let old = seen.and_then(|seen| seen.record.as_ref());
    // Before anything is attached, so that a crash leaves nothing that nobody knows.
    if old.is_none() {
        plan.steps.push(Step::RecordEndpoint(record.clone()));
    }
    let attached = |hook| seen.is_some_and(|seen| seen.attached(hook));
    if !Hook::ALL.into_iter().any(attached) {
        plan.steps.extend(addresses.iter().map(|&address| Step::ForgetConnections(address)));
    }
    let loads = publish::loads(scene, class, &record)?;
    plan.steps.extend(loads.into_iter().map(|load| Step::Load(Box::new(load))));
    plan.steps.extend(in_force(seen.unwrap_or(&Seen::default()), &record));
    let dropped = old.into_iter().flat_map(|old| &old.addresses).filter(|address| !addresses.contains(address));
    plan.steps.extend(dropped.flat_map(|&address| withdraw(scene.snapshot, address)));
    for &address in addresses {
        for (generation, seen) in &scene.snapshot.generations {
            plan.steps.extend(assign(*generation, seen, scene, address, class.identity.0));
        }
    }
    if old.is_some_and(|old| *old != record) {
        plan.steps.push(Step::RecordEndpoint(record.clone()));
    }
    if scene.snapshot.current != Some(number) {
        plan.steps.push(Step::SetCurrent(number));
    }
    let mut records = records(scene.snapshot);
    records.insert(id, record);
    garbage::collect(scene.snapshot, &records, Some(number), &mut plan);
    Ok(plan)
}

/// Detaches one endpoint and forgets it. Its addresses first, so that nobody else is taken for it.
pub fn del(pins: &Pins, snapshot: &Snapshot, which: &Which) -> Result<Plan, Error> {
    let id = match which {
        Which::Id(id) if snapshot.endpoints.contains_key(id) => *id,
        Which::Id(id) => {
            return Err(Error::Refused(format!("there is no endpoint {id} on this node")));
        }
        Which::Name(name) => {
            let named = |seen: &Seen| seen.record.as_ref().is_some_and(|record| record.name == *name);
            let ids: Vec<_> = snapshot.endpoints.iter().filter(|(_, seen)| named(seen)).map(|(id, _)| *id).collect();
            match ids[..] {
                [id] => id,
                [] => {
                    return Err(Error::Refused(format!("there is no endpoint `{name}` on this node")));
                }
                _ => {
                    let ids = ids.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
                    return Err(Error::Usage(format!(
                        "`{name}` has several instances here; use --id with one of {ids}"
                    )));
                }
            }
        }
    };
    let mut plan = Plan::default();
    let mut records = records(snapshot);
    let record = records.remove(&id);
    let addresses = record.map(|record| record.addresses).unwrap_or_default();
    let inside = |path: &&std::path::PathBuf| path.starts_with(pins.endpoint(id));
    plan.steps.extend(snapshot.leftovers.iter().filter(inside).cloned().map(Step::RemoveLeftover));
    plan.steps.extend(addresses.iter().flat_map(|&address| withdraw(snapshot, address)));
    plan.steps.push(Step::RemoveEndpoint(id));
    if !snapshot.node.is_empty() {
        plan.steps.extend(addresses.iter().map(|&address| Step::ForgetConnections(address)));
    }
    garbage::collect(snapshot, &records, snapshot.current, &mut plan);
    Ok(plan)
}

/// Attaching where nothing runs, replacing where something does.
fn in_force(seen: &Seen, record: &Endpoint) -> Vec<Step> {
    let endpoint = record.id;
    let step = |hook| match seen.links.get(&hook) {
        Some(link) if link.ifindex != 0 => Step::Switch { endpoint, hook, from: link.prog_id },
        _ => {
            let (interface, ifindex) = (record.interface.clone(), record.ifindex);
            Step::Attach { endpoint, hook, interface, ifindex }
        }
    };
    Hook::ALL.into_iter().map(step).collect()
}

fn records(snapshot: &Snapshot) -> BTreeMap<u16, Endpoint> {
    snapshot.endpoints.iter().filter_map(|(id, seen)| Some((*id, seen.record.clone()?))).collect()
}

fn numeric(scene: &Scene<'_>, index: u32) -> u32 {
    let known = scene.bundle.manifest.identities.iter().find(|identity| identity.index.0 == index);
    known.map_or(0, |identity| identity.identity.0)
}

/// Number and present state of the endpoint that is asked for: the same name on the same interface, or a new one.
fn place<'a>(
    snapshot: &'a Snapshot,
    request: &AddRequest,
    kind: &str,
    addresses: &[IpAddr],
) -> Result<(u16, Option<&'a Seen>), Error> {
    let mut same = None;
    for (id, seen) in &snapshot.endpoints {
        let Some(record) = &seen.record else { continue };
        let named = record.name == request.name;
        let here = record.interface == request.interface && record.netns == request.netns;
        if named && here {
            // An interface that was made anew has another number; the old links died with the old one.
            same = Some((*id, seen));
            continue;
        }
        if here && seen.any_attached() {
            return Err(Error::Refused(format!(
                "interface {} is endpoint {id} {}; `endpoint del --id {id}` first",
                request.interface, record.name
            )));
        }
        if named && kind == "Pod" {
            return Err(Error::Refused(format!(
                "`{}` is endpoint {id} on interface {}; `endpoint del --id {id}` first",
                request.name, record.interface
            )));
        }
        if let Some(address) = record.addresses.iter().find(|address| addresses.contains(address)) {
            return Err(Error::Refused(format!(
                "address {address} belongs to endpoint {id} {}; `endpoint del --id {id}` first",
                record.name
            )));
        }
    }
    if let Some((id, seen)) = same {
        return Ok((id, Some(seen)));
    }
    let free = (1..=u16::MAX).find(|id| !snapshot.endpoints.contains_key(id));
    free.map(|id| (id, None)).ok_or_else(|| Error::Machine("all 65535 endpoint numbers are in use".to_owned()))
}

fn check_addresses(name: &str, addresses: &[IpAddr]) -> Result<(), Error> {
    let of_family = |v4: bool| addresses.iter().filter(|address| address.is_ipv4() == v4).count();
    if addresses.is_empty() {
        return Err(Error::Usage(format!("the bundle has no address for `{name}`; give it with --address")));
    }
    if of_family(true) > 1 || of_family(false) > 1 {
        return Err(Error::Usage(format!(
            "`{name}` has more than one address of a family; an endpoint has at most one"
        )));
    }
    match addresses.iter().find(|address| address.is_unspecified() || address.is_multicast()) {
        Some(address) => Err(Error::Usage(format!("{address} cannot be the address of an endpoint"))),
        None => Ok(()),
    }
}

fn unknown_endpoint(scene: &Scene<'_>, name: &str) -> Error {
    let known: Vec<_> = scene.bundle.manifest.endpoints.keys().take(8).map(String::as_str).collect();
    let more = scene.bundle.manifest.endpoints.len().saturating_sub(known.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Error::Refused(format!("the bundle has no endpoint `{name}`; it has {}{more}", known.join(", ")))
}

/// Addresses of the endpoints that run, but for `id`, with their identity indices in this bundle.
fn hosts_of_others(scene: &Scene<'_>, id: u16) -> Vec<(IpAddr, u32)> {
    let others = scene.snapshot.endpoints.iter().filter(|(other, _)| **other != id);
    let mut hosts = Vec::new();
    for record in others.filter_map(|(_, seen)| seen.record.as_ref()) {
        let index = match scene.bundle.endpoint(&record.name) {
            Some(endpoint) => endpoint.identity.0,
            None => index_elsewhere(scene, record),
        };
        hosts.extend(record.addresses.iter().map(|&address| (address, index)));
    }
    hosts
}

/// Identity index in this bundle of an endpoint of an older one: that of the same labels, or 0, which is denied
/// wherever anything is enforced.
fn index_elsewhere(scene: &Scene<'_>, record: &Endpoint) -> u32 {
    let old = scene.snapshot.generations.get(&record.generation).and_then(|seen| seen.documents.as_ref());
    let labels = old.and_then(|old| old.manifest.identities.iter().find(|i| i.identity.0 == record.identity));
    let same = labels.and_then(|labels| scene.bundle.manifest.identities.iter().find(|i| i.labels == labels.labels));
    same.map_or(0, |identity| identity.index.0)
}

/// Gives an address to an identity of this bundle in a published generation, which may be of another bundle.
fn assign(number: u32, seen: &Generation, scene: &Scene<'_>, address: IpAddr, index: u32) -> Option<Step> {
    let documents = seen.documents.as_ref()?;
    let index = if documents.generation.bundle == scene.bundle.digest {
        index
    } else {
        let labels = scene.bundle.manifest.identities.iter().find(|identity| identity.index.0 == index);
        let labels = labels.map(|identity| &identity.labels);
        let same = documents.manifest.identities.iter().find(|identity| Some(&identity.labels) == labels);
        same.map_or(0, |identity| identity.index.0)
    };
    set_address(number, seen, address, Some(index))
}

/// Takes an address back in every generation.
fn withdraw(snapshot: &Snapshot, address: IpAddr) -> Vec<Step> {
    snapshot.generations.iter().filter_map(|(number, seen)| set_address(*number, seen, address, None)).collect()
}

fn set_address(generation: u32, seen: &Generation, address: IpAddr, index: Option<u32>) -> Option<Step> {
    let documents = seen.documents.as_ref()?;
    let table = if address.is_ipv4() { ciliumc_abi::names::IPCACHE4 } else { ciliumc_abi::names::IPCACHE6 };
    seen.maps.get(table)?;
    let node = documents.generation.node.as_ref().and_then(|name| documents.manifest.nodes.get(name));
    let base = ipcache::base(&documents.manifest, &documents.records, node, address);
    let index = index.map_or(base, |index| documents.manifest.index_at(address, index));
    Some(Step::SetAddress { generation, address, index, base })
}
