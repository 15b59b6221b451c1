//! The smallest edits of policies that may let a denied flow pass.
//!
//! In: one end that denies by default, and who the peer is. Out: insertions of YAML, the smallest first, each of which
//! leaves what is written as it is. Whether one lets the flow pass, and what else, is for the caller to find out: this
//! module judges nothing.

mod yaml;

use std::collections::BTreeMap;
use std::net::IpAddr;

use yaml::{Flow, flow};

use crate::diag::{FileId, Span};
use crate::eval::flow::Side;
use crate::eval::near::Examined;
use crate::eval::{L4, Reason};
use crate::front::yaml::{Arena, Kind, Node, parse};
use crate::ir::{Cluster, Direction, NAMESPACE_KEY, NAMESPACE_LABELS, Policy, Protocol, Rule, RuleAction, RuleId};
use crate::resolve::Resolved;
use crate::source::SourceMap;

/// The labels that pods have because Cilium adds them.
const DERIVED: &str = "io.cilium.k8s.";

/// Who the peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods of a namespace with these labels.
    Pods {
        /// Namespace.
        namespace: String,
        /// Labels.
        labels: BTreeMap<String, String>,
    },
    /// An address outside of the cluster.
    Address(IpAddr),
    /// A reserved identity.
    Entity(String),
    /// Addresses of a name.
    Fqdn(String),
}

/// What an insertion adds. Ordered from what changes least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A port of a rule that is about the peer.
    Port,
    /// A peer of a rule that is about the port.
    Peer,
    /// A rule of a policy that selects the endpoint.
    Rule,
    /// A policy.
    Policy,
}

/// Text to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What it adds.
    pub what: What,
    /// File.
    pub file: FileId,
    /// Byte offset.
    pub offset: u32,
    /// Text.
    pub text: String,
    /// The same without what only fits the place: for people.
    pub shown: String,
}

/// Where a flow is denied.
pub struct Denied<'a> {
    /// The end.
    pub side: &'a Side,
    /// Every rule beside the flow.
    pub examined: &'a [Examined],
    /// The other end.
    pub peer: &'a Peer,
    /// Protocol and port.
    pub l4: L4,
}

/// Pods as a selector names them: by the labels of their identity, but for those that Cilium adds.
pub fn pods(cluster: &Cluster, resolved: &Resolved, endpoint: crate::ir::EndpointIndex) -> Peer {
    let identity = resolved.endpoints[endpoint.0 as usize].identity;
    let labels = resolved.identities.get(&identity).into_iter().flat_map(|identity| identity.labels.iter());
    let own = labels.filter(|label| {
        label.source == "k8s"
            && label.key != NAMESPACE_KEY
            && !label.key.starts_with(DERIVED)
            && !label.key.starts_with(NAMESPACE_LABELS)
    });
    Peer::Pods {
        namespace: cluster.endpoints[endpoint.0 as usize].namespace.clone(),
        labels: own.map(|label| (label.key.clone(), label.value.clone())).collect(),
    }
}

/// Insertions, the smallest first. A rule that denies is not undone by one.
pub fn edits(sources: &SourceMap, cluster: &Cluster, resolved: &Resolved, denied: &Denied<'_>) -> Vec<Edit> {
    if denied.side.decision.reason != Reason::DefaultDeny {
        return Vec::new();
    }
    let ctx = Ctx { sources, cluster, denied };
    let mut out = Vec::new();
    for examined in denied.examined.iter().filter(|examined| examined.near && examined.action == RuleAction::Allow) {
        let Some(rule) = examined.rule else { continue };
        out.extend(if examined.l4.is_some() { ctx.port(rule) } else { ctx.peer(rule) });
    }
    out.extend(denied.side.decision.rules.iter().filter_map(|rule| ctx.rule(*rule)));
    out.extend(denied.side.decision.rules.first().and_then(|rule| ctx.policy(resolved, *rule)));
    out.sort_by_key(|edit| edit.what);
    out
}

struct Ctx<'a> {
    sources: &'a SourceMap,
    cluster: &'a Cluster,
    denied: &'a Denied<'a>,
}

