//! The C headers held against their Rust mirrors, with libclang; and every header on its own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_uint, c_void};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use ciliumc::clang::{FLAGS, Toolchain};
use ciliumc::codegen;
use ciliumc::ir::options::Options;
use ciliumc::lower::shape::{NodeConfig, PolicyMode, Program, Shape};
use ciliumc_abi::headers::HEADERS;
use ciliumc_abi::{action, conntrack, counter, drop_reason, endpoint, event, fragment, ipcache, names, table};
use clang_sys::*;

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf-lib/include")
}

/// A folder with the config headers that every header may ask for.
fn configs() -> tempfile::TempDir {
    let node = NodeConfig { sctp: true, ..NodeConfig::from(&Options::default()) };
    let shape = Shape { class_shift: 4, ..Shape::constant(Program::ToContainer, PolicyMode::Tables) };
    let unit = codegen::unit(&shape, &node);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ep_config.h"), unit.ep_config).unwrap();
    std::fs::write(folder.path().join("node_config.h"), unit.node_config).unwrap();
    folder
}

fn files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

#[test]
fn the_list_of_headers_is_the_folder() {
    let mut found = Vec::new();
    files(&include(), "", &mut found);
    found.sort();
    let listed: Vec<&str> = HEADERS.iter().map(|(path, _)| *path).collect();
    assert_eq!(listed, found);
    for (path, text) in HEADERS {
        assert!(text.starts_with("/* SPDX-License-Identifier: "), "{path}");
        assert_eq!(text.matches("#pragma once").count(), 1, "{path}");
    }
}

