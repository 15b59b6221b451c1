//! The one table of map layouts.

use std::collections::BTreeMap;

use ciliumc_abi::action::Action;
use ciliumc_abi::conntrack::{CtEntry, CtKey4, CtKey6};
use ciliumc_abi::counter::{Counter, METRICS_ENTRIES};
use ciliumc_abi::endpoint::Endpoint;
use ciliumc_abi::event::EventBucket;
use ciliumc_abi::fragment::{FRAGMENTS_MAX, FragmentHead, FragmentKey};
use ciliumc_abi::ipcache::{Page4, Page6};
use ciliumc_abi::manifest::{Map, Scope};
use ciliumc_abi::names;
use ciliumc_abi::table::PAGE_CELLS;

use crate::lower::shape::{CellWidth, NodeConfig, PolicyMode, Shape};

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PROG_ARRAY: u32 = 3;
const PERCPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const RINGBUF: u32 = 27;

/// `BPF_F_NO_PREALLOC`: entries of a hash are allocated when they are needed.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`: user space may map the array and store single cells.
const MMAPABLE: u32 = 1 << 10;

/// Bytes of the event ring: about 11 000 records.
const EVENTS_BYTES: u32 = 1 << 20;

/// One for each address family.
const CT_SWEPT_ENTRIES: u32 = 2;

/// Entries that an object declares for a map whose size the loader sets.
pub(super) const SET_AT_LOAD: u32 = 1;

/// Every map that an object can have, by name. `max_entries` 0: the loader sets it; `value_size` 0: the class's cell
/// width decides.
pub fn expected_maps(node: &NodeConfig) -> BTreeMap<String, Map> {
    let map = |map_type, key, value, max_entries, flags, scope| Map {
        map_type,
        key_size: key as u32,
        value_size: value as u32,
        max_entries,
        flags,
        scope,
    };
    let index = size_of::<u32>();
    let mut maps = BTreeMap::new();
    let mut add = |name: &str, map| maps.insert(name.to_owned(), map);

    add(names::ID_ROW, map(ARRAY, index, 0, 0, MMAPABLE, Scope::Class));
    add(names::PORT_CLASS, map(ARRAY, index, 0, 0, 0, Scope::Class));
    add(names::VERDICT, map(ARRAY, index, 0, 0, 0, Scope::Class));
    add(names::ACTIONS, map(ARRAY, index, size_of::<Action>(), 0, 0, Scope::Class));
    add(names::ENDPOINTS, map(ARRAY, index, size_of::<Endpoint>(), 0, 0, Scope::Program));
    add(names::OPPOSITES, map(PROG_ARRAY, index, size_of::<u32>(), 0, 0, Scope::Program));
    add(names::COUNTERS, map(PERCPU_ARRAY, index, size_of::<Counter>(), 0, 0, Scope::Program));
    add(names::IDENTITIES, map(ARRAY, index, size_of::<u32>(), 0, 0, Scope::Generation));
    if node.ipv4 {
        add(names::IPCACHE4, map(ARRAY, index, size_of::<Page4>(), 0, MMAPABLE, Scope::Generation));
        let (key, value) = (size_of::<CtKey4>(), size_of::<CtEntry>());
        add(names::CONNTRACK4, map(HASH, key, value, node.ct_entries_max, NO_PREALLOC, Scope::Node));
    }
    if node.ipv6 {
        add(names::IPCACHE6, map(ARRAY, index, size_of::<Page6>(), 0, MMAPABLE, Scope::Generation));
        let (key, value) = (size_of::<CtKey6>(), size_of::<CtEntry>());
        add(names::CONNTRACK6, map(HASH, key, value, node.ct_entries_max, NO_PREALLOC, Scope::Node));
    }
    add(names::CT_SWEPT, map(ARRAY, index, size_of::<u64>(), CT_SWEPT_ENTRIES, 0, Scope::Node));
    let (key, value) = (size_of::<FragmentKey>(), size_of::<FragmentHead>());
    add(names::FRAGMENTS, map(LRU_HASH, key, value, FRAGMENTS_MAX, 0, Scope::Node));
    add(names::EVENTS, map(RINGBUF, 0, 0, EVENTS_BYTES, 0, Scope::Node));
    add(names::EVENT_LIMIT, map(PERCPU_ARRAY, index, size_of::<EventBucket>(), 1, 0, Scope::Node));
    add(names::EVENTS_LOST, map(PERCPU_ARRAY, index, size_of::<Counter>(), 1, 0, Scope::Node));
    add(names::METRICS, map(PERCPU_ARRAY, index, size_of::<Counter>(), METRICS_ENTRIES, 0, Scope::Node));
    maps
}

/// The maps of one shape, as its object must declare them.
pub(super) fn maps_of_shape(shape: &Shape, node: &NodeConfig) -> BTreeMap<String, Map> {
    let mut maps = expected_maps(node);
    maps.retain(|name, _| is_used(name, shape.mode));
    for (name, map) in &mut maps {
        let width = match name.as_str() {
            names::ID_ROW => Some(shape.row),
            names::PORT_CLASS => Some(shape.class),
            names::VERDICT => Some(shape.action),
            _ => None,
        };
        if let Some(width) = width {
            map.value_size = page_bytes(width);
        }
        if map.max_entries == 0 {
            map.max_entries = SET_AT_LOAD;
        }
    }
    maps
}

fn page_bytes(width: CellWidth) -> u32 {
    PAGE_CELLS as u32 * width.bits() / 8
}

/// Whether a program of the mode has the map.
fn is_used(name: &str, mode: PolicyMode) -> bool {
    let tables = match mode {
        PolicyMode::AllowAll | PolicyMode::DenyAll => &[][..],
        PolicyMode::L3Only => &[names::ID_ROW, names::VERDICT, names::ACTIONS, names::COUNTERS],
        PolicyMode::Tables => &[names::ID_ROW, names::PORT_CLASS, names::VERDICT, names::ACTIONS, names::COUNTERS],
    };
    let is_table = names::CLASS_TABLES.contains(&name) || name == names::COUNTERS;
    !is_table || tables.contains(&name)
}
