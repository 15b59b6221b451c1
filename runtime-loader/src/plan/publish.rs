//! Everything that must be there before a program is loaded: the node's maps, classes, a generation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ciliumc_abi::manifest::{Class, Direction, Map, Scope};
use ciliumc_abi::names;

use super::{Load, Plan, Publication, Scene, Step};
use crate::error::Error;
use crate::ipcache;
use crate::maps;
use crate::names::Hook;
use crate::pins;
use crate::program::{Binding, Scalars};
use crate::state::{self, Endpoint};
use crate::sys::bpf::Layout;

/// Unfinished things go, and the node's maps are made or compared.
pub fn node(scene: &Scene<'_>, plan: &mut Plan) -> Result<(), Error> {
    plan.steps.extend(scene.snapshot.leftovers.iter().cloned().map(Step::RemoveLeftover));
    for (name, map) in &scene.bundle.manifest.maps {
        if map.scope != Scope::Node {
            continue;
        }
        let layout = maps::layout(map);
        match scene.snapshot.node.get(name) {
            Some(found) => maps::check(&scene.pins.node().join(name), found, &layout)?,
            None => plan.steps.push(Step::CreateNodeMap { name: name.clone(), layout }),
        }
    }
    Ok(())
}

/// The generation of this bundle on this node: the published one, or a new one with the endpoints' addresses in it.
/// `hosts` are the addresses with identity indices of this bundle.
pub fn generation(scene: &Scene<'_>, hosts: &[(IpAddr, u32)], plan: &mut Plan) -> Result<u32, Error> {
    let bundle = scene.bundle;
    let tries = ipcache::build(&bundle.manifest, &bundle.records, scene.node(), hosts);
    let mut identities = Vec::new();
    for identity in &bundle.manifest.identities {
        let at = identity.index.0 as usize;
        if identities.len() <= at {
            identities.resize(at + 1, 0);
        }
        identities[at] = identity.identity.0;
    }
    let mut created = Vec::new();
    for (name, map) in bundle.manifest.maps.iter().filter(|(_, map)| map.scope == Scope::Generation) {
        created.push((name.clone(), generation_layout(name, map, &tries, identities.len())?));
    }
    if let Some(number) = published(scene) {
        let found = scene.snapshot.generations.get(&number).map(|generation| &generation.maps);
        for (name, layout) in &created {
            let path = scene.pins.generation(number).join(name);
            let Some(found) = found.and_then(|maps| maps.get(name)) else {
                return Err(Error::Machine(format!("`{}` is missing; start over with `unload`", path.display())));
            };
            // Addresses that came at run time took pages, and others may be known now: only a full trie is too small.
            let capacity = if name == names::IDENTITIES { layout.max_entries } else { found.max_entries };
            maps::check(&path, found, &Layout { max_entries: capacity, ..*layout })?;
        }
        return Ok(number);
    }
    let known = scene.snapshot.documents.iter().chain(scene.snapshot.generations.keys()).max();
    let number = known.copied().unwrap_or(0).checked_add(1);
    let number =
        number.ok_or_else(|| Error::Machine("generation numbers are used up; start over with `unload`".into()))?;
    let generation = state::Generation { number, bundle: bundle.digest.clone(), node: scene.node.map(str::to_owned) };
    let publication = Publication { generation, maps: created, tries, identities };
    plan.steps.push(Step::PublishGeneration(Box::new(publication)));
    Ok(number)
}

/// Number of the generation that was published from this bundle for this node.
pub fn published(scene: &Scene<'_>) -> Option<u32> {
    let of_bundle = |generation: &state::Generation| {
        generation.bundle == scene.bundle.digest && generation.node.as_deref() == scene.node
    };
    let mut known = scene.snapshot.generations.iter().rev();
    known
        .find(|(_, seen)| seen.documents.as_ref().is_some_and(|documents| of_bundle(&documents.generation)))
        .map(|(number, _)| *number)
}

fn generation_layout(name: &str, map: &Map, tries: &ipcache::Tries, identities: usize) -> Result<Layout, Error> {
    let (value_size, pages) = match name {
        names::IPCACHE4 => (1024, tries.v4.pages().len()),
        names::IPCACHE6 => (1064, tries.v6.pages().len()),
        _ => (4, identities.max(1)),
    };
    if map.value_size != value_size {
        let found = map.value_size;
        return Err(Error::Refused(format!(
            "bundle refused: map `{name}` has values of {found} bytes, not {value_size}"
        )));
    }
    if name != names::IDENTITIES && map.flags & maps::BPF_F_MMAPABLE == 0 {
        return Err(Error::Refused(format!("bundle refused: map `{name}` is not BPF_F_MMAPABLE")));
    }
    let spare = if name == names::IDENTITIES { 0 } else { ipcache::SPARE_PAGES };
    let max_entries = u32::try_from(pages).ok().and_then(|pages| pages.checked_add(spare));
    let max_entries = max_entries.ok_or_else(|| Error::Refused(format!("map `{name}` would be too large")))?;
    Ok(Layout { max_entries: max_entries.max(map.max_entries), ..maps::layout(map) })
}