#[test]
fn every_header_compiles_alone() {
    let toolchain = Toolchain::find().unwrap();
    let configs = configs();
    for (path, _) in HEADERS {
        let source = configs.path().join("alone.c");
        std::fs::write(&source, format!("#include \"{path}\"\n")).unwrap();
        let output = Command::new(toolchain.path())
            .args(FLAGS)
            .args(["-fsyntax-only", "-I"])
            .arg(include())
            .arg("-I")
            .arg(configs.path())
            .arg(&source)
            .output()
            .unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What libclang says about the headers in `abi/`: struct sizes, field offsets in bytes, and enum values.
#[derive(Default, Debug)]
struct Seen {
    sizes: BTreeMap<String, u64>,
    offsets: BTreeMap<String, u64>,
    constants: BTreeMap<String, i64>,
}

#[expect(unsafe_code, reason = "libclang is a C library; every string it gives is copied and disposed of")]
fn text(string: CXString) -> String {
    unsafe {
        let text = CStr::from_ptr(clang_getCString(string)).to_str().unwrap().to_owned();
        clang_disposeString(string);
        text
    }
}

#[expect(unsafe_code, reason = "callback of libclang; `data` is the Seen that see() passed")]
extern "C" fn visit(cursor: CXCursor, parent: CXCursor, data: *mut c_void) -> CXChildVisitResult {
    unsafe {
        let seen = &mut *data.cast::<Seen>();
        let name = text(clang_getCursorSpelling(cursor));
        let kind = clang_getCursorKind(cursor);
        match () {
            () if kind == CXCursor_StructDecl => {
                let size = clang_Type_getSizeOf(clang_getCursorType(cursor));
                seen.sizes.insert(name, size as u64);
                CXChildVisit_Recurse
            }
            () if kind == CXCursor_FieldDecl => {
                let of = text(clang_getCursorSpelling(parent));
                seen.offsets.insert(format!("{of}.{name}"), clang_Cursor_getOffsetOfField(cursor) as u64 / 8);
                CXChildVisit_Continue
            }
            () if kind == CXCursor_EnumConstantDecl => {
                seen.constants.insert(name, clang_getEnumConstantDeclValue(cursor));
                CXChildVisit_Continue
            }
            () => CXChildVisit_Recurse,
        }
    }
}

/// Parses the given headers for the bpf target, or says why not.
#[expect(unsafe_code, reason = "libclang is a C library; what it gives is disposed of at the end")]
fn see(headers: &[&str]) -> Option<Seen> {
    if let Err(error) = load() {
        assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "libclang: {error}");
        eprintln!("skipped: libclang: {error}; `apt-get install libclang1-19`");
        return None;
    }
    let configs = configs();
    let source = configs.path().join("abi.c");
    std::fs::write(&source, headers.iter().map(|path| format!("#include \"{path}\"\n")).collect::<String>()).unwrap();
    let mut arguments: Vec<CString> = ["-target", "bpf", "-std=gnu11", "-nostdinc", "-ffreestanding", "-I"]
        .map(|argument| CString::new(argument).unwrap())
        .to_vec();
    arguments.push(CString::new(include().to_str().unwrap()).unwrap());
    arguments.push(CString::new(format!("-I{}", configs.path().display())).unwrap());
    let pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    let source = CString::new(source.to_str().unwrap()).unwrap();
    let mut seen = Seen::default();
    unsafe {
        let index = clang_createIndex(0, 1);
        let unit = clang_parseTranslationUnit(
            index,
            source.as_ptr(),
            pointers.as_ptr(),
            pointers.len() as i32,
            std::ptr::null_mut(),
            0,
            CXTranslationUnit_None,
        );
        assert!(!unit.is_null());
        let problems: c_uint = clang_getNumDiagnostics(unit);
        assert_eq!(problems, 0);
        clang_visitChildren(clang_getTranslationUnitCursor(unit), visit, (&raw mut seen).cast());
        clang_disposeTranslationUnit(unit);
        clang_disposeIndex(index);
    }
    Some(seen)
}

/// Size of a C struct and offsets of its fields, beside those of the mirror. A field that is missing on one side is
/// noticed: what is left over at the end is an error.
macro_rules! same {
    ($seen:ident, $c:literal, $rust:ty, { $($c_field:ident: $rust_field:ident),* $(,)? }) => {
        assert_eq!($seen.sizes.remove($c), Some(size_of::<$rust>() as u64), $c);
        $(
            let name = concat!($c, ".", stringify!($c_field));
            assert_eq!($seen.offsets.remove(name), Some(offset_of!($rust, $rust_field) as u64), "{name}");
        )*
    };
}

#[test]
fn structs_are_their_mirrors() {
    let headers: Vec<&str> = HEADERS.iter().map(|(path, _)| *path).filter(|path| path.starts_with("abi/")).collect();
    assert!(headers.len() >= 6);
    let Some(mut seen) = see(&headers) else { return };
    same!(seen, "action", action::Action, {
        verdict: verdict, reason: reason, auth: auth, flags: flags, match_type: match_type, pad: pad,
        l7_ruleset: l7_ruleset, cause: cause,
    });
    same!(seen, "counter", counter::Counter, { packets: packets, bytes: bytes });
    same!(seen, "ct_key4", conntrack::CtKey4, {
        local_be: local_be, peer_be: peer_be, local_port_be: local_port_be, peer_port_be: peer_port_be, proto: proto,
        pad: pad,
    });
    same!(seen, "ct_key6", conntrack::CtKey6, {
        local: local, peer: peer, local_port_be: local_port_be, peer_port_be: peer_port_be, proto: proto, pad: pad,
    });
    same!(seen, "ct_entry", conntrack::CtEntry, {
        expires_ns: expires_ns, packets: packets, bytes: bytes, generation: generation, initiator: initiator,
        flags: flags, tcp_told: tcp_told,
    });
    same!(seen, "fragment_key", fragment::FragmentKey, {
        source: source, destination: destination, id: id, family: family, proto: proto, pad: pad,
    });
    same!(seen, "fragment_head", fragment::FragmentHead, {
        source_port_be: source_port_be, destination_port_be: destination_port_be, proto: proto, icmp_type: icmp_type,
        icmp_code: icmp_code, tcp_flags: tcp_flags,
    });
    same!(seen, "ipcache_page4", ipcache::Page4, { cell: cell });
    same!(seen, "ipcache_page6", ipcache::Page6, {
        mask_hi: mask_hi, mask_lo: mask_lo, value_hi: value_hi, value_lo: value_lo, byte: byte, fallback: default,
        cell: cell,
    });
    same!(seen, "event_bucket", event::EventBucket, { filled_ns: filled_ns, tokens: tokens });
    same!(seen, "endpoint", endpoint::Endpoint, {
        id: id, identity: identity, ipv4_be: ipv4_be, first_counter: first_counter, ipv6_hi_be: ipv6_hi_be,
        ipv6_lo_be: ipv6_lo_be, mac: mac, opposite_slot: opposite_slot, gateway_ipv4_be: gateway_ipv4_be,
        gateway_ipv6_hi_be: gateway_ipv6_hi_be, gateway_ipv6_lo_be: gateway_ipv6_lo_be, gateway_mac: gateway_mac,
    });
    same!(seen, "event_header", event::EventHeader, {
        kind: kind, subtype: subtype, source: source, hash: hash, len_orig: len_orig, len_cap: len_cap,
        version: version,
    });
    same!(seen, "event_tail", event::EventTail, {
        cause: cause, generation: generation, direction: direction, family: family, proto: proto, flags: flags,
        source_port_be: source_port_be, destination_port_be: destination_port_be, source_address: source_address,
        destination_address: destination_address,
    });
    same!(seen, "drop_event", event::DropEvent, {
        header: header, source_identity: source_identity, destination_identity: destination_identity,
        destination_id: destination_id, line: line, file: file, ext_error: ext_error, ifindex: ifindex, pad: pad,
        tail: tail,
    });
    same!(seen, "trace_event", event::TraceEvent, {
        header: header, source_identity: source_identity, destination_identity: destination_identity,
        destination_id: destination_id, reason: reason, flags: flags, ifindex: ifindex, pad: pad, tail: tail,
    });
    same!(seen, "policy_verdict_event", event::PolicyVerdictEvent, {
        header: header, remote_identity: remote_identity, verdict: verdict, destination_port: destination_port,
        proto: proto, bits: bits, auth_type: auth_type, pad1: pad1, ifindex: ifindex, pad2: pad2, tail: tail,
    });
    assert!(seen.sizes.is_empty(), "structs without a mirror: {:?}", seen.sizes);
    assert!(seen.offsets.is_empty(), "fields without a mirror: {:?}", seen.offsets);
}

#[test]
fn constants_are_their_mirrors() {
    let headers: Vec<&str> = HEADERS.iter().map(|(path, _)| *path).collect();
    let Some(seen) = see(&headers) else { return };
    let reasons = [
        ("DROP_INVALID_SOURCE_IP", drop_reason::INVALID_SOURCE_IP),
        ("DROP_POLICY_DENIED", drop_reason::POLICY_DENIED),
        ("DROP_INVALID_PACKET", drop_reason::INVALID_PACKET),
        ("DROP_CT_UNKNOWN_PROTO", drop_reason::CT_UNKNOWN_PROTO),
        ("DROP_UNKNOWN_L3", drop_reason::UNKNOWN_L3),
        ("DROP_MISSED_TAIL_CALL", drop_reason::MISSED_TAIL_CALL),
        ("DROP_CT_MAP_INSERT_FAILED", drop_reason::CT_MAP_INSERT_FAILED),
        ("DROP_INVALID_EXTHDR", drop_reason::INVALID_EXTHDR),
        ("DROP_FRAG_NOT_FOUND", drop_reason::FRAG_NOT_FOUND),
        ("DROP_NO_PROXY", drop_reason::NO_PROXY),
        ("DROP_POLICY_DENY", drop_reason::POLICY_DENY),
        ("DROP_VLAN_FILTERED", drop_reason::VLAN_FILTERED),
        ("DROP_AUTH_REQUIRED", drop_reason::AUTH_REQUIRED),
        ("DROP_EP_NOT_READY", drop_reason::EP_NOT_READY),
    ];
    let declared: Vec<&String> = seen.constants.keys().filter(|name| name.starts_with("DROP_")).collect();
    assert_eq!(declared.len(), reasons.len(), "{declared:?}");
    let reasons = reasons.map(|(name, value)| (name, -i64::from(value)));
    let others = [
        ("ACTION_VERDICT_DENY", action::VERDICT_DENY.into()),
        ("ACTION_VERDICT_ALLOW", action::VERDICT_ALLOW.into()),
        ("ACTION_VERDICT_REDIRECT", action::VERDICT_REDIRECT.into()),
        ("POLICY_MATCH_NONE", action::MATCH_NONE.into()),
        ("POLICY_MATCH_L3_ONLY", action::MATCH_L3_ONLY.into()),
        ("POLICY_MATCH_L3_L4", action::MATCH_L3_L4.into()),
        ("POLICY_MATCH_L4_ONLY", action::MATCH_L4_ONLY.into()),
        ("POLICY_MATCH_ALL", action::MATCH_ALL.into()),
        ("POLICY_MATCH_L3_PROTO", action::MATCH_L3_PROTO.into()),
        ("POLICY_MATCH_PROTO_ONLY", action::MATCH_PROTO_ONLY.into()),
        ("ACTION_FLAG_AUDITED", action::FLAG_AUDITED.into()),
        ("METRICS_ENTRIES", counter::METRICS_ENTRIES.into()),
        ("CT_CLOSING_FORWARD", conntrack::CT_CLOSING_FORWARD.into()),
        ("CT_SEEN_NON_SYN", conntrack::CT_SEEN_NON_SYN.into()),
        ("CT_CLOSING_REPLY", conntrack::CT_CLOSING_REPLY.into()),
        ("CT_CLOSING", conntrack::CT_CLOSING.into()),
        ("CT_GENERATION_ENDED", conntrack::CT_GENERATION_ENDED.into()),
        ("FRAGMENTS_MAX", fragment::FRAGMENTS_MAX.into()),
        ("EVENT_RATE_PER_SEC", event::EVENT_RATE_PER_SEC.into()),
        ("EVENT_BURST", event::EVENT_BURST.into()),
        ("ENTRY_CB_SLOT", endpoint::ENTRY_CB_SLOT as i64),
        ("ENTRY_CB_ENDPOINT", endpoint::ENTRY_CB_ENDPOINT as i64),
        ("EVENT_DROP", event::EVENT_DROP.into()),
        ("EVENT_TRACE", event::EVENT_TRACE.into()),
        ("EVENT_POLICY_VERDICT", event::EVENT_POLICY_VERDICT.into()),
        ("TRACE_BURST", event::TRACE_BURST.into()),
        ("TRACE_TO_LXC", event::TRACE_TO_LXC.into()),
        ("TRACE_TO_STACK", event::TRACE_TO_STACK.into()),
        ("TRACE_FROM_LXC", event::TRACE_FROM_LXC.into()),
        ("TRACE_REASON_NEW", event::TRACE_REASON_NEW.into()),
        ("TRACE_REASON_ESTABLISHED", event::TRACE_REASON_ESTABLISHED.into()),
        ("TRACE_REASON_REPLY", event::TRACE_REASON_REPLY.into()),
        ("TRACE_REASON_RELATED", event::TRACE_REASON_RELATED.into()),
        ("TRACE_REASON_UNKNOWN", event::TRACE_REASON_UNKNOWN.into()),
        ("CT_TOLD_RECEIVED", conntrack::CT_TOLD_RECEIVED.into()),
        ("CT_TOLD_SENT", conntrack::CT_TOLD_SENT.into()),
        ("CT_TOLD_RELATED", conntrack::CT_TOLD_RELATED.into()),
        ("CT_REPORT_CLOCK_BITS", conntrack::CT_REPORT_CLOCK_BITS.into()),
        ("CT_REPORT_TICK_SHIFT", conntrack::CT_REPORT_TICK_SHIFT.into()),
        ("IPCACHE_PAGE_CELLS", table::PAGE_CELLS as i64),
        ("IPCACHE_STEPS6_MAX", ipcache::STEPS6_MAX as i64),
        ("PAGE_CELLS", table::PAGE_CELLS as i64),
        ("DIRECTORY_TCP", table::DIR_TCP.into()),
        ("DIRECTORY_UDP", table::DIR_UDP.into()),
        ("DIRECTORY_SCTP", table::DIR_SCTP.into()),
        ("DIRECTORY_ICMP", table::DIR_ICMP.into()),
        ("DIRECTORY_ICMP6", table::DIR_ICMP6.into()),
        ("DIRECTION_INGRESS", names::DIRECTION_INGRESS.into()),
        ("DIRECTION_EGRESS", names::DIRECTION_EGRESS.into()),
    ];
    for (name, value) in reasons.into_iter().chain(others) {
        assert_eq!(seen.constants.get(name), Some(&value), "{name}");
    }
}
