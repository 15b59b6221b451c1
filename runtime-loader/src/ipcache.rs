//! Addresses of a generation: what its tries hold, and setting one address while programs look.

use std::net::IpAddr;

use ciliumc_abi::identity::reserved;
use ciliumc_abi::ipcache::{NEXT_PAGE, Page4, Page6, ROOT_PAGES4, Record, STEPS6_MAX, Trie4, Trie6, Update};
use ciliumc_abi::manifest::{Manifest, Node};
use ciliumc_abi::table::PAGE_CELLS;

use crate::sys::mapping::Mapping;

/// Pages left free for addresses that come while the generation runs: two (IPv4) or one (IPv6, mostly) for a new one.
pub const SPARE_PAGES: u32 = 1024;

/// Words before the cells of a [`Page6`].
const HEADER6: usize = 10;

/// The tries of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tries {
    /// IPv4.
    pub v4: Trie4,
    /// IPv6.
    pub v6: Trie6,
}

/// Builds the tries from the bundle's prefixes, the addresses of other nodes' pods, the node's own, and those of the
/// endpoints that run.
pub fn build(
    manifest: &Manifest,
    records: &[Record],
    remotes: &[(IpAddr, u32)],
    node: Option<&Node>,
    hosts: &[(IpAddr, u32)],
) -> Tries {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for record in records {
        match *record {
            Record::V4 { address, len, index } => v4.push((address, len, index)),
            Record::V6 { address, len, index } => v6.push((address, len, index)),
        }
    }
    // Of equal prefixes the last one wins: the node is host to itself, whatever the shared table says.
    let own = node.into_iter().flat_map(|node| &node.addresses).map(|&address| (address, reserved::HOST));
    for (address, index) in remotes.iter().copied().chain(own).chain(hosts.iter().copied()) {
        let index = manifest.index_at(address, index);
        match address {
            IpAddr::V4(address) => v4.push((address, 32, index)),
            IpAddr::V6(address) => v6.push((address, 128, index)),
        }
    }
    let datapath = &manifest.datapath;
    Tries { v4: Trie4::build(datapath.world_ipv4.0, v4), v6: Trie6::build(datapath.world_ipv6.0, v6) }
}

/// What an address is when no endpoint of this node has it.
pub fn base(manifest: &Manifest, records: &[Record], node: Option<&Node>, address: IpAddr) -> u32 {
    if node.is_some_and(|node| node.addresses.contains(&address)) {
        return manifest.index_at(address, reserved::HOST);
    }
    let covering = records.iter().filter_map(|record| match (*record, address) {
        (Record::V4 { address: prefix, len, index }, IpAddr::V4(address)) => {
            let differ = u32::from(prefix) ^ u32::from(address);
            (differ.leading_zeros() >= u32::from(len)).then_some((len, index))
        }
        (Record::V6 { address: prefix, len, index }, IpAddr::V6(address)) => {
            let differ = u128::from(prefix) ^ u128::from(address);
            (differ.leading_zeros() >= u32::from(len)).then_some((len, index))
        }
        _ => None,
    });
    let world = match address {
        IpAddr::V4(_) => manifest.datapath.world_ipv4.0,
        IpAddr::V6(_) => manifest.datapath.world_ipv6.0,
    };
    covering.max_by_key(|&(len, _)| len).map_or(world, |(_, index)| index)
}

fn page6(words: &[u32]) -> Option<Page6> {
    let half = |at: usize| {
        let (a, b) = (words.get(at)?.to_ne_bytes(), words.get(at + 1)?.to_ne_bytes());
        Some(u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]))
    };
    Some(Page6 {
        mask_hi: half(0)?,
        mask_lo: half(2)?,
        value_hi: half(4)?,
        value_lo: half(6)?,
        byte: *words.get(8)?,
        default: *words.get(9)?,
        cell: words.get(HEADER6..HEADER6 + PAGE_CELLS)?.try_into().ok()?,
    })
}

/// A trie that programs read, with what it holds: nobody else writes it while the lock is held.
#[derive(Debug)]
pub struct Live {
    map: Mapping,
    trie: Trie,
}

#[derive(Debug)]
enum Trie {
    V4(Trie4),
    V6(Trie6),
}

