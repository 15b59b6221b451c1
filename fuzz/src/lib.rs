//! What each fuzz target does with its bytes. A panic is a finding.
//!
//! `compiler/tests/fuzz_inputs.rs` includes this file too: every seed and every former finding is tried in each test run,
//! without a fuzzer.

use ciliumc::diag::{FileId, Span, render};
use ciliumc::driver;
use ciliumc::front::objects::FqdnSelector;
use ciliumc::front::parse::{self, Wrong};
use ciliumc::front::yaml::{self, ALIAS_NODES_MAX, Arena, DEPTH_MAX, Kind, Node};
use ciliumc::front::{self, FrontOptions};
use ciliumc::ir::fqdn;
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;

/// Text to tree: places are inside of the text, and a walk over the tree is no more than the text and its aliases allow.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let arena = Arena::new();
    let parsed = yaml::parse(FileId(0), &text, &arena);
    let problems = parsed.documents.iter().flat_map(|document| &document.problems);
    for diagnostic in problems.chain(&parsed.fatal) {
        let related = diagnostic.related.iter().map(|(span, _)| *span);
        diagnostic.span.into_iter().chain(related).for_each(|span| inside(&text, span));
    }
    let mut nodes = 0;
    for document in &parsed.documents {
        walk(&text, &document.root, 0, &mut nodes);
    }
    // No node is written with less than half a byte: a key without a value is two.
    assert!(nodes <= 2 * text.len() as u64 + ALIAS_NODES_MAX + 2, "{nodes} nodes");
}

fn walk(text: &str, node: &Node<'_>, depth: usize, nodes: &mut u64) {
    *nodes += 1;
    assert!(depth <= DEPTH_MAX, "too deep");
    inside(text, node.span);
    match &node.kind {
        Kind::Scalar(scalar) => {
            let len = scalar.text.len();
            // Only whole characters are ever asked for.
            let middle = (0..=len / 2).rev().find(|at| scalar.text.is_char_boundary(*at)).unwrap_or(0);
            inside(text, node.part(middle, len - middle));
            let _ = (node.value(), node.key_text());
        }
        Kind::Sequence(items) => items.iter().for_each(|item| walk(text, item, depth + 1, nodes)),
        Kind::Mapping(entries) => {
            for entry in entries.iter() {
                walk(text, &entry.key, depth + 1, nodes);
                walk(text, &entry.value, depth + 1, nodes);
            }
        }
    }
}

fn inside(text: &str, span: Span) {
    let (start, end) = (span.start as usize, span.end as usize);
    assert!(start <= end && text.get(start..end).is_some(), "{span:?} is not in a text of {} bytes", text.len());
}

/// Label keys and values, alone and in the selectors of both policy kinds.
pub fn selectors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    for word in &words {
        wrong(word, parse::cilium_key(word).err());
        wrong(word, parse::qualified_name("", word).err());
        wrong(word, parse::label_value(word).err());
    }
    let word = |at: usize| quoted(words.get(at).copied().unwrap_or_default());
    let (key, value, operator) = (word(0), word(1), word(2));
    let selector = format!(
        "{{matchLabels: {{{key}: {value}}}, matchExpressions: [{{key: {key}, operator: {operator}, values: [{value}]}}, \
         {{key: {}, operator: NotIn, values: [{}]}}]}}",
        word(3),
        word(4)
    );
    read_in_both(
        &format!("{{podSelector: {selector}, ingress: [{{from: [{{namespaceSelector: {selector}}}]}}]}}"),
        &format!("{{endpointSelector: {selector}, ingress: [{{fromEndpoints: [{selector}]}}]}}"),
    );
}

/// CIDRs and addresses, alone and in policies.
pub fn cidrs(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    for word in &words {
        match parse::cidr(word) {
            Ok(cidr) => assert_eq!(parse::cidr(&cidr.net.to_string()).map(|again| again.net), Ok(cidr.net)),
            Err(error) => wrong(word, Some(error)),
        }
        if let Ok(address) = parse::ip_address(word) {
            assert_eq!(parse::ip_address(&address.to_string()), Ok(address));
        }
    }
    let word = |at: usize| quoted(words.get(at).copied().unwrap_or_default());
    let block = format!("{{cidr: {}, except: [{}, {}]}}", word(0), word(1), word(2));
    read_in_both(
        &format!("{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {block}}}]}}]}}"),
        &format!("{{endpointSelector: {{}}, egress: [{{toCIDR: [{}]}}, {{toCIDRSet: [{block}]}}]}}", word(3)),
    );
}