/// Published tables of a class, by program; those that are not there yet are planned, each once.
pub fn class(
    scene: &Scene<'_>,
    class: &Class,
    planned: &mut BTreeSet<String>,
    plan: &mut Plan,
) -> Result<BTreeMap<Hook, String>, Error> {
    let mut digests = BTreeMap::new();
    for hook in Hook::ALL {
        let Some(file) = &hook.direction(class).tables else {
            continue;
        };
        let Some(sections) = scene.bundle.manifest.tables.get(file).map(|table| &table.sections) else {
            continue;
        };
        let digest = scene.bundle.class_digest(file)?;
        let mut tables = Vec::new();
        for (name, section) in sections {
            let Some(map) = scene.bundle.manifest.maps.get(name) else {
                continue;
            };
            tables.push((name.clone(), *section, maps::table_layout(map, section)));
        }
        match scene.snapshot.classes.get(&digest) {
            Some(found) => {
                for (name, _, layout) in &tables {
                    let path = scene.pins.class(&digest).join(name);
                    let Some(found) = found.get(name) else {
                        return Err(Error::Machine(format!(
                            "`{}` is missing; start over with `unload`",
                            path.display()
                        )));
                    };
                    maps::check(&path, found, layout)?;
                }
            }
            None if planned.insert(digest.clone()) => {
                plan.steps.push(Step::PublishClass { digest: digest.clone(), file: file.clone(), tables });
            }
            None => {}
        }
        digests.insert(hook, digest);
    }
    Ok(digests)
}

/// The two programs of an endpoint, with every map of their objects bound.
pub fn loads(scene: &Scene<'_>, class: &Class, record: &Endpoint) -> Result<Vec<Load>, Error> {
    let manifest = &scene.bundle.manifest;
    let mut loads = Vec::new();
    for hook in Hook::ALL {
        let direction = hook.direction(class);
        let Some(object) = manifest.objects.get(&direction.object) else {
            return Err(Error::Bug(format!("object `{}` was checked and is not there", direction.object)));
        };
        let mut load = Load {
            endpoint: record.id,
            name: record.name.clone(),
            hook,
            object: direction.object.clone(),
            scalars: Scalars {
                endpoint_id: u32::from(record.id),
                endpoint_index: class.identity.0,
                endpoint_identity: record.identity,
                generation: record.generation,
                default_cause: direction.default_cause,
                ..Scalars::default()
            }
            .with_addresses(&record.addresses),
            bindings: Vec::new(),
            counters: None,
        };
        // `.rodata` and its like are the object's own.
        for name in object.maps.iter().filter(|name| !name.starts_with('.')) {
            let Some(map) = manifest.maps.get(name) else {
                continue;
            };
            let binding = bind(scene, name, map, hook, record, direction, &mut load)?;
            load.bindings.push(binding);
        }
        loads.push(load);
    }
    Ok(loads)
}

fn bind(
    scene: &Scene<'_>,
    name: &str,
    map: &Map,
    hook: Hook,
    record: &Endpoint,
    direction: &Direction,
    load: &mut Load,
) -> Result<Binding, Error> {
    let pins = scene.pins;
    let bug = || Error::Bug(format!("map `{name}` of endpoint {} has no pin", record.name));
    let (path, max_entries) = match map.scope {
        Scope::Node => (pins.node().join(name), map.max_entries),
        // aya writes this into its own copy of the map's description; the pin decides.
        Scope::Generation => (pins.generation(record.generation).join(name), map.max_entries.max(1)),
        Scope::Class => {
            let digest = record.tables.get(&hook).ok_or_else(bug)?;
            let file = direction.tables.as_ref().ok_or_else(bug)?;
            (pins.class(digest).join(name), scene.bundle.table(file, name)?.0.entries)
        }
        Scope::Endpoint => {
            let max_entries = scene.bundle.counters(direction);
            load.counters = Some(Layout { max_entries, ..maps::layout(map) });
            (pins::aside(&pins.counters(record.id, hook)), max_entries)
        }
    };
    Ok(Binding { map: name.to_owned(), path, max_entries })
}
