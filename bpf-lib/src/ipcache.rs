//! Address → identity index, without a hash or an LPM map. Mirror of `abi/ipcache.h`; this file is the one writer.
//!
//! Both tries are arrays of pages. A cell is either an identity index, or, with [`NEXT_PAGE`] set, the number of the
//! page to go on in. An update never rewrites a page that readers can reach: it fills new pages and then stores one
//! cell, so a reader sees the old or the new answer. Pages that such a store unhooks are not reused.
//!
//! - [`Trie4`] is the 16-8-8 multibit trie: pages 0-255 are indexed by the first 16 bits of the address.
//! - [`Trie6`] has one page per byte at which stored prefixes differ. A page tells which bits must agree to be in it
//!   at all, so a long common prefix costs one comparison; an address that disagrees gets the page's default.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::table::PAGE_CELLS;

/// Bit of a cell that holds a page number instead of an identity index.
pub const NEXT_PAGE: u32 = 1 << 31;
/// Pages of [`Trie4`] that are its first level.
pub const ROOT_PAGES4: usize = 256;
/// Bound of the steps through a [`Trie6`]: one page per byte of the address.
pub const STEPS6_MAX: usize = 16;

/// One page of [`Trie4`]: the value of the map `ipcache4`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page4 {
    /// Identity indices, or pages.
    pub cell: [u32; PAGE_CELLS],
}

/// One page of [`Trie6`]: the value of the map `ipcache6`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page6 {
    /// Bits of the address's first half that must be equal, in host order.
    pub mask_hi: u64,
    /// Bits of the address's second half that must be equal, in host order.
    pub mask_lo: u64,
    /// What they must be equal to.
    pub value_hi: u64,
    /// What they must be equal to.
    pub value_lo: u64,
    /// Which byte of the address indexes the page: 0 first, 15 last.
    pub byte: u32,
    /// Identity index of an address that disagrees.
    pub default: u32,
    /// Identity indices, or pages.
    pub cell: [u32; PAGE_CELLS],
}

const _: () = assert!(size_of::<Page4>() == 1024);
const _: () = assert!(size_of::<Page6>() == 1064);

/// One prefix of the file [`crate::manifest::IPCACHE_FILE`]: 24 bytes, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// An IPv4 prefix.
    V4 {
        /// Network address.
        address: Ipv4Addr,
        /// Prefix length, 0-32.
        len: u8,
        /// Identity index.
        index: u32,
    },
    /// An IPv6 prefix.
    V6 {
        /// Network address.
        address: Ipv6Addr,
        /// Prefix length, 0-128.
        len: u8,
        /// Identity index.
        index: u32,
    },
}

/// Bytes of a [`Record`] in a file.
pub const RECORD_LEN: usize = 24;

impl Record {
    /// The record as the file holds it.
    pub fn to_bytes(self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        let index = match self {
            Self::V4 { address, len, index } => {
                out[0] = 4;
                out[1] = len;
                out[8..12].copy_from_slice(&address.octets());
                index
            }
            Self::V6 { address, len, index } => {
                out[0] = 6;
                out[1] = len;
                out[8..24].copy_from_slice(&address.octets());
                index
            }
        };
        out[4..8].copy_from_slice(&index.to_le_bytes());
        out
    }

    /// Reads what [`Record::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let index = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if index & NEXT_PAGE != 0 {
            return None;
        }
        let len = bytes[1];
        match bytes[0] {
            4 if len <= 32 => {
                let address = Ipv4Addr::new(bytes[8], bytes[9], bytes[10], bytes[11]);
                Some(Self::V4 { address, len, index })
            }
            6 if len <= 128 => {
                let octets: [u8; 16] = bytes[8..24].try_into().ok()?;
                Some(Self::V6 { address: Ipv6Addr::from(octets), len, index })
            }
            _ => None,
        }
    }
}

