//! The tables as text: `--emit lower`.

use std::fmt::Write;

use ciliumc_abi::action::{self, Action, VERDICT_ALLOW, VERDICT_DENY, VERDICT_REDIRECT};
use ciliumc_abi::table::{CLASS_SHIFTS, PAGE_CELLS};

use super::shape::{PolicyMode, Shape};
use super::tables::Tables;
use super::{Lowered, LoweredDirection};
use crate::ir::Direction;
use crate::resolve::{AuthType, Items, Ruleset, TlsTerms};

/// One line per thing, sorted.
pub fn print(lowered: &Lowered) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(lowered, "class", &mut out);
    if let Some(hosts) = &lowered.hosts {
        out += "hosts, which no bundle has\n";
        let _ = write(hosts, "host", &mut out);
    }
    out
}

fn write(lowered: &Lowered, who: &str, out: &mut String) -> std::fmt::Result {
    for (n, rules) in lowered.causes.iter().enumerate().skip(1) {
        writeln!(out, "cause {n} rules {:?}", rules.iter().map(|r| r.0).collect::<Vec<_>>())?;
    }
    for (n, ruleset) in (1..).zip(&lowered.rulesets) {
        writeln!(out, "ruleset {n} {}", self::ruleset(ruleset))?;
    }
    for (n, class) in lowered.classes.iter().enumerate() {
        for direction in Direction::ALL {
            let LoweredDirection { shape, tables, default_cause } = class.direction(direction);
            write!(out, "{who} {n} {} {}", direction.word(), self::shape(shape))?;
            if let Some(tables) = tables {
                write!(out, " tables {}", tables.0)?;
            }
            writeln!(out, " default cause {default_cause}")?;
        }
    }
    for (n, t) in lowered.tables.iter().enumerate() {
        writeln!(out, "tables {n}")?;
        tables(t, out)?;
    }
    Ok(())
}

/// One shape as words.
pub fn shape(shape: &Shape) -> String {
    let audit = if shape.audit { " audited" } else { "" };
    let mode = match shape.mode {
        PolicyMode::AllowAll => "allow all",
        PolicyMode::DenyAll => "deny all",
        PolicyMode::L3Only => "by peer",
        PolicyMode::Tables => "by peer and port",
    };
    match shape.mode {
        PolicyMode::AllowAll | PolicyMode::DenyAll => format!("{mode}{audit}"),
        PolicyMode::L3Only | PolicyMode::Tables => format!(
            "{mode}{audit}, row {} class {} action {} bits, shift {}",
            shape.row.bits(),
            shape.class.bits(),
            shape.action.bits(),
            shape.class_shift
        ),
    }
}

fn tables(t: &Tables, out: &mut String) -> std::fmt::Result {
    for (n, action) in t.actions.iter().enumerate() {
        writeln!(out, "  action {n} {}", self::action(action))?;
    }
    let rows: Vec<String> = runs(&t.id_row).map(|(first, last, row)| format!("{}={row}", span(first, last))).collect();
    writeln!(out, "  rows {}", rows.join(" "))?;
    if !t.port_class.is_empty() {
        for (d, name) in ["tcp", "udp", "sctp", "icmp", "icmpv6"].iter().enumerate() {
            let last = if d < 3 { 0xffff } else { 0xff };
            let classes: Vec<u16> = (0..=last)
                .map(|port: usize| {
                    let page = usize::from(t.port_class[d << 8 | port >> 8]);
                    t.port_class[page << 8 | port & 255]
                })
                .collect();
            let ports: Vec<String> =
                runs(&classes).map(|(first, last, class)| format!("{}={class}", span(first, last))).collect();
            writeln!(out, "  {name} {}", ports.join(" "))?;
        }
        writeln!(out, "  port pages {}", t.port_class.len() / PAGE_CELLS)?;
    }
    let row_end = t.id_row.iter().max().map_or(0, |&row| usize::from(row)) + 1;
    let width = 1 << t.class_shift;
    debug_assert!(t.class_shift == 0 || CLASS_SHIFTS.contains(&t.class_shift));
    for row in 0..row_end.max(2) {
        let cells = &t.verdict[row * width..(row + 1) * width];
        let used = cells.iter().rposition(|&cell| cell != 0).map_or(1, |last| last + 1);
        writeln!(out, "  row {row} {:?}", &cells[..used])?;
    }
    Ok(())
}

/// One action as words.
pub fn action(action: &Action) -> String {
    let auth = AuthType::of_number(action.auth).and_then(AuthType::word);
    let auth = auth.map_or(String::new(), |word| format!(" after {word}"));
    match action.verdict {
        VERDICT_ALLOW => format!("allow {}{auth} cause {}", action::match_word(action.match_type), action.cause),
        VERDICT_DENY => format!("deny {} cause {}", action.reason, action.cause),
        VERDICT_REDIRECT => format!("redirect to ruleset {}{auth} cause {}", action.l7_ruleset, action.cause),
        other => format!("verdict {other} cause {}", action.cause),
    }
}

/// How much of what is granted; the rules themselves stand in the bundle.
fn ruleset(ruleset: &Ruleset) -> String {
    let grant = |(terms, items): (&TlsTerms, &Items)| {
        let mut words = Vec::new();
        if items.everything {
            words.push("everything".to_string());
        }
        if !items.is_empty() {
            words.push(if items.len() == 1 { "1 rule".into() } else { format!("{} rules", items.len()) });
        }
        if !terms.server_names.is_empty() {
            words.push(format!("server names {}", terms.server_names.iter().cloned().collect::<Vec<_>>().join(",")));
        }
        for (context, word) in [(&terms.terminating, "terminating"), (&terms.originating, "originating")] {
            words.extend(context.as_ref().map(|c| format!("{word} TLS {}", c.secret.name)));
        }
        words.join(" with ")
    };
    let grants: Vec<String> = ruleset.grants.iter().map(grant).collect();
    format!("{}: {}", ruleset.parser, grants.join("; "))
}

/// Runs of equal cells: (first, last, cell).
fn runs(cells: &[u16]) -> impl Iterator<Item = (usize, usize, u16)> {
    let mut at = 0;
    cells.chunk_by(|a, b| a == b).map(move |run| {
        let first = at;
        at += run.len();
        (first, at - 1, run[0])
    })
}

fn span(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
