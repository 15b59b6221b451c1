//! Per-CPU counters. Mirror of `abi/counter.h`.

/// Value of `counters` (index: the class's action) and of `metrics` (index: [`metric_index`]).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16);

/// Entries of the node's `metrics` map: 256 reasons in two directions.
pub const METRICS_ENTRIES: u32 = 512;

/// Place of a drop reason (0 means "forwarded") and direction in the `metrics` map.
pub fn metric_index(reason: u8, direction: u8) -> u32 {
    u32::from(direction) << 8 | u32::from(reason)
}
