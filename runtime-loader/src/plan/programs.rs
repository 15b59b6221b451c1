//! Programs that endpoints share, and the slots in them.
//!
//! A program is made from an object, the tables of a direction and a cause: endpoints of one generation that have these
//! in common have it in common. It is loaded when the first of them comes, and goes when the last one has gone. How
//! many slots it has is said when it is loaded; when they are used up another one of the same kind is loaded, with as
//! many slots as there are already.
//!
//! **Invariant:** a slot belongs to the endpoint whose number stands in it, whatever any record says: a process that
//! died may have left an entry that leads there. So an endpoint always gets a free slot, and its others are freed when
//! what runs of it is what is recorded of it.

use std::collections::{BTreeMap, BTreeSet};

use ciliumc_abi::endpoint;
use ciliumc_abi::manifest::{Class, Direction, Scope};
use ciliumc_abi::names;

use super::{Load, Plan, ProgramLoad, Scene, Step};
use crate::bundle::sha256_hex;
use crate::error::Error;
use crate::gather::gather;
use crate::maps;
use crate::names::Hook;
use crate::observe::Snapshot;
use crate::pins::aside;
use crate::program::{Binding, Scalars};
use crate::state::{Current, Endpoint, Slot};
use crate::sys::bpf::Layout;

/// Slots of a first program: most nodes run a few endpoints of one policy, and each slot has counters on every CPU.
const SLOTS_MIN: usize = 8;

/// Beginning of the names of all programs of one kind in a generation.
fn kind(generation: u32, hook: Hook, direction: &Direction) -> String {
    let Direction { object, tables, default_cause } = direction;
    let made_of = format!("{object}\n{}\n{default_cause}", tables.as_deref().unwrap_or_default());
    let digest = sha256_hex(made_of.as_bytes());
    format!("{generation}-{hook}-{}-", digest.get(..16).unwrap_or(&digest))
}

/// The generation of a program, by its name.
fn generation_of(name: &str) -> Option<u32> {
    name.split_once('-')?.0.parse().ok()
}

/// Whether the slots of a record are still its own, and its programs know each other.
pub fn are_there(snapshot: &Snapshot, record: &Endpoint) -> bool {
    let has = |slot: &Slot| {
        let program = snapshot.programs.get(&slot.program);
        program.is_some_and(|found| found.has(slot.number, record.id) && found.asks.contains(&slot.number))
    };
    Hook::ALL.iter().all(|hook| record.slots.get(hook).is_some_and(has))
}

/// Gives out slots while a plan is made.
pub struct Slots {
    /// Endpoints by slot, of every program that is there or planned.
    programs: BTreeMap<String, Vec<u16>>,
    /// How many endpoints of a kind there will be that have no slot yet.
    wanted: BTreeMap<String, usize>,
}

impl Slots {
    /// The slots of a node.
    pub fn new(snapshot: &Snapshot) -> Self {
        let programs = snapshot.programs.iter().map(|(name, program)| (name.clone(), program.slots.clone()));
        Self { programs: gather(programs), wanted: BTreeMap::new() }
    }

    /// Says that an endpoint of a class will want slots, so that a program is loaded with enough of them.
    pub fn expect(&mut self, generation: u32, class: &Class) {
        for hook in Hook::ALL {
            *self.wanted.entry(kind(generation, hook, hook.direction(class))).or_default() += 1;
        }
    }

    /// Takes a slot for each program of an endpoint. Programs that are not there yet are planned.
    pub fn take(
        &mut self,
        scene: &Scene<'_>,
        class: &Class,
        record: &Endpoint,
        plan: &mut Plan,
    ) -> Result<BTreeMap<Hook, Slot>, Error> {
        let mut taken = BTreeMap::new();
        for hook in Hook::ALL {
            let kind = kind(record.generation, hook, hook.direction(class));
            let slot = match self.free(&kind) {
                Some(slot) => slot,
                None => {
                    let (program, slots) = self.planned(&kind);
                    plan.steps.push(program_load(scene, class, record, hook, &program, slots)?);
                    self.programs.insert(program.clone(), vec![0; slots]);
                    Slot { program, number: 0 }
                }
            };
            let place = self.programs.get_mut(&slot.program).and_then(|slots| slots.get_mut(slot.number as usize));
            *place.ok_or_else(|| Error::Bug(format!("`{}` has no slot {}", slot.program, slot.number)))? = record.id;
            if let Some(wanted) = self.wanted.get_mut(&kind) {
                *wanted = wanted.saturating_sub(1);
            }
            taken.insert(hook, slot);
        }
        Ok(taken)
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&String, &Vec<u16>)> {
        self.programs.range(kind.to_owned()..).take_while(move |(name, _)| name.starts_with(kind))
    }

    fn free(&self, kind: &str) -> Option<Slot> {
        self.of_kind(kind).find_map(|(program, slots)| {
            let number = slots.iter().position(|id| *id == 0)?;
            Some(Slot { program: program.clone(), number: u32::try_from(number).ok()? })
        })
    }

    /// Name and slots of the next program of a kind.
    fn planned(&self, kind: &str) -> (String, usize) {
        let free = (0..).map(|number: u32| format!("{kind}{number}")).find(|name| !self.programs.contains_key(name));
        let there: usize = self.of_kind(kind).map(|(_, slots)| slots.len()).sum();
        let wanted = self.wanted.get(kind).copied().unwrap_or(0);
        (free.unwrap_or_default(), there.max(wanted).max(SLOTS_MIN).next_power_of_two())
    }
}