/// What an update has to write, in this order: whole pages first, then the one cell that makes them visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Pages that no reader can reach yet.
    pub pages: Vec<u32>,
    /// Page and cell to store last.
    pub cell: (u32, u8),
}

/// IPv4 address → identity index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trie4 {
    pages: Vec<Page4>,
}

impl Trie4 {
    /// A trie that answers `world` for every address.
    pub fn new(world: u32) -> Self {
        Self { pages: vec![Page4 { cell: [world; PAGE_CELLS] }; ROOT_PAGES4] }
    }

    /// Takes over pages that were read back from a map.
    pub fn from_pages(pages: Vec<Page4>) -> Self {
        Self { pages }
    }

    /// The pages, as the map holds them.
    pub fn pages(&self) -> &[Page4] {
        &self.pages
    }

    /// The bytes of all pages, one behind the other, as the map holds them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pages.iter().flat_map(|page| page.cell).flat_map(u32::to_ne_bytes).collect()
    }

    /// The answer for one address.
    pub fn lookup(&self, address: Ipv4Addr) -> u32 {
        let a = u32::from(address);
        let mut cell = self.pages[(a >> 24) as usize].cell[(a >> 16 & 255) as usize];
        for shift in [8, 0] {
            if cell & NEXT_PAGE == 0 {
                break;
            }
            cell = self.pages[(cell & !NEXT_PAGE) as usize].cell[(a >> shift & 255) as usize];
        }
        cell
    }

    /// Builds a trie from prefixes in any order; the longest prefix wins.
    pub fn build(world: u32, prefixes: impl IntoIterator<Item = (Ipv4Addr, u8, u32)>) -> Self {
        let mut prefixes: Vec<_> = prefixes.into_iter().enumerate().collect();
        // Shorter prefixes first: each later one overwrites only what it is more specific than. Of equal ones the last
        // one wins; a stable sort would say so too, in more code.
        prefixes.sort_unstable_by_key(|&(place, (address, len, _))| (len, address, place));
        let mut trie = Self::new(world);
        for (_, (address, len, index)) in prefixes {
            trie.fill(u32::from(address), len, index);
        }
        trie
    }

    fn fill(&mut self, address: u32, len: u8, index: u32) {
        if len <= 16 {
            let first = address >> 16 & (u32::MAX << (16 - u32::from(len)));
            for at in first..first + (1 << (16 - len)) {
                self.pages[(at >> 8) as usize].cell[(at & 255) as usize] = index;
            }
            return;
        }
        let mut page = address >> 24;
        let mut cell = (address >> 16 & 255) as usize;
        let mut shift = 8;
        loop {
            page = self.child(page, cell);
            let bits_left = i32::from(len) - (24 - shift);
            if bits_left <= 8 {
                let span = 1usize << (8 - bits_left);
                let first = (address >> shift & 255) as usize & !(span - 1);
                self.pages[page as usize].cell[first..first + span].fill(index);
                return;
            }
            cell = (address >> shift & 255) as usize;
            shift -= 8;
        }
    }

    /// The page behind a cell, made when there is none.
    fn child(&mut self, page: u32, cell: usize) -> u32 {
        let old = self.pages[page as usize].cell[cell];
        if old & NEXT_PAGE != 0 {
            return old & !NEXT_PAGE;
        }
        let new = self.pages.len() as u32;
        self.pages.push(Page4 { cell: [old; PAGE_CELLS] });
        self.pages[page as usize].cell[cell] = new | NEXT_PAGE;
        new
    }

    /// Sets one host address while readers are looking, and says what to write in which order.
    pub fn set_host(&mut self, address: Ipv4Addr, index: u32) -> Update {
        let a = u32::from(address);
        let first_new = self.pages.len() as u32;
        let (mut page, mut cell) = (a >> 24, a >> 16 & 255);
        let mut visible = None;
        for shift in [8, 0] {
            let existed = self.pages[page as usize].cell[cell as usize] & NEXT_PAGE != 0;
            let child = self.child(page, cell as usize);
            if !existed && visible.is_none() {
                visible = Some((page, cell as u8));
            }
            (page, cell) = (child, a >> shift & 255);
        }
        self.pages[page as usize].cell[cell as usize] = index;
        Update { pages: (first_new..self.pages.len() as u32).collect(), cell: visible.unwrap_or((page, cell as u8)) }
    }
}

