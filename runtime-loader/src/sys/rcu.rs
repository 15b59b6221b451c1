//! Grace periods: when every packet that was on its way has left the programs that it was in.
#![expect(unsafe_code, reason = "membarrier")]

use std::time::Duration;

/// `MEMBARRIER_CMD_GLOBAL`.
const GLOBAL: libc::c_int = 1;
/// Longer than any grace period that is not a fault of the kernel's own.
const LONG: Duration = Duration::from_millis(200);

/// Waits until programs that began before now have ended: some milliseconds.
pub fn synchronize() {
    // SAFETY: no pointers.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    // Kernels that keep CPUs free of ticks refuse.
    if done != 0 {
        std::thread::sleep(LONG);
    }
}
