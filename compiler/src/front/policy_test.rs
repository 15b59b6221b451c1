//! Documents of tests: `ciliumcTest: v1`.
//!
//! ```yaml
//! ciliumcTest: v1
//! cilium: "1.18"                        # release whose verdicts are meant; optional
//! fixtures: [fake/dns.yaml, ../extra]   # files and folders, relative to this file, with objects for these tests alone; optional
//! endpoints:                            # pods that are there for these tests alone
//! - {name: shop/intruder, labels: {app: intruder}}
//! tests:
//! - name: the web reaches the cart
//!   from: deploy/shop/web               # an end as `trace` takes it, `fqdn:*.example.com`, several in a list, `any`, or {not: ..}
//!   to: shop/cart
//!   ports: [tcp/7070]                   # every port of every protocol when absent; those that can carry the requests, if any
//!   expect: allow                       # or deny, redirect
//!   because: shop/cart                  # a policy that must be among those that decide; optional
//! - name: nobody else does
//!   from: {not: {labels: {app: [web, checkout]}, namespace: shop}}
//!   to: shop/cart
//!   expect: deny
//! - name: no request for the administration passes
//!   from: any
//!   to: shop/api
//!   ports: [tcp/80]
//!   http: {method: ANY, path: "/admin/.*"}   # regular expressions, as in policies
//!   expect: deny
//! - name: only orders are produced          # `dns: NAME` and `kafka` (the fields of a rule) ask the proxy too
//!   to: shop/broker
//!   ports: [tcp/9092]
//!   kafka: {role: produce, topic: orders}
//!   expect: allow
//! - name: what reaches the cart, and nothing else
//!   to: shop/cart
//!   expectExactly: ["deploy/shop/web tcp/7070", "cidr:10.0.0.0/8 tcp/443"]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Span, Spanned};

use super::cnp::kafka;
use super::codes;
use super::decode::{Ctx, Fields, spanned};
use super::meta::{DEFAULT_NAMESPACE, labels};
use super::objects::{
    AssumedPod, Ends, Expectation, Expected, FqdnSelector, HttpRequests, PortSpan, Requests, SurfaceRow, Test, TestFile,
};
use super::parse::{self, Wrong, fqdn};
use super::yaml::{Kind, Node, Value};

/// The field that makes a document one of tests, and says in which schema.
pub const MARK: &str = "ciliumcTest";

/// Nesting of `not` and lists.
const DEPTH_MAX: usize = 16;

/// Reads a document. Tests that are wrong are reported and left out.
pub fn test_file(ctx: &mut Ctx, root: &Node<'_>) -> Option<TestFile> {
    let fields = ctx.fields("the tests", root)?;
    version(ctx, &fields, MARK, "v1");
    version(ctx, &fields, "cilium", "1.18");
    let pods = fields.get("endpoints").and_then(|node| ctx.items("endpoints", node)).unwrap_or_default();
    let endpoints = pods.iter().filter_map(|node| endpoint(ctx, node)).collect();
    let fixtures = fields.get("fixtures").and_then(|node| ctx.items("fixtures", node)).unwrap_or_default();
    let fixtures =
        fixtures.iter().filter_map(|node| Some(spanned(node, ctx.text("fixtures", node)?.to_owned()))).collect();
    let items = match fields.get("tests") {
        Some(node) => ctx.items("tests", node).unwrap_or_default(),
        None => ctx.missing(codes::MISSING, "tests", root.span).unwrap_or_default(),
    };
    let mut names = BTreeMap::new();
    let mut tests = Vec::new();
    for node in items {
        let Some(test) = test(ctx, node) else { continue };
        if let Some(first) = names.insert(test.name.clone(), test.span) {
            let message = format!("a second test has the name {:?}", test.name);
            ctx.report(Diagnostic::error(codes::TEST_SHAPE, test.span, message).related(first, "the first"));
        }
        tests.push(test);
    }
    fields.finish(ctx, "a document of tests");
    Some(TestFile { span: root.span, fixtures, endpoints, tests })
}

