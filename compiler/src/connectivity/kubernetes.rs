//! NetworkPolicy as the Kubernetes API describes it, and nothing else: no host, no ICMP, no IPv6, no policy of Cilium.
//!
//! It differs from what Cilium makes of the same objects (spec §1): `policyTypes` alone says which directions isolate, an
//! `ipBlock` is about addresses outside of the cluster only, and a named port is looked up in the destination pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::pairs::Pair;
use super::ports::{Joiner, Outcome, Ports, Transport, Treatment};
use super::{Connectivity, Party, RuleIndex, RuleRef, range};
use crate::front::objects::{ContainerPort, IpBlock, NetworkPolicy, NpPeer, NpRule, Objects, PortSpec, Workload};
use crate::ir::labels::{Label, LabelSet, Requirement, Selector};
use crate::ir::scope::{self, NAMESPACE_KEY, NAMESPACE_LABELS};
use crate::ir::{Direction, Protocol, RuleAction};

/// Who may talk to whom.
pub fn connect(objects: &Objects) -> Connectivity {
    let mut ctx = Ctx::new(objects);
    let others: BTreeMap<Direction, Vec<Party>> =
        Direction::ALL.map(|direction| (direction, outside(objects, direction))).into();
    let workloads = ctx.workloads(objects);
    let mut pairs: BTreeMap<Party, BTreeMap<Party, _>> = BTreeMap::new();
    for (source, from) in &workloads {
        for (destination, to) in &workloads {
            if source != destination {
                let ports = ctx.between(End::Pods(from), End::Pods(to));
                pairs.entry(source.clone()).or_default().insert(destination.clone(), Pair::one(ports));
            }
        }
    }
    for (workload, members) in &workloads {
        for other in &others[&Direction::Ingress] {
            let Party::Range(first, _) = other else { continue };
            let ports = ctx.between(End::Addresses(*first), End::Pods(members));
            pairs.entry(other.clone()).or_default().insert(workload.clone(), Pair::one(ports));
        }
        for other in &others[&Direction::Egress] {
            let Party::Range(first, _) = other else { continue };
            let ports = ctx.between(End::Pods(members), End::Addresses(*first));
            pairs.entry(workload.clone()).or_default().insert(other.clone(), Pair::one(ports));
        }
    }
    let labels = workloads.iter().filter_map(|(party, members)| Some((party.clone(), members.first()?.labels.clone())));
    let labels = labels.collect();
    let workloads = workloads.into_keys().collect();
    Connectivity { rules: ctx.rules, workloads, labels, others, pairs }
}

/// One kind of pod of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member<'a> {
    /// Its own labels, and those of its namespace under [`NAMESPACE_LABELS`].
    labels: LabelSet,
    ports: &'a [ContainerPort],
    /// Positions of the policies that select it.
    policies: Vec<usize>,
}

/// One end of flows.
#[derive(Debug, Clone, Copy)]
enum End<'a> {
    Pods(&'a [Member<'a>]),
    /// A range that no rule cuts, by its first address.
    Addresses(Ipv4Addr),
}

/// A pod, or a range of addresses.
#[derive(Debug, Clone, Copy)]
enum One<'a> {
    Pod(&'a Member<'a>),
    Addresses(Ipv4Addr),
}

impl<'a> End<'a> {
    fn members(self) -> Vec<One<'a>> {
        match self {
            Self::Pods(members) => members.iter().map(One::Pod).collect(),
            Self::Addresses(first) => vec![One::Addresses(first)],
        }
    }
}

/// A policy with its selectors.
struct Policy<'a> {
    namespace: &'a str,
    subject: Selector,
    directions: BTreeMap<Direction, Isolation<'a>>,
}

/// A direction that a policy isolates.
struct Isolation<'a> {
    /// The policy, as the reason of a drop.
    reason: RuleIndex,
    rules: Vec<Rule<'a>>,
}

struct Rule<'a> {
    index: RuleIndex,
    /// None is everyone.
    peers: Vec<Peer<'a>>,
    /// None is everything.
    ports: &'a [PortSpec],
}

