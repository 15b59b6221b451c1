//! Which rules of an endpoint cannot be merged (spec §2.14): filters of one direction, port text, end port, protocol and
//! selector text must agree on the proxy, its TLS contexts and authentication.
//!
//! Merging itself needs no pass: the precedence of spec §4.5 gives what the merged filter would have given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::peers;
use super::{Attributes, Parser};
use crate::diag::{Code, Diagnostic, ObjectRef, Span};
use crate::ir::labels::{Requirement, Selector, Test};
use crate::ir::{
    AuthMode, CidrSource, Cluster, Endpoint, Entity, FqdnSelector, Peer, Peers, Port, Ports, Protocol, Rule,
    RuleAction, RuleId,
};

/// Rules that exclude each other for one selector and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// E-260 to E-264.
    pub code: Code,
    /// What differs.
    pub what: String,
    /// The rules that say so.
    pub rules: BTreeSet<RuleId>,
}

/// Text of a port match, as far as merging tells it apart: names are not resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PortKey<'a> {
    All,
    Range(Protocol, u16, u16),
    Named(Option<Protocol>, &'a str),
    Icmp(u8),
    Icmp6(u8),
}

/// One rule's wish for a key.
struct Wish {
    rule: RuleId,
    attributes: Arc<Attributes>,
}

