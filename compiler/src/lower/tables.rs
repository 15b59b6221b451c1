//! Pages: the factored verdict function as the maps hold it (`ciliumc_abi::table`).

use std::collections::BTreeMap;
use std::sync::Arc;

use ciliumc_abi::action::Action;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::names;
use ciliumc_abi::table::{CLASS_SHIFTS, DIRECTORIES, PAGE_CELLS};

use super::factor::{ActionKey, Factored};
use super::shape::{CellWidth, PolicyMode};
use super::{LowerError, TABLE_BYTES_MAX};
use crate::ir::{Direction, RuleId};
use crate::resolve::Ruleset;

/// The tables of one direction. Cells are u16 here and 8 or 16 bits in the map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tables {
    /// Cells of `id_row`, in whole pages.
    pub id_row: Vec<u16>,
    /// Cells of `port_class`, in whole pages; empty for `L3Only`.
    pub port_class: Vec<u16>,
    /// Cells of `verdict`, in whole pages.
    pub verdict: Vec<u16>,
    /// Actions; 0 is deny.
    pub actions: Vec<Action>,
    /// Width of `id_row`.
    pub row_width: CellWidth,
    /// Width of `port_class`.
    pub class_width: CellWidth,
    /// Width of `verdict`.
    pub action_width: CellWidth,
    /// Bits of a class in a `verdict` index.
    pub class_shift: u32,
}

/// The cells that decide a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Cell of `id_row` for the peer.
    pub row: u16,
    /// Cell of `port_class` for the port; 0 where the peer alone decides.
    pub class: u16,
    /// Index of the cell of `verdict`: row and class side by side.
    pub place: u32,
    /// That cell: index into `actions`.
    pub action: u16,
}

/// One table as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Map name.
    pub name: &'static str,
    /// Entries.
    pub entries: u32,
    /// Bytes of an entry.
    pub value_size: u32,
    /// Entries one behind the other.
    pub bytes: Vec<u8>,
}

/// What does not fit; the caller knows whose it is.
#[derive(Debug)]
pub enum Overflow {
    /// Cells.
    Cells { rows: usize, classes: usize },
    /// Numbers.
    Numbers { what: &'static str, count: usize },
}

impl Overflow {
    /// As the stage's error.
    pub fn of(self, direction: Direction, identity: IdentityIndex) -> LowerError {
        let direction = direction.word();
        match self {
            Self::Cells { rows, classes } => LowerError::TooLarge { direction, identity, rows, classes },
            Self::Numbers { what, count } => LowerError::TooMany { direction, identity, what, count },
        }
    }
}

/// Numbers of what actions point to. Both lists are sorted and hold what every action of the input has, so a search
/// finds it.
pub struct Numbers<'a> {
    /// Causes.
    pub causes: &'a [Vec<RuleId>],
    /// L7 rule sets.
    pub rulesets: &'a [Arc<Ruleset>],
}

impl Numbers<'_> {
    /// 0 is "no rule".
    pub fn cause(&self, action: &ActionKey) -> u32 {
        self.causes.binary_search(&action.rules).unwrap_or(0) as u32
    }

    /// 0 is "no proxy".
    pub fn ruleset(&self, action: &ActionKey) -> u32 {
        let place = action.ruleset.as_ref().and_then(|ruleset| self.rulesets.binary_search(ruleset).ok());
        place.map_or(0, |place| place as u32 + 1)
    }
}

/// Lays a factored direction out. `index_end` is one above the highest identity index in use.
pub fn layout(factored: &Factored, index_end: u32, numbers: &Numbers<'_>) -> Result<Tables, Overflow> {
    let (rows, classes) = (factored.cells.len(), factored.cells[0].len());
    let row_width = width("rows", rows)?;
    let class_shift = match factored.mode {
        PolicyMode::L3Only => 0,
        PolicyMode::AllowAll | PolicyMode::DenyAll | PolicyMode::Tables => {
            let enough = CLASS_SHIFTS.into_iter().find(|shift| classes <= 1 << shift);
            enough.ok_or(Overflow::Numbers { what: "port classes", count: classes })?
        }
    };
    let cells = rows << class_shift;
    if cells > TABLE_BYTES_MAX / 2 {
        return Err(Overflow::Cells { rows, classes });
    }

    // Action 0 is the default deny; the others follow in sorted order.
    let mut places: BTreeMap<&ActionKey, u16> = BTreeMap::new();
    let mut keys: Vec<&ActionKey> = factored.actions().filter(|a| **a != factored.default_action).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.insert(0, &factored.default_action);
    let action_width = width("actions", keys.len())?;
    for (n, key) in keys.iter().enumerate() {
        places.insert(key, n as u16);
    }
    let mut verdict = vec![0; pages(cells)];
    for (r, row) in factored.cells.iter().enumerate() {
        for (c, action) in row.iter().enumerate() {
            verdict[r << class_shift | c] = places[action];
        }
    }

    let mut id_row = vec![0; pages(index_end as usize)];
    for &(index, row) in &factored.rows_of {
        id_row[index.0 as usize] = row as u16;
    }

    let (port_class, class_width) = match factored.mode {
        PolicyMode::L3Only => (Vec::new(), CellWidth::U8),
        PolicyMode::AllowAll | PolicyMode::DenyAll | PolicyMode::Tables => port_pages(factored, classes)?,
    };
    let action = |key: &&ActionKey| Action {
        verdict: key.verdict,
        reason: key.reason,
        auth: key.auth.number(),
        match_type: key.match_type,
        l7_ruleset: numbers.ruleset(key),
        cause: numbers.cause(key),
        ..Action::default()
    };
    let actions = keys.iter().map(action).collect();
    Ok(Tables { id_row, port_class, verdict, actions, row_width, class_width, action_width, class_shift })
}