/// A field that can only be one text.
fn version(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str, only: &str) {
    let Some(node) = fields.get(name) else { return };
    if node.str() != Some(only) {
        let message = format!("`{name}` can only be {only:?}");
        let diagnostic = Diagnostic::error(codes::TEST_VERSION, node.span, message);
        let is_number = matches!(node.value(), Some(Value::Float(_) | Value::Int(_)));
        ctx.report(if is_number { diagnostic.hint("quote it: it is a text") } else { diagnostic });
    }
}

fn endpoint(ctx: &mut Ctx, node: &Node<'_>) -> Option<AssumedPod> {
    let fields = ctx.fields("endpoints", node)?;
    let name = match fields.get("name") {
        Some(node) => ctx.text("name", node).map(|text| (node, text)),
        None => ctx.missing(codes::MISSING, "name", node.span),
    };
    let labels = fields.get("labels").map(|node| labels(ctx, "labels", node)).unwrap_or_default();
    fields.finish(ctx, "an endpoint of tests");
    let (node, text) = name?;
    let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
    for (part, offset) in [(namespace, 0), (name, text.len() - name.len())] {
        if let Err(wrong) = parse::dns_subdomain(part) {
            ctx.error(codes::TEST_END, node.part(offset + wrong.offset, wrong.len), wrong.message);
            return None;
        }
    }
    Some(AssumedPod { namespace: namespace.into(), name: name.into(), labels: labels.into_iter().collect() })
}

fn test(ctx: &mut Ctx, node: &Node<'_>) -> Option<Test> {
    let fields = ctx.fields("tests", node)?;
    let name = match fields.get("name") {
        Some(node) => ctx.text("name", node).map(str::to_owned),
        None => ctx.missing(codes::MISSING, "name", node.span),
    };
    let mut side = |name| match fields.get(name) {
        Some(node) => ends(ctx, node, 0).map(|ends| (spanned(node, ends), true)),
        None => Some((Spanned { value: Ends::Any, span: node.span }, false)),
    };
    let (from, to) = (side("from"), side("to"));
    let ports_span = fields.get("ports").map_or(node.span, |node| node.span);
    let ports = match fields.get("ports") {
        Some(node) => port_list(ctx, node).map(Some),
        None => Some(None),
    };
    let requests = requests(ctx, &fields);
    let verdict = fields.get("expect").map(|node| (node, ctx.word(codes::BAD_VALUE, "expect", node, &WORDS)));
    let exactly = fields.get("expectExactly").map(|node| (node, surface(ctx, node)));
    let because = fields.get("because").and_then(|node| Some(spanned(node, ctx.text("because", node)?.to_owned())));
    fields.finish(ctx, "a test");

    let expectation = match (verdict, exactly) {
        (Some((node, verdict)), None) => spanned(node, Expectation::Each(verdict?)),
        (None, Some((node, rows))) => spanned(node, Expectation::Exactly(rows?)),
        (None, None) => {
            let diagnostic = Diagnostic::error(codes::TEST_SHAPE, node.span, "the test expects nothing");
            ctx.report(diagnostic.hint("write `expect: allow`, `deny` or `redirect`, or `expectExactly`"));
            return None;
        }
        (Some(_), Some((node, _))) => {
            ctx.error(codes::TEST_SHAPE, node.span, "a test has either `expect` or `expectExactly`");
            return None;
        }
    };
    let ((from, has_from), (to, has_to)) = (from?, to?);
    let exact = matches!(expectation.value, Expectation::Exactly(_));
    if exact && has_from == has_to {
        let message = "`expectExactly` lists one end, so the test has exactly one of `from` and `to`";
        ctx.error(codes::TEST_SHAPE, expectation.span, message);
        return None;
    }
    let requests = requests?;
    if exact && requests.is_some() {
        ctx.error(codes::TEST_SHAPE, expectation.span, "`expectExactly` is about ports and knows no requests");
        return None;
    }
    let ports = ports?;
    if let Some(wrong) = requests.as_ref().zip(ports.as_ref()).and_then(|(requests, ports)| requests.refuse(ports)) {
        ctx.error(codes::TEST_SHAPE, ports_span, wrong);
        return None;
    }
    Some(Test { name: name?, span: head(node), from, to, ports, requests, expectation, because })
}

/// Words of verdicts.
const WORDS: [(&str, Expected); 3] =
    [("allow", Expected::Allow), ("deny", Expected::Deny), ("redirect", Expected::Redirect)];

