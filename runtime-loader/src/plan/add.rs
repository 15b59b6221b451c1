//! The plan of `endpoint add`.
//!
//! An endpoint that the bundle does not know is refused, and yet something is done: its interface gets programs that
//! drop everything, because nobody can say what it may do.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::apply::in_force;
use super::programs::{self, Slots};
use super::{Plan, Scene, Step, addresses, garbage, publish, who};
use crate::attach::Mechanism;
use crate::error::Error;
use crate::names::Hook;
use crate::observe::{Seen, Snapshot};
use crate::state::{Current, Endpoint, KnownBy, Link};

/// What `endpoint add` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddRequest {
    /// Name on this node.
    pub name: String,
    /// How the bundle knows it.
    pub known_by: KnownBy,
    /// Host side of its veth.
    pub interface: String,
    /// Number of that interface.
    pub ifindex: u32,
    /// Namespace file of that interface, when it is not in the loader's own.
    pub netns: Option<String>,
    /// How to attach its programs.
    pub attach_by: Mechanism,
    /// Its addresses; empty: those of the bundle.
    pub addresses: Vec<IpAddr>,
    /// What was said of its link.
    pub link: Link,
}

/// Puts one endpoint under policy, or renews it.
pub fn add(scene: &Scene<'_>, request: &AddRequest) -> Result<Plan, Error> {
    let name = &request.name;
    let snapshot = scene.snapshot;
    if let Some(current) = snapshot.in_force()
        && !scene.is_in_force()
    {
        return Err(Error::Refused(format!(
            "generation {current} was made from another bundle; `apply` this one first"
        )));
    }
    let entry = match &request.known_by {
        KnownBy::Name(name) => scene.bundle.endpoint(name),
        KnownBy::Labels(_) => None,
    };
    if let Some(at) = entry.and_then(|entry| entry.node.as_ref())
        && let Some(here) = scene.node
        && at != here
    {
        return Err(Error::Refused(format!("endpoint `{name}` runs on node {at}, and this is {here}")));
    }
    let class = who::class(scene, &request.known_by);
    let own = match entry {
        Some(entry) if request.addresses.is_empty() => &entry.addresses,
        _ => &request.addresses,
    };
    check_addresses(name, own, class.is_ok())?;
    check_gateways(name, &request.link.gateways, own)?;
    // Of a workload there may be several; of all else one.
    let alone = entry.is_none_or(|entry| entry.kind == "Pod");
    let (id, seen) = place(snapshot, request, alone, own)?;

    let mut plan = Plan::default();
    publish::node(scene, &mut plan)?;
    let index = class.as_ref().map_or(0, |class| class.identity.0);
    let tables = match &class {
        Ok(class) => publish::class(scene, class, &mut BTreeSet::new(), &mut plan)?,
        Err(_) => Default::default(),
    };
    let mut hosts = hosts_of_others(scene, id);
    hosts.extend(own.iter().map(|&address| (address, index)));
    let number = publish::generation(scene, &hosts, &mut plan)?;
    let mut record = Endpoint {
        id,
        name: name.clone(),
        known_by: request.known_by.clone(),
        interface: request.interface.clone(),
        ifindex: request.ifindex,
        netns: request.netns.clone(),
        attached_by: attach_by(seen, request),
        addresses: own.clone(),
        link: request.link.clone(),
        identity: publish::numeric(scene, index),
        class: class.as_ref().ok().map(|class| class.id),
        generation: number,
        tables,
        slots: Default::default(),
        programs: Default::default(),
    };
    if let Ok(class) = &class {
        record.slots = Slots::new(snapshot).take(scene, class, &record, &mut plan)?;
    }
    let old = seen.and_then(|seen| seen.record.as_ref());
    // Before anything is attached, so that a crash leaves nothing that nobody knows.
    if old.is_none() {
        plan.steps.push(Step::RecordEndpoint(record.clone()));
    }
    if !seen.is_some_and(Seen::any_attached) {
        plan.steps.extend(own.iter().map(|&address| Step::ForgetConnections(address)));
    }
    match &class {
        Ok(class) => plan.steps.extend(programs::entries(scene, class, &record)),
        Err(_) => {
            let load = |hook| Step::LoadDenyAll { endpoint: id, name: name.clone(), hook };
            plan.steps.extend(Hook::ALL.map(load));
        }
    }
    plan.steps.extend(in_force(seen.unwrap_or(&Seen::default()), &record));
    let dropped = old.into_iter().flat_map(|old| &old.addresses).filter(|address| !own.contains(address));
    plan.steps.extend(dropped.flat_map(|&address| addresses::withdraw(snapshot, address)));
    plan.steps.extend(own.iter().flat_map(|&address| addresses::assign(scene, address, index)));
    plan.steps.push(Step::RecordEndpoint(record.clone()));
    let mut current = snapshot.current.clone();
    if snapshot.in_force() != Some(number) {
        let first = Current { generation: number, previous: None, kept: BTreeSet::new() };
        plan.steps.push(Step::SetCurrent(first.clone()));
        current = Some(first);
    }
    let mut records = snapshot.records();
    records.insert(id, &record);
    garbage::collect(snapshot, &records, current.as_ref(), &mut plan);
    plan.refused = class.err().map(|why| {
        let interface = &request.interface;
        format!("{why}; {interface} drops everything (deny-all, endpoint {id}) until it is added again or a bundle that knows it is applied")
    });
    Ok(plan)
}

