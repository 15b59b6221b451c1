//! DNS names in `list`, `diff` and tests: who may reach which names, without any address of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::collections::BTreeSet;

use ciliumc::connectivity::diff::{Class, Row, Version, diff};
use ciliumc::connectivity::{Connectivity, Party, names};
use ciliumc::driver::connectivity::{Semantics, connect, read};
use ciliumc::driver::question::analyse_for;
use ciliumc::eval::flow::{self, judge};
use ciliumc::eval::{L4, Verdict};
use ciliumc::front::FrontOptions;
use ciliumc::ir::{EndName, FqdnSelector, Transport, fqdn};
use ciliumc::source::SourceMap;
use project::Project;
use proptest::prelude::*;

const PODS: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: shop, labels: {app: api}}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}
";

/// A policy that lets `api` reach what the selectors select, each on a port of its own.
fn policy(selectors: &[(FqdnSelector, u16)]) -> String {
    let rule = |(selector, port): &(FqdnSelector, u16)| {
        let field = match selector {
            FqdnSelector::Name(_) => "matchName",
            FqdnSelector::Pattern(_) => "matchPattern",
        };
        let text = fqdn::text(selector);
        format!(
            "  - {{toFQDNs: [{{{field}: \"{text}\"}}], toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]}}\n"
        )
    };
    let rules: String = selectors.iter().map(rule).collect();
    let rules = if rules.is_empty() { "  - {}\n".to_owned() } else { rules };
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: api, namespace: shop}}\nspec:\n  \
         endpointSelector: {{matchLabels: {{app: api}}}}\n  egress:\n{rules}"
    )
}

fn sources(selectors: &[(FqdnSelector, u16)]) -> SourceMap {
    SourceMap::from_texts([("a.yaml", format!("{PODS}{}", policy(selectors)))])
}

fn both(inputs: [&SourceMap; 2]) -> [Connectivity; 2] {
    let read = |sources| read(sources, &FrontOptions::default(), Semantics::Cilium).unwrap();
    let [old, new] = connect(inputs.map(read).into()).unwrap().try_into().unwrap();
    assert!(old.1.iter().chain(&new.1).all(|diagnostic| diagnostic.severity != ciliumc::diag::Severity::Error));
    [old.0, new.0]
}

const PORTS: [u16; 3] = [80, 81, 82];

/// Whether `trace` lets `api` reach a name, on each of the ports.
fn passes(sources: &SourceMap, name: &str) -> [bool; 3] {
    let from = EndName::Object { kind: None, namespace: "shop".into(), name: "api".into() };
    let ends = [from, EndName::Fqdn(name.into())];
    let analysis = analyse_for(sources, &FrontOptions::default(), &[], &ends).unwrap();
    let [from, to] = ends.map(|end| flow::find(&analysis.cluster, &analysis.objects.answers.dns, &end).unwrap()[0]);
    PORTS.map(|port| {
        let judged = judge(&analysis.cluster, &analysis.resolved, from, to, L4::new(Transport::Tcp, port));
        judged.unwrap().verdict() == Verdict::Allow
    })
}

/// The party that a name belongs to: the one that the same selectors select.
fn party_of<'p>(parties: &'p [Party], selectors: &BTreeSet<FqdnSelector>, name: &str) -> Option<&'p Party> {
    let selected = |name: &str| selectors.iter().map(|selector| fqdn::matches(selector, name)).collect::<Vec<_>>();
    parties.iter().find(|party| matches!(party, Party::Names { example, .. } if selected(example) == selected(name)))
}

