//! Per-CPU counters, read from their pins.

use std::os::fd::AsFd;
use std::path::Path;

use ciliumc_abi::counter::Counter;
use ciliumc_abi::names;

use crate::error::{Context, Error};
use crate::maps;
use crate::names::Hook;
use crate::pins::Pins;
use crate::state::Endpoint;
use crate::sys::{bpf, probe};

/// All counters of a map, summed over the CPUs; none when there is no such pin.
pub fn read(path: &Path) -> Result<Vec<Counter>, Error> {
    range(path, |entries| Ok((0, entries)))
}

/// Counters of an endpoint at a hook by action: those of its slot, or the one of the program that drops everything.
/// None when nothing counts.
pub fn of_endpoint(pins: &Pins, id: u16, record: Option<&Endpoint>, hook: Hook) -> Result<Vec<Counter>, Error> {
    let Some(slot) = record.and_then(|record| record.slots.get(&hook)) else {
        return read(&pins.counters(id, hook));
    };
    let folder = pins.program(&slot.program);
    range(&folder.join(names::COUNTERS), |entries| {
        let path = folder.join(names::ENDPOINTS);
        let endpoints = maps::open(&path)?;
        let layout = bpf::map_layout(endpoints.as_fd()).context(|| format!("cannot look at `{}`", path.display()))?;
        let each = entries / layout.max_entries.max(1);
        Ok((slot.number.saturating_mul(each), each))
    })
}

/// Some counters of a map, of which `which` gets the number of entries, and says the first one and how many.
fn range(path: &Path, which: impl FnOnce(u32) -> Result<(u32, u32), Error>) -> Result<Vec<Counter>, Error> {
    let Some(map) = maps::open_optional(path)? else { return Ok(Vec::new()) };
    let cannot = || format!("cannot read `{}`", path.display());
    let (first, count) = which(bpf::map_layout(map.as_fd()).context(cannot)?.max_entries)?;
    let values = bpf::array_read(map.as_fd(), first, count).context(cannot)?;
    let cpus = probe::possible_cpus().context(cannot)?;
    let (values, _) = values.as_chunks::<{ size_of::<Counter>() }>();
    let counters = values.chunks(cpus.max(1)).map(|cpus| {
        let read = cpus.iter().map(|value| {
            let (words, _) = value.as_chunks::<8>();
            Counter { packets: u64::from_ne_bytes(words[0]), bytes: u64::from_ne_bytes(words[1]) }
        });
        sum(&read.collect::<Vec<_>>())
    });
    Ok(counters.collect())
}

/// All together.
pub fn sum(counters: &[Counter]) -> Counter {
    counters.iter().fold(Counter::default(), |sum, counter| Counter {
        packets: sum.packets.wrapping_add(counter.packets),
        bytes: sum.bytes.wrapping_add(counter.bytes),
    })
}