/// IPv6 address → identity index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trie6 {
    pages: Vec<Page6>,
}

fn halves(address: u128) -> (u64, u64) {
    ((address >> 64) as u64, address as u64)
}

/// The first `bits` bits set.
fn mask(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

fn byte_of(address: u128, byte: u32) -> usize {
    (address >> (120 - 8 * byte) & 255) as usize
}

impl Page6 {
    /// The page as the map holds it, word by word.
    pub fn words(&self) -> Vec<u32> {
        let halves = |value: u64| {
            let bytes = value.to_ne_bytes();
            [[bytes[0], bytes[1], bytes[2], bytes[3]], [bytes[4], bytes[5], bytes[6], bytes[7]]].map(u32::from_ne_bytes)
        };
        let header = [self.mask_hi, self.mask_lo, self.value_hi, self.value_lo].into_iter().flat_map(halves);
        header.chain([self.byte, self.default]).chain(self.cell).collect()
    }

    fn new(address: u128, byte: u32, default: u32) -> Self {
        let (mask_hi, mask_lo) = halves(mask(8 * byte));
        let (value_hi, value_lo) = halves(address & mask(8 * byte));
        Self { mask_hi, mask_lo, value_hi, value_lo, byte, default, cell: [default; PAGE_CELLS] }
    }

    fn value(&self) -> u128 {
        u128::from(self.value_hi) << 64 | u128::from(self.value_lo)
    }

    fn agrees(&self, address: u128) -> bool {
        let (hi, lo) = halves(address);
        (hi ^ self.value_hi) & self.mask_hi == 0 && (lo ^ self.value_lo) & self.mask_lo == 0
    }
}

impl Trie6 {
    /// A trie that answers `world` for every address.
    pub fn new(world: u32) -> Self {
        Self { pages: vec![Page6::new(0, 0, world)] }
    }

    /// Takes over pages that were read back from a map.
    pub fn from_pages(pages: Vec<Page6>) -> Self {
        Self { pages }
    }

    /// The pages, as the map holds them.
    pub fn pages(&self) -> &[Page6] {
        &self.pages
    }

    /// The bytes of all pages, one behind the other, as the map holds them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pages.iter().flat_map(Page6::words).flat_map(u32::to_ne_bytes).collect()
    }

    /// The answer for one address.
    pub fn lookup(&self, address: Ipv6Addr) -> u32 {
        let a = u128::from(address);
        let mut page = &self.pages[0];
        loop {
            if !page.agrees(a) {
                return page.default;
            }
            let cell = page.cell[byte_of(a, page.byte)];
            if cell & NEXT_PAGE == 0 {
                return cell;
            }
            page = &self.pages[(cell & !NEXT_PAGE) as usize];
        }
    }

    /// Builds a trie from prefixes in any order; the longest prefix wins.
    pub fn build(world: u32, prefixes: impl IntoIterator<Item = (Ipv6Addr, u8, u32)>) -> Self {
        let mut prefixes: Vec<_> = prefixes.into_iter().enumerate().collect();
        // Shorter prefixes first: each later one overwrites only what it is more specific than. Of equal ones the last
        // one wins; a stable sort would say so too, in more code.
        prefixes.sort_unstable_by_key(|&(place, (address, len, _))| (len, address, place));
        let mut trie = Self::new(world);
        for (_, (address, len, index)) in prefixes {
            trie.fill(u128::from(address) & mask(u32::from(len)), u32::from(len), index);
        }
        trie
    }

    /// Sets one prefix. No stored prefix below it is longer (callers go from short to long), so the cells it covers
    /// hold no pages.
    fn fill(&mut self, address: u128, len: u32, index: u32) -> Update {
        // Byte in which the last bit of the prefix lies; the first byte for ::/0.
        let last = len.saturating_sub(1) / 8;
        let first_new = self.pages.len() as u32;
        let mut visible: Option<(u32, u8)> = None;
        let mut page = 0u32;
        loop {
            let byte = self.pages[page as usize].byte;
            if byte == last {
                break;
            }
            let at = byte_of(address, byte);
            let cell = self.pages[page as usize].cell[at];
            let next = if cell & NEXT_PAGE == 0 {
                self.push(Page6::new(address, last, cell))
            } else {
                let child = cell & !NEXT_PAGE;
                let child_page = &self.pages[child as usize];
                let common = (address ^ child_page.value()).leading_zeros() / 8;
                let split = common.min(last);
                if split >= child_page.byte {
                    page = child;
                    continue;
                }
                // The prefix leaves the child's common bytes at `split`: a new page stands there, with the child
                // behind one of its cells.
                let (below, old_byte) = (child_page.default, byte_of(child_page.value(), split));
                let mut between = Page6::new(address, split, below);
                between.cell[old_byte] = cell;
                self.push(between)
            };
            if visible.is_none() {
                visible = Some((page, at as u8));
            }
            self.pages[page as usize].cell[at] = next | NEXT_PAGE;
            page = next;
        }
        let span = 1usize << (8 * (last + 1) - len).min(8);
        let first = byte_of(address, last) & !(span - 1);
        self.pages[page as usize].cell[first..first + span].fill(index);
        Update { pages: (first_new..self.pages.len() as u32).collect(), cell: visible.unwrap_or((page, first as u8)) }
    }

    fn push(&mut self, page: Page6) -> u32 {
        self.pages.push(page);
        self.pages.len() as u32 - 1
    }

    /// Sets one host address while readers are looking, and says what to write in which order.
    pub fn set_host(&mut self, address: Ipv6Addr, index: u32) -> Update {
        self.fill(u128::from(address), 128, index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model<A: Copy + PartialEq>(world: u32, prefixes: &[(A, u8, u32)], inside: impl Fn(A, u8) -> bool) -> u32 {
        let best = prefixes.iter().filter(|p| inside(p.0, p.1)).max_by_key(|p| p.1);
        best.map_or(world, |p| p.2)
    }

    #[test]
    fn of_equal_prefixes_the_last_one_wins() {
        for order in [[6, 1], [1, 6]] {
            let v4: Ipv4Addr = "10.0.0.1".parse().expect("IPv4");
            assert_eq!(Trie4::build(9, order.map(|index| (v4, 32, index))).lookup(v4), order[1]);
            let v6: Ipv6Addr = "fd00::1".parse().expect("IPv6");
            assert_eq!(Trie6::build(9, order.map(|index| (v6, 128, index))).lookup(v6), order[1]);
        }
    }

    fn dedup<A: Ord + Copy>(mut prefixes: Vec<(A, u8, u32)>) -> Vec<(A, u8, u32)> {
        prefixes.sort_unstable();
        prefixes.dedup_by_key(|p| (p.0, p.1));
        prefixes
    }

    proptest! {
        #[test]
        fn trie4_is_longest_prefix_match(
            raw in prop::collection::vec((any::<[u8; 3]>(), 0u8..=32, 1u32..1000), 0..40),
            hosts in prop::collection::vec(any::<[u8; 3]>(), 0..10),
        ) {
            // Few distinct bytes, so that prefixes nest and collide.
            let small = |b: &[u8; 3]| u32::from_be_bytes([10 + b[0] % 2, b[1] % 4, b[2] % 4, b[0] / 2]);
            let cut = |a: u32, len: u8| if len == 0 { 0 } else { a & (u32::MAX << (32 - len)) };
            let mut prefixes = dedup(raw.iter().map(|(b, l, i)| (cut(small(b), *l), *l, *i)).collect());
            let mut trie = Trie4::build(7, prefixes.iter().map(|&(a, l, i)| (a.into(), l, i)));
            for (n, host) in hosts.iter().enumerate() {
                let (address, index) = (small(host), 5000 + n as u32);
                prefixes.retain(|p| (p.0, p.1) != (address, 32));
                prefixes.push((address, 32, index));
                trie.set_host(address.into(), index);
            }
            for (b, ..) in &raw {
                for a in [small(b), small(b) + 1, small(b) ^ 0x100, !small(b)] {
                    let want = model(7, &prefixes, |p, l| cut(a, l) == p);
                    prop_assert_eq!(trie.lookup(a.into()), want);
                }
            }
        }

        #[test]
        fn trie6_is_longest_prefix_match(
            raw in prop::collection::vec((any::<[u8; 16]>(), 0u8..=128, 1u32..1000), 0..40),
            hosts in prop::collection::vec(any::<[u8; 16]>(), 0..10),
        ) {
            let small = |b: &[u8; 16]| u128::from_be_bytes(b.map(|x| x % 2)) | 0xfd << 120;
            let cut = |a: u128, len: u8| a & mask(u32::from(len));
            let mut prefixes = dedup(raw.iter().map(|(b, l, i)| (cut(small(b), *l), *l, *i)).collect());
            let mut trie = Trie6::build(7, prefixes.iter().map(|&(a, l, i)| (a.into(), l, i)));
            for (n, host) in hosts.iter().enumerate() {
                let (address, index) = (small(host), 5000 + n as u32);
                prefixes.retain(|p| (p.0, p.1) != (address, 128));
                prefixes.push((address, 128, index));
                trie.set_host(address.into(), index);
            }
            for (b, ..) in &raw {
                for a in [small(b), small(b) ^ 1, small(b) ^ (1 << 64), small(b) ^ (1 << 100), !small(b)] {
                    let want = model(7, &prefixes, |p, l| cut(a, l) == p);
                    prop_assert_eq!(trie.lookup(a.into()), want);
                }
            }
        }

        #[test]
        fn an_update_shows_old_or_new_until_its_last_store(
            raw in prop::collection::vec((any::<[u8; 16]>(), 1u8..=128), 0..20),
            host in any::<[u8; 16]>(),
        ) {
            let small = |b: &[u8; 16]| u128::from_be_bytes(b.map(|x| x % 2));
            let old = Trie6::build(7, raw.iter().map(|(b, l)| (small(b).into(), *l, 9)));
            let mut new = old.clone();
            let address = Ipv6Addr::from(small(&host));
            let update = new.set_host(address, 11);
            // Write the new pages only: nobody must see a difference.
            let mut pages = old.pages().to_vec();
            for &page in &update.pages {
                prop_assert!(page as usize >= old.pages().len());
                pages.push(new.pages()[page as usize]);
            }
            let half = Trie6::from_pages(pages.clone());
            prop_assert_eq!(half.lookup(address), old.lookup(address));
            // Then the one cell.
            let (page, cell) = update.cell;
            pages[page as usize].cell[cell as usize] = new.pages()[page as usize].cell[cell as usize];
            prop_assert_eq!(&Trie6::from_pages(pages), &new);
        }
    }

    #[test]
    fn records_round_trip_and_refuse_nonsense() {
        let record = Record::V6 { address: "fd00::1".parse().unwrap(), len: 128, index: 300 };
        assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        let record = Record::V4 { address: "10.0.0.0".parse().unwrap(), len: 8, index: 2 };
        assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        let mut bytes = record.to_bytes();
        bytes[1] = 33;
        assert_eq!(Record::from_bytes(&bytes), None);
    }
}
