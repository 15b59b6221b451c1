//! Shapes to C: config headers and one short unit per program.
//!
//! In: a [`Shape`] and the [`NodeConfig`]. Out: a [`Unit`], whose text is a function of both and nothing else.
//!
//! **Invariant:** text reaches C only as a [`CIdent`] or through [`literal`]; no word of the user's gets here.

mod inputs;
pub mod literal;

use askama::Template;
use ciliumc_abi::manifest::hex;
use ciliumc_abi::names;
use sha2::{Digest, Sha256};

use crate::lower::shape::{NodeConfig, PolicyMode, Program, Shape};
use literal::{CIdent, Literal};

/// One translation unit: what clang reads beside the headers of `bpf-lib`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Name of the object, without extension: program, mode and widths.
    pub name: String,
    /// What it was made from.
    pub shape: Shape,
    /// Text of `ep_config.h`.
    pub ep_config: String,
    /// Text of `node_config.h`.
    pub node_config: String,
    /// Text of the C file.
    pub source: String,
}

/// Writes the C of a shape.
pub fn unit(shape: &Shape, node: &NodeConfig) -> Unit {
    let name = object_name(shape);
    let program = program_ident(shape.program);
    Unit {
        shape: *shape,
        ep_config: EpConfig { defines: &ep_defines(shape) }.to_string(),
        node_config: NodeConfigHeader { defines: &node_defines(node) }.to_string(),
        source: Source { name: &name, program }.to_string(),
        name,
    }
}

/// SHA-256, in hexadecimal, of everything that clang reads for a unit: its files and the headers they reach.
pub fn digest(unit: &Unit) -> String {
    let own = [("ep_config.h", &unit.ep_config), ("node_config.h", &unit.node_config), ("unit.c", &unit.source)];
    let own = own.into_iter().map(|(path, text)| (path, text.as_str()));
    let mut hash = Sha256::new();
    for (path, text) in own.chain(inputs::headers(&unit.source)) {
        // Lengths keep "ab" + "c" apart from "a" + "bc".
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hex(&hash.finalize())
}

/// The files of a unit one behind the other: `--emit codegen`.
pub fn text(unit: &Unit) -> String {
    let files = [("ep_config.h", &unit.ep_config), ("node_config.h", &unit.node_config), ("unit.c", &unit.source)];
    files.map(|(file, text)| format!("// {} {file}\n{}\n\n", unit.name, text.trim_end())).concat()
}

/// The `#define`s of a shape's `ep_config.h`, in the order of the file.
pub fn ep_defines(shape: &Shape) -> Vec<Define> {
    vec![
        Define::new("POLICY_MODE", literal::u32(policy_mode(shape.mode)), mode_note(shape.mode)),
        Define::new("POLICY_AUDIT", literal::flag(shape.audit), "what policy drops passes, and is reported"),
        Define::new("ROW_BITS", literal::u32(shape.row.bits()), "of a cell of id_row"),
        Define::new("CLASS_BITS", literal::u32(shape.class.bits()), "of a cell of port_class"),
        Define::new("ACTION_BITS", literal::u32(shape.action.bits()), "of a cell of verdict"),
        Define::new("CLASS_SHIFT", literal::u32(shape.class_shift), "bits of the port class in a verdict index"),
    ]
}

/// The `#define`s of `node_config.h`, in the order of the file.
pub fn node_defines(node: &NodeConfig) -> Vec<Define> {
    vec![
        Define::new("ENABLE_IPV4", literal::flag(node.ipv4), "enable-ipv4"),
        Define::new("ENABLE_IPV6", literal::flag(node.ipv6), "enable-ipv6"),
        Define::new("ENABLE_SCTP", literal::flag(node.sctp), "enable-sctp"),
        Define::new("ALLOW_ICMP_FRAG_NEEDED", literal::flag(node.allow_icmp_frag_needed), "allow-icmp-frag-needed"),
        Define::new("CT_ENTRIES_MAX", literal::u32(node.ct_entries_max), "bpf-ct-global-tcp-max"),
        Define::new("CT_TCP_TIMEOUT_SECS", literal::u32(node.ct_tcp_timeout_secs), "bpf-ct-timeout-regular-tcp"),
        Define::new(
            "CT_TCP_SYN_TIMEOUT_SECS",
            literal::u32(node.ct_tcp_syn_timeout_secs),
            "bpf-ct-timeout-regular-tcp-syn",
        ),
        Define::new(
            "CT_TCP_FIN_TIMEOUT_SECS",
            literal::u32(node.ct_tcp_fin_timeout_secs),
            "bpf-ct-timeout-regular-tcp-fin",
        ),
        Define::new("CT_ANY_TIMEOUT_SECS", literal::u32(node.ct_any_timeout_secs), "bpf-ct-timeout-regular-any"),
        Define::new("MONITOR_AGGREGATION", literal::u32(node.monitor_aggregation as u32), "monitor-aggregation"),
        Define::new("MONITOR_INTERVAL_SECS", literal::u32(node.monitor_interval_secs), "monitor-aggregation-interval"),
        Define::new("MONITOR_TCP_FLAGS", literal::u32(node.monitor_tcp_flags.into()), "monitor-aggregation-flags"),
    ]
}

/// Name of a program, as the object and the unit's header have it.
pub fn program_name(program: Program) -> &'static str {
    match program {
        Program::FromContainer => names::FROM_CONTAINER,
        Program::ToContainer => names::TO_CONTAINER,
    }
}

/// One `#define`: a finished name, value and note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Define {
    /// Name.
    pub name: CIdent,
    /// Value.
    pub value: Literal,
    /// What stands in the comment behind it.
    pub note: &'static str,
}

impl Define {
    fn new(name: &'static str, value: Literal, note: &'static str) -> Self {
        Self { name: CIdent::from_static(name), value, note }
    }
}

#[derive(Template)]
#[template(path = "ep_config.h.j2")]
struct EpConfig<'a> {
    defines: &'a [Define],
}

#[derive(Template)]
#[template(path = "node_config.h.j2")]
struct NodeConfigHeader<'a> {
    defines: &'a [Define],
}

#[derive(Template)]
#[template(path = "unit.c.j2")]
struct Source<'a> {
    name: &'a str,
    program: CIdent,
}

fn program_ident(program: Program) -> CIdent {
    CIdent::from_static(program_name(program))
}

fn policy_mode(mode: PolicyMode) -> u32 {
    use ciliumc_abi::table;
    match mode {
        PolicyMode::AllowAll => table::MODE_ALLOW_ALL,
        PolicyMode::DenyAll => table::MODE_DENY_ALL,
        PolicyMode::L3Only => table::MODE_L3_ONLY,
        PolicyMode::Tables => table::MODE_TABLES,
    }
}

fn mode_note(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::AllowAll => "not enforced",
        PolicyMode::DenyAll => "nobody may pass",
        PolicyMode::L3Only => "by peer alone",
        PolicyMode::Tables => "by peer, protocol and port",
    }
}

fn object_name(shape: &Shape) -> String {
    let program = program_name(shape.program);
    let (row, class, action) = (shape.row.bits(), shape.class.bits(), shape.action.bits());
    let mode = match shape.mode {
        PolicyMode::AllowAll => "allow".to_owned(),
        PolicyMode::DenyAll => "deny".to_owned(),
        PolicyMode::L3Only => format!("l3-r{row}a{action}"),
        PolicyMode::Tables => format!("tables-r{row}c{class}a{action}s{}", shape.class_shift),
    };
    let audit = if shape.audit { "-audit" } else { "" };
    format!("{program}-{mode}{audit}")
}
