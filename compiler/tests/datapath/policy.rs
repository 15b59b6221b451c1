//! Verdict tables by hand, small enough to be checked by eye.

use ciliumc_abi::action::{Action, VERDICT_ALLOW, VERDICT_DENY, VERDICT_REDIRECT};
use ciliumc_abi::drop_reason;
use ciliumc_abi::table::{DIRECTORIES, PAGE_CELLS, ROW_OTHERS};

use crate::frames;

/// Identity indices of the addresses in `frames`.
pub const PEER: u32 = 300;
pub const OTHER: u32 = 301;
pub const OUTSIDE4: u32 = 9;
pub const OUTSIDE6: u32 = 10;
/// An identity that the tables have no row for, and one behind their end.
pub const STRANGER: u32 = 500;
pub const BEYOND: u32 = 70_000;
/// In a [`Rule`]: the known identities that no other rule names.
pub const OTHERS: u32 = u32::MAX;
/// Numeric identity of an index is the index and this.
pub const NUMBER_BASE: u32 = 10_000;
/// Known identities, whose row is at least "others".
pub const KNOWN: [u32; 4] = [OUTSIDE4, OUTSIDE6, PEER, OTHER];

/// Port classes of a row: `CLASS_SHIFT` 4.
const CLASSES: usize = 16;

/// Indices into [`ACTIONS`].
pub const DEFAULT_DENY: u8 = 0;
pub const ALLOW: u8 = 1;
pub const DENY: u8 = 2;
pub const REDIRECT: u8 = 3;
pub const AUTH: u8 = 4;
pub const AUDITED: u8 = 5;
/// An action that the tables name and the map does not hold.
pub const MISSING: u8 = 200;

pub fn actions() -> Vec<Action> {
    let action = |verdict, reason, cause| Action { verdict, reason, cause, ..Action::default() };
    vec![
        action(VERDICT_DENY, drop_reason::POLICY_DENIED, 70),
        Action { match_type: 2, ..action(VERDICT_ALLOW, 0, 71) },
        action(VERDICT_DENY, drop_reason::POLICY_DENY, 72),
        action(VERDICT_REDIRECT, 0, 73),
        Action { auth: 1, ..action(VERDICT_ALLOW, 0, 74) },
        Action { flags: ciliumc_abi::action::FLAG_AUDITED, ..action(VERDICT_DENY, drop_reason::POLICY_DENY, 75) },
    ]
}

/// `action` for one peer, and one (directory, port) or all.
#[derive(Clone, Copy)]
pub struct Rule {
    pub peer: u32,
    pub place: Option<(u32, u16)>,
    pub action: u8,
}

pub fn rule(peer: u32, proto: u8, port: u16, action: u8) -> Rule {
    let directory = match proto {
        frames::TCP => ciliumc_abi::table::DIR_TCP,
        frames::UDP => ciliumc_abi::table::DIR_UDP,
        frames::SCTP => ciliumc_abi::table::DIR_SCTP,
        frames::ICMP => ciliumc_abi::table::DIR_ICMP,
        frames::ICMP6 => ciliumc_abi::table::DIR_ICMP6,
        _ => panic!("protocol {proto} has no directory"),
    };
    Rule { peer, place: Some((directory, port)), action }
}

pub fn everything(peer: u32, action: u8) -> Rule {
    Rule { peer, place: None, action }
}

pub type Page = [u8; PAGE_CELLS];

/// Pages of the three tables.
pub struct Tables {
    pub id_row: Vec<Page>,
    pub port_class: Vec<Page>,
    pub verdict: Vec<Page>,
    pub actions: Vec<[u8; 16]>,
}

/// Tables that the compiler made, whose cells have 8 bits.
pub fn compiled(tables: &ciliumc::lower::tables::Tables) -> Tables {
    let pages = |cells: &[u16]| -> Vec<Page> {
        let page = |cells: &[u16]| cells.iter().map(|&cell| u8::try_from(cell).unwrap()).collect::<Vec<_>>();
        cells.chunks(PAGE_CELLS).map(|cells| page(cells).try_into().unwrap()).collect()
    };
    Tables {
        id_row: pages(&tables.id_row),
        port_class: pages(&tables.port_class),
        verdict: pages(&tables.verdict),
        actions: tables.actions.iter().map(|action| action.to_bytes()).collect(),
    }
}

/// Later rules win. With `l3_only` a row has one class.
pub fn tables(rules: &[Rule], l3_only: bool) -> Tables {
    let mut id_row = vec![[0; PAGE_CELLS]; 2];
    for index in KNOWN {
        id_row[index as usize / PAGE_CELLS][index as usize % PAGE_CELLS] = ROW_OTHERS as u8;
    }
    // Behind the directories: one page in which every port has class 0, which all directories point to.
    let blank = DIRECTORIES as u8;
    let mut port_class = vec![[blank; PAGE_CELLS]; DIRECTORIES as usize];
    port_class.push([0; PAGE_CELLS]);
    let mut places: Vec<(u32, u16)> = rules.iter().filter_map(|rule| rule.place).collect();
    places.sort();
    places.dedup();
    assert!(places.len() < CLASSES);
    for (class, &(directory, port)) in places.iter().enumerate() {
        let (directory, high, low) = (directory as usize, usize::from(port >> 8), usize::from(port & 255));
        if port_class[directory][high] == blank {
            port_class[directory][high] = port_class.len() as u8;
            port_class.push([0; PAGE_CELLS]);
        }
        let page = usize::from(port_class[directory][high]);
        port_class[page][low] = class as u8 + 1;
    }
    let mut verdict = vec![[DEFAULT_DENY; PAGE_CELLS]];
    let width = if l3_only { 1 } else { CLASSES };
    let mut next_row = ROW_OTHERS as u8 + 1;
    for rule in rules {
        let row = if rule.peer == OTHERS {
            ROW_OTHERS
        } else {
            let (page, cell) = (rule.peer as usize / PAGE_CELLS, rule.peer as usize % PAGE_CELLS);
            let row = &mut id_row[page][cell];
            if u32::from(*row) <= ROW_OTHERS {
                *row = next_row;
                next_row += 1;
            }
            u32::from(*row)
        };
        let row = row as usize * width;
        match rule.place {
            None => verdict[0][row..row + width].fill(rule.action),
            Some(place) => {
                let class = places.iter().position(|p| *p == place).unwrap() + 1;
                verdict[0][row + class] = rule.action;
            }
        }
    }
    let actions = actions().into_iter().map(|action| action.to_bytes()).collect();
    Tables { id_row, port_class, verdict, actions }
}
