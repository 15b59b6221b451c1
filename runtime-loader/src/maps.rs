//! Making maps complete before anybody sees them, and refusing those of another layout.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ciliumc_abi::manifest::{Map, Section};

use crate::error::{Context, Error};
use crate::sys::bpf::{self, Layout};

/// Flag of maps that user space can map into its memory.
pub const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Layout of a class table.
pub fn table_layout(map: &Map, section: &Section) -> Layout {
    Layout { value_size: section.value_size, max_entries: section.entries, ..layout(map) }
}

/// Layout as the manifest gives it.
pub fn layout(map: &Map) -> Layout {
    Layout {
        map_type: map.map_type,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: map.flags,
    }
}

/// Whether an existing map is the one that programs expect; the error names what differs.
///
/// Neither aya nor the kernel compares: a program would read one layout as the other.
pub fn check(path: &Path, found: &Layout, expected: &Layout) -> Result<(), Error> {
    let differs = [
        ("type", found.map_type, expected.map_type),
        ("key size", found.key_size, expected.key_size),
        ("value size", found.value_size, expected.value_size),
        ("capacity", found.max_entries, expected.max_entries),
        ("flags", found.flags, expected.flags),
    ];
    match differs.iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((what, found, expected)) => Err(Error::Refused(format!(
            "the map `{}` has {what} {found}, the bundle needs {expected}; `unload` removes the old maps (and with them \
             all attached programs)",
            path.display()
        ))),
    }
}

/// What becomes of a filled map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// Frozen: nothing but programs changes it again.
    Never,
    /// The loader sets single cells while programs read.
    Later,
}

/// Creates a map, fills it from entry 0 on, and pins it last.
pub fn create(path: &Path, name: &str, layout: &Layout, values: &[u8], writable: Writable) -> Result<OwnedFd, Error> {
    let at = || path.display();
    let map = bpf::map_create(layout, name).context(|| format!("cannot create the map `{}`", at()))?;
    if !values.is_empty() {
        bpf::array_write(map.as_fd(), 0, values).context(|| format!("cannot fill the map `{}`", at()))?;
    }
    if writable == Writable::Never {
        bpf::map_freeze(map.as_fd()).context(|| format!("cannot freeze the map `{}`", at()))?;
    }
    bpf::obj_pin(map.as_fd(), path).context(|| format!("cannot pin the map `{}`", at()))?;
    Ok(map)
}

/// Opens a pinned map; `None` when there is none. One that may not be looked at is an error.
pub fn open_optional(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match bpf::obj_get(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        map => map.map(Some).context(|| format!("cannot open the map `{}`", path.display())),
    }
}

/// Opens a pinned map.
pub fn open(path: &Path) -> Result<OwnedFd, Error> {
    bpf::obj_get(path).context(|| format!("cannot open the map `{}`", path.display()))
}