/// Conflicts among the rules of one direction, sorted.
pub fn conflicts(rules: &[(RuleId, &Rule)]) -> Vec<Conflict> {
    let mut wishes: BTreeMap<(PortKey<'_>, String), Vec<Wish>> = BTreeMap::new();
    for &(id, rule) in rules.iter().filter(|(_, rule)| rule.action == RuleAction::Allow) {
        let attributed = attributed(rule);
        if attributed.is_empty() {
            continue;
        }
        let selectors = selector_texts(&rule.peers);
        for (port, attributes) in attributed {
            for selector in &selectors {
                let wish = Wish { rule: id, attributes: attributes.clone() };
                wishes.entry((port, selector.clone())).or_default().push(wish);
            }
        }
    }
    wishes.retain(|_, wishes| wishes.len() > 1);
    let mut found: Vec<Conflict> = Vec::new();
    for ((port, selector), wishes) in &wishes {
        let problems = problems(wishes);
        // A deny of the same selector wins over all of it.
        if !problems.is_empty() && !is_denied(rules, *port, selector) {
            found.extend(problems);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The object that an endpoint is made from.
pub fn endpoint_object(endpoint: &Endpoint) -> ObjectRef {
    let name = endpoint.name.rsplit('/').next().unwrap_or(&endpoint.name);
    ObjectRef { kind: endpoint.kind.clone(), namespace: endpoint.namespace.clone(), name: name.to_string() }
}

/// A node, whose host has a policy.
pub fn node_object(name: &str) -> ObjectRef {
    ObjectRef { kind: "Node".into(), namespace: String::new(), name: name.to_string() }
}

/// Says for an endpoint or a node what its rules disagree on; `span` is where it is written, or the rules speak.
pub fn report(
    cluster: &Cluster,
    object: &ObjectRef,
    span: Option<Span>,
    conflicts: &[Conflict],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for conflict in conflicts {
        let first = || conflict.rules.first().map(|rule| cluster.rule(*rule).span);
        let message = format!("{object}: its policy cannot be computed: {}", conflict.what);
        let hint = "make the rules agree, or let them differ in peers or ports; until then the endpoint has no policy";
        let mut diagnostic =
            Diagnostic::error(conflict.code, span.or_else(first), message).hint(hint).object(object.clone());
        for &rule in &conflict.rules {
            let text = format!("{} of {}", cluster.rule(rule).path, cluster.policy_of(rule).object);
            diagnostic = diagnostic.related(cluster.rule(rule).span, text);
        }
        diagnostics.push(diagnostic);
    }
}

/// The port matches of an allow that are not plain.
fn attributed(rule: &Rule) -> Vec<(PortKey<'_>, Arc<Attributes>)> {
    match &rule.ports {
        Ports::All => Attributes::new(None, rule.auth).map(|a| (PortKey::All, a)).into_iter().collect(),
        Ports::AnyOf(list) => {
            let one = |port| Attributes::of(port, rule.auth).map(|a| (port_key(&port.port), a));
            list.iter().filter_map(one).collect()
        }
    }
}

fn port_key(port: &Port) -> PortKey<'_> {
    match port {
        Port::Range { protocol, first, last } => PortKey::Range(*protocol, *first, *last),
        Port::Named { protocol, name, .. } => PortKey::Named(Some(*protocol), name),
        Port::NamedAtPeer { name, .. } => PortKey::Named(None, name),
        Port::Icmp(icmp_type) => PortKey::Icmp(*icmp_type),
        Port::Icmp6(icmp_type) => PortKey::Icmp6(*icmp_type),
    }
}

fn is_denied(rules: &[(RuleId, &Rule)], port: PortKey<'_>, selector: &String) -> bool {
    rules.iter().filter(|(_, rule)| rule.action == RuleAction::Deny).any(|(_, rule)| {
        let same_port = match &rule.ports {
            Ports::All => port == PortKey::All,
            Ports::AnyOf(list) => list.iter().any(|p| port_key(&p.port) == port),
        };
        same_port && selector_texts(&rule.peers).contains(selector)
    })
}

/// Canonical text of each selector of a rule; a wildcard swallows the others (spec §4.2), and `none` is never merged.
fn selector_texts(peers: &Peers) -> BTreeSet<String> {
    const WILDCARD: &str = "*";
    let list = match peers {
        Peers::Nobody => return BTreeSet::new(),
        Peers::Everyone => return BTreeSet::from([WILDCARD.into()]),
        Peers::AnyOf(list) if list.iter().any(peers::is_wildcard) => return BTreeSet::from([WILDCARD.into()]),
        Peers::AnyOf(list) => list,
    };
    let mut out = BTreeSet::new();
    for peer in list {
        match peer {
            Peer::Labels(selector) => {
                out.insert(selector_text(selector));
            }
            Peer::Nodes(selector) => {
                out.insert(format!("nodes {}", selector_text(selector)));
            }
            Peer::Entity(entity) => {
                out.extend(peers::reserved_names(*entity).iter().map(|name| format!("reserved:{name}")));
                if *entity == Entity::Cluster {
                    out.insert("cluster".into());
                }
            }
            Peer::Cidr(cidr) => {
                let source = match &cidr.source {
                    CidrSource::Net(net) => net.to_string(),
                    CidrSource::Group(name) => format!("group {name}"),
                    CidrSource::Groups(selector) => format!("groups {}", selector_text(selector)),
                };
                let except: BTreeSet<_> = cidr.except.iter().collect();
                out.insert(format!("{source} except {except:?}"));
            }
            Peer::Fqdn(FqdnSelector::Name(text) | FqdnSelector::Pattern(text)) => {
                out.insert(format!("fqdn {text}"));
            }
            Peer::Network(net) => {
                out.insert(net.to_string());
            }
        }
    }
    out
}

fn selector_text(selector: &Selector) -> String {
    let text = |requirement: &Requirement| {
        // `fromEntities` and `reserved:host` in matchLabels are one selector.
        let reserved = requirement.source.as_deref() == Some("reserved");
        match &requirement.test {
            Test::In(values) if reserved && values.iter().all(String::is_empty) => {
                format!("reserved:{}", requirement.key)
            }
            Test::In(_) | Test::NotIn(_) | Test::Exists | Test::DoesNotExist => requirement.to_string(),
        }
    };
    let texts: BTreeSet<String> = selector.requirements.iter().map(text).collect();
    texts.into_iter().collect::<Vec<_>>().join(" and ")
}

/// What the wishes for one key disagree on.
fn problems(wishes: &[Wish]) -> Vec<Conflict> {
    let mut out = Vec::new();
    let rules: BTreeSet<RuleId> = wishes.iter().map(|wish| wish.rule).collect();
    let mut found = |code, what: String| out.push(Conflict { code, what, rules: rules.clone() });
    let redirects = || wishes.iter().filter_map(|wish| wish.attributes.redirect.as_ref());

    let parsers: BTreeSet<&Parser> = redirects().map(|redirect| &redirect.parser).collect();
    let is_listener = |parser: &Parser| matches!(parser, Parser::Listener(_));
    if parsers.len() > 1 && parsers.iter().all(|parser| is_listener(parser)) {
        // The better priority wins; of two equal ones neither does.
        let ranks: BTreeSet<(u8, &Parser)> = redirects().map(|r| (r.priority, &r.parser)).collect();
        let ranks: Vec<_> = ranks.into_iter().collect();
        if let Some(same) = ranks.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            found(Code("E-264"), format!("{} and {} have one priority for one peer and port", same[0].1, same[1].1));
        }
    } else if !parsers.iter().any(|parser| parsers.iter().all(|other| parser.takes(other))) && !parsers.is_empty() {
        let words: Vec<String> = parsers.iter().map(ToString::to_string).collect();
        found(Code("E-260"), format!("L7 rules of kind {} for one peer and port", words.join(" and ")));
    }

    let terminating: BTreeSet<_> = redirects().filter_map(|r| r.proxy.terminating_tls.as_ref()).collect();
    let originating: BTreeSet<_> = redirects().filter_map(|r| r.proxy.originating_tls.as_ref()).collect();
    for (contexts, word) in [(&terminating, "terminating"), (&originating, "originating")] {
        if contexts.len() > 1 {
            found(Code("E-261"), format!("{} different {word} TLS contexts for one peer and port", contexts.len()));
        }
    }

    let auth: BTreeSet<&str> = wishes.iter().filter_map(|w| w.attributes.auth).map(AuthMode::word).collect();
    if auth.len() > 1 {
        let words: Vec<_> = auth.into_iter().collect();
        found(Code("E-262"), format!("authentication {} for one peer and port", words.join(" and ")));
    }

    let names = redirects().any(|r| !r.proxy.server_names.is_empty());
    if names && redirects().any(|r| r.proxy.l7.is_some()) && terminating.is_empty() {
        found(Code("E-263"), "server names and L7 rules for one peer and port, and TLS is not terminated".into());
    }
    out
}
