//! The node's connections: reading them, and removing those of an address.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use ciliumc_abi::conntrack::{CtEntry, CtKey4, CtKey6};
use ciliumc_abi::names;

use crate::error::{Context, Error};
use crate::maps;
use crate::pins::Pins;
use crate::sys::bpf;

/// Offset of a key's fields behind the two addresses: local port, peer port, protocol.
const PORTS: [usize; 3] = [0, 2, 4];
const _: () = assert!(std::mem::offset_of!(CtKey4, local_be) == 0 && std::mem::offset_of!(CtKey6, local) == 0);
const _: () = assert!(std::mem::offset_of!(CtKey4, local_port_be) == 8 + PORTS[0]);
const _: () = assert!(std::mem::offset_of!(CtKey4, proto) == 8 + PORTS[2]);
const _: () = assert!(std::mem::offset_of!(CtKey6, peer_port_be) == 32 + PORTS[1]);
const _: () = assert!(std::mem::offset_of!(CtEntry, generation) == 24 && std::mem::offset_of!(CtEntry, flags) == 29);

/// One connection, as the endpoint sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The endpoint's address.
    pub local: IpAddr,
    /// The endpoint's port; for ICMP echo the identifier, on the side that asked.
    pub local_port: u16,
    /// The other end's address.
    pub peer: IpAddr,
    /// The other end's port.
    pub peer_port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// What the program keeps of it.
    pub entry: CtEntry,
}

/// All connections of the node, expired ones included, sorted.
pub fn list(pins: &Pins) -> Result<Vec<Connection>, Error> {
    let mut found = Vec::new();
    for is_ipv4 in [true, false] {
        each(pins, is_ipv4, |key, value| found.extend(read(is_ipv4, key, value)))?;
    }
    found.sort_unstable_by_key(|one| (one.local, one.local_port, one.peer, one.peer_port, one.proto));
    Ok(found)
}

/// The local addresses of all connections of a family.
pub fn local_addresses(pins: &Pins, is_ipv4: bool) -> Result<BTreeSet<IpAddr>, Error> {
    let mut found = BTreeSet::new();
    each(pins, is_ipv4, |key, _| found.extend(address(is_ipv4, key)))?;
    Ok(found)
}

/// Removes the connections whose local end is `address`, and says how many.
pub fn forget(pins: &Pins, address: IpAddr) -> Result<usize, Error> {
    let local = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    remove(pins, address.is_ipv4(), |key| key.starts_with(&local))
}

/// Removes all connections, and says how many.
pub fn flush(pins: &Pins) -> Result<usize, Error> {
    Ok(remove(pins, true, |_| true)? + remove(pins, false, |_| true)?)
}

fn remove(pins: &Pins, is_ipv4: bool, which: impl Fn(&[u8]) -> bool) -> Result<usize, Error> {
    let Some((path, map)) = open(pins, is_ipv4)? else { return Ok(0) };
    let mut keys = Vec::new();
    each(pins, is_ipv4, |key, _| {
        if which(key) {
            keys.push(key.to_vec());
        }
    })?;
    let mut removed = 0;
    for key in keys {
        match bpf::map_delete(map.as_fd(), &key) {
            Ok(()) => removed += 1,
            // Gone by itself meanwhile is as good.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).context(|| format!("cannot remove a connection from `{}`", path.display()));
            }
        }
    }
    Ok(removed)
}

fn each(pins: &Pins, is_ipv4: bool, each: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
    let Some((path, map)) = open(pins, is_ipv4)? else { return Ok(()) };
    bpf::hash_each(map.as_fd(), each).context(|| format!("cannot read `{}`", path.display()))
}

/// The map of a family; `None` when the bundle has the family switched off, or nothing is loaded.
fn open(pins: &Pins, is_ipv4: bool) -> Result<Option<(PathBuf, OwnedFd)>, Error> {
    let path = pins.node().join(if is_ipv4 { names::CONNTRACK4 } else { names::CONNTRACK6 });
    Ok(maps::open_optional(&path)?.map(|map| (path, map)))
}

fn address(is_ipv4: bool, bytes: &[u8]) -> Option<IpAddr> {
    if is_ipv4 {
        let octets: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

fn read(is_ipv4: bool, key: &[u8], value: &[u8]) -> Option<Connection> {
    let width = if is_ipv4 { 4 } else { 16 };
    let ports = key.get(2 * width..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*ports.get(at)?, *ports.get(at + 1)?]));
    let long = |at: usize| Some(u64::from_ne_bytes(value.get(at..at + 8)?.try_into().ok()?));
    Some(Connection {
        local: address(is_ipv4, key)?,
        peer: address(is_ipv4, key.get(width..)?)?,
        local_port: port(PORTS[0])?,
        peer_port: port(PORTS[1])?,
        proto: *ports.get(PORTS[2])?,
        entry: CtEntry {
            expires_ns: long(0)?,
            packets: long(8)?,
            bytes: long(16)?,
            generation: u32::from_ne_bytes(value.get(24..28)?.try_into().ok()?),
            initiator: *value.get(28)?,
            flags: *value.get(29)?,
            tcp_told: [*value.get(30)?, *value.get(31)?],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_as_the_program_wrote_it() {
        let mut key = vec![10, 77, 0, 1, 10, 77, 0, 3, 0, 80, 0x9c, 0x40, 6, 0, 0, 0];
        let mut value = vec![0; 32];
        value[0] = 9;
        value[8] = 2;
        value[16] = 120;
        value[24] = 7;
        value[28] = names::DIRECTION_EGRESS;
        value[29] = 2;
        let found = read(true, &key, &value).unwrap();
        assert_eq!((found.local.to_string(), found.local_port), ("10.77.0.1".to_owned(), 80));
        assert_eq!((found.peer.to_string(), found.peer_port, found.proto), ("10.77.0.3".to_owned(), 40000, 6));
        let entry = found.entry;
        assert_eq!((entry.expires_ns, entry.packets, entry.bytes, entry.generation), (9, 2, 120, 7));
        assert_eq!((entry.initiator, entry.flags), (names::DIRECTION_EGRESS, 2));
        key.truncate(11);
        assert_eq!(read(true, &key, &value), None);
    }
}
