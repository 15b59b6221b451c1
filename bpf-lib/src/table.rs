//! The verdict tables of one class and direction. Mirror of `lib/table.h`.
//!
//! ```text
//! row    = id_row[identity index]
//! page   = port_class[directory << 8 | port >> 8]
//! class  = port_class[page << 8 | port & 255]
//! action = actions[verdict[row << CLASS_SHIFT | class]]
//! ```
//!
//! Every table is an ARRAY map of pages of [`PAGE_CELLS`] cells; a cell has 8 or 16 bits, chosen per class. A page
//! that is not there means action 0, which is always a deny.

/// Cells of a page.
pub const PAGE_CELLS: usize = 256;
/// Pages 0-4 of `port_class` are the directories of the five protocols.
pub const DIRECTORIES: u32 = 5;

/// Directory of TCP.
pub const DIR_TCP: u32 = 0;
/// Directory of UDP.
pub const DIR_UDP: u32 = 1;
/// Directory of SCTP.
pub const DIR_SCTP: u32 = 2;
/// Directory of ICMP, by type.
pub const DIR_ICMP: u32 = 3;
/// Directory of ICMPv6, by type.
pub const DIR_ICMP6: u32 = 4;

/// Row of every identity index that nobody decided: deny.
pub const ROW_UNKNOWN: u32 = 0;
/// Row of the known identities that no rule names.
pub const ROW_OTHERS: u32 = 1;

/// Widths of `CLASS_SHIFT` that objects are built for; the smallest that holds the classes is taken.
pub const CLASS_SHIFTS: [u32; 5] = [4, 6, 8, 12, 16];

/// `POLICY_MODE`: the direction is not enforced, everything passes.
pub const MODE_ALLOW_ALL: u32 = 0;
/// `POLICY_MODE`: nobody may pass.
pub const MODE_DENY_ALL: u32 = 1;
/// `POLICY_MODE`: the verdict depends on the peer alone; `port_class` is not read.
pub const MODE_L3_ONLY: u32 = 2;
/// `POLICY_MODE`: all tables are read.
pub const MODE_TABLES: u32 = 3;