fn program_load(
    scene: &Scene<'_>,
    class: &Class,
    record: &Endpoint,
    hook: Hook,
    program: &str,
    slots: usize,
) -> Result<Step, Error> {
    let manifest = &scene.bundle.manifest;
    let direction = hook.direction(class);
    let missing = || Error::Bug(format!("object `{}` was checked and is not there", direction.object));
    let object = manifest.objects.get(&direction.object).ok_or_else(missing)?;
    let too_many = || Error::Refused(format!("`{program}` would have too many counters"));
    let slots = u32::try_from(slots).map_err(|_| too_many())?;
    let mut load = ProgramLoad {
        name: program.to_owned(),
        hook,
        object: direction.object.clone(),
        scalars: Scalars { generation: record.generation, default_cause: direction.default_cause },
        slots,
        maps: Vec::new(),
        bindings: Vec::new(),
    };
    // `.rodata` and its like are the object's own.
    for name in object.maps.iter().filter(|name| !name.starts_with('.')) {
        let Some(map) = manifest.maps.get(name) else {
            continue;
        };
        let bug = || Error::Bug(format!("map `{name}` of `{program}` has no pin"));
        let folder = match map.scope {
            Scope::Node => scene.pins.node(),
            Scope::Generation => scene.pins.generation(record.generation),
            Scope::Class => scene.pins.class(record.tables.get(&hook).ok_or_else(bug)?),
            Scope::Program => {
                let each = match name.as_str() {
                    names::ENDPOINTS | names::OPPOSITES => 1,
                    _ => scene.bundle.counters(direction),
                };
                let max_entries = slots.checked_mul(each).ok_or_else(too_many)?;
                load.maps.push((name.clone(), Layout { max_entries, ..maps::layout(map) }));
                aside(&scene.pins.program(program))
            }
        };
        load.bindings.push(Binding { map: name.clone(), path: folder.join(name) });
    }
    Ok(Step::LoadProgram(Box::new(load)))
}

/// The entries of an endpoint, each with its slot filled before.
pub fn entries(scene: &Scene<'_>, class: &Class, record: &Endpoint) -> Vec<Step> {
    let entry = |(hook, slot): (&Hook, &Slot)| {
        let counters = scene.bundle.counters(hook.direction(class));
        let opposite = record.slots.iter().find(|(other, _)| *other != hook).map(|(_, slot)| slot.number);
        let link = &record.link;
        let value = endpoint::Endpoint {
            id: u32::from(record.id),
            identity: record.identity,
            first_counter: slot.number.saturating_mul(counters),
            mac: link.mac.map_or(0, |mac| endpoint::mac(mac.0)),
            opposite_slot: opposite.unwrap_or(0),
            ..endpoint::Endpoint::default()
        };
        let value = value.with_addresses(&record.addresses);
        let value = match link.gateway_mac {
            Some(mac) => value.with_gateways(&link.gateways, endpoint::mac(mac.0)),
            None => value,
        };
        let (name, slot) = (record.name.clone(), slot.clone());
        Step::Load(Box::new(Load { endpoint: record.id, name, hook: *hook, slot, value, counters }))
    };
    record.slots.iter().map(entry).collect()
}

/// Frees the slots that belong to nobody any more, and removes the programs that nobody needs.
pub fn collect(snapshot: &Snapshot, records: &BTreeMap<u16, &Endpoint>, current: Option<&Current>, plan: &mut Plan) {
    let mut settled: BTreeSet<u16> = BTreeSet::new();
    for step in &plan.steps {
        match step {
            // Written down last, when all of it runs.
            Step::RecordEndpoint(record) => drop(settled.insert(record.id)),
            Step::RemoveEndpoint(id) => drop(settled.insert(*id)),
            _ => {}
        }
    }
    let is_settled = |id: u16| {
        settled.contains(&id)
            || snapshot.endpoints.get(&id).is_none_or(|seen| seen.as_recorded() || !seen.any_attached())
    };
    let owns =
        |id: u16, slot: &Slot| records.get(&id).is_some_and(|record| record.slots.values().any(|own| own == slot));
    let (mut steps, mut lives) = (Vec::new(), false);
    for (name, program) in &snapshot.programs {
        let (mut free, mut is_used) = (Vec::new(), false);
        for (number, id) in (0..).zip(program.slots.iter().copied()).filter(|(_, id)| *id != 0) {
            if is_settled(id) && !owns(id, &Slot { program: name.clone(), number }) {
                free.push(number);
                lives |= records.contains_key(&id);
            } else {
                is_used = true;
            }
        }
        let is_taken = records.values().any(|record| record.slots.values().any(|slot| slot.program == *name));
        if !is_used && !is_taken && is_over(name, current) {
            steps.push(Step::RemoveProgram(name.clone()));
        } else if !free.is_empty() {
            steps.push(Step::FreeSlots { program: name.clone(), slots: free });
        }
    }
    // A packet of who goes may be dropped; one of who stays may be in the old entry still.
    if lives {
        plan.steps.push(Step::Settle);
    }
    plan.steps.extend(steps);
}

/// Whether a program is of no use to anybody when no endpoint has a slot in it: the way back keeps those of the
/// previous generation, and an `apply` that died goes on with those of the next one.
fn is_over(name: &str, current: Option<&Current>) -> bool {
    let Some(current) = current else { return true };
    let newest = current.previous.map_or(current.generation, |previous| previous.max(current.generation));
    generation_of(name).is_none_or(|number| number <= newest && Some(number) != current.previous)
}
