//! Tables back to the verdict function that they hold: what [`super::tables::layout`] wrote.

use ciliumc_abi::action::Action;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIRECTORIES};

use super::factor::{ActionKey, Factored, Segment};
use super::shape::PolicyMode;
use super::tables::Tables;

/// The function, for the identities that are known. `action` gives an action its rules and its rule set back. `None` where
/// a row leads out of the tables.
pub fn factored(tables: &Tables, known: &[IdentityIndex], action: impl Fn(&Action) -> ActionKey) -> Option<Factored> {
    let actions: Vec<ActionKey> = tables.actions.iter().map(action).collect();
    let default_action = actions.first().cloned().unwrap_or_else(|| ActionKey::plain(0, 0, Vec::new()));
    let row = |index: &IdentityIndex| usize::from(tables.id_row.get(index.0 as usize).copied().unwrap_or_default());
    let rows_of: Vec<(IdentityIndex, usize)> = known.iter().map(|index| (*index, row(index))).collect();
    let rows = rows_of.iter().map(|(_, row)| row + 1).max().unwrap_or_default().max(2);
    if rows << tables.class_shift > tables.verdict.len() {
        return None;
    }

    let mode = if tables.port_class.is_empty() { PolicyMode::L3Only } else { PolicyMode::Tables };
    // A missing page is a class of its own behind the others, and the default everywhere.
    let missing = 1usize << tables.class_shift;
    let class = |directory, port| match mode {
        PolicyMode::L3Only => 0,
        PolicyMode::AllowAll | PolicyMode::DenyAll | PolicyMode::Tables => {
            tables.class(directory, port).map_or(missing, usize::from)
        }
    };
    let directories: Vec<Vec<Segment>> = (0..DIRECTORIES).map(|directory| segments(directory, class)).collect();
    let classes = directories.iter().flatten().map(|segment| segment.class + 1).max().unwrap_or(1);
    let cell = |row: usize, class: usize| {
        let place = (class < missing).then_some(row << tables.class_shift | class);
        let action = place.and_then(|place| actions.get(usize::from(*tables.verdict.get(place)?)));
        action.unwrap_or(&default_action).clone()
    };
    let cells = (0..rows).map(|row| (0..classes).map(|class| cell(row, class)).collect()).collect();
    Some(Factored { mode, default_action, rows_of, directories, cells })
}

/// Runs of ports of one class.
fn segments(directory: u32, class: impl Fn(u32, u16) -> usize) -> Vec<Segment> {
    let end = if directory == DIR_ICMP || directory == DIR_ICMP6 { u16::from(u8::MAX) } else { u16::MAX };
    let mut out: Vec<Segment> = Vec::new();
    for port in 0..=end {
        let class = class(directory, port);
        match out.last_mut() {
            Some(last) if last.class == class => last.last = port,
            _ => out.push(Segment { first: port, last: port, class }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lower::factor::factor;
    use crate::lower::fixture::policy_of_a;
    use crate::lower::tables::{Numbers, layout};

    #[test]
    fn tables_hold_the_function_that_they_were_made_of() {
        let rules = "
  ingress:
  - fromEndpoints: [{matchLabels: {app: b}}]
    toPorts: [{ports: [{port: '80', endPort: 300, protocol: TCP}, {port: '53', protocol: UDP}]}]
  - fromEntities: [host]
  - icmps: [{fields: [{type: 8, family: IPv4}]}]
  ingressDeny:
  - toPorts: [{ports: [{port: '100', protocol: TCP}]}]
";
        let analysis = policy_of_a(rules);
        let known: Vec<IdentityIndex> = analysis.resolved.identities.keys().copied().collect();
        let mut seen = 0;
        for class in &analysis.resolved.classes {
            let made = factor(&class.ingress, &known);
            if !matches!(made.mode, PolicyMode::Tables | PolicyMode::L3Only) {
                continue;
            }
            let causes: BTreeSet<_> = made.actions().map(|action| action.rules.clone()).collect();
            let causes: Vec<_> = [made.default_action.rules.clone()]
                .into_iter()
                .chain(causes)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            let numbers = Numbers { causes: &causes, rulesets: &[] };
            let tables = layout(&made, known.last().unwrap().0 + 1, &numbers).unwrap();
            let read = factored(&tables, &known, |action| {
                let plain = ActionKey::plain(action.verdict, action.reason, causes[action.cause as usize].clone());
                ActionKey { match_type: action.match_type, ..plain }
            });
            let read = read.unwrap();
            assert_eq!((&read.rows_of, &read.directories), (&made.rows_of, &made.directories));
            assert_eq!((&read.cells, &read.default_action, read.mode), (&made.cells, &made.default_action, made.mode));
            seen += 1;
        }
        assert!(seen > 0);
    }
}
