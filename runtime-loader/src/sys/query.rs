//! Which tcx programs an interface has, and whether the kernel knows tcx at all.
#![expect(unsafe_code, reason = "bpf(2) writes numbers of programs into a buffer that is as long as it says")]

use std::io;

use super::bpf::{self, TCX_INGRESS};

const PROG_QUERY: libc::c_long = 16;
/// Most programs at one side of an interface: the kernel's `BPF_MPROG_MAX`.
const PROGRAMS_MAX: usize = 64;

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Kernel ids of the tcx programs at one side of an interface of this namespace, in the order in which packets meet
/// them. It takes CAP_NET_ADMIN.
pub fn tcx_programs(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; PROGRAMS_MAX];
    let (prog_ids, count) = (ids.as_mut_ptr() as u64, PROGRAMS_MAX as u32);
    let mut attr = QueryAttr { target_ifindex: ifindex, attach_type, prog_ids, count, ..QueryAttr::default() };
    // SAFETY: the buffer has room for `count` numbers, and outlives the call.
    unsafe { bpf::call(PROG_QUERY, &mut attr) }?;
    ids.truncate(attr.count as usize);
    Ok(ids)
}

/// Whether the kernel knows tcx: asks which programs the loopback interface has.
pub fn has_tcx() -> io::Result<bool> {
    match tcx_programs(1, TCX_INGRESS) {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::E2BIG) => Ok(false),
            // The loopback interface of a namespace always is number 1; without it the call got far enough.
            Some(libc::ENODEV | libc::ENOENT) => Ok(true),
            _ => Err(error),
        },
    }
}
