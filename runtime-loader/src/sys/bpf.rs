//! `bpf(2)`: what aya 0.14 has not got (batches, freeze, compare-and-swap link update), and the small calls around it.
#![expect(unsafe_code, reason = "bpf(2) takes pointers; every call passes sizes that it checked")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MAP_FREEZE: libc::c_long = 22;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;
const LINK_DETACH: libc::c_long = 34;

const BPF_F_REPLACE: u32 = 1 << 2;
const BPF_F_BEFORE: u32 = 1 << 3;
const BPF_LINK_TYPE_TCX: u32 = 11;

const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_ARRAY: u32 = 2;
/// A map of programs to jump into. What it holds goes with its last pin or descriptor.
pub const MAP_TYPE_PROG_ARRAY: u32 = 3;
const MAP_TYPE_PERCPU_ARRAY: u32 = 6;
const MAP_TYPE_LRU_HASH: u32 = 9;
const MAP_TYPE_RINGBUF: u32 = 27;

/// `attach_type` of tcx at the ingress of an interface.
pub const TCX_INGRESS: u32 = 46;
/// `attach_type` of tcx at the egress of an interface.
pub const TCX_EGRESS: u32 = 47;

/// What a map is made of; also what decides whether an existing one may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Kernel map type.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// A tcx link as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Interface; 0 when the interface is gone and the link with it.
    pub ifindex: u32,
    /// Program behind the link.
    pub prog_id: u32,
}

/// # Safety
/// `attr` must be the attribute struct of `cmd`, with pointers that live through the call.
pub(super) unsafe fn call<T>(cmd: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for `attr`; the kernel reads and writes at most `size_of::<T>()` bytes of it.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, cmd, std::ptr::from_mut(attr), size_of::<T>()) };
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

pub(super) fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// Creates a map. `name` is cut to the kernel's 15 bytes.
pub fn map_create(layout: &Layout, name: &str) -> io::Result<OwnedFd> {
    let mut attr = CreateAttr {
        map_type: layout.map_type,
        key_size: layout.key_size,
        value_size: layout.value_size,
        max_entries: layout.max_entries,
        map_flags: layout.flags,
        ..CreateAttr::default()
    };
    for (to, from) in attr.map_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attribute holds no pointers.
    owned(unsafe { call(MAP_CREATE, &mut attr) }?)
}

#[repr(C)]
struct ElemAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Deletes one entry.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    if key.len() != map_layout(map)?.key_size as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut attr = ElemAttr { map_fd: raw(map), pad: 0, key: key.as_ptr() as u64, value: 0, flags: 0 };
    // SAFETY: the key is as long as the map's info says, checked above.
    unsafe { call(MAP_DELETE_ELEM, &mut attr) }.map(drop)
}

/// Puts a program into a map of programs.
pub fn prog_array_set(map: BorrowedFd<'_>, index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    if map_layout(map)?.map_type != MAP_TYPE_PROG_ARRAY {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let value = raw(program);
    let (key, value) = (std::ptr::from_ref(&index) as u64, std::ptr::from_ref(&value) as u64);
    // SAFETY: keys and values of such maps are u32, and both outlive the call.
    unsafe { call(MAP_UPDATE_ELEM, &mut ElemAttr { map_fd: raw(map), pad: 0, key, value, flags: 0 }) }.map(drop)
}

