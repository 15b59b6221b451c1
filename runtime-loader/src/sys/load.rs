//! `bpf(2)`: loading types and traffic-control programs.
#![expect(unsafe_code, reason = "bpf(2) takes pointers; every call passes lengths of slices that outlive it")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::bpf::{call, owned};

const PROG_LOAD: libc::c_long = 5;
const BTF_LOAD: libc::c_long = 18;
const PROG_TYPE_SCHED_CLS: u32 = 3;
/// Bytes of the verifier's log, the second size for a log that is longer.
const LOG_SIZES: [usize; 2] = [1 << 20, 1 << 26];

/// What the verifier reads besides the instructions: the types of functions, and where lines are.
#[derive(Debug, Clone, Copy)]
pub struct DebugInfo<'a> {
    /// The loaded types.
    pub btf: BorrowedFd<'a>,
    /// Records of functions, one behind the other.
    pub functions: &'a [u8],
    /// Bytes of such a record.
    pub function_size: u32,
    /// Records of lines, one behind the other.
    pub lines: &'a [u8],
    /// Bytes of such a record.
    pub line_size: u32,
}

/// Why a program was not loaded.
#[derive(Debug)]
pub struct Refused {
    /// What the kernel said.
    pub source: io::Error,
    /// The verifier's log, if it wrote one.
    pub log: String,
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// Loads a program. The verifier is asked for its log only when it refuses: writing it takes longer than reading code.
pub fn program(code: &[u64], name: &str, info: Option<DebugInfo<'_>>) -> Result<OwnedFd, Refused> {
    let mut attr = LoadAttr {
        prog_type: PROG_TYPE_SCHED_CLS,
        insn_cnt: code.len() as u32,
        insns: code.as_ptr() as u64,
        license: c"Dual BSD/GPL".as_ptr() as u64,
        ..LoadAttr::default()
    };
    for (to, from) in attr.prog_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    let count = |bytes: &[u8], size: u32| bytes.len().checked_div(size as usize).unwrap_or(0) as u32;
    if let Some(info) = info {
        attr.prog_btf_fd = info.btf.as_raw_fd().cast_unsigned();
        attr.func_info_rec_size = info.function_size;
        attr.func_info = info.functions.as_ptr() as u64;
        attr.func_info_cnt = count(info.functions, info.function_size);
        attr.line_info_rec_size = info.line_size;
        attr.line_info = info.lines.as_ptr() as u64;
        attr.line_info_cnt = count(info.lines, info.line_size);
    }
    let first = match load(&mut attr) {
        Err(error) => error,
        loaded => return loaded.map_err(|source| Refused { source, log: String::new() }),
    };
    let mut refused = Refused { source: first, log: String::new() };
    for size in LOG_SIZES {
        let mut log = vec![0u8; size];
        (attr.log_level, attr.log_size, attr.log_buf) = (1, size as u32, log.as_mut_ptr() as u64);
        match load(&mut attr) {
            // It may have been too busy the first time.
            Ok(loaded) => return Ok(loaded),
            Err(source) => {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(size);
                let is_cut = source.raw_os_error() == Some(libc::ENOSPC);
                refused = Refused { source, log: String::from_utf8_lossy(&log[..end]).into_owned() };
                if !is_cut {
                    break;
                }
            }
        }
    }
    Err(refused)
}

/// A signal that arrives while the verifier works ends it.
fn load(attr: &mut LoadAttr) -> io::Result<OwnedFd> {
    const TRIES: u32 = 10;
    let mut tried = 0;
    loop {
        tried += 1;
        // SAFETY: the caller's slices and buffers live as long as `attr` is used; counts are those of the slices.
        match unsafe { call(PROG_LOAD, attr) } {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tried < TRIES => {}
            loaded => return owned(loaded?),
        }
    }
}

/// Loads the types of an object.
pub fn btf(types: &[u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct BtfAttr {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        pad: u32,
    }
    let mut attr = BtfAttr {
        btf: types.as_ptr() as u64,
        btf_log_buf: 0,
        btf_size: types.len() as u32,
        btf_log_size: 0,
        btf_log_level: 0,
        pad: 0,
    };
    // SAFETY: the kernel reads `btf_size` bytes of a slice that outlives the call.
    owned(unsafe { call(BTF_LOAD, &mut attr) }?)
}