fn says(rows: &[Row<'_>], party: &Party, port: u16, gained: bool) -> bool {
    let about = rows.iter().filter(|row| row.destinations.contains(party));
    let mut parts = about.flat_map(|row| if gained { &row.gained } else { &row.lost });
    parts.any(|part| {
        part.transport == Transport::Tcp && part.ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
    })
}

fn selector() -> impl Strategy<Value = FqdnSelector> {
    prop_oneof![
        "[ab](\\.[ab]){0,2}".prop_map(FqdnSelector::Name),
        "([ab]?\\*[ab]?|[ab])(\\.[ab*]){0,2}".prop_map(|text| fqdn::normal(&FqdnSelector::Pattern(text), false)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_is_said_exactly_of_the_names_that_it_is_about(
        old in prop::collection::vec((selector(), 80u16..83), 1..4),
        new in prop::collection::vec((selector(), 80u16..83), 1..4),
        asked in prop::collection::vec("[abc](\\.[abc]){0,2}", 6),
    ) {
        let inputs = [sources(&old), sources(&new)];
        let [before, after] = both([&inputs[0], &inputs[1]]);
        let version = |connectivity, n: usize| Version { connectivity, sources: &inputs[n] };
        let rows = diff(version(&before, 0), version(&after, 1)).rows;
        let selectors: BTreeSet<FqdnSelector> = old.iter().chain(&new).map(|(selector, _)| selector.clone()).collect();
        let parties = names::parties(&selectors, &BTreeSet::new()).unwrap();
        for name in &asked {
            let party = party_of(&parties, &selectors, name);
            prop_assert_eq!(party.is_some(), selectors.iter().any(|selector| fqdn::matches(selector, name)), "{}", name);
            let [before, after] = [&inputs[0], &inputs[1]].map(|sources| passes(sources, name));
            for (n, port) in PORTS.into_iter().enumerate() {
                let said = [true, false].map(|gained| party.is_some_and(|party| says(&rows, party, port, gained)));
                let expected = [!before[n] && after[n], before[n] && !after[n]];
                prop_assert_eq!(said, expected, "{} {}: {:?}", name, port, rows);
            }
        }
        if rows.is_empty() {
            for party in &parties {
                let Party::Names { example, .. } = party else { panic!("{party:?}") };
                prop_assert_eq!(passes(&inputs[0], example), passes(&inputs[1], example), "{}", example);
            }
        }
    }
}

#[test]
fn a_broader_pattern_widens_and_nobody_else_is_named() {
    let pattern = |text: &str| [(FqdnSelector::Pattern(text.into()), 443)];
    let inputs = [sources(&pattern("*.example.com")), sources(&pattern("*"))];
    let [before, after] = both([&inputs[0], &inputs[1]]);
    let version = |connectivity, n: usize| Version { connectivity, sources: &inputs[n] };
    let there = diff(version(&before, 0), version(&after, 1));
    let [row] = there.rows.as_slice() else { panic!("{:?}", there.rows) };
    assert_eq!(row.class, Class::Widened);
    assert_eq!(row.destinations.iter().map(ToString::to_string).collect::<Vec<_>>(), ["fqdn:*"]);
    assert!(there.without_effect.is_empty(), "{:?}", there.without_effect);
    let back = diff(version(&after, 1), version(&before, 0));
    assert_eq!(back.rows.iter().map(|row| row.class).collect::<Vec<_>>(), [Class::Narrowed]);
    assert!(diff(version(&before, 0), version(&before, 0)).rows.is_empty());
}

#[test]
fn names_are_shown_and_fail_a_check_for_what_is_widened() {
    let files = [("old", "*.example.com"), ("new", "*"), ("same", "*.example.com")];
    let texts = files.map(|(folder, text)| {
        (format!("{folder}/a.yaml"), format!("{PODS}{}", policy(&[(FqdnSelector::Pattern(text.into()), 443)])))
    });
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let project = Project::with(&texts, "cache".as_ref());
    let run = |args: &[&str]| {
        let output = project.run(args);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["diff", "old", "new", "--fail-on", "widened"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("widened shop/api -> fqdn:*\n  gained TCP 443\n  e.g.   shop/api -> fqdn:x 443/TCP\n"),
        "{text}"
    );
    assert_eq!(run(&["diff", "old", "same"]), (Some(0), "no difference\n".into()));
    assert_eq!(run(&["diff", "new", "old", "--fail-on", "widened"]).0, Some(0));
    let (_, list) = run(&["list", "old"]);
    assert!(list.contains("fqdn:*.example.com") && list.lines().all(|line| !line.contains("1.0.0.1")), "{list}");
    let (_, json) = run(&["list", "old", "-o", "json"]);
    assert!(json.contains("\"example\": \"www.example.com\""), "{json}");
    let asked = ["trace", "old", "--from", "shop/api", "--to", "fqdn:www.example.org", "--port", "443", "--suggest"];
    let (_, text) = run(&asked);
    assert!(text.ends_with("opens    shop/api -> fqdn:www.example.org TCP 443\n"), "{text}");
}

#[test]
fn a_test_about_one_name_says_nothing_of_others() {
    let input = |pattern: &str| format!("{PODS}{}", policy(&[(FqdnSelector::Pattern(pattern.into()), 443)]));
    let (narrow, wide) = (input("*.example.com"), input("*"));
    let tests = |rows: &str, rest: &str| {
        format!(
            "ciliumcTest: v1\ntests:\n- {{name: surface, from: shop/api, to: {rest}, expect: deny}}\n\
             - {{name: all of it, from: shop/api, expectExactly: [\"{rows}\"]}}\n"
        )
    };
    let project = Project::with(&[("narrow.yaml", &narrow), ("wide.yaml", &wide)], "cache".as_ref());
    let run = |input: &str, rows: &str, rest: &str| {
        project.write("tests.yaml", &tests(rows, rest));
        let output = project.run(&["test", input, "tests.yaml", "--engine", "tables"]);
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let others = "{not: \"fqdn:*.example.com\"}";
    let (code, text) = run("narrow.yaml", "fqdn:*.example.com tcp/443", others);
    assert_eq!(code, Some(0), "{text}");
    // The same list against a policy that lets every name pass: what is meant is a part of what passes.
    let (code, text) = run("wide.yaml", "fqdn:* tcp/443", others);
    assert!(code == Some(1) && text.contains("shop/api -> fqdn:* TCP 443 is allow, expected deny"), "{text}");
    assert!(text.contains("ok   all of it"), "{text}");
    let (code, text) = run("wide.yaml", "fqdn:*.example.com tcp/443", "\"fqdn:*.org\"");
    assert!(code == Some(1) && text.contains("shop/api -> fqdn:* TCP 443 passes and is not on the list"), "{text}");
    assert!(!text.contains("does not pass"), "{text}");
    let (_, text) = run("narrow.yaml", "fqdn:www.example.com tcp/443", "\"fqdn:*.org\"");
    assert!(text.contains("shop/api -> fqdn:*.example.com TCP 443 passes and is not on the list"), "{text}");
    let (_, text) = run("narrow.yaml", "fqdn:www.example.org tcp/443", "\"fqdn:*.org\"");
    assert!(text.contains("shop/api -> fqdn:www.example.org TCP 443 is on the list and does not pass"), "{text}");
    // One of the names passes, and so do the others.
    let (_, text) = run("narrow.yaml", "fqdn:*.example.com tcp/443", "\"fqdn:www.example.com\"");
    assert!(text.contains("shop/api -> fqdn:www.example.com TCP 443 is allow, expected deny"), "{text}");
    let (_, text) = run("narrow.yaml", "fqdn:*.example.com tcp/443", "{not: \"fqdn:www.example.com\"}");
    assert!(text.contains("shop/api -> fqdn:*.example.com TCP 443 is allow, expected deny"), "{text}");
    let (code, text) = run("narrow.yaml", "fqdn:**.example.com tcp/443", "\"fqdn:*.org\"");
    assert!(code == Some(3) && text.contains("a pattern of names in a test has single stars"), "{text}");
}