enum Peer<'a> {
    Pods(Selector),
    Block(&'a IpBlock),
}

/// Labels of namespaces, by name.
type Namespaces<'a> = BTreeMap<&'a str, &'a [(String, String)]>;

/// What decides one direction of a pair: the reasons to drop, the rules that are about the peer, and whether the ports
/// of those depend on the destination.
type Signature = (BTreeSet<RuleIndex>, Vec<RuleIndex>, Vec<ContainerPort>);

struct Ctx<'a> {
    namespaces: Namespaces<'a>,
    policies: Vec<Policy<'a>>,
    rules: Vec<RuleRef>,
    known: BTreeMap<Signature, Arc<Ports>>,
    joined: Joiner,
    open: Arc<Ports>,
}

impl<'a> Ctx<'a> {
    fn new(objects: &'a Objects) -> Self {
        let namespaces = objects.namespaces.iter().map(|n| (n.meta.object.name.as_str(), n.meta.labels.as_slice()));
        let everything = Outcome { passes: Some(Treatment::default()), rules: BTreeSet::new() };
        let mut ctx = Self {
            namespaces: namespaces.collect(),
            policies: Vec::new(),
            rules: Vec::new(),
            known: BTreeMap::new(),
            joined: Joiner::default(),
            open: Arc::new(Ports::all(&Transport::WITH_PORTS, &Arc::new(everything))),
        };
        let mut policies: Vec<&NetworkPolicy> = objects.network_policies.iter().collect();
        policies.sort_by(|a, b| a.meta.object.cmp(&b.meta.object));
        for policy in policies {
            ctx.policy(policy);
        }
        ctx
    }

    fn policy(&mut self, written: &'a NetworkPolicy) {
        let object = &written.meta.object;
        let mut directions = BTreeMap::new();
        for direction in isolated(written) {
            let reason = self.reference(written, format!("spec.{}", direction.word()), written.meta.span);
            let rules = rules(written, direction).iter().enumerate().map(|(n, rule)| Rule {
                index: self.reference(written, format!("spec.{}[{n}]", direction.word()), rule.span),
                peers: rule.peers.iter().map(|peer| self::peer(peer, &object.namespace)).collect(),
                ports: &rule.ports,
            });
            let rules = rules.collect();
            directions.insert(direction, Isolation { reason, rules });
        }
        let subject = scope::selector(&written.pod_selector);
        self.policies.push(Policy { namespace: &object.namespace, subject, directions });
    }

    fn reference(&mut self, policy: &NetworkPolicy, path: String, span: crate::diag::Span) -> RuleIndex {
        let action = Some(RuleAction::Allow);
        self.rules.push(RuleRef {
            object: policy.meta.object.clone(),
            path,
            action,
            span,
            policy: policy.meta.span,
            of_hosts: false,
        });
        RuleIndex(self.rules.len() as u32 - 1)
    }