impl Ctx<'_> {
    fn is_kubernetes(policy: &Policy) -> bool {
        policy.object.kind == "NetworkPolicy"
    }

    /// A port more, where the rule names ports.
    fn port(&self, id: RuleId) -> Option<Edit> {
        let (rule, policy) = (self.cluster.rule(id), self.cluster.policy_of(id));
        let kubernetes = Self::is_kubernetes(policy);
        let item = self.port_item(kubernetes)?;
        self.insert(What::Port, rule, |element| {
            let ports = if kubernetes {
                element.get("ports")?
            } else {
                element.get("toPorts")?.items()?.first()?.get("ports")?
            };
            Some((ports.items()?.first()?.span, item))
        })
    }

    /// A peer more, where the rule names peers of that kind.
    fn peer(&self, id: RuleId) -> Option<Edit> {
        let (rule, policy) = (self.cluster.rule(id), self.cluster.policy_of(id));
        let (field, item) = self.peer_item(policy)?;
        self.insert(What::Peer, rule, |element| Some((element.get(field)?.items()?.first()?.span, item)))
    }

    /// A rule more.
    fn rule(&self, id: RuleId) -> Option<Edit> {
        let (rule, policy) = (self.cluster.rule(id), self.cluster.policy_of(id));
        let element = self.element(policy)?;
        self.insert(What::Rule, rule, |written| Some((written.span, element)))
    }

    /// A policy more, behind the one that isolates.
    fn policy(&self, resolved: &Resolved, isolating: RuleId) -> Option<Edit> {
        let span = self.cluster.policy_of(isolating).span;
        let file = self.sources.file(span.file)?;
        let index = self.denied.side.asked.endpoint()?;
        let endpoint = &self.cluster.endpoints[index.0 as usize];
        let Peer::Pods { namespace, labels } = pods(self.cluster, resolved, index) else {
            return None;
        };
        let direction = self.denied.side.direction.word();
        let short = endpoint.name.rsplit('/').next().unwrap_or_default();
        let short: String =
            short.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
        let written = Policy {
            object: crate::diag::ObjectRef {
                kind: "CiliumNetworkPolicy".into(),
                ..self.cluster.policy_of(isolating).object.clone()
            },
            namespace: Some(namespace.clone()),
            ..self.cluster.policy_of(isolating).clone()
        };
        let policy = Flow::map([
            ("apiVersion", Flow::text("cilium.io/v2")),
            ("kind", Flow::text("CiliumNetworkPolicy")),
            (
                "metadata",
                Flow::map([
                    ("name", Flow::text(&format!("{}-{direction}-more", short.trim_matches('-')))),
                    ("namespace", Flow::text(&namespace)),
                ]),
            ),
            (
                "spec",
                Flow::map([
                    ("endpointSelector", selector(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))),
                    (direction, Flow::List(vec![self.element(&written)?])),
                ]),
            ),
        ]);
        let shown = yaml::block(&policy);
        let newline = if file.text.ends_with('\n') || file.text.is_empty() { "" } else { "\n" };
        let text = format!("{newline}---\n{shown}");
        Some(Edit { what: What::Policy, file: span.file, offset: u32::try_from(file.text.len()).ok()?, text, shown })
    }

    fn element(&self, policy: &Policy) -> Option<Flow> {
        let (field, peer) = self.peer_item(policy)?;
        let kubernetes = Self::is_kubernetes(policy);
        let mut fields = vec![(field, Flow::List(vec![peer]))];
        fields.push(match self.denied.l4 {
            L4::Port(..) if kubernetes => ("ports", Flow::List(vec![self.port_item(true)?])),
            L4::Port(..) => {
                ("toPorts", Flow::List(vec![Flow::map([("ports", Flow::List(vec![self.port_item(false)?]))])]))
            }
            L4::Icmp(_) | L4::Icmp6(_) if kubernetes => return None,
            L4::Icmp(kind) => ("icmps", icmp("IPv4", kind)),
            L4::Icmp6(kind) => ("icmps", icmp("IPv6", kind)),
        });
        Some(Flow::map(fields))
    }

    fn port_item(&self, kubernetes: bool) -> Option<Flow> {
        let L4::Port(protocol, port) = self.denied.l4 else { return None };
        let number = if kubernetes { Flow::Number(port) } else { Flow::quoted(&port.to_string()) };
        Some(Flow::map([("port", number), ("protocol", Flow::text(Protocol::name(protocol)))]))
    }

    /// The field that names peers of this kind, and the peer.
    fn peer_item(&self, policy: &Policy) -> Option<(&'static str, Flow)> {
        let ingress = self.denied.side.direction == Direction::Ingress;
        let either = |from: &'static str, to: &'static str| if ingress { from } else { to };
        let kubernetes = Self::is_kubernetes(policy);
        Some(match self.denied.peer {
            Peer::Pods { namespace, labels } if kubernetes => {
                let mut fields = vec![("podSelector", selector(labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))))];
                if policy.namespace.as_deref() != Some(namespace) {
                    let name = [("kubernetes.io/metadata.name", namespace.as_str())];
                    fields.push(("namespaceSelector", selector(name.into_iter())));
                }
                (either("from", "to"), Flow::map(fields))
            }
            Peer::Pods { namespace, labels } => {
                let mut all: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                let key = format!("k8s:{NAMESPACE_KEY}");
                if policy.namespace.as_deref() != Some(namespace) {
                    all.push((&key, namespace));
                }
                (either("fromEndpoints", "toEndpoints"), selector(all.into_iter()))
            }
            Peer::Address(address) => {
                let len = if address.is_ipv4() { 32 } else { 128 };
                let prefix = Flow::quoted(&format!("{address}/{len}"));
                match kubernetes {
                    true => (either("from", "to"), Flow::map([("ipBlock", Flow::map([("cidr", prefix)]))])),
                    false => (either("fromCIDR", "toCIDR"), prefix),
                }
            }
            Peer::Entity(_) | Peer::Fqdn(_) if kubernetes => return None,
            Peer::Entity(word) => (either("fromEntities", "toEntities"), Flow::text(word)),
            Peer::Fqdn(_) if ingress => return None,
            Peer::Fqdn(name) => ("toFQDNs", Flow::map([("matchName", Flow::text(name))])),
        })
    }

    /// Inserts an item in front of the one that is found in the element of a rule.
    fn insert(&self, what: What, rule: &Rule, find: impl FnOnce(&Node<'_>) -> Option<(Span, Flow)>) -> Option<Edit> {
        let file = self.sources.file(rule.span.file)?;
        let arena = Arena::new();
        let parsed = parse(rule.span.file, &file.text, &arena);
        let element = parsed.documents.iter().find_map(|document| at(&document.root, rule.span))?;
        let (before, item) = find(element)?;
        let text = yaml::before(&file.text, before.start as usize, &item)?;
        Some(Edit { what, file: rule.span.file, offset: before.start, text, shown: format!("- {}\n", flow(&item)) })
    }
}

fn icmp(family: &str, kind: u8) -> Flow {
    let field = Flow::map([("family", Flow::text(family)), ("type", Flow::Number(u16::from(kind)))]);
    Flow::List(vec![Flow::map([("fields", Flow::List(vec![field]))])])
}

fn selector<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> Flow {
    let labels: Vec<(String, Flow)> = labels.map(|(key, value)| (key.to_owned(), Flow::label(value))).collect();
    if labels.is_empty() { Flow::Map(Vec::new()) } else { Flow::map([("matchLabels", Flow::Map(labels))]) }
}

/// The mapping that was written at a place.
fn at<'n, 'a>(node: &'n Node<'a>, span: Span) -> Option<&'n Node<'a>> {
    match &node.kind {
        Kind::Mapping(_) if node.span == span => Some(node),
        // What lies elsewhere has nothing of it inside, but for aliases, which nobody edits.
        Kind::Mapping(_) | Kind::Sequence(_) if node.span.end < span.start || node.span.start > span.end => None,
        Kind::Mapping(entries) => entries.iter().find_map(|entry| at(&entry.value, span)),
        Kind::Sequence(items) => items.iter().find_map(|item| at(item, span)),
        Kind::Scalar(_) => None,
    }
}
