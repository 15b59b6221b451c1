//! A memory-mapped ARRAY map (`BPF_F_MMAPABLE`): reading it whole, and publishing a cell with one release store.
#![expect(unsafe_code, reason = "mmap, and stores into memory that BPF programs read")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::bpf;

/// The values of a map, one behind the other, writable and shared with the kernel.
#[derive(Debug)]
pub struct Mapping {
    start: *mut u8,
    len: usize,
    mapped: usize,
    step: usize,
}

impl Mapping {
    /// Maps all values of an ARRAY map.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let layout = bpf::map_layout(map)?;
        // The kernel lays values out in steps of eight bytes.
        let step = (layout.value_size as usize).next_multiple_of(8);
        let len = step * layout.max_entries as usize;
        let mapped = len.next_multiple_of(4096);
        // SAFETY: a fresh mapping at an address of the kernel's choice; BPF refuses lengths beyond the map.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len, mapped, step })
    }

    /// Bytes from one value to the next.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Number of values.
    pub fn entries(&self) -> usize {
        self.len / self.step
    }

    /// A copy of value `entry`, as words in host order; `None` beyond the end.
    pub fn words(&self, entry: usize) -> Option<Vec<u32>> {
        let first = entry.checked_mul(self.step)?;
        if first + self.step > self.len {
            return None;
        }
        Some((0..self.step / 4).filter_map(|at| Some(self.cell(first + 4 * at)?.load(Ordering::Acquire))).collect())
    }

    /// Writes value `entry`, which no program can reach yet. False, and nothing done, beyond the end.
    pub fn write(&self, entry: usize, words: &[u32]) -> bool {
        let Some(first) = entry.checked_mul(self.step) else {
            return false;
        };
        if first + self.step > self.len || words.len() * 4 > self.step {
            return false;
        }
        for (at, word) in words.iter().enumerate() {
            if let Some(cell) = self.cell(first + 4 * at) {
                cell.store(*word, Ordering::Relaxed);
            }
        }
        true
    }

    /// Stores one word so that whoever sees it also sees all that was written before.
    pub fn publish(&self, entry: usize, offset: usize, word: u32) -> bool {
        let cell = entry.checked_mul(self.step).and_then(|first| self.cell(first + offset));
        let Some(cell) = cell else { return false };
        cell.store(word, Ordering::Release);
        true
    }

    fn cell(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset + 4 > self.len {
            return None;
        }
        // SAFETY: in bounds and aligned (checked above, the mapping starts at a page); the memory is shared with
        // programs, hence only touched by atomic accesses.
        Some(unsafe { &*self.start.add(offset).cast::<AtomicU32>() })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, of which no reference outlives `self`.
        unsafe { libc::munmap(self.start.cast(), self.mapped) };
    }
}
