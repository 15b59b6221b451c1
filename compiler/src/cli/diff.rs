//! `ciliumc diff`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::args::{DiffArgs, DiffClass, DiffFormat};
use super::connections::{party, party_json, port_words, treatment, treatment_json};
use super::{connections, inputs, report};
use crate::connectivity::diff::{self, Cause, Class, Diff, Part, Row, Version, Witness};
use crate::connectivity::ports::Treatment;
use crate::connectivity::requests::More;
use crate::connectivity::{Party, np_guard};
use crate::driver::Failure;
use crate::driver::connectivity::example;
use crate::ir::Direction;
use crate::source::SourceMap;

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let paths = |n: usize| args.input.paths.get(n..=n).unwrap_or_default();
    let [(old_sources, old), (new_sources, new)] =
        inputs::connect_both(&args.input, [paths(0), paths(1)], args.semantics)?;
    let diff = diff::diff(
        Version { connectivity: &old, sources: &old_sources },
        Version { connectivity: &new, sources: &new_sources },
    );
    let outside = [Direction::Ingress, Direction::Egress]
        .map(|at| old.outside(at).iter().chain(new.outside(at)).cloned().collect());
    let sources = Sources { old: &old_sources, new: &new_sources, outside: &outside };
    super::put(&match args.output {
        DiffFormat::Text => text(sources, &diff),
        DiffFormat::Json => format!("{:#}\n", json(sources, &diff, args.semantics.word())),
        DiffFormat::Md => markdown(sources, &diff),
        DiffFormat::NpGuard => np_guard::diff(&old, &new),
    })?;
    let is_finding = |row: &Row<'_>| match (args.fail_on, row.class) {
        (DiffClass::Any, _)
        | (DiffClass::Widened, Class::Widened | Class::Changed | Class::L7)
        | (DiffClass::Narrowed, Class::Narrowed | Class::Changed | Class::L7) => true,
        (DiffClass::None, _)
        | (DiffClass::Widened, Class::Narrowed | Class::WorkloadOnly)
        | (DiffClass::Narrowed, Class::Widened | Class::WorkloadOnly) => false,
    };
    // Nobody knows what they change, so they count whatever is asked for.
    let of_hosts = args.fail_on != DiffClass::None && !diff.of_hosts.is_empty();
    Ok(u8::from(of_hosts || diff.rows.iter().any(is_finding)))
}

/// The files of both versions.
#[derive(Clone, Copy)]
struct Sources<'a> {
    old: &'a SourceMap,
    new: &'a SourceMap,
    /// All who are no workloads: as sources, and as destinations.
    outside: &'a [BTreeSet<Party>; 2],
}

