//! CL012: an item of L7 rules that is inside of another item of the same list.

use regex::Regex;

use super::elements;
use crate::front::objects::{FqdnSelector, HttpRule, L7Rules};
use crate::front::parse;
use crate::ir::fqdn;
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
                L7Rules::Http(rules) => {
                    let items: Vec<Http<'_>> = rules.iter().map(Http::new).collect();
                    let pairs = pairs(&items, Http::holds).into_iter();
                    pairs.map(|(inner, outer)| (words(&rules[inner]), words(&rules[outer]))).collect()
                }
                L7Rules::Dns(rules) => {
                    let normal: Vec<FqdnSelector> = rules.iter().map(|rule| fqdn::normal(rule, double_star)).collect();
                    let pairs = pairs(&normal, holds).into_iter();
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

fn holds(outer: &FqdnSelector, inner: &FqdnSelector) -> bool {
    match inner {
        FqdnSelector::Name(name) => fqdn::matches(outer, name),
        FqdnSelector::Pattern(_) => outer == inner || fqdn::text(outer) == "*",
    }
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

/// An item with its expressions compiled.
struct Http<'a> {
    rule: &'a HttpRule,
    fields: [Field<'a>; 3],
}

impl<'a> Http<'a> {
    fn new(rule: &'a HttpRule) -> Self {
        Self { rule, fields: [&rule.method, &rule.path, &rule.host].map(|field| Field::new(field.as_deref())) }
    }

    /// By what can be told for certain: equal expressions, texts that an expression matches, conditions left out.
    fn holds(outer: &Self, inner: &Self) -> bool {
        outer.fields.iter().zip(&inner.fields).all(|(outer, inner)| outer.holds(inner))
            && outer.rule.headers.iter().all(|header| inner.rule.headers.contains(header))
            && outer.rule.header_matches.iter().all(|header| inner.rule.header_matches.contains(header))
    }
}

/// An expression for a whole text.
struct Field<'a> {
    text: Option<&'a str>,
    expression: Option<Regex>,
}

impl<'a> Field<'a> {
    fn new(text: Option<&'a str>) -> Self {
        let expression = text.filter(|text| !is_literal(text)).and_then(|text| parse::re2(text).ok());
        Self { text, expression: expression.and_then(|plain| Regex::new(&format!("^(?:{plain})$")).ok()) }
    }

    fn holds(&self, inner: &Self) -> bool {
        match (self.text, inner.text) {
            (None | Some("" | ".*"), _) => true,
            (Some(outer), Some(inner)) if outer == inner => true,
            (Some(_), Some(inner)) => {
                is_literal(inner) && self.expression.as_ref().is_some_and(|outer| outer.is_match(inner))
            }
            (Some(_), None) => false,
        }
    }
}

/// Without any sign of an expression, be it a dot.
fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%'))
}
