//! Interfaces, network namespaces, answering HTTP requests, and waiting for a descriptor.
#![expect(unsafe_code, reason = "if_nametoindex, an ioctl, setns and poll")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// Number of an interface in the current namespace; `None` when there is none of that name.
pub fn ifindex(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is terminated and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// MAC address of an Ethernet interface in the current namespace; `None` when there is none of that name, or it is none.
pub fn mac(name: &str) -> io::Result<Option<[u8; 6]>> {
    // Any socket will do: the question is one for the namespace that it was made in.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: a struct of numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    if name.len() >= request.ifr_name.len() {
        return Ok(None);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the kernel reads the terminated name and writes one address.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR as _, &mut request) } != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the kernel has written this member.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let octets = address.sa_data.map(|octet| octet as u8);
    let is_ethernet = address.sa_family == libc::ARPHRD_ETHER;
    Ok(octets.first_chunk().copied().filter(|_| is_ethernet))
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

/// Most bytes of a request that are read, and how long it may take.
const REQUEST: (usize, Duration) = (8192, Duration::from_secs(2));

/// Answers one HTTP request after the other with plain text, or with the error. `body` sees no part of the request.
pub fn serve(listener: &TcpListener, mut body: impl FnMut() -> Result<String, String>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // Whoever asked may be gone, or slow: the next one is served all the same.
        let _ = answer(stream, &mut body);
    }
}

fn answer(mut stream: TcpStream, body: &mut impl FnMut() -> Result<String, String>) -> io::Result<()> {
    let (most, timeout) = REQUEST;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < most {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            got => request.extend_from_slice(part.get(..got).unwrap_or(&[])),
        }
    }
    let (status, text) = match body() {
        Ok(text) => ("200 OK", text),
        Err(error) => ("500 Internal Server Error", error),
    };
    let length = text.len();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
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
