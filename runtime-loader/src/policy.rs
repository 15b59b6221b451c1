//! Reads published tables back: who may do what, in the terms of identities and ports. Pure.
//!
//! In: the bytes of a direction's four tables, as programs read them. Out: one [`Entry`] for each set of identities
//! that the tables do not tell apart and each action that they meet, with all ports of that action.

use std::collections::BTreeMap;
use std::fmt;

use ciliumc_abi::action::Action;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP, PAGE_CELLS};

/// The tables of one direction.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// Row by identity index.
    pub id_row: Cells<'a>,
    /// Port classes; `None` when ports do not matter.
    pub port_class: Option<Cells<'a>>,
    /// Action by row and port class.
    pub verdict: Cells<'a>,
    /// Actions, 16 bytes each.
    pub actions: &'a [u8],
    /// Bits of the port class in an index of `verdict`.
    pub class_shift: u32,
}

/// Pages of cells of one or two bytes.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl<'a> Cells<'a> {
    /// Cells of a map whose pages have `value_size` bytes.
    pub fn new(bytes: &'a [u8], value_size: u32) -> Self {
        Self { bytes, wide: value_size as usize == 2 * PAGE_CELLS }
    }

    /// A cell; `None` where no page is.
    fn get(&self, at: usize) -> Option<u32> {
        match self.wide {
            false => self.bytes.get(at).copied().map(u32::from),
            true => Some(u32::from(u16::from_ne_bytes([*self.bytes.get(2 * at)?, *self.bytes.get(2 * at + 1)?]))),
        }
    }
}

/// Ports of one protocol, both ends included; of ICMP: types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// Directory of the protocol in `port_class`.
    directory: u32,
    first: u16,
    last: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.directory {
            DIR_TCP => "TCP",
            DIR_UDP => "UDP",
            DIR_SCTP => "SCTP",
            DIR_ICMP => "ICMP",
            DIR_ICMP6 => "ICMPv6",
            _ => "?",
        };
        match (self.first, self.last) {
            (0, u16::MAX) => write!(f, "ANY/{protocol}"),
            (first, last) if first == last => write!(f, "{first}/{protocol}"),
            (first, last) => write!(f, "{first}-{last}/{protocol}"),
        }
    }
}

/// What some identities meet on some ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row of the tables: identities with the same one are not told apart.
    pub row: u32,
    /// Index of the action, which is that of its counter.
    pub index: u32,
    /// The action.
    pub action: Action,
    /// The ports; empty for all of them.
    pub ports: Vec<Ports>,
}

impl Tables<'_> {
    /// Row of an identity; 0, which denies, for one that the tables do not know.
    pub fn row(&self, identity_index: u32) -> u32 {
        self.id_row.get(identity_index as usize).unwrap_or(0)
    }

    /// What the identities of these rows meet, by row and action.
    pub fn entries(&self, rows: impl IntoIterator<Item = u32>) -> Vec<Entry> {
        let by_class = self.ports_by_class();
        let mut entries = Vec::new();
        for row in rows {
            let mut found: BTreeMap<u32, Vec<Ports>> = BTreeMap::new();
            for (class, ports) in &by_class {
                let cell = (row << self.class_shift | class) as usize;
                found.entry(self.verdict.get(cell).unwrap_or(0)).or_default().extend(ports);
            }
            let alone = found.len() == 1;
            for (index, mut ports) in found {
                ports.sort_unstable();
                let ports = if alone { Vec::new() } else { joined(&ports) };
                entries.push(Entry { row, index, action: self.action(index), ports });
            }
        }
        entries
    }

    fn action(&self, index: u32) -> Action {
        let (actions, _) = self.actions.as_chunks::<16>();
        actions.get(index as usize).map(Action::from_bytes).unwrap_or_default()
    }

    fn ports_by_class(&self) -> BTreeMap<u32, Vec<Ports>> {
        let Some(cells) = self.port_class else { return BTreeMap::from([(0, Vec::new())]) };
        let mut classes: BTreeMap<u32, Vec<Ports>> = BTreeMap::new();
        for directory in [DIR_TCP, DIR_UDP, DIR_SCTP, DIR_ICMP, DIR_ICMP6] {
            let class = |port: u16| {
                let page = cells.get((directory as usize) << 8 | usize::from(port >> 8))?;
                cells.get((page as usize) << 8 | usize::from(port & 255))
            };
            let mut run: Option<(u32, u16, u16)> = None;
            for port in 0..=u16::MAX {
                let here = class(port);
                run = match (run, here) {
                    (Some((class, first, _)), Some(same)) if class == same => Some((class, first, port)),
                    (done, next) => {
                        if let Some((class, first, last)) = done {
                            classes.entry(class).or_default().push(Ports { directory, first, last });
                        }
                        next.map(|class| (class, port, port))
                    }
                };
            }
            if let Some((class, first, last)) = run {
                classes.entry(class).or_default().push(Ports { directory, first, last });
            }
        }
        classes
    }
}

/// Neighbouring ranges as one.
fn joined(sorted: &[Ports]) -> Vec<Ports> {
    let mut out: Vec<Ports> = Vec::new();
    for next in sorted {
        match out.last_mut() {
            Some(last) if last.directory == next.directory && last.last.checked_add(1) == Some(next.first) => {
                last.last = next.last;
            }
            _ => out.push(*next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Bundle;
    use crate::handmade;

    #[test]
    fn xwing_may_use_its_port_and_nothing_else() {
        let bundle = Bundle::from_files(handmade::files(80, |path| path.as_bytes().to_vec())).unwrap();
        let table = |name| bundle.table(handmade::TABLES, name).unwrap().1;
        let tables = Tables {
            id_row: Cells::new(table("id_row"), 256),
            port_class: Some(Cells::new(table("port_class"), 256)),
            verdict: Cells::new(table("verdict"), 256),
            actions: table("actions"),
            class_shift: 4,
        };
        let row = tables.row(handmade::XWING.0);
        assert_eq!((row, tables.row(handmade::FLEET.0), tables.row(70_000)), (2, 1, 0));
        let entries = tables.entries([row, 1]);
        let lines: Vec<String> = entries
            .iter()
            .map(|entry| {
                let ports: Vec<_> = entry.ports.iter().map(ToString::to_string).collect();
                format!("{} {} {}", entry.row, entry.action.verdict, ports.join(","))
            })
            .collect();
        assert_eq!(lines, ["2 0 0-79/TCP,81-65535/TCP,ANY/UDP,ANY/SCTP,ANY/ICMP,ANY/ICMPv6", "2 1 80/TCP", "1 0 "]);
    }
}