/// The first field: a whole test is too much to show.
fn head(node: &Node<'_>) -> Span {
    node.entries().and_then(<[_]>::first).map_or(node.span, |entry| entry.key.span)
}

fn ends(ctx: &mut Ctx, node: &Node<'_>, depth: usize) -> Option<Ends> {
    if depth > DEPTH_MAX {
        ctx.error(codes::TEST_END, node.span, format!("nested more than {DEPTH_MAX} times"));
        return None;
    }
    match &node.kind {
        Kind::Scalar(_) => {
            let text = ctx.text("from", node)?;
            text_ends(ctx, node, 0, text)
        }
        Kind::Sequence(items) => {
            let read: Vec<Ends> = items.iter().filter_map(|item| ends(ctx, item, depth + 1)).collect();
            (read.len() == items.len()).then_some(Ends::AnyOf(read))
        }
        Kind::Mapping(_) => {
            let fields = ctx.fields("from", node)?;
            let not = fields.get("not").map(|node| ends(ctx, node, depth + 1));
            let cidr = fields.get("cidr").map(|node| {
                let text = ctx.text("cidr", node)?;
                let net = parse::cidr(text).map_err(|wrong| ctx.wrong(codes::CIDR, node, "CIDR", &wrong)).ok()?;
                Some(Ends::Net(spanned(node, net.net)))
            });
            let (labels, namespaces) = (fields.get("labels"), fields.get("namespace"));
            let pods = (labels.is_some() || namespaces.is_some()).then(|| {
                let labels = labels.map(|node| label_values(ctx, node)).unwrap_or_default();
                let namespaces = namespaces.map(|node| one_or_more(ctx, "namespace", node)).unwrap_or_default();
                Some(Ends::Pods { namespaces, labels })
            });
            fields.finish(ctx, "an end of a test");
            match (not, cidr, pods) {
                (Some(not), None, None) => not.map(|ends| Ends::Not(Box::new(ends))),
                (None, Some(cidr), None) => cidr,
                (None, None, Some(pods)) => pods,
                _ => {
                    let message = "an end has one of `not`, `cidr`, and `labels` with or without `namespace`";
                    ctx.error(codes::TEST_END, head(node), message);
                    None
                }
            }
        }
    }
}

/// An end in one word; `offset` is where it begins in the text of the node.
fn text_ends(ctx: &mut Ctx, node: &Node<'_>, offset: usize, text: &str) -> Option<Ends> {
    if text == "any" {
        return Some(Ends::Any);
    }
    let span = node.part(offset, text.len());
    let read = match (parse::flow::net(text), text.strip_prefix("fqdn:").filter(|names| names.contains('*'))) {
        (Some(net), _) => net.map(|value| Ends::Net(Spanned { value, span })),
        // A double star means what the release says; nothing here says which.
        (None, Some(names)) if names.contains("**") => {
            let message = "a pattern of names in a test has single stars";
            ctx.error(codes::TEST_END, span, message);
            return None;
        }
        (None, Some(names)) => {
            let names =
                fqdn::pattern(names).map(|value| Ends::Names(Spanned { value: FqdnSelector::Pattern(value), span }));
            names.map_err(|wrong| Wrong { offset: wrong.offset + "fqdn:".len(), ..wrong })
        }
        (None, None) => parse::flow::end(text).map(|value| Ends::One(Spanned { value, span })),
    };
    read.map_err(|wrong| ctx.error(codes::TEST_END, node.part(offset + wrong.offset, wrong.len), wrong.message)).ok()
}

