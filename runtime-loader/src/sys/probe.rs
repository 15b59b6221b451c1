//! What the kernel and this process may do.
#![expect(unsafe_code, reason = "statfs and clock_gettime")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `f_type` of a BPF file system.
const BPF_FS_MAGIC: libc::c_long = 0xcafe_4a11;

/// Capabilities, by bit number, that loading and attaching programs takes.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Whether `path`, or the nearest folder above it that exists, lies on a BPF file system.
pub fn on_bpffs(path: &Path) -> io::Result<bool> {
    let Some(existing) = path.ancestors().find(|p| p.exists()) else {
        return Ok(false);
    };
    let c_path = CString::new(existing.as_os_str().as_bytes())?;
    // SAFETY: all-zero bytes are a valid `statfs`.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is terminated, `stat` has the right type, and both outlive the call.
    if unsafe { libc::statfs(c_path.as_ptr(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_type == BPF_FS_MAGIC)
}

/// The capability that this process lacks, if any. CAP_SYS_ADMIN has what the newer ones have, too.
pub fn missing_capability() -> io::Result<Option<&'static str>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).map(str::trim);
    let bits = effective.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let has = |cap: u32| bits >> cap & 1 == 1;
    let needed = [(CAP_BPF, "CAP_BPF"), (CAP_NET_ADMIN, "CAP_NET_ADMIN"), (CAP_PERFMON, "CAP_PERFMON")];
    let has = |cap: u32| has(cap) || (cap != CAP_NET_ADMIN && has(CAP_SYS_ADMIN));
    Ok(needed.into_iter().find(|(cap, _)| !has(*cap)).map(|(_, name)| name))
}

/// Nanoseconds of the clock that programs read with `bpf_ktime_get_ns`.
pub fn monotonic_ns() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has the right type and outlives the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// Number of CPUs for which per-CPU maps have a value.
pub fn possible_cpus() -> io::Result<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    parse_cpus(text.trim()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "list of possible CPUs"))
}

/// `0-3,8` has five CPUs.
fn parse_cpus(text: &str) -> Option<usize> {
    text.split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(sum + (last + 1).checked_sub(first)?)
    })
}

#[cfg(test)]
mod tests {
    use super::parse_cpus;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpus("0"), Some(1));
        assert_eq!(parse_cpus("0-1"), Some(2));
        assert_eq!(parse_cpus("0-3,8"), Some(5));
        assert_eq!(parse_cpus("3-0"), None);
        assert_eq!(parse_cpus(""), None);
    }
}
