//! Filters of the clsact qdisc over netlink, for kernels without tcx: a program at a fixed place that is replaced
//! atomically, so that no packet passes between the old and the new one.
#![expect(unsafe_code, reason = "a netlink socket, which the standard library has not")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Where programs judge packets that come in from the interface.
pub const INGRESS: u32 = 0xffff_fff2;
/// Where programs judge packets that go out to the interface.
pub const EGRESS: u32 = 0xffff_fff3;

/// Parent and handle of the qdisc itself.
const CLSACT: (u32, u32) = (0xffff_fff1, 0xffff_0000);
/// Priority and handle of our filter, as Cilium has them.
const PRIORITY: u32 = 1;
const HANDLE: u32 = 1;
/// All protocols, in network order.
const ETH_P_ALL: u32 = (libc::ETH_P_ALL as u16).to_be() as u32;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
/// The program's return value is the verdict.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
/// Bits of an attribute's type that are flags.
const NLA_TYPE: u16 = 0x3fff;

/// Bytes of `struct nlmsghdr` and of `struct tcmsg`.
const HEADER: usize = 16;
const TCMSG: usize = 20;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Kernel id of its program; 0 for a filter of another kind.
    pub prog_id: u32,
    /// Its name; its kind when it has none.
    pub name: String,
}

/// Gives an interface a clsact qdisc, if it has none.
pub fn ensure_qdisc(ifindex: u32) -> io::Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let message = Message::new(libc::RTM_NEWQDISC, flags, ifindex, CLSACT.0, CLSACT.1, 0).text(TCA_KIND, "clsact");
    match request(message) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        done => done.map(drop),
    }
}

/// Takes the clsact qdisc away when nothing is attached to it any more.
pub fn remove_empty_qdisc(ifindex: u32) -> io::Result<()> {
    for parent in [INGRESS, EGRESS] {
        let others = dump(ifindex, parent)?;
        if !others.is_empty() {
            return Ok(());
        }
    }
    request(Message::new(libc::RTM_DELQDISC, 0, ifindex, CLSACT.0, CLSACT.1, 0)).map(drop).or_else(absent)
}

/// Puts a program at our place, instead of the one that is there.
pub fn replace(ifindex: u32, parent: u32, program: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let place = Message::new(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE, ifindex, parent, HANDLE, info());
    let options = Attributes::default()
        .number(TCA_BPF_FD, program.as_raw_fd().cast_unsigned())
        .text(TCA_BPF_NAME, name)
        .number(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    request(place.text(TCA_KIND, "bpf").nested(TCA_OPTIONS, &options)).map(drop)
}

/// Takes our filter away, if it is there.
pub fn remove(ifindex: u32, parent: u32) -> io::Result<()> {
    let message = Message::new(libc::RTM_DELTFILTER, 0, ifindex, parent, HANDLE, info()).text(TCA_KIND, "bpf");
    request(message).map(drop).or_else(absent)
}

/// The filter at our place; `None` when there is none, or no such interface.
pub fn find(ifindex: u32, parent: u32) -> io::Result<Option<Filter>> {
    let found = match first_chain(ifindex, parent) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        found => found?,
    };
    Ok(found.iter().find(|message| is_ours(message)).map(|message| filter(message)))
}

/// Filters that packets meet before the one at our place. Also at our priority there may be some: a newer one stands in
/// front of the older.
pub fn ahead(ifindex: u32, parent: u32) -> io::Result<Vec<Filter>> {
    let found = first_chain(ifindex, parent)?;
    Ok(found.iter().take_while(|message| !is_ours(message)).map(|message| filter(message)).collect())
}

fn is_ours(message: &[u8]) -> bool {
    word(message, 8) == Some(HANDLE) && word(message, 16).map(|info| info >> 16) == Some(PRIORITY)
}

fn info() -> u32 {
    PRIORITY << 16 | ETH_P_ALL
}

/// What is not there need not be removed.
fn absent(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(()),
        _ => Err(error),
    }
}

/// Filters below a parent; only whole ones, which have a handle.
fn dump(ifindex: u32, parent: u32) -> io::Result<Vec<Vec<u8>>> {
    let mut found = request(Message::new(libc::RTM_GETTFILTER, libc::NLM_F_DUMP, ifindex, parent, 0, 0))?;
    found.retain(|message| word(message, 8).is_some_and(|handle| handle != 0));
    Ok(found)
}