/// Ports, port names and protocols, alone and in policies: quoted, and as the scalar that YAML makes of them.
pub fn ports(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    for word in &words {
        let _ = (parse::port(word), parse::protocol(word));
        wrong(word, parse::port_name(word).err());
    }
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    for bare in [false, true] {
        let value = |at| if bare { word(at).to_owned() } else { quoted(word(at)) };
        let port = format!("{{port: {}, endPort: {}, protocol: {}}}", value(0), value(1), quoted(word(2)));
        let icmp = format!("{{type: {}, family: {}}}", value(3), quoted(word(4)));
        let elements = format!("[{{toPorts: [{{ports: [{port}]}}]}}, {{icmps: [{{fields: [{icmp}]}}]}}]");
        read_in_both(
            &format!("{{podSelector: {{}}, ingress: [{{ports: [{port}]}}]}}"),
            &format!("{{endpointSelector: {{}}, ingress: {elements}}}"),
        );
    }
}

/// Names, patterns of names and regular expressions of the proxy, alone and in policies.
pub fn fqdns(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    for word in &words {
        wrong(word, parse::fqdn::server_name(word).err());
        wrong(word, parse::re2(word).err());
        match parse::fqdn::name(word) {
            Ok(name) => {
                // What is normal stays as it is, and a name matches itself as both.
                assert_eq!(parse::fqdn::name(&name), Ok(name.clone()));
                assert!(fqdn::matches(&FqdnSelector::Name(name.clone()), &name), "{name}");
                assert!(fqdn::matches(&FqdnSelector::Pattern(name.clone()), &name), "{name}");
            }
            Err(error) => wrong(word, Some(error)),
        }
        match parse::fqdn::pattern(word) {
            Ok(pattern) => {
                let selector = FqdnSelector::Pattern(pattern);
                let _ = words.iter().filter(|name| fqdn::matches(&selector, name)).count();
            }
            Err(error) => wrong(word, Some(error)),
        }
    }
    let word = |at: usize| quoted(words.get(at).copied().unwrap_or_default());
    let names = format!("[{{matchName: {}}}, {{matchPattern: {}}}]", word(0), word(1));
    let ports = |rest: &str| format!("{{ports: [{{port: \"443\", protocol: TCP}}], {rest}}}");
    let (dns, sni) = (ports(&format!("rules: {{dns: {names}}}")), ports(&format!("serverNames: [{}]", word(2))));
    let http = ports(&format!("rules: {{http: [{{path: {}, host: {}}}]}}", word(3), word(4)));
    let egress = format!("[{{toFQDNs: {names}}}, {{toPorts: [{dns}]}}, {{toPorts: [{sni}]}}, {{toPorts: [{http}]}}]");
    read(&object("cilium.io/v2", "CiliumNetworkPolicy", &format!("{{endpointSelector: {{}}, egress: {egress}}}")));
}

/// Whole documents, as far as `ciliumc check` goes.
pub fn documents(data: &[u8]) {
    read(&String::from_utf8_lossy(data));
}

/// Everything between a text and its diagnostics. A broken invariant of a stage is a finding, too.
fn read(text: &str) {
    let sources = SourceMap::from_texts([("fuzz.yaml", text)]);
    let options = FrontOptions::default();
    let diagnostics = match driver::analyse(&sources, &options, Lock::default()) {
        Ok(analysis) => analysis.diagnostics,
        Err(driver::Failure::Bug(bug)) => panic!("{bug}"),
        Err(_) => front::read(&sources, &options).diagnostics,
    };
    for diagnostic in &diagnostics {
        diagnostic.span.into_iter().for_each(|span| inside(text, span));
    }
    // Reports are linear in their number; a few show whether one can be shown at all.
    let some = diagnostics.get(..diagnostics.len().min(20)).unwrap_or_default();
    let _ = (render::text(some, &sources, false), render::json(some, &sources));
}

/// A NetworkPolicy and a CiliumNetworkPolicy with these specs.
fn read_in_both(network_policy: &str, cilium: &str) {
    read(&format!(
        "{}\n---\n{}\n",
        object("networking.k8s.io/v1", "NetworkPolicy", network_policy),
        object("cilium.io/v2", "CiliumNetworkPolicy", cilium)
    ));
}

fn object(api_version: &str, kind: &str, spec: &str) -> String {
    format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a, namespace: b}}, spec: {spec}}}")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn wrong(text: &str, wrong: Option<Wrong>) {
    if let Some(wrong) = wrong {
        assert!(text.get(wrong.offset..wrong.offset + wrong.len).is_some(), "{wrong:?} is not in {text:?}");
    }
}