/// What runs is replaced where it is; only where nothing runs the request decides.
fn attach_by(seen: Option<&Seen>, request: &AddRequest) -> Mechanism {
    let running = seen.filter(|seen| seen.any_attached()).and_then(|seen| seen.record.as_ref());
    running.map_or(request.attach_by, |record| record.attached_by)
}

/// Number and present state of the endpoint that is asked for: the same name on the same interface, or a new one.
fn place<'a>(
    snapshot: &'a Snapshot,
    request: &AddRequest,
    alone: bool,
    addresses: &[IpAddr],
) -> Result<(u16, Option<&'a Seen>), Error> {
    let mut same = None;
    for (id, seen) in &snapshot.endpoints {
        let Some(record) = &seen.record else { continue };
        let named = record.name == request.name;
        // By number, too: an interface may have several names, and get another one.
        let is_it = record.interface == request.interface || record.ifindex == request.ifindex;
        let here = is_it && record.netns == request.netns;
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
        if named && alone {
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

/// `needed`: an endpoint that is cut off anyway needs no address.
fn check_addresses(name: &str, addresses: &[IpAddr], needed: bool) -> Result<(), Error> {
    if addresses.is_empty() && needed {
        return Err(Error::Usage(format!("the bundle has no address for `{name}`; give it with --address")));
    }
    if more_of_a_family(addresses) {
        return Err(Error::Usage(format!(
            "`{name}` has more than one address of a family; an endpoint has at most one"
        )));
    }
    match addresses.iter().find(|address| address.is_unspecified() || address.is_multicast()) {
        Some(address) => Err(Error::Usage(format!("{address} cannot be the address of an endpoint"))),
        None => Ok(()),
    }
}

/// A gateway is somebody else on the link.
fn check_gateways(name: &str, gateways: &[IpAddr], own: &[IpAddr]) -> Result<(), Error> {
    if more_of_a_family(gateways) {
        return Err(Error::Usage(format!("`{name}` has more than one gateway of a family; give one of each")));
    }
    let cannot = |one: &&IpAddr| one.is_unspecified() || one.is_multicast() || own.contains(one);
    match gateways.iter().find(cannot) {
        Some(address) => Err(Error::Usage(format!("{address} cannot be the gateway of `{name}`"))),
        None => Ok(()),
    }
}

fn more_of_a_family(addresses: &[IpAddr]) -> bool {
    let of_family = |v4: bool| addresses.iter().filter(|address| address.is_ipv4() == v4).count();
    of_family(true) > 1 || of_family(false) > 1
}

/// Addresses of the endpoints that run, but for `id`, with their identity indices in this bundle. A published
/// generation has them already.
fn hosts_of_others(scene: &Scene<'_>, id: u16) -> Vec<(IpAddr, u32)> {
    if publish::published(scene).is_some() {
        return Vec::new();
    }
    let others = scene.snapshot.records().into_iter().filter(|(other, _)| *other != id);
    let hosts = others.flat_map(|(_, record)| {
        let index = who::index(scene, record);
        record.addresses.iter().map(move |&address| (address, index))
    });
    hosts.collect()
}
