//! The shape of one direction of a class: what the C is specialised to. Everything else is data.

use crate::ir::options::{MonitorAggregation, Options};

/// Which program a shape is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// Egress policy, on packets that the endpoint sends.
    FromContainer,
    /// Ingress policy, on packets to the endpoint.
    ToContainer,
}

/// How the verdict is found: `POLICY_MODE` in C, [`ciliumc_abi::table`]'s `MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyMode {
    /// Not enforced.
    AllowAll,
    /// Nobody may pass.
    DenyAll,
    /// By peer alone.
    L3Only,
    /// By peer, protocol and port.
    Tables,
}

/// Bits of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellWidth {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
}

impl CellWidth {
    /// 8 or 16.
    pub fn bits(self) -> u32 {
        match self {
            Self::U8 => 8,
            Self::U16 => 16,
        }
    }
}

/// One shape; equal shapes share one object. Widths of tables that the mode does not read are [`CellWidth::U8`], so
/// that they make no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Program.
    pub program: Program,
    /// Mode.
    pub mode: PolicyMode,
    /// Cells of `id_row`.
    pub row: CellWidth,
    /// Cells of `port_class`: page numbers and port classes.
    pub class: CellWidth,
    /// Cells of `verdict`: action indices.
    pub action: CellWidth,
    /// Bits of the port class in a `verdict` index; one of [`ciliumc_abi::table::CLASS_SHIFTS`], 0 for `L3Only`.
    pub class_shift: u32,
    /// `policy-audit-mode`: drops of the policy pass and are reported.
    pub audit: bool,
}

impl Shape {
    /// A shape that reads no tables.
    pub fn constant(program: Program, mode: PolicyMode) -> Self {
        Self {
            program,
            mode,
            row: CellWidth::U8,
            class: CellWidth::U8,
            action: CellWidth::U8,
            class_shift: 0,
            audit: false,
        }
    }
}

/// What all endpoints of a cluster share: `node_config.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeConfig {
    /// `enable-ipv4`.
    pub ipv4: bool,
    /// `enable-ipv6`.
    pub ipv6: bool,
    /// `enable-sctp`.
    pub sctp: bool,
    /// `allow-icmp-frag-needed`.
    pub allow_icmp_frag_needed: bool,
    /// `bpf-ct-global-tcp-max`: entries of `conntrack4` and of `conntrack6` each.
    pub ct_entries_max: u32,
    /// `bpf-ct-timeout-regular-tcp`, seconds.
    pub ct_tcp_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-tcp-syn`, seconds.
    pub ct_tcp_syn_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-tcp-fin`, seconds.
    pub ct_tcp_fin_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-any`, seconds.
    pub ct_any_timeout_secs: u32,
    /// `monitor-aggregation`.
    pub monitor_aggregation: MonitorAggregation,
    /// `monitor-aggregation-interval`, seconds.
    pub monitor_interval_secs: u32,
    /// `monitor-aggregation-flags`, as a TCP header has them.
    pub monitor_tcp_flags: u8,
}

impl From<&Options> for NodeConfig {
    fn from(options: &Options) -> Self {
        Self {
            ipv4: options.ipv4,
            ipv6: options.ipv6,
            sctp: options.sctp,
            allow_icmp_frag_needed: options.allow_icmp_frag_needed,
            ct_entries_max: options.ct_entries_max,
            ct_tcp_timeout_secs: options.ct_tcp_timeout_secs,
            ct_tcp_syn_timeout_secs: options.ct_tcp_syn_timeout_secs,
            ct_tcp_fin_timeout_secs: options.ct_tcp_fin_timeout_secs,
            ct_any_timeout_secs: options.ct_any_timeout_secs,
            monitor_aggregation: options.monitor_aggregation,
            monitor_interval_secs: options.monitor_interval_secs,
            monitor_tcp_flags: options.monitor_tcp_flags,
        }
    }
}