    /// Every workload with the kinds of pods that it has. What runs no pod as it stands is here too: its pods may come.
    fn workloads(&self, objects: &'a Objects) -> BTreeMap<Party, Vec<Member<'a>>> {
        let mut out: BTreeMap<Party, Vec<Member<'a>>> = BTreeMap::new();
        for workload in &objects.workloads {
            let object = &workload.meta.object;
            let party = Party::workload(&object.namespace, &object.name, &object.kind, workload.meta.owner.as_ref());
            let labels = labels(workload, &self.namespaces);
            let selects = |policy: &Policy<'_>| policy.namespace == object.namespace && policy.subject.matches(&labels);
            let policies = (0..).zip(&self.policies).filter(|(_, policy)| selects(policy)).map(|(n, _)| n).collect();
            let member = Member { labels, ports: &workload.ports, policies };
            let members = out.entry(party).or_default();
            if !members.contains(&member) {
                members.push(member);
            }
        }
        out
    }

    /// What may pass from some pod of the source to some pod of the destination.
    fn between(&mut self, source: End<'_>, destination: End<'_>) -> Arc<Ports> {
        let mut out: Option<Arc<Ports>> = None;
        for from in source.members() {
            for to in destination.members() {
                let egress = self.direction(Direction::Egress, from, to);
                let ingress = self.direction(Direction::Ingress, to, from);
                let both = self.joined.join(egress, ingress);
                out = Some(match out {
                    None => both,
                    Some(all) if Arc::ptr_eq(&all, &both) => all,
                    Some(all) => Arc::new(all.combine(&both, Outcome::either)),
                });
            }
        }
        out.unwrap_or_else(|| self.open.clone())
    }

    /// What one end's policies let pass from or to the other.
    fn direction(&mut self, direction: Direction, at: One<'_>, peer: One<'_>) -> Arc<Ports> {
        let One::Pod(pod) = at else { return self.open.clone() };
        let selecting = pod.policies.iter().filter_map(|policy| self.policies.get(*policy));
        let isolating: Vec<&Isolation<'_>> = selecting.filter_map(|policy| policy.directions.get(&direction)).collect();
        if isolating.is_empty() {
            return self.open.clone();
        }
        let destination = match direction {
            Direction::Ingress => at,
            Direction::Egress => peer,
        };
        let reasons: BTreeSet<RuleIndex> = isolating.iter().map(|isolation| isolation.reason).collect();
        let rules = isolating.iter().flat_map(|isolation| &isolation.rules);
        let about: Vec<&Rule<'_>> = rules.filter(|rule| rule.is_about(peer)).collect();
        let by_name = about.iter().flat_map(|rule| rule.ports).any(|port| matches!(port, PortSpec::Named { .. }));
        let named = match destination {
            One::Pod(pod) if by_name => pod.ports.to_vec(),
            One::Pod(_) | One::Addresses(_) => Vec::new(),
        };
        let signature = (reasons, about.iter().map(|rule| rule.index).collect(), named);
        let known = &mut self.known;
        if let Some(ports) = known.get(&signature) {
            return ports.clone();
        }
        let ports = Arc::new(ports(&about, &signature.0, destination));
        known.insert(signature, ports.clone());
        ports
    }
}

/// Directions that a policy isolates: `policyTypes`, else ingress, and egress where it has rules.
fn isolated(policy: &NetworkPolicy) -> Vec<Direction> {
    let has_egress = policy.egress.as_ref().is_some_and(|rules| !rules.is_empty());
    let (ingress, egress) = policy.policy_types.unwrap_or((true, has_egress));
    let chosen = [(Direction::Ingress, ingress), (Direction::Egress, egress)];
    chosen.into_iter().filter(|(_, isolates)| *isolates).map(|(direction, _)| direction).collect()
}

fn rules(policy: &NetworkPolicy, direction: Direction) -> &[NpRule] {
    let rules = match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    };
    rules.as_deref().unwrap_or_default()
}

fn peer<'a>(written: &'a NpPeer, namespace: &str) -> Peer<'a> {
    match written {
        NpPeer::IpBlock(block) => Peer::Block(block),
        NpPeer::Pods { pods, namespaces, .. } => {
            let mut selector = match namespaces {
                Some(namespaces) => scope::namespace_labels(namespaces),
                None => Selector { requirements: vec![Requirement::k8s_is(NAMESPACE_KEY, namespace)] },
            };
            let pods = pods.as_ref().map(scope::selector).unwrap_or_default();
            selector.requirements.extend(pods.requirements);
            Peer::Pods(selector)
        }
    }
}

impl Rule<'_> {
    fn is_about(&self, peer: One<'_>) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|own| own.matches(peer))
    }
}

impl Peer<'_> {
    fn matches(&self, peer: One<'_>) -> bool {
        match (self, peer) {
            (Self::Pods(selector), One::Pod(pod)) => selector.matches(&pod.labels),
            (Self::Block(block), One::Addresses(first)) => {
                // The range was cut at every prefix: one address speaks for all.
                let holds = |net| range::v4(net).is_some_and(|net| net.contains(&first));
                holds(block.cidr.value) && !block.except.iter().any(|except| holds(except.value))
            }
            (Self::Pods(_), One::Addresses(_)) | (Self::Block(_), One::Pod(_)) => false,
        }
    }
}

