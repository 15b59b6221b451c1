//! Everything that must be there before a program is loaded: the node's maps, classes, a generation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ciliumc_abi::manifest::{Class, Map, Scope};
use ciliumc_abi::names;

use super::{Plan, Publication, Scene, Step, addresses};
use crate::error::Error;
use crate::ipcache;
use crate::maps;
use crate::names::Hook;
use crate::state;
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
    let number = match published(scene) {
        Some(number) => {
            check_generation(scene, number)?;
            number
        }
        None => new_generation(scene, hosts, plan)?,
    };
    if !scene.snapshot.stored.contains(&number) {
        let files = scene.bundle.needed(scene.variant()).into_iter().map(str::to_owned).collect();
        plan.steps.push(Step::StoreFiles { generation: number, files });
    }
    Ok(number)
}

fn generation_maps<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a String, &'a Map)> {
    scene.bundle.manifest.maps.iter().filter(|(_, map)| map.scope == Scope::Generation)
}

fn check_generation(scene: &Scene<'_>, number: u32) -> Result<(), Error> {
    let found = scene.snapshot.generations.get(&number).map(|generation| &generation.maps);
    for (name, map) in generation_maps(scene) {
        let path = scene.pins.generation(number).join(name);
        let Some(found) = found.and_then(|maps| maps.get(name)) else {
            return Err(Error::Machine(format!("`{}` is missing; start over with `unload`", path.display())));
        };
        // Addresses that came at run time took pages, and others may be known now: only a full trie is too small.
        let entries = match name.as_str() {
            names::IDENTITIES => identities(scene).len(),
            _ => found.max_entries as usize,
        };
        let layout = generation_layout(name, map, entries, 0)?;
        maps::check(&path, found, &layout)?;
    }
    Ok(())
}

fn new_generation(scene: &Scene<'_>, hosts: &[(IpAddr, u32)], plan: &mut Plan) -> Result<u32, Error> {
    let bundle = scene.bundle;
    let remotes = addresses::remotes(scene);
    let tries = ipcache::build(&bundle.manifest, &bundle.records, &remotes, scene.node(), hosts);
    let identities = identities(scene);
    let mut created = Vec::new();
    for (name, map) in generation_maps(scene) {
        let (entries, spare) = match name.as_str() {
            names::IPCACHE4 => (tries.v4.pages().len(), ipcache::SPARE_PAGES),
            names::IPCACHE6 => (tries.v6.pages().len(), ipcache::SPARE_PAGES),
            _ => (identities.len(), 0),
        };
        created.push((name.clone(), generation_layout(name, map, entries, spare)?));
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

/// Numeric identity by index.
fn identities(scene: &Scene<'_>) -> Vec<u32> {
    let mut identities = Vec::new();
    for identity in &scene.bundle.manifest.identities {
        let at = identity.index.0 as usize;
        if identities.len() <= at {
            identities.resize(at + 1, 0);
        }
        identities[at] = identity.identity.0;
    }
    identities
}

/// Numeric identity of an index; 0 when nobody has it.
pub fn numeric(scene: &Scene<'_>, index: u32) -> u32 {
    let known = scene.bundle.manifest.identities.iter().find(|identity| identity.index.0 == index);
    known.map_or(0, |identity| identity.identity.0)
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

fn generation_layout(name: &str, map: &Map, entries: usize, spare: u32) -> Result<Layout, Error> {
    let value_size = match name {
        names::IPCACHE4 => 1024,
        names::IPCACHE6 => 1064,
        _ => 4,
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
    let max_entries = u32::try_from(entries.max(1)).ok().and_then(|entries| entries.checked_add(spare));
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
