//! One program in the kernel, with filled maps, and frames run through it.

use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use ciliumc_abi::counter::metric_index;
use ciliumc_abi::endpoint::{ENDPOINT_BYTES, ENTRY_CB_ENDPOINT, ENTRY_CB_SLOT};
use ciliumc_abi::names::{self, rodata};

use super::error::{LoadError, load_patiently};

/// What the programs answer to the kernel.
const PASS: u32 = u32::MAX;
const SHOT: u32 = 2;

/// Bytes of `struct __sk_buff`, of which the kernel reads and writes as much as there is room for.
const CONTEXT_LEN: usize = 192;

/// The reasons that Cilium or we have numbers for.
const REASONS: std::ops::RangeInclusive<u8> = 130..=215;

/// Maps that all programs of a node share.
const SHARED: [&str; 8] = [
    names::CONNTRACK4,
    names::CONNTRACK6,
    names::CT_SWEPT,
    names::FRAGMENTS,
    names::EVENTS,
    names::EVENT_LIMIT,
    names::EVENTS_LOST,
    names::METRICS,
];

/// What an array map holds: its entries are those that `bytes` has.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    /// Name of the map.
    pub name: &'a str,
    /// Bytes of an entry.
    pub value_size: usize,
    /// The entries, one behind the other.
    pub bytes: Vec<u8>,
}

/// How a program is loaded.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// Generation that events and conntrack tell.
    pub generation: &'a u32,
    /// Cause of drops that no table decides.
    pub default_cause: &'a u32,
    /// Entries of a conntrack map.
    pub ct_entries: u32,
    /// Entries of the counters: one for each action.
    pub counters: u32,
    /// What the maps hold that the object has.
    pub tables: Vec<Table<'a>>,
    /// A folder on bpffs where programs of one node find the maps that they share; without, a program has its own.
    pub pins: Option<&'a Path>,
}

/// A program that is loaded.
pub struct Loaded {
    /// The object, with its maps.
    pub ebpf: Ebpf,
    program: String,
    direction: u8,
}

/// Loads programs. It has read the kernel's types, which takes longer than to load one.
pub struct Loader<'a>(EbpfLoader<'a>);

impl Default for Loader<'_> {
    fn default() -> Self {
        Self(EbpfLoader::new())
    }
}

impl<'a> Loader<'a> {
    /// Loads the program of that name; `direction` is the one that it counts packets in.
    pub fn load(
        &mut self,
        object: &[u8],
        program: &str,
        direction: u8,
        setup: &Setup<'a>,
    ) -> Result<Loaded, LoadError> {
        // What is said again replaces what was said of the program before.
        let loader = self
            .0
            .override_global(rodata::GENERATION, setup.generation, true)
            .override_global(rodata::DEFAULT_CAUSE, setup.default_cause, true)
            .map_max_entries(names::CONNTRACK4, setup.ct_entries)
            .map_max_entries(names::CONNTRACK6, setup.ct_entries)
            .map_max_entries(names::COUNTERS, setup.counters);
        for table in &setup.tables {
            loader.map_max_entries(table.name, (table.bytes.len() / table.value_size) as u32);
        }
        if let Some(pins) = setup.pins {
            for name in SHARED {
                loader.map_pin_path(name, pins.join(name));
            }
        }
        let ebpf = loader.load(object).map_err(|error| LoadError::of_object(&error))?;
        let mut loaded = Loaded { ebpf, program: program.to_owned(), direction };
        for table in &setup.tables {
            if loaded.ebpf.map(table.name).is_some() {
                loaded.fill(table.name, table.value_size, &table.bytes)?;
            }
        }
        let classifier = loaded.classifier()?;
        load_patiently(classifier).map_err(|error| LoadError::of_program(program, error))?;
        Ok(loaded)
    }
}

impl Loaded {
    /// Writes the first entries of an array.
    pub fn fill(&mut self, name: &str, value_size: usize, bytes: &[u8]) -> Result<(), LoadError> {
        let map = self.ebpf.map_mut(name).ok_or_else(|| LoadError::Load(format!("no map `{name}`")))?;
        match value_size {
            4 => fill::<4>(map, bytes),
            8 => fill::<8>(map, bytes),
            16 => fill::<16>(map, bytes),
            32 => fill::<32>(map, bytes),
            ENDPOINT_BYTES => fill::<ENDPOINT_BYTES>(map, bytes),
            256 => fill::<256>(map, bytes),
            512 => fill::<512>(map, bytes),
            1024 => fill::<1024>(map, bytes),
            1064 => fill::<1064>(map, bytes),
            size => Err(LoadError::Load(format!("map `{name}` has entries of {size} bytes, which no map of ours has"))),
        }
    }

    /// The program itself.
    pub fn classifier(&mut self) -> Result<&mut SchedClassifier, LoadError> {
        let missing = || LoadError::Load(format!("no program `{}`", self.program));
        let found = self.ebpf.program_mut(&self.program).ok_or_else(missing)?;
        found.try_into().map_err(|error: ProgramError| LoadError::of(&error))
    }