impl<'a> Sources<'a> {
    fn of(self, cause: &Cause<'_>) -> &'a SourceMap {
        if cause.is_new { self.new } else { self.old }
    }

    fn from(self, row: &Row<'_>) -> String {
        ends(&row.sources, row.source_selector.as_deref(), &self.outside[0])
    }

    fn to(self, row: &Row<'_>) -> String {
        ends(&row.destinations, row.destination_selector.as_deref(), &self.outside[1])
    }
}

/// A block of lines for each row, then a line that counts them.
fn text(sources: Sources<'_>, diff: &Diff<'_>) -> String {
    let mut out = String::new();
    for row in &diff.rows {
        out += &format!("{} {} -> {}\n", row.class.word(), sources.from(row), sources.to(row));
        for (word, parts) in [("gained", &row.gained), ("lost", &row.lost)] {
            out.extend(self::parts(parts).map(|part| format!("  {word:6} {part}\n")));
        }
        out.extend(row.witness.iter().map(|witness| format!("  e.g.   {}\n", self::witness(witness))));
        out.extend(row.causes.iter().map(|cause| format!("  by     {}\n", self::cause(sources, cause))));
    }
    out.extend(diff.without_effect.iter().map(|cause| format!("no effect {}\n", self::cause(sources, cause))));
    out.extend(diff.of_hosts.iter().map(|cause| format!("not compared {}\n", self::cause(sources, cause))));
    out + &format!("{}\n", summary(diff))
}

/// Parties of one end that are named one by one.
const NAMED_MAX: usize = 6;

/// Parties, or in place of workloads what selects them; what is too long is cut, the JSON report has all.
fn ends(all: &[Party], selector: Option<&str>, outside: &BTreeSet<Party>) -> String {
    let (workloads, mut others): (Vec<&Party>, Vec<&Party>) = all.iter().partition(|party| party.is_workload());
    others.sort_by_key(|party| connections::rank(party));
    let listed = |list: &[&Party]| -> Vec<String> {
        let few = if list.len() > NAMED_MAX { NAMED_MAX - 1 } else { NAMED_MAX };
        let named = list.iter().take(few).map(|party| connections::party(party));
        let rest = list.len().saturating_sub(few);
        named.chain((rest > 0).then(|| format!("{rest} more"))).collect()
    };
    let workloads = match selector {
        Some(selector) => vec![format!("{selector} ({} workloads)", workloads.len())],
        None => listed(&workloads),
    };
    let others = match others.len() > 1 && others.iter().copied().collect::<BTreeSet<_>>() == outside.iter().collect() {
        true => vec![connections::OUTSIDE.to_owned()],
        false => listed(&others),
    };
    workloads.into_iter().chain(others).collect::<Vec<_>>().join(",")
}

/// `2 widened, 1 narrowed`.
fn summary(diff: &Diff<'_>) -> String {
    let rows = &diff.rows;
    let classes = [Class::Widened, Class::Narrowed, Class::Changed, Class::L7, Class::WorkloadOnly];
    let counts = classes.map(|class| (rows.iter().filter(|row| row.class == class).count(), class.word()));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let of_hosts = match diff.of_hosts.len() {
        0 => None,
        1 => Some("1 host policy edited, not compared".to_owned()),
        count => Some(format!("{count} host policies edited, not compared")),
    };
    let counts: Vec<String> = counts.chain(of_hosts).collect();
    if counts.is_empty() { "no difference".into() } else { counts.join(", ") }
}

/// `TCP 80,90-95` or `TCP,UDP 53`, with what proxies let pass and what they let pass in the other version.
pub(super) fn parts(parts: &[Part]) -> impl Iterator<Item = String> {
    let mut alike: BTreeMap<(&Treatment, &Option<Treatment>, &More, String), Vec<&str>> = BTreeMap::new();
    for part in parts {
        let key = (&part.treatment, &part.instead_of, &part.request, port_words(part.transport, &part.ranges));
        alike.entry(key).or_default().push(part.transport.name());
    }
    alike.into_iter().map(|((own, instead_of, request, ports), transports)| {
        let ports = format!("{} {ports}", transports.join(","));
        let ports = match (instead_of, treatment(own)) {
            (None, plain) if plain == "-" => ports,
            (None, treated) => format!("{ports} {treated}"),
            (Some(other), treated) => format!("{ports} {treated} (else {})", treatment(other)),
        };
        match request {
            More::Nothing => ports,
            More::Request(request) => format!("{ports}, such as {request}"),
            More::Unknown(why) => format!("{ports}, perhaps: {why}"),
        }
    })
}

fn witness(witness: &Witness) -> String {
    let address = witness.address.map(|address| format!(" ({address})")).unwrap_or_default();
    let end = |one: &Party| example(one).map_or_else(|| party(one), |name| format!("fqdn:{name}"));
    let (source, destination) = (end(&witness.source), end(&witness.destination));
    let request = witness.request.as_ref().map(|request| format!(" {request}")).unwrap_or_default();
    format!("{source} -> {destination} {}/{}{request}{address}", witness.port, witness.transport.name())
}

fn cause(sources: Sources<'_>, cause: &Cause<'_>) -> String {
    let place = report::file_line(sources.of(cause), cause.rule.span);
    format!("{} {} ({place}), {}", cause.rule.object, cause.rule.path, cause.edit.word())
}

/// For a comment on a pull request; the marker lets CI find its comment again.
fn markdown(sources: Sources<'_>, diff: &Diff<'_>) -> String {
    let rows = &diff.rows;
    let mut out = format!("<!-- ciliumc-diff:v1 -->\n### Network policy: {}\n", summary(diff));
    if !rows.is_empty() {
        out += "\n| | From | To | Gained | Lost | For example | Caused by |\n|-|-|-|-|-|-|-|\n";
        for row in rows {
            let cells = [
                row.class.word().to_uppercase(),
                code(std::iter::once(sources.from(row))),
                code(std::iter::once(sources.to(row))),
                code(parts(&row.gained)),
                code(parts(&row.lost)),
                code(row.witness.iter().map(witness)),
                code(row.causes.iter().map(|cause| self::cause(sources, cause))),
            ];
            out += &format!("| {} |\n", cells.join(" | "));
        }
    }
    if !diff.without_effect.is_empty() {
        out += "\nPolicies that were edited without effect:\n\n";
    }
    out.extend(diff.without_effect.iter().map(|cause| format!("- `{}`\n", self::cause(sources, cause))));
    if !diff.of_hosts.is_empty() {
        out += "\nHost policies that were edited; what that changes is not compared:\n\n";
    }
    out.extend(diff.of_hosts.iter().map(|cause| format!("- `{}`\n", self::cause(sources, cause))));
    out
}

/// Words as code in a cell of a table, one under the other.
fn code(words: impl Iterator<Item = String>) -> String {
    let words = words.map(|word| format!("`{}`", word.replace('|', "\\|").replace('`', "'")));
    words.collect::<Vec<_>>().join("<br>")
}

fn json(sources: Sources<'_>, diff: &Diff<'_>, semantics: &str) -> Value {
    let part_list = |parts: &[Part]| -> Vec<Value> { parts.iter().map(part_json).collect() };
    let cause = |cause: &Cause<'_>| {
        let mut value = connections::rule_json(sources.of(cause), cause.rule);
        value["version"] = json!(if cause.is_new { "new" } else { "old" });
        value["edit"] = json!(cause.edit.word());
        value
    };
    let rows = diff.rows.iter().map(|row| {
        json!({
            "class": row.class.word(),
            "sources": row.sources.iter().map(party_json).collect::<Vec<_>>(),
            "destinations": row.destinations.iter().map(party_json).collect::<Vec<_>>(),
            "sourceSelector": row.source_selector, "destinationSelector": row.destination_selector,
            "gained": part_list(&row.gained), "lost": part_list(&row.lost),
            "witness": row.witness.as_ref().map(|witness| json!({
                "source": party_json(&witness.source), "destination": party_json(&witness.destination),
                "address": witness.address.map(|address| address.to_string()),
                "protocol": witness.transport.name(), "port": witness.port,
                "request": witness.request,
            })),
            "causes": row.causes.iter().map(cause).collect::<Vec<_>>(),
        })
    });
    let rows: Vec<Value> = rows.collect();
    let without_effect: Vec<Value> = diff.without_effect.iter().map(cause).collect();
    let of_hosts: Vec<Value> = diff.of_hosts.iter().map(cause).collect();
    json!({
        "schema": "ciliumc/diff/v1", "semantics": semantics, "rows": rows, "withoutEffect": without_effect,
        "hostPolicies": of_hosts,
    })
}

pub(super) fn part_json(part: &Part) -> Value {
    let (l7, auth) = treatment_json(&part.treatment);
    let instead_of = part.instead_of.as_ref().map(|other| {
        let (l7, auth) = treatment_json(other);
        json!({ "l7": l7, "auth": auth })
    });
    let (request, unknown) = match &part.request {
        More::Nothing => (None, None),
        More::Request(request) => (Some(request), None),
        More::Unknown(why) => (None, Some(why)),
    };
    json!({
        "protocol": part.transport.name(), "ports": part.ranges, "l7": l7, "auth": auth, "insteadOf": instead_of,
        "request": request, "unknown": unknown,
    })
}