impl Live {
    /// Reads a trie. Errors say what is wrong with the map, without its name.
    pub fn read(map: Mapping, is_ipv4: bool) -> Result<Self, String> {
        let trie = if is_ipv4 { Trie::V4(read4(&map)?) } else { Trie::V6(read6(&map)?) };
        Ok(Self { map, trie })
    }

    /// The identity index of an address; 0 for one of the other family.
    pub fn lookup(&self, address: IpAddr) -> u32 {
        match (&self.trie, address) {
            (Trie::V4(trie), IpAddr::V4(address)) => trie.lookup(address),
            (Trie::V6(trie), IpAddr::V6(address)) => trie.lookup(address),
            _ => 0,
        }
    }

    /// Sets one host address: pages that nobody reaches yet, then the one cell. Nothing was written when it fails.
    pub fn set_host(&mut self, address: IpAddr, index: u32) -> Result<(), String> {
        if self.lookup(address) == index {
            return Ok(());
        }
        let set = match (&mut self.trie, address) {
            (Trie::V4(trie), IpAddr::V4(address)) => {
                let update = trie.set_host(address, index);
                write(&self.map, &update, 0, |page| trie.pages().get(page).map(|page| page.cell.to_vec()))
            }
            (Trie::V6(trie), IpAddr::V6(address)) => {
                let update = trie.set_host(address, index);
                write(&self.map, &update, HEADER6, |page| trie.pages().get(page).map(Page6::words))
            }
            _ => Err("it is of the other family".to_owned()),
        };
        if set.is_err() {
            // What is here now is not what the map holds.
            self.trie = if address.is_ipv4() { Trie::V4(read4(&self.map)?) } else { Trie::V6(read6(&self.map)?) };
        }
        set
    }
}

fn write(
    map: &Mapping,
    update: &Update,
    header: usize,
    words: impl Fn(usize) -> Option<Vec<u32>>,
) -> Result<(), String> {
    let last = update.pages.last().copied().unwrap_or(0).max(update.cell.0) as usize;
    if last >= map.entries() {
        return Err(format!("all {} pages are in use; the next bundle that is applied gets new ones", map.entries()));
    }
    let damaged = || "an update does not fit".to_owned();
    for &page in &update.pages {
        if !map.write(page as usize, &words(page as usize).ok_or_else(damaged)?) {
            return Err(damaged());
        }
    }
    let (page, at) = (update.cell.0 as usize, header + usize::from(update.cell.1));
    let word = words(page).and_then(|words| words.get(at).copied()).ok_or_else(damaged)?;
    if map.publish(page, 4 * at, word) { Ok(()) } else { Err(damaged()) }
}

/// Reads pages `0..n`, where n is one more than the last page that a cell names. Pages behind were never used, or hold
/// what an interrupted update left.
fn read_pages<P>(
    map: &Mapping,
    roots: usize,
    parse: impl Fn(&[u32]) -> Option<P>,
    cells: impl Fn(&P) -> &[u32; PAGE_CELLS],
) -> Result<Vec<P>, String> {
    let (mut pages, mut used) = (Vec::new(), roots);
    while pages.len() < used {
        let words = map.words(pages.len()).ok_or("a cell names a page beyond the end")?;
        let page = parse(&words).ok_or("its pages have another layout")?;
        let children = cells(&page).iter().filter(|&&cell| cell & NEXT_PAGE != 0);
        used = children.map(|cell| (cell & !NEXT_PAGE) as usize + 1).fold(used, usize::max);
        pages.push(page);
    }
    Ok(pages)
}

fn read4(map: &Mapping) -> Result<Trie4, String> {
    let parse = |words: &[u32]| Some(Page4 { cell: words.get(..PAGE_CELLS)?.try_into().ok()? });
    read_pages(map, ROOT_PAGES4, parse, |page| &page.cell).map(Trie4::from_pages)
}

fn read6(map: &Mapping) -> Result<Trie6, String> {
    let pages = read_pages(map, 1, page6, |page| &page.cell)?;
    for page in &pages {
        // Bytes grow from page to page: a walk ends.
        let mut children = page.cell.iter().filter(|&&cell| cell & NEXT_PAGE != 0);
        let grows = |cell: &u32| pages.get((cell & !NEXT_PAGE) as usize).is_some_and(|child| child.byte > page.byte);
        if page.byte as usize >= STEPS6_MAX || !children.all(grows) {
            return Err("its pages do not form a tree".to_owned());
        }
    }
    Ok(Trie6::from_pages(pages))
}