    /// Runs the program on a frame as an entry program does that says this slot and this endpoint: whether it passes.
    pub fn passes(&mut self, entry: (u32, u32), frame: &[u8]) -> Result<bool, LoadError> {
        let context = context(entry);
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), ..TestRunOptions::default() };
        let answer = self.classifier()?.test_run(options).map_err(|error| test_run_error(&error))?.return_value;
        match answer {
            PASS => Ok(true),
            SHOT => Ok(false),
            other => Err(LoadError::Load(format!("program `{}` answers {other}", self.program))),
        }
    }

    /// What [`Loaded::passes`] does; whether the outcome is this one (a drop reason, 0 when the frame passes).
    pub fn is(&mut self, outcome: u8, entry: (u32, u32), frame: &[u8]) -> Result<bool, LoadError> {
        let before = self.metric(outcome)?;
        let passes = self.passes(entry, frame)?;
        Ok(passes == (outcome == 0) && self.metric(outcome)? == before + 1)
    }

    /// What [`Loaded::passes`] does; the outcome. The answer to the kernel and the one metric that moved have to tell the
    /// same.
    pub fn outcome(&mut self, entry: (u32, u32), frame: &[u8]) -> Result<u8, LoadError> {
        let before = self.outcomes()?;
        let passes = self.passes(entry, frame)?;
        let after = self.outcomes()?;
        let moved: Vec<u8> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
        match moved.as_slice() {
            [reason] if passes == (*reason == 0) => Ok(*reason),
            _ => {
                let says = if passes { "passes" } else { "is dropped" };
                Err(LoadError::Load(format!("a frame {says} and program `{}` counts it as {moved:?}", self.program)))
            }
        }
    }

    /// Packets by outcome, in the program's direction: drop reasons, 0 for what passed.
    pub fn outcomes(&self) -> Result<Vec<(u8, u64)>, LoadError> {
        std::iter::once(0).chain(REASONS).map(|reason| Ok((reason, self.metric(reason)?))).collect()
    }

    fn metric(&self, reason: u8) -> Result<u64, LoadError> {
        Ok(self.counter(names::METRICS, metric_index(reason, self.direction))?[0])
    }

    /// Packets and bytes of an entry of a map of counters, over all processors.
    pub fn counter(&self, name: &str, index: u32) -> Result<[u64; 2], LoadError> {
        let map = self.ebpf.map(name).ok_or_else(|| LoadError::Load(format!("no map `{name}`")))?;
        let map: PerCpuArray<_, [u64; 2]> = PerCpuArray::try_from(map).map_err(|error| LoadError::of(&error))?;
        let each = map.get(&index, 0).map_err(|error| LoadError::of(&error))?;
        Ok(each.iter().fold([0; 2], |sum, cpu| [sum[0] + cpu[0], sum[1] + cpu[1]]))
    }

    /// Ends every connection and forgets every datagram.
    pub fn forget(&mut self) -> Result<(), LoadError> {
        for map in [names::CONNTRACK4, names::CONNTRACK6, names::FRAGMENTS] {
            match (map, self.ebpf.map_mut(map)) {
                (names::CONNTRACK4, Some(map)) => empty::<16, 32>(map)?,
                (names::CONNTRACK6, Some(map)) => empty::<40, 32>(map)?,
                (_, Some(map)) => empty::<40, 8>(map)?,
                // A family that the node has not.
                (_, None) => {}
            }
        }
        Ok(())
    }
}

/// `struct __sk_buff` as an entry program leaves it that says this slot and this endpoint.
pub fn context((slot, id): (u32, u32)) -> [u8; CONTEXT_LEN] {
    /// Place of the control block.
    const CB: usize = 48;
    let mut context = [0; CONTEXT_LEN];
    for (word, value) in [(ENTRY_CB_SLOT, slot), (ENTRY_CB_ENDPOINT, id)] {
        context[CB + 4 * word..][..4].copy_from_slice(&value.to_ne_bytes());
    }
    context
}

fn test_run_error(error: &ProgramError) -> LoadError {
    match LoadError::of(error) {
        LoadError::Load(text) => LoadError::NoTestRun(text),
        error => error,
    }
}

fn fill<const SIZE: usize>(map: &mut Map, bytes: &[u8]) -> Result<(), LoadError> {
    let mut map: Array<&mut MapData, [u8; SIZE]> = Array::try_from(map).map_err(|error| LoadError::of(&error))?;
    for (index, value) in bytes.as_chunks::<SIZE>().0.iter().enumerate() {
        map.set(index as u32, *value, 0).map_err(|error| LoadError::of(&error))?;
    }
    Ok(())
}

fn empty<const KEY: usize, const VALUE: usize>(map: &mut Map) -> Result<(), LoadError> {
    let map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map);
    let mut map = map.map_err(|error| LoadError::of(&error))?;
    let keys: Result<Vec<_>, _> = map.keys().collect();
    for key in keys.map_err(|error| LoadError::of(&error))? {
        map.remove(&key).map_err(|error| LoadError::of(&error))?;
    }
    Ok(())
}