/// Whether there is a program in a place of a map of programs.
pub fn prog_array_has(map: BorrowedFd<'_>, index: u32) -> io::Result<bool> {
    if map_layout(map)?.map_type != MAP_TYPE_PROG_ARRAY {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut value = 0u32;
    let (key, value) = (std::ptr::from_ref(&index) as u64, std::ptr::from_mut(&mut value) as u64);
    // SAFETY: keys and values of such maps are u32, and both outlive the call.
    match unsafe { call(MAP_LOOKUP_ELEM, &mut ElemAttr { map_fd: raw(map), pad: 0, key, value, flags: 0 }) } {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Writes the entries from `first` on of an ARRAY or per-CPU array in one call. `values` holds them one behind the
/// other; those of a per-CPU array hold the value of each possible CPU, rounded up to eight bytes.
pub fn array_write(map: BorrowedFd<'_>, first: u32, values: &[u8]) -> io::Result<()> {
    let layout = map_layout(map)?;
    let step = value_step(&layout)?;
    let count = values.len().checked_div(step).unwrap_or(0);
    if count * step != values.len() || first as usize + count > layout.max_entries as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let keys: Vec<u32> = (first..first + count as u32).collect();
    let mut done = 0;
    while done < count {
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: keys[done..].as_ptr() as u64,
            values: values[done * step..].as_ptr() as u64,
            count: (count - done) as u32,
            map_fd: raw(map),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: both slices hold `count - done` elements of the sizes that the kernel copies.
        let result = unsafe { call(MAP_UPDATE_BATCH, &mut attr) };
        match result {
            Ok(_) => return Ok(()),
            // An interrupted batch says how far it came.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => done += attr.count as usize,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a map holds keys of any kind and can be full.
pub fn is_hash(layout: &Layout) -> bool {
    matches!(layout.map_type, MAP_TYPE_HASH | MAP_TYPE_LRU_HASH)
}

/// The name of a map type, as bpftool prints it.
pub fn type_name(map_type: u32) -> &'static str {
    match map_type {
        MAP_TYPE_HASH => "hash",
        MAP_TYPE_ARRAY => "array",
        MAP_TYPE_PROG_ARRAY => "prog_array",
        MAP_TYPE_PERCPU_ARRAY => "percpu_array",
        MAP_TYPE_LRU_HASH => "lru_hash",
        MAP_TYPE_RINGBUF => "ringbuf",
        _ => "other",
    }
}

/// Reads a hash map in batches: `each` gets every key with its value. Entries that come and go meanwhile may be missed
/// or seen.
pub fn hash_each(map: BorrowedFd<'_>, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    const BATCH: usize = 4096;
    let layout = map_layout(map)?;
    // Of these the batch token is a u32, and values are not per CPU.
    if !is_hash(&layout) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let (key, value) = (layout.key_size as usize, layout.value_size as usize);
    let mut keys = vec![0u8; key * BATCH];
    let mut values = vec![0u8; value * BATCH];
    let mut token = 0u32;
    let mut first = true;
    loop {
        let mut next = 0u32;
        let mut attr = BatchAttr {
            in_batch: if first { 0 } else { std::ptr::from_ref(&token) as u64 },
            out_batch: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map_fd: raw(map),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: both buffers hold BATCH elements of the sizes in the map's info; tokens of hash maps are u32.
        let result = unsafe { call(MAP_LOOKUP_BATCH, &mut attr) };
        let last = match result {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = (attr.count as usize).min(BATCH);
        keys.chunks_exact(key).zip(values.chunks_exact(value)).take(count).for_each(|(key, value)| each(key, value));
        if last {
            return Ok(());
        }
        (token, first) = (next, false);
    }
}

/// Bytes that the kernel copies for an entry of an array.
fn value_step(layout: &Layout) -> io::Result<usize> {
    let size = layout.value_size as usize;
    match layout.map_type {
        MAP_TYPE_ARRAY => Ok(size),
        MAP_TYPE_PERCPU_ARRAY => Ok(size.next_multiple_of(8) * super::probe::possible_cpus()?),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// All values of an array or per-CPU array, one behind the other; see [`array_read`].
pub fn array_values(map: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    array_read(map, 0, map_layout(map)?.max_entries)
}

/// `count` values of an array or per-CPU array from entry `first` on, one behind the other; in a per-CPU array each is
/// that of each possible CPU, in steps of eight bytes.
pub fn array_read(map: BorrowedFd<'_>, first: u32, count: u32) -> io::Result<Vec<u8>> {
    let layout = map_layout(map)?;
    let step = value_step(&layout)?;
    if u64::from(first) + u64::from(count) > u64::from(layout.max_entries) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let count = count as usize;
    let mut keys = vec![0u32; count];
    let mut values = vec![0u8; step * count];
    let mut next = 0u32;
    // The kernel begins behind the entry that it is given.
    let before = first.wrapping_sub(1);
    let mut attr = BatchAttr {
        in_batch: if first == 0 { 0 } else { std::ptr::from_ref(&before) as u64 },
        out_batch: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: count as u32,
        map_fd: raw(map),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: both buffers hold `count` elements of the sizes that the kernel copies; tokens of arrays are u32.
    match unsafe { call(MAP_LOOKUP_BATCH, &mut attr) } {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(values),
    }
}

/// Makes a map read-only for user space, for ever.
pub fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct FreezeAttr {
        map_fd: u32,
    }
    // SAFETY: the attribute holds no pointers.
    unsafe { call(MAP_FREEZE, &mut FreezeAttr { map_fd: raw(map) }) }.map(drop)
}

#[repr(C)]
struct ObjAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins a map, program or link.
pub fn obj_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: raw(object), file_flags: 0 };
    // SAFETY: `path` is terminated and outlives the call.
    unsafe { call(OBJ_PIN, &mut attr) }.map(drop)
}

/// Opens what is pinned at `path`.
pub fn obj_get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: `path` is terminated and outlives the call.
    owned(unsafe { call(OBJ_GET, &mut attr) }?)
}

/// Name of a program, as far as the kernel keeps it. Programs by number are for CAP_SYS_ADMIN.
pub fn prog_name(id: u32) -> io::Result<String> {
    let words = info::<20>(prog_by_id(id)?.as_fd())?;
    let bytes = words.iter().skip(16).flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned())
}

/// The info words that start the kernel's description of an object.
fn info<const N: usize>(object: BorrowedFd<'_>) -> io::Result<[u32; N]> {
    #[repr(C)]
    struct InfoAttr {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut words = [0u32; N];
    let mut attr =
        InfoAttr { bpf_fd: raw(object), info_len: size_of::<[u32; N]>() as u32, info: words.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `info_len` bytes.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(words)
}

/// Layout of an open map.
pub fn map_layout(map: BorrowedFd<'_>) -> io::Result<Layout> {
    let [map_type, _id, key_size, value_size, max_entries, flags] = info::<6>(map)?;
    Ok(Layout { map_type, key_size, value_size, max_entries, flags })
}

/// Kernel id of an open map.
pub fn map_id(map: BorrowedFd<'_>) -> io::Result<u32> {
    let [_type, id] = info::<2>(map)?;
    Ok(id)
}

/// Kernel id of an open program.
pub fn prog_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // The info of a program has to be read in multiples of eight bytes.
    let [_type, id] = info::<2>(program)?;
    Ok(id)
}

/// Opens a program by its kernel id.
pub fn prog_by_id(id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct IdAttr {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    // SAFETY: the attribute holds no pointers.
    owned(unsafe { call(PROG_GET_FD_BY_ID, &mut IdAttr { id, next_id: 0, open_flags: 0 }) }?)
}

/// Describes an open tcx link.
pub fn link_info(link: BorrowedFd<'_>) -> io::Result<Link> {
    let [link_type, _id, prog_id, _pad, ifindex, _attach_type] = info::<6>(link)?;
    if link_type != BPF_LINK_TYPE_TCX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the pin is not a tcx link"));
    }
    Ok(Link { ifindex, prog_id })
}

/// Attaches a program to an interface, before all others. The link ends with its last descriptor or pin.
pub fn tcx_attach(program: BorrowedFd<'_>, ifindex: u32, attach_type: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct LinkCreateAttr {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
        relative_fd: u32,
        pad: u32,
        expected_revision: u64,
    }
    let mut attr = LinkCreateAttr {
        prog_fd: raw(program),
        target_ifindex: ifindex,
        attach_type,
        flags: BPF_F_BEFORE,
        relative_fd: 0,
        pad: 0,
        expected_revision: 0,
    };
    // SAFETY: the attribute holds no pointers.
    owned(unsafe { call(LINK_CREATE, &mut attr) }?)
}

/// Replaces the program behind a link, atomically; EPERM when `old` is given and it is another one by now.
pub fn link_update(link: BorrowedFd<'_>, new: BorrowedFd<'_>, old: Option<BorrowedFd<'_>>) -> io::Result<()> {
    #[repr(C)]
    struct LinkUpdateAttr {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
    let (flags, old_prog_fd) = old.map_or((0, 0), |old| (BPF_F_REPLACE, raw(old)));
    let mut attr = LinkUpdateAttr { link_fd: raw(link), new_prog_fd: raw(new), flags, old_prog_fd };
    // SAFETY: the attribute holds no pointers.
    unsafe { call(LINK_UPDATE, &mut attr) }.map(drop)
}

/// Takes the program of a link off its interface, at once. Without this a link ends with its last descriptor or pin,
/// but the kernel only gets to it some milliseconds after they are gone.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct LinkDetachAttr {
        link_fd: u32,
    }
    // SAFETY: the attribute holds no pointers.
    unsafe { call(LINK_DETACH, &mut LinkDetachAttr { link_fd: raw(link) }) }.map(drop)
}

/// Whether the kernel has ring buffers: makes one and throws it away.
pub fn has_ringbuf() -> bool {
    let layout = Layout { map_type: MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: 1 << 16, flags: 0 };
    map_create(&layout, "probe").is_ok()
}
