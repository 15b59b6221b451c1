//! What codegen and the datapath rely on. A failure is our bug, not the user's.

use ciliumc_abi::action::{VERDICT_DENY, VERDICT_REDIRECT};
use ciliumc_abi::table::{DIRECTORIES, PAGE_CELLS};

use super::Lowered;
use super::shape::PolicyMode;
use crate::ir::Direction;

/// Checks every table; the text names what does not hold.
pub fn verify(lowered: &Lowered) -> Result<(), String> {
    if lowered.causes.first().is_none_or(|first| !first.is_empty()) {
        return Err("cause 0 is not `no rule`".into());
    }
    for (n, tables) in lowered.tables.iter().enumerate() {
        let wrong = |what: &str| Err(format!("tables {n}: {what}"));
        if tables.actions.first().is_none_or(|action| action.verdict != VERDICT_DENY) {
            return wrong("action 0 is not a deny");
        }
        if tables.id_row.first() != Some(&0) {
            return wrong("the unknown identity has a row");
        }
        if tables.actions.iter().any(|action| action.cause as usize >= lowered.causes.len()) {
            return wrong("an action has a cause that is not there");
        }
        if tables.actions.iter().any(|a| (a.verdict == VERDICT_REDIRECT) != lowered.ruleset(a.l7_ruleset).is_some()) {
            return wrong("a redirect has no rule set, or another action has one");
        }
        if tables.actions.iter().any(|a| a.verdict == VERDICT_DENY && a.auth != 0) {
            return wrong("a deny asks for authentication");
        }
        let rows = tables.verdict.len() >> tables.class_shift;
        if tables.id_row.iter().any(|&row| usize::from(row) >= rows) {
            return wrong("a row is not there");
        }
        if tables.verdict.iter().any(|&action| usize::from(action) >= tables.actions.len()) {
            return wrong("an action is not there");
        }
        let (directories, pages) =
            tables.port_class.split_at((DIRECTORIES as usize * PAGE_CELLS).min(tables.port_class.len()));
        if directories.iter().any(|&page| usize::from(page) * PAGE_CELLS >= tables.port_class.len()) {
            return wrong("a port page is not there");
        }
        if pages.iter().any(|&class| u32::from(class) >> tables.class_shift != 0) {
            return wrong("a port class is wider than its shift");
        }
    }
    for (n, class) in lowered.classes.iter().enumerate() {
        for direction in Direction::ALL {
            let lowered_direction = class.direction(direction);
            let reads = matches!(lowered_direction.shape.mode, PolicyMode::L3Only | PolicyMode::Tables);
            if reads != lowered_direction.tables.is_some() {
                return Err(format!("class {n}: tables and mode do not agree"));
            }
        }
    }
    match &lowered.hosts {
        Some(hosts) if hosts.hosts.is_some() => Err("hosts have hosts".into()),
        Some(hosts) => verify(hosts).map_err(|problem| format!("of hosts: {problem}")),
        None => Ok(()),
    }
}
