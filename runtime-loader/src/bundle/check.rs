//! References inside a manifest: each one leads somewhere, each table is inside its file.

use std::path::{Component, Path};

use ciliumc_abi::counter::Counter;
use ciliumc_abi::endpoint::Endpoint;
use ciliumc_abi::ipcache::NEXT_PAGE;
use ciliumc_abi::manifest::{Class, Direction, Manifest, Map, Scope, TableFile};
use ciliumc_abi::names;
use ciliumc_abi::provenance::Provenance;

use super::BundleError;
use crate::names::Hook;

type Check = Result<(), BundleError>;

/// Words of `kernel.features` that this loader can look for.
pub const FEATURES: [&str; 3] = ["btf", "ringbuf", "tcx"];

/// Bound of the sections of one class (design §5: 16 MiB).
const CLASS_BYTES_MAX: u64 = 16 << 20;
/// Identities that a node's maps are made for at most: 64 Mi entries would be 256 MiB.
const IDENTITY_INDEX_MAX: u32 = 1 << 24;

fn refuse(what: String) -> Check {
    Err(BundleError::Inconsistent(what))
}

/// A path that stays inside the bundle.
pub fn path(path: &str) -> Check {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    // `components` hides doubled and trailing slashes and `.` in the middle.
    let canonical = !path.split('/').any(|part| part.is_empty() || part == ".");
    if plain && canonical && !path.contains(['\\', '\0']) {
        return Ok(());
    }
    Err(BundleError::PathEscape { path: path.to_owned() })
}

/// The whole manifest, but for the digests.
pub fn manifest(manifest: &Manifest) -> Check {
    if let Some(word) = manifest.kernel.features.iter().find(|word| !FEATURES.contains(&word.as_str())) {
        return refuse(format!("it needs the kernel feature `{word}`, which this loader does not know; update it"));
    }
    for (name, map) in &manifest.maps {
        check_map(name, map)?;
    }
    for (path, tables) in &manifest.tables {
        check_tables(manifest, path, tables)?;
    }
    for (path, object) in &manifest.objects {
        listed(manifest, path)?;
        if !object.maps.iter().any(|map| map == names::ENDPOINTS) {
            return refuse(format!("object `{path}` has no map `{}`, so it serves nobody", names::ENDPOINTS));
        }
        let unknown = |map: &&String| !map.starts_with('.') && !manifest.maps.contains_key(*map);
        if let Some(map) = object.maps.iter().find(unknown) {
            return refuse(format!("object `{path}` has a map `{map}` that the manifest does not describe"));
        }
    }
    for (at, class) in manifest.classes.iter().enumerate() {
        if class.id as usize != at {
            return refuse(format!("class {at} says that it is class {}", class.id));
        }
        check_direction(manifest, class, &class.ingress, Hook::ToContainer)?;
        check_direction(manifest, class, &class.egress, Hook::FromContainer)?;
    }
    check_identities(manifest)?;
    for (name, endpoint) in &manifest.endpoints {
        for (variant, id) in &endpoint.classes {
            match manifest.classes.get(*id as usize) {
                Some(class) if class.variant == *variant && class.identity == endpoint.identity => {}
                Some(_) => {
                    return refuse(format!("endpoint `{name}` has class {id}, which is not of its kind"));
                }
                None => {
                    return refuse(format!("endpoint `{name}` has class {id}, and there is none"));
                }
            }
        }
    }
    Ok(())
}

/// Causes lead to rules.
pub fn provenance(provenance: &Provenance) -> Check {
    let rules = provenance.rules.len();
    let wrong = provenance.causes.iter().flatten().find(|rule| **rule as usize >= rules);
    wrong.map_or(Ok(()), |rule| refuse(format!("a cause names rule {rule}, and there are {rules}")))
}

