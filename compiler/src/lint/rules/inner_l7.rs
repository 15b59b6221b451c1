//! CL012: an item of L7 rules that is inside of another item of the same list.

use super::elements;
use crate::front::objects::{FqdnSelector, HttpRule, L7Rules};
use crate::front::parse;
use crate::ir::fqdn;
use crate::language::{Language, witness};
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Items of a list are compared with one another, so a longer list is left alone.
const ITEMS_MAX: usize = 100;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let double_star = facts.objects.choices.fqdn_double_star;
    let mut out = Vec::new();
    for (object, element) in facts.objects.cilium_policies.iter().flat_map(elements) {
        for l7 in element.to_ports.iter().flatten().filter_map(|item| item.l7.as_ref()) {
            // What is equal was read once, and the items of the other kinds cannot hold one another.
            let inner: Vec<(String, String)> = match &l7.value {
                // One item alone is inside of none, and automata have their price.
                L7Rules::Http(rules) if rules.len() < 2 => Vec::new(),
                L7Rules::Dns(rules) if rules.len() < 2 => Vec::new(),
                L7Rules::Http(rules) => {
                    let items: Vec<Http<'_>> = rules.iter().map(Http::new).collect();
                    let pairs = pairs(&items, Http::holds).into_iter();
                    pairs.map(|(inner, outer)| (words(&rules[inner]), words(&rules[outer]))).collect()
                }
                L7Rules::Dns(rules) => {
                    let normal: Vec<FqdnSelector> = rules.iter().map(|rule| fqdn::normal(rule, double_star)).collect();
                    let names: Vec<Name> = normal.iter().map(Name::new).collect();
                    let pairs = pairs(&names, Name::holds).into_iter();
                    pairs.map(|(inner, outer)| (name(&rules[inner]), name(&rules[outer]))).collect()
                }
                L7Rules::Kafka(_) | L7Rules::Proto { .. } => Vec::new(),
            };
            for (inner, outer) in inner {
                let message = format!("item {inner} lets nothing pass that {outer} does not");
                let hint = "remove it, or narrow the broader item";
                out.push(Finding::new(l7.span, object, message).hint(hint));
            }
        }
    }
    out
}

/// An item as one would write it.
fn words(rule: &HttpRule) -> String {
    let fields = [("method", &rule.method), ("path", &rule.path), ("host", &rule.host)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?)));
    let headers = rule.headers.iter().map(|header| format!("header: {header}"));
    let matches = rule.header_matches.iter().map(|header| format!("header: {}", header.name));
    format!("{{{}}}", fields.chain(headers).chain(matches).collect::<Vec<_>>().join(", "))
}

fn name(selector: &FqdnSelector) -> String {
    format!("`{}`", fqdn::text(selector))
}

/// Names or a pattern of names.
struct Name(Option<Language>);

impl Name {
    fn new(selector: &FqdnSelector) -> Self {
        Self(Language::new(&fqdn::expression(selector)).ok())
    }

    fn holds(outer: &Self, inner: &Self) -> bool {
        is_inside(inner.0.as_ref(), outer.0.as_ref())
    }
}

/// Whether every text of one is one of the other; false where nobody can tell.
fn is_inside(inner: Option<&Language>, outer: Option<&Language>) -> bool {
    let (Some(inner), Some(outer)) = (inner, outer) else { return false };
    witness(&[inner], &[outer]) == Ok(None)
}

/// Each item that another one holds, with the first such. Of equal ones the first stays.
fn pairs<T>(items: &[T], holds: impl Fn(&T, &T) -> bool) -> Vec<(usize, usize)> {
    if items.len() > ITEMS_MAX {
        return Vec::new();
    }
    let outer_of = |(n, inner): (usize, &T)| {
        let mut others = items.iter().enumerate().filter(|(m, _)| *m != n);
        let (m, _) = others.find(|(m, outer)| holds(outer, inner) && (*m < n || !holds(inner, outer)))?;
        Some((n, m))
    };
    items.iter().enumerate().filter_map(outer_of).collect()
}

/// An item with its expressions as automata.
struct Http<'a> {
    rule: &'a HttpRule,
    fields: [Field<'a>; 3],
}

impl<'a> Http<'a> {
    fn new(rule: &'a HttpRule) -> Self {
        Self { rule, fields: [&rule.method, &rule.path, &rule.host].map(|field| Field::new(field.as_deref())) }
    }

    fn holds(outer: &Self, inner: &Self) -> bool {
        outer.fields.iter().zip(&inner.fields).all(|(outer, inner)| outer.holds(inner))
            && outer.rule.headers.iter().all(|header| inner.rule.headers.contains(header))
            && outer.rule.header_matches.iter().all(|header| inner.rule.header_matches.contains(header))
    }
}

/// An expression for a whole text.
struct Field<'a> {
    text: Option<&'a str>,
    language: Option<Language>,
}

impl<'a> Field<'a> {
    fn new(text: Option<&'a str>) -> Self {
        let language = text.and_then(|text| parse::re2(text).ok()).and_then(|plain| Language::new(&plain).ok());
        Self { text, language }
    }

    fn holds(&self, inner: &Self) -> bool {
        match (self.text, inner.text) {
            (None | Some("" | ".*"), _) => true,
            (Some(outer), Some(inner)) if outer == inner => true,
            (Some(_), Some(_)) => is_inside(inner.language.as_ref(), self.language.as_ref()),
            (Some(_), None) => false,
        }
    }
}
