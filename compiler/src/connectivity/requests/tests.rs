//! Comparisons of rule sets, written as the policy API does.

use super::*;
use crate::ir::{HeaderMatch, HttpRule, Mismatch, Secret};
use crate::resolve::{Items, TlsTerms};

fn treatment(parser: Parser, items: Items) -> Treatment {
    let ruleset = Ruleset { parser, grants: [(TlsTerms::default(), items)].into() };
    Treatment { l7: [Arc::new(ruleset)].into(), ..Treatment::default() }
}

fn http(rules: &[HttpRule]) -> Treatment {
    treatment(Parser::Http, Items { http: rules.iter().cloned().collect(), ..Items::default() })
}

fn path(path: &str) -> HttpRule {
    HttpRule { path: Some(path.into()), ..HttpRule::default() }
}

fn request(method: &str, path: &str) -> HttpRule {
    HttpRule { method: Some(method.into()), ..self::path(path) }
}

fn compare(one: &Treatment, other: &Treatment) -> [Option<String>; 2] {
    Requests::default().compare(one, other).map(|more| match more {
        More::Nothing => None,
        More::Request(text) => Some(text),
        More::Unknown(why) => Some(format!("unknown: {why}")),
    })
}

fn says(text: &str) -> Option<String> {
    Some(text.into())
}

#[test]
fn paths_that_say_the_same_in_other_words_are_no_difference() {
    assert_eq!(compare(&http(&[path("/a(b|c)")]), &http(&[path("/ab"), path("/ac")])), [None, None]);
    assert_eq!(compare(&http(&[path("/a/.*"), path("/a/b")]), &http(&[path("/a/.*")])), [None, None]);
    // Every path begins with a slash.
    assert_eq!(compare(&http(&[path("public")]), &http(&[path("[^/].*")])), [None, None]);
}

#[test]
fn a_wider_path_has_a_shortest_example() {
    let (narrow, wide) = (http(&[request("GET", "/v1/[a-z]+")]), http(&[request("GET", "/v1/[^/]+")]));
    assert_eq!(compare(&wide, &narrow), [says("GET /v1/0"), None]);
    assert_eq!(compare(&narrow, &wide), [None, says("GET /v1/0")]);
    assert_eq!(compare(&http(&[path("/a")]), &http(&[request("PUT", "/b")])), [says("GET /a"), says("PUT /b")]);
}

#[test]
fn everything_is_wider_than_anything() {
    let plain = Treatment::default();
    assert_eq!(compare(&plain, &http(&[request("GET", "/")])), [says("POST /"), None]);
    let everything = treatment(Parser::Http, Items { everything: true, ..Items::default() });
    assert_eq!(compare(&everything, &plain), [None, None]);
    // An item without fields is everything too, and so is this expression.
    assert_eq!(compare(&http(&[HttpRule::default()]), &plain), [None, None]);
    assert_eq!(compare(&http(&[path(".*")]), &plain), [None, None]);
}

#[test]
fn a_union_over_methods_is_the_whole() {
    let either = http(&[
        request("GET|HEAD", "/a"),
        HttpRule {
            method: Some("[^GH].*|G[^E].*|H[^E].*|GE[^T].*|HE[^A].*|HEA[^D].*|GET.+|HEAD.+|G|H|GE|HE|HEA".into()),
            ..path("/a")
        },
    ]);
    assert_eq!(compare(&either, &http(&[path("/a")])), [None, None]);
}

#[test]
fn hosts_and_headers_count() {
    let host = |host: &str| http(&[HttpRule { host: Some(host.into()), ..path("/a") }]);
    assert_eq!(compare(&host(".*[.]io"), &host("a[.]io")), [says("GET /a host=.io"), None]);
    let header = |text: &str| http(&[HttpRule { headers: vec![text.into()], ..path("/a") }]);
    assert_eq!(compare(&header("X-A"), &header("x-a: 1")), [says("GET /a header=x-a:other"), None]);
    assert_eq!(
        compare(&header("X-A: 1"), &header("x-a: 2")),
        [says("GET /a header=x-a:1"), says("GET /a header=x-a:2")]
    );
    assert_eq!(compare(&http(&[path("/a")]), &header("X-A")), [says("GET /a"), None]);
}

#[test]
fn a_header_with_an_action_for_a_mismatch_asks_for_nothing() {
    let header = |mismatch| HeaderMatch { name: "X".into(), value: Some("1".into()), secret: None, mismatch };
    let with = |mismatch| http(&[HttpRule { header_matches: vec![header(mismatch)], ..path("/a") }]);
    assert_eq!(compare(&with(Some(Mismatch::Log)), &http(&[path("/a")])), [None, None]);
    assert_eq!(compare(&with(None), &http(&[path("/a")])), [None, says("GET /a")]);
}

#[test]
fn what_a_secret_holds_is_unknown() {
    let secret = |name: &str| Secret { namespace: None, name: name.into() };
    let header = |secret, value| HeaderMatch { name: "X".into(), value, secret, mismatch: None };
    let with = |header| http(&[HttpRule { header_matches: vec![header], ..path("/a") }]);
    let told = compare(&with(header(Some(secret("s")), None)), &with(header(None, Some("1".into()))));
    assert!(told.iter().all(|told| told.as_deref().is_some_and(|text| text.starts_with("unknown"))), "{told:?}");
    // With nothing to compare it with, it is a value like another.
    assert_eq!(compare(&with(header(Some(secret("s")), None)), &http(&[path("/a")])), [None, says("GET /a")]);
}

#[test]
fn names_of_dns_are_patterns() {
    let dns = |patterns: &[&str]| {
        let dns = patterns.iter().map(|text| crate::ir::FqdnSelector::Pattern((*text).into())).collect();
        treatment(Parser::Dns, Items { dns, ..Items::default() })
    };
    assert_eq!(compare(&dns(&["*"]), &dns(&["*.io"])), [says("a"), None]);
    assert_eq!(compare(&dns(&["*.a.io"]), &dns(&["*.io"])), [says("a.a.io"), says("a.io")]);
    assert_eq!(compare(&dns(&["**.io"]), &dns(&["*.io"])), [says("a.a.io"), None]);
    assert_eq!(compare(&dns(&["*.io", "x.io"]), &dns(&["*.io"])), [None, None]);
}

#[test]
fn what_only_a_proxy_reads_is_unknown() {
    let listener =
        |name: &str| treatment(Parser::Listener(name.into()), Items { everything: true, ..Items::default() });
    let told = compare(&listener("a"), &Treatment::default());
    assert_eq!(told[0], None);
    assert!(told[1].as_deref().is_some_and(|text| text.starts_with("unknown")), "{told:?}");
    assert_eq!(compare(&listener("a"), &listener("a")), [None, None]);
}

#[test]
fn what_is_too_large_is_unknown() {
    let large = http(&[path("/(a|b)*a(a|b){30}")]);
    let told = compare(&large, &http(&[path("/b")]));
    assert!(told.iter().all(|told| told.as_deref().is_some_and(|text| text.contains("too large"))), "{told:?}");
}