fn check_map(name: &str, map: &Map) -> Check {
    if name.is_empty() || name.len() > names::MAP_NAME_MAX || name.contains(['/', '.']) {
        return refuse(format!("`{name}` cannot be the name of a map"));
    }
    let is_class_table = names::CLASS_TABLES.contains(&name);
    match map.scope {
        Scope::Class if !is_class_table => refuse(format!("map `{name}` of scope class is not a class table")),
        Scope::Node | Scope::Generation | Scope::Program if is_class_table => {
            refuse(format!("class table `{name}` has another scope"))
        }
        Scope::Program if ![names::ENDPOINTS, names::OPPOSITES, names::COUNTERS].contains(&name) => {
            refuse(format!("unknown program map `{name}`"))
        }
        Scope::Program if (map.key_size, map.value_size) != program_layout(name) => {
            refuse(format!("map `{name}` has keys of {} and values of {} bytes", map.key_size, map.value_size))
        }
        Scope::Generation if ![names::IPCACHE4, names::IPCACHE6, names::IDENTITIES].contains(&name) => {
            refuse(format!("unknown generation map `{name}`"))
        }
        Scope::Node if map.max_entries == 0 => refuse(format!("node map `{name}` has no capacity")),
        Scope::Class | Scope::Node | Scope::Generation | Scope::Program => Ok(()),
    }
}

/// Bytes of keys and values of a map that the loader itself writes.
fn program_layout(name: &str) -> (u32, u32) {
    let value = match name {
        names::ENDPOINTS => size_of::<Endpoint>(),
        names::OPPOSITES => size_of::<u32>(),
        _ => size_of::<Counter>(),
    };
    (size_of::<u32>() as u32, value as u32)
}

fn listed(manifest: &Manifest, path: &str) -> Check {
    if manifest.files.contains_key(path) { Ok(()) } else { Err(BundleError::Missing { path: path.to_owned() }) }
}

fn check_tables(manifest: &Manifest, path: &str, tables: &TableFile) -> Check {
    listed(manifest, path)?;
    let size = manifest.files.get(path).map_or(0, |file| file.size);
    if size > CLASS_BYTES_MAX {
        return refuse(format!("`{path}` has {size} bytes, and a class has at most {CLASS_BYTES_MAX}"));
    }
    for (name, section) in &tables.sections {
        if !names::CLASS_TABLES.contains(&name.as_str()) || !manifest.maps.contains_key(name) {
            return refuse(format!("`{path}` holds an unknown table `{name}`"));
        }
        let bytes = u64::from(section.entries) * u64::from(section.value_size);
        let end = section.offset.checked_add(bytes);
        if bytes == 0 || section.value_size % 8 != 0 || end.is_none_or(|end| end > size) {
            return refuse(format!("table `{name}` leaves `{path}` or is empty"));
        }
        let fixed = manifest.maps.get(name).map_or(0, |map| map.value_size);
        if fixed != 0 && fixed != section.value_size {
            return refuse(format!(
                "table `{name}` in `{path}` has values of {} bytes, not {fixed}",
                section.value_size
            ));
        }
    }
    Ok(())
}

fn check_direction(manifest: &Manifest, class: &Class, direction: &Direction, hook: Hook) -> Check {
    let id = class.id;
    let Some(object) = manifest.objects.get(&direction.object) else {
        return refuse(format!("class {id} wants object `{}`, and there is none", direction.object));
    };
    if object.program != hook.program() {
        return refuse(format!("class {id} has program `{}` where `{}` belongs", object.program, hook.program()));
    }
    let tables = match &direction.tables {
        None => None,
        Some(file) => match manifest.tables.get(file) {
            None => {
                return refuse(format!("class {id} wants tables `{file}`, and there are none"));
            }
            some => some,
        },
    };
    let needed = object.maps.iter().find(|map| {
        names::CLASS_TABLES.contains(&map.as_str()) && !tables.is_some_and(|t| t.sections.contains_key(*map))
    });
    needed.map_or(Ok(()), |map| refuse(format!("class {id} has no table `{map}` for `{}`", direction.object)))
}

fn check_identities(manifest: &Manifest) -> Check {
    let world = [manifest.datapath.world_ipv4.0, manifest.datapath.world_ipv6.0];
    let indices = manifest.identities.iter().map(|identity| identity.index.0).chain(world);
    let endpoints = manifest.endpoints.values().map(|endpoint| endpoint.identity.0);
    let classes = manifest.classes.iter().map(|class| class.identity.0);
    let places = manifest.places.values().map(|index| index.0);
    const _: () = assert!(IDENTITY_INDEX_MAX < NEXT_PAGE);
    match indices.chain(endpoints).chain(classes).chain(places).find(|&index| index >= IDENTITY_INDEX_MAX) {
        Some(index) => refuse(format!("identity index {index} is beyond {IDENTITY_INDEX_MAX}")),
        None => Ok(()),
    }
}