fn pages(cells: usize) -> usize {
    cells.next_multiple_of(PAGE_CELLS)
}

fn width(what: &'static str, count: usize) -> Result<CellWidth, Overflow> {
    match count {
        0..=0x100 => Ok(CellWidth::U8),
        0x101..=0x1_0000 => Ok(CellWidth::U16),
        _ => Err(Overflow::Numbers { what, count }),
    }
}

/// Directories first, then the distinct pages they point to.
fn port_pages(factored: &Factored, classes: usize) -> Result<(Vec<u16>, CellWidth), Overflow> {
    let mut low_pages: Vec<Vec<u16>> = Vec::new();
    let mut place: BTreeMap<Vec<u16>, usize> = BTreeMap::new();
    let mut directories: Vec<u16> = Vec::with_capacity(DIRECTORIES as usize * PAGE_CELLS);
    for segments in &factored.directories {
        let mut classes_of: Vec<u16> = Vec::with_capacity(1 << 16);
        for segment in segments {
            classes_of.resize(usize::from(segment.last) + 1, segment.class as u16);
        }
        // ICMP has one page of types; every high byte leads to it.
        let mut numbers: Vec<u16> = Vec::with_capacity(PAGE_CELLS);
        for page in classes_of.chunks(PAGE_CELLS) {
            let number = *place.entry(page.to_vec()).or_insert_with_key(|page| {
                low_pages.push(page.clone());
                DIRECTORIES as usize + low_pages.len() - 1
            });
            numbers.push(number as u16);
        }
        directories.extend((0..PAGE_CELLS).map(|high| numbers[high % numbers.len()]));
    }
    let width = width("port classes and pages", classes.max(DIRECTORIES as usize + low_pages.len()))?;
    directories.extend(low_pages.into_iter().flatten());
    Ok((directories, width))
}

impl Tables {
    /// What the datapath reads for a peer and a port (or ICMP type) of a directory: `ciliumc_abi::table`.
    pub fn decide(&self, index: IdentityIndex, directory: u32, port: u16) -> Action {
        self.actions[usize::from(self.cell(index, directory, port).action)]
    }

    /// Where it reads that.
    pub fn cell(&self, index: IdentityIndex, directory: u32, port: u16) -> Cell {
        let row = self.id_row.get(index.0 as usize).copied().unwrap_or(0);
        let class = if self.port_class.is_empty() { Some(0) } else { self.class(directory, port) };
        let place = class.map(|class| usize::from(row) << self.class_shift | usize::from(class));
        let action = place.and_then(|place| self.verdict.get(place)).copied().unwrap_or(0);
        Cell { row, class: class.unwrap_or(0), place: place.unwrap_or(0) as u32, action }
    }

    /// Port class of a port (or ICMP type) of a directory; none where a page is missing, which is action 0.
    pub(super) fn class(&self, directory: u32, port: u16) -> Option<u16> {
        let page = self.port_class.get((directory << 8 | u32::from(port >> 8)) as usize)?;
        self.port_class.get(usize::from(*page) << 8 | usize::from(port & 255)).copied()
    }

    /// The maps' contents, in the order of [`names::CLASS_TABLES`].
    pub fn sections(&self) -> Vec<Section> {
        let cells = |name, cells: &[u16], width: CellWidth| Section {
            name,
            entries: (cells.len() / PAGE_CELLS) as u32,
            value_size: PAGE_CELLS as u32 * width.bits() / 8,
            bytes: match width {
                CellWidth::U8 => cells.iter().map(|&cell| cell as u8).collect(),
                CellWidth::U16 => cells.iter().flat_map(|cell| cell.to_le_bytes()).collect(),
            },
        };
        let mut out = vec![cells(names::ID_ROW, &self.id_row, self.row_width)];
        if !self.port_class.is_empty() {
            out.push(cells(names::PORT_CLASS, &self.port_class, self.class_width));
        }
        out.push(cells(names::VERDICT, &self.verdict, self.action_width));
        out.push(Section {
            name: names::ACTIONS,
            entries: self.actions.len() as u32,
            value_size: size_of::<Action>() as u32,
            bytes: self.actions.iter().flat_map(|action| action.to_bytes()).collect(),
        });
        out
    }
}