/// Filters of the chain in which packets begin, in the order in which they meet them. Each chain has priorities of its
/// own.
fn first_chain(ifindex: u32, parent: u32) -> io::Result<Vec<Vec<u8>>> {
    let mut found = dump(ifindex, parent)?;
    found.retain(|message| {
        let attributes = attributes_of(message.get(TCMSG..).unwrap_or(&[]));
        attributes.filter(|(kind, _)| *kind == TCA_CHAIN).all(|(_, value)| word(value, 0) == Some(0))
    });
    Ok(found)
}

fn filter(message: &[u8]) -> Filter {
    let mut filter = Filter { prog_id: 0, name: String::new() };
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
    for (kind, value) in attributes_of(message.get(TCMSG..).unwrap_or(&[])) {
        match kind {
            TCA_KIND => filter.name = text(value),
            // Others number their options otherwise.
            TCA_OPTIONS if filter.name == "bpf" => {
                for (kind, value) in attributes_of(value) {
                    match kind {
                        TCA_BPF_ID => filter.prog_id = word(value, 0).unwrap_or(0),
                        TCA_BPF_NAME => filter.name = text(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    filter
}

fn attributes_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & NLA_TYPE;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn raw(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn number(self, kind: u16, value: u32) -> Self {
        self.raw(kind, &value.to_ne_bytes())
    }

    fn text(self, kind: u16, value: &str) -> Self {
        self.raw(kind, &[value.as_bytes(), b"\0"].concat())
    }
}

/// A message without its length, which is known last.
struct Message(Attributes);

impl Message {
    fn new(kind: u16, flags: libc::c_int, ifindex: u32, parent: u32, handle: u32, info: u32) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Sequence number, port, family and padding.
        bytes.extend([0; 12]);
        for word in [ifindex, handle, parent, info] {
            bytes.extend(word.to_ne_bytes());
        }
        Self(Attributes(bytes))
    }

    fn text(self, kind: u16, value: &str) -> Self {
        Self(self.0.text(kind, value))
    }

    fn nested(self, kind: u16, value: &Attributes) -> Self {
        Self(self.0.raw(kind, &value.0))
    }
}

/// Sends a message and gives the bodies of the answers.
fn request(message: Message) -> io::Result<Vec<Vec<u8>>> {
    let mut bytes = message.0.0;
    let length = (bytes.len() as u32).to_ne_bytes();
    bytes[..4].copy_from_slice(&length);
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the buffer is as long as is said; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answers = Vec::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        // SAFETY: the buffer is as long as is said.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if got < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        let mut left = buffer.get(..got.unsigned_abs()).unwrap_or(&[]);
        while let (Some(length), Some(kind)) = (word(left, 0), half(left, 4)) {
            let length = length as usize;
            let Some(body) = left.get(HEADER..length) else { break };
            match libc::c_int::from(kind) {
                libc::NLMSG_DONE => return Ok(answers),
                libc::NLMSG_ERROR => {
                    return match word(body, 0).map(u32::cast_signed) {
                        Some(0) => Ok(answers),
                        Some(code) => Err(io::Error::from_raw_os_error(-code)),
                        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
                    };
                }
                _ => answers.push(body.to_vec()),
            }
            left = left.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let inner = Attributes::default().text(TCA_BPF_NAME, "ciliumc").number(TCA_BPF_ID, 7);
        let outer = Attributes(vec![0; TCMSG]).text(TCA_KIND, "bpf").raw(TCA_OPTIONS, &inner.0);
        assert_eq!(filter(&outer.0), Filter { prog_id: 7, name: "ciliumc".to_owned() });
        let other = Attributes(vec![0; TCMSG]).text(TCA_KIND, "flower").raw(TCA_OPTIONS, &inner.0);
        assert_eq!(filter(&other.0), Filter { prog_id: 0, name: "flower".to_owned() });
        let cut = &outer.0[..outer.0.len() - 5];
        assert_eq!(filter(cut).prog_id, 0, "a message that was cut is no panic");
        assert_eq!(attributes_of(&[1, 0, 0, 0]).count(), 0, "nor is one that lies about its length");
    }
}
