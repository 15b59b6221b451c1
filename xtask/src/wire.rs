//! Frames as they are on a cable: sent and seen byte by byte.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, bind, recv,
    send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Bytes of the largest frame that is looked at.
const FRAME_MAX: usize = 1 << 16;
/// How long one look takes.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    /// The interface's own address.
    pub mac: [u8; 6],
}

impl Tap {
    /// Opens an interface of the calling thread's network namespace.
    pub fn open(interface: &str) -> io::Result<Self> {
        let link = |storage: SockaddrStorage| match storage.family() {
            Some(AddressFamily::Packet) => storage.as_link_addr().copied(),
            _ => None,
        };
        let mut found = getifaddrs()?.filter(|one| one.interface_name == interface).filter_map(|one| one.address);
        let address: LinkAddr = found.find_map(link).ok_or(Errno::ENODEV)?;
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        bind(socket.as_raw_fd(), &address)?;
        let look = TimeVal::milliseconds(i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX));
        setsockopt(&socket, sockopt::ReceiveTimeout, &look)?;
        Ok(Tap { socket, mac: address.addr().unwrap_or_default() })
    }

    /// Puts a frame on the cable.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Forgets every frame that came until now.
    pub fn drain(&self) {
        // Whatever else can go wrong here goes wrong again at the next look.
        while recv(self.socket.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT).is_ok() {}
    }

    /// The first frame for which `wanted` holds, of either direction, if it comes in time.
    pub fn find(&self, limit: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> io::Result<Option<Vec<u8>>> {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; FRAME_MAX];
        while Instant::now() < end {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) if wanted(&buffer[..length]) => return Ok(Some(buffer[..length].to_vec())),
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The frame between two interfaces, and with the IPv4 checksum that a router looks at.
#[must_use]
pub fn addressed(frame: &[u8], source: [u8; 6], destination: [u8; 6]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    let ipv4 = frame[12..ETHERNET] == [8, 0];
    let words = frame.get(ETHERNET).map_or(0, |first| usize::from(first & 15));
    if let Some(header) = frame.get_mut(ETHERNET..ETHERNET + words * 4).filter(|header| ipv4 && header.len() >= 20) {
        header[10..12].fill(0);
        let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum >> 16) + (sum & 0xffff);
        let checksum = !(((folded >> 16) + folded) as u16);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}

/// What routers leave of a packet: all but the Ethernet header, hop limit and IPv4 checksum.
#[must_use]
pub fn essence(frame: &[u8]) -> Vec<u8> {
    let mut packet = frame.get(ETHERNET..).unwrap_or_default().to_vec();
    let changed: &[usize] = match packet.first().map(|first| first >> 4) {
        Some(4) => &[8, 10, 11],
        Some(6) => &[7],
        _ => &[],
    };
    for &at in changed {
        packet.get_mut(at).into_iter().for_each(|byte| *byte = 0);
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_header() {
        // RFC 1071's rule on a header whose sum is known: 0xb861.
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        let frame = [&[0; 12][..], &[8, 0], &header].concat();
        let frame = addressed(&frame, [1; 6], [2; 6]);
        assert_eq!(frame[24..26], [0xb8, 0x61]);
        assert_eq!(frame[..12], [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
        let mut routed = frame.clone();
        (routed[22], routed[24]) = (63, 0xb9);
        assert_eq!(essence(&routed), essence(&frame));
    }
}
