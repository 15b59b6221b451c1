//! Interfaces, network namespaces, and waiting for a descriptor.
#![expect(unsafe_code, reason = "if_nametoindex, setns and poll")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// Number of an interface in the current namespace; `None` when there is none of that name.
pub fn ifindex(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is terminated and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
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

/// Runs `work` on a thread in the network namespace of a file.
pub fn in_netns<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| enter_netns(path).map(|()| work()));
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
    })
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
