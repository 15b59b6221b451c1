//! Interfaces, network namespaces, and waiting for a descriptor.
#![expect(unsafe_code, reason = "ioctls, setns and poll")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// Number of an interface in the current namespace; `None` when there is none of that name.
pub fn ifindex(name: &str) -> Option<u32> {
    let answer = ask(name, libc::SIOCGIFINDEX).ok()??;
    // SAFETY: the kernel has written this member.
    let index = unsafe { answer.ifr_ifru.ifru_ifindex };
    Some(index.cast_unsigned())
}

/// MAC address of an Ethernet interface in the current namespace; `None` when there is none of that name, or it is
/// none.
pub fn mac(name: &str) -> io::Result<Option<[u8; 6]>> {
    let Some(answer) = ask(name, libc::SIOCGIFHWADDR)? else { return Ok(None) };
    // SAFETY: the kernel has written this member.
    let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
    let octets = address.sa_data.map(|octet| octet as u8);
    let is_ethernet = address.sa_family == libc::ARPHRD_ETHER;
    Ok(octets.first_chunk().copied().filter(|_| is_ethernet))
}

/// Asks the kernel about an interface; `None` when there is none of that name. (`if_nametoindex` asks the same, and
/// brings more of glibc with it.)
fn ask(name: &str, question: libc::c_ulong) -> io::Result<Option<libc::ifreq>> {
    // Any socket will do: the question is one for the namespace that it was made in.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: a struct of numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero. What follows a colon the kernel would not read.
    if name.len() >= request.ifr_name.len() || name.contains([':', '\0']) {
        return Ok(None);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the kernel reads the terminated name and writes one member.
    if unsafe { libc::ioctl(socket.as_raw_fd(), question as _, &mut request) } != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
    }
    Ok(Some(request))
}

/// Moves the calling thread into the network namespace of a file such as `/run/netns/NAME`.
pub fn enter_netns(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open; the kernel checks that it is a network namespace.
    if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Runs `work` in the network namespace of a file and comes back. Nothing may go on in a namespace that was not asked
/// for: when there is no way back, which the kernel has no reason to refuse, the process ends.
pub fn in_netns<T>(path: &Path, work: impl FnOnce() -> T) -> io::Result<T> {
    let home = File::open("/proc/thread-self/ns/net")?;
    enter_netns(path)?;
    let done = work();
    // SAFETY: the descriptor is that of a network namespace.
    if unsafe { libc::setns(home.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        std::process::abort();
    }
    Ok(done)
}

/// Number of an interface in the network namespace of a file; `None` when there is none of that name.
pub fn ifindex_in(path: &Path, name: &str) -> io::Result<Option<u32>> {
    in_netns(path, || ifindex(name))
}

/// Waits until there is something to read, at most `timeout`. True when there is.
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one struct, and the count says so.
    match unsafe { libc::poll(&mut poll, 1, millis) } {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
        }
        ready => Ok(ready > 0),
    }
}