/// What the rules about a peer let pass.
fn ports(about: &[&Rule<'_>], reasons: &BTreeSet<RuleIndex>, destination: One<'_>) -> Ports {
    let mut parts: Vec<(RuleIndex, Transport, u16, u16)> = Vec::new();
    for rule in about {
        if rule.ports.is_empty() {
            parts.extend(Transport::WITH_PORTS.map(|transport| (rule.index, transport, 0, u16::MAX)));
        }
        for port in rule.ports {
            parts.extend(resolve(port, destination).into_iter().map(|(t, first, last)| (rule.index, t, first, last)));
        }
    }
    let ranges: Vec<(Transport, u16, u16)> = parts.iter().map(|&(_, t, first, last)| (t, first, last)).collect();
    Ports::cut(&Transport::WITH_PORTS, &ranges, |transport, port| {
        let covering = parts.iter().filter(|(_, t, first, last)| *t == transport && (*first..=*last).contains(&port));
        let rules: BTreeSet<RuleIndex> = covering.map(|(rule, ..)| *rule).collect();
        Arc::new(match rules.is_empty() {
            true => Outcome { passes: None, rules: reasons.clone() },
            false => Outcome { passes: Some(Treatment::default()), rules },
        })
    })
}

/// The ports that an item means at a destination.
fn resolve(port: &PortSpec, destination: One<'_>) -> Vec<(Transport, u16, u16)> {
    let protocols = |protocol: Option<Protocol>| match protocol {
        Some(protocol) => vec![protocol],
        None => vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
    };
    match port {
        PortSpec::Range { protocol, first, last, .. } => {
            protocols(*protocol).into_iter().map(|protocol| (protocol.into(), *first, *last)).collect()
        }
        PortSpec::Named { protocol, name, .. } => {
            let One::Pod(pod) = destination else { return Vec::new() };
            let protocols = protocols(*protocol);
            let is_meant = |port: &&ContainerPort| {
                let named = port.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
                named && protocols.contains(&port.protocol)
            };
            pod.ports.iter().filter(is_meant).map(|port| (port.protocol.into(), port.port, port.port)).collect()
        }
    }
}

/// A namespace that no document describes has its name label alone.
fn labels(workload: &Workload, namespaces: &Namespaces<'_>) -> LabelSet {
    let namespace = workload.meta.object.namespace.as_str();
    let of_namespace = namespaces.get(namespace).copied().unwrap_or_default().iter();
    let of_namespace = of_namespace.map(|(key, value)| Label::k8s(format!("{NAMESPACE_LABELS}{key}"), value));
    let derived = [
        Label::k8s(NAMESPACE_KEY, namespace),
        Label::k8s(format!("{NAMESPACE_LABELS}kubernetes.io/metadata.name"), namespace),
    ];
    let own = workload.pod_labels.iter().map(|(key, value)| Label::k8s(key, value));
    own.chain(of_namespace).chain(derived).collect()
}

/// Ranges of addresses that the rules of a direction tell apart.
fn outside(objects: &Objects, direction: Direction) -> Vec<Party> {
    let policies = objects.network_policies.iter().filter(|policy| isolated(policy).contains(&direction));
    let peers = policies.flat_map(|policy| rules(policy, direction)).flat_map(|rule| &rule.peers);
    let nets = peers.flat_map(|peer| match peer {
        NpPeer::IpBlock(block) => [block.cidr].iter().chain(&block.except).map(|net| net.value).collect(),
        NpPeer::Pods { .. } => Vec::new(),
    });
    let ranges = nets.filter_map(range::v4).map(|net| (net.network(), net.broadcast()));
    range::cut(ranges).into_iter().map(|(first, last)| Party::Range(first, last)).collect()
}