/// Labels, each with a value or with several.
fn label_values(ctx: &mut Ctx, node: &Node<'_>) -> BTreeMap<String, Vec<String>> {
    let Some(entries) = node.entries() else {
        ctx.type_error::<()>("labels", node, "a mapping");
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for entry in entries {
        let key = entry.key.key_text().into_owned();
        if let Err(wrong) = parse::qualified_name("", &key) {
            ctx.wrong(codes::BAD_NAME, &entry.key, "label key", &wrong);
        }
        out.insert(key, one_or_more(ctx, "labels", &entry.value));
    }
    out
}

fn one_or_more(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Vec<String> {
    match &node.kind {
        Kind::Sequence(_) => ctx.texts(name, node),
        Kind::Scalar(_) | Kind::Mapping(_) => ctx.text(name, node).map(str::to_owned).into_iter().collect(),
    }
}

fn port_list(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<PortSpan>> {
    let items: Vec<&Node<'_>> = match &node.kind {
        Kind::Sequence(items) => items.iter().collect(),
        Kind::Scalar(_) | Kind::Mapping(_) => vec![node],
    };
    let mut out = BTreeSet::new();
    let mut failed = false;
    for item in items {
        // A number is a port of TCP.
        let text = match item.value() {
            Some(Value::Int(number)) => number.to_string(),
            _ => ctx.text("ports", item)?.to_owned(),
        };
        match parse::flow::ports(&text) {
            Ok(ports) => {
                out.insert(ports);
            }
            Err(wrong) => {
                failed = true;
                ctx.error(codes::TEST_END, item.part(wrong.offset, wrong.len), wrong.message);
            }
        }
    }
    (!failed).then(|| out.into_iter().collect())
}

/// `None` when something is wrong with it.
fn requests(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<Option<Requests>> {
    match (fields.get("http"), fields.get("dns"), fields.get("kafka")) {
        (None, None, None) => Some(None),
        (Some(node), None, None) => http(ctx, node).map(|http| Some(Requests::Http(http))),
        (None, Some(node), None) => {
            let name = fqdn::name(ctx.text("dns", node)?);
            name.map(|name| Some(Requests::Dns(name)))
                .map_err(|wrong| ctx.wrong(codes::FQDN, node, "name", &wrong))
                .ok()
        }
        (None, None, Some(node)) => kafka::rule(ctx, node).map(|rule| Some(Requests::Kafka(rule))),
        (Some(_), Some(node), _) | (Some(_) | None, _, Some(node)) => {
            ctx.error(codes::TEST_SHAPE, node.span, "a test has one of `http`, `dns` and `kafka`");
            None
        }
    }
}

fn http(ctx: &mut Ctx, node: &Node<'_>) -> Option<HttpRequests> {
    let fields = ctx.fields("http", node)?;
    let mut failed = false;
    let mut expression = |name: &'static str| {
        let node = fields.get(name)?;
        let text = ctx.text(name, node);
        failed |= text.is_none();
        if let Err(wrong) = parse::re2(text?) {
            failed = true;
            ctx.wrong(codes::L7_REGEX, node, name, &wrong);
        }
        text.map(str::to_owned)
    };
    let method = expression("method").filter(|method| method != "ANY");
    let (path, host) = (expression("path"), expression("host"));
    let headers = fields.get("headers").map(|node| ctx.string_map("headers", node)).unwrap_or_default();
    let headers = headers.into_iter().map(|(_, name, _, value)| (name.into_owned(), value.to_owned())).collect();
    fields.finish(ctx, "an HTTP request");
    (!failed).then_some(HttpRequests { method, path, host, headers })
}

fn surface(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<SurfaceRow>> {
    let items = ctx.items("expectExactly", node)?;
    let read: Vec<SurfaceRow> = items.iter().filter_map(|item| surface_row(ctx, item)).collect();
    (read.len() == items.len()).then_some(read)
}

/// `END PORTS`: ports separated by commas; none is every port.
fn surface_row(ctx: &mut Ctx, node: &Node<'_>) -> Option<SurfaceRow> {
    let text = ctx.text("expectExactly", node)?;
    let (end, ports) = text.trim_end().split_once(' ').unwrap_or((text, ""));
    let ends = text_ends(ctx, node, 0, end);
    let mut all = Vec::new();
    let mut offset = text.len() - text[end.len()..].trim_start().len();
    let mut failed = false;
    for part in ports.trim_start().split(',').filter(|_| !ports.is_empty()) {
        match parse::flow::ports(part) {
            Ok(span) => all.push(span),
            Err(wrong) => {
                failed = true;
                ctx.error(codes::TEST_END, node.part(offset, part.len()), wrong.message);
            }
        }
        offset += part.len() + 1;
    }
    let ports = (!ports.is_empty()).then_some(all);
    Some(SurfaceRow { end: spanned(node, ends?), ports }).filter(|_| !failed)
}
