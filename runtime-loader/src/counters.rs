//! Per-CPU counters, read from their pins.

use std::os::fd::AsFd;
use std::path::Path;

use ciliumc_abi::counter::Counter;

use crate::error::{Context, Error};
use crate::maps;
use crate::sys::{bpf, probe};

/// Counters by action, summed over the CPUs; none when there is no such pin.
pub fn read(path: &Path) -> Result<Vec<Counter>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let map = maps::open(path)?;
    let cannot = || format!("cannot read `{}`", path.display());
    let values = bpf::percpu_array_values(map.as_fd()).context(cannot)?;
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
