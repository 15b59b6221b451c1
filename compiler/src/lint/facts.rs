//! What several lints ask, found once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ciliumc_abi::identity::IdentityIndex;

use super::Input;
use super::cover::{self, Cover};
use super::emptiness::{self, Emptiness};
use crate::diag::{ObjectRef, Span};
use crate::front::objects::{Meta, Objects, Workload};
use crate::ir::labels::{Label, LabelSet, Selector, Test};
use crate::ir::{
    Cluster, Direction, Endpoint, EndpointIndex, NAMESPACE_KEY, NAMESPACE_LABELS, Peer, Peers, Policy, PolicyIndex,
    Rule, RuleId, Subject,
};
use crate::resolve::{Class, Resolved};
use crate::source::SourceMap;

/// A day of the calendar, as `YYYY-MM-DD`; texts of this form sort by time.
pub type Day = String;

/// Everything a lint may look at.
pub struct Facts<'a> {
    /// The texts.
    pub sources: &'a SourceMap,
    /// What is written.
    pub objects: &'a Objects,
    /// What it means.
    pub cluster: &'a Cluster,
    /// Whom it selects.
    pub resolved: &'a Resolved,
    /// The day on which the question is asked, where it is known.
    pub today: Option<&'a Day>,
    members: BTreeMap<IdentityIndex, Vec<EndpointIndex>>,
    matching: HashMap<&'a Selector, Vec<IdentityIndex>>,
    policies: BTreeMap<IdentityIndex, Vec<PolicyIndex>>,
    ghosts: Vec<(LabelSet, Ghost<'a>)>,
    workloads: HashMap<Span, &'a Workload>,
    explained: BTreeSet<Span>,
    empty: HashMap<&'a Selector, Emptiness<'a>>,
    covers: Vec<Cover>,
}

/// What has the labels of pods and is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ghost<'a> {
    /// Its pods are on the host network.
    HostNetwork(&'a ObjectRef),
    /// It has no pods now, or an operator may make some for it.
    NoPods,
}

impl<'a> Facts<'a> {
    /// Looks at everything once.
    pub fn new(input: &Input<'a>) -> Self {
        let Input { sources, objects, cluster, resolved, reported, today } = *input;
        let mut members: BTreeMap<IdentityIndex, Vec<EndpointIndex>> = BTreeMap::new();
        for (endpoint, index) in resolved.endpoints.iter().zip(0..) {
            members.entry(endpoint.identity).or_default().push(EndpointIndex(index));
        }
        let mut facts = Self {
            sources,
            objects,
            cluster,
            resolved,
            today,
            members,
            matching: HashMap::new(),
            policies: BTreeMap::new(),
            ghosts: ghosts(objects, cluster),
            workloads: objects.workloads.iter().map(|workload| (workload.meta.span, workload)).collect(),
            // The selector can never match, and that has been said.
            explained: reported.iter().filter(|d| d.code.0 == "W-501").filter_map(|d| d.span).collect(),
            empty: HashMap::new(),
            covers: cover::covers(cluster, resolved),
        };
        facts.match_selectors();
        emptiness::explain(&mut facts);
        facts
    }

    fn match_selectors(&mut self) {
        let postings = Postings::new(self.resolved, self.members.keys().copied());
        for selector in selectors(self.cluster) {
            self.matching.entry(selector).or_insert_with(|| postings.matching(self.resolved, selector));
        }
        for (policy, index) in self.cluster.policies.iter().zip(0..) {
            let Subject::Endpoints(selector) = &policy.subject else { continue };
            for identity in self.matching.get(selector).into_iter().flatten() {
                self.policies.entry(*identity).or_default().push(PolicyIndex(index));
            }
        }
    }

    /// Identities of endpoints that a subject or a peer selects, sorted.
    pub fn matching(&self, selector: &Selector) -> &[IdentityIndex] {
        self.matching.get(selector).map_or(&[], Vec::as_slice)
    }

    /// Each distinct subject and peer with the identities of endpoints that it selects, where it was first written first.
    pub fn selections(&self) -> impl Iterator<Item = (&'a Selector, &[IdentityIndex])> {
        let mut seen = HashSet::new();
        selectors(self.cluster).filter(move |s| seen.insert(*s)).map(|s| (s, self.matching(s)))
    }

    /// Identities of endpoints that a policy selects; none for one about nodes.
    pub fn subjects(&self, policy: &Policy) -> &[IdentityIndex] {
        match &policy.subject {
            Subject::Endpoints(selector) => self.matching(selector),
            Subject::Nodes(_) => &[],
        }
    }

    /// Policies that select an identity, of whatever tier.
    pub fn policies_of(&self, identity: IdentityIndex) -> impl Iterator<Item = (PolicyIndex, &'a Policy)> {
        let cluster = self.cluster;
        let indices = self.policies.get(&identity).into_iter().flatten();
        indices.map(move |&index| (index, &cluster.policies[index.0 as usize]))
    }

    /// Rules that bind an identity in a direction.
    pub fn rules_of(&self, identity: IdentityIndex, direction: Direction) -> impl Iterator<Item = (RuleId, &'a Rule)> {
        let cluster = self.cluster;
        let rules = self.policies_of(identity).flat_map(move |(policy, _)| cluster.rules_of(policy));
        rules.filter(move |(_, rule)| rule.direction == direction)
    }

    /// Identities of endpoints.
    pub fn identities(&self) -> impl Iterator<Item = IdentityIndex> {
        self.members.keys().copied()
    }

    /// Endpoints of an identity.
    pub fn endpoints(&self, identity: IdentityIndex) -> impl Iterator<Item = &'a Endpoint> {
        let cluster = self.cluster;
        self.members.get(&identity).into_iter().flatten().map(move |index| &cluster.endpoints[index.0 as usize])
    }

    /// A class of an identity: its policy on some node.
    pub fn class(&self, identity: IdentityIndex) -> Option<&'a Class> {
        let first = self.members.get(&identity)?.first()?;
        let class = self.resolved.endpoints[first.0 as usize].classes.values().next()?;
        self.resolved.classes.get(class.0 as usize)
    }

    /// Labels of an identity.
    pub fn labels(&self, identity: IdentityIndex) -> Option<&'a LabelSet> {
        self.resolved.identities.get(&identity).map(|identity| &identity.labels)
    }

    /// How the rule stands beside the others.
    pub fn cover(&self, rule: RuleId) -> Cover {
        self.covers.get(rule.0 as usize).copied().unwrap_or_default()
    }

    /// The workload behind an endpoint.
    pub fn workload(&self, endpoint: &Endpoint) -> Option<&'a Workload> {
        self.workloads.get(&endpoint.span).copied()
    }

    /// What has the labels that a selector asks for and is no endpoint.
    pub fn ghost(&self, selector: &Selector) -> Option<Ghost<'a>> {
        self.ghosts.iter().find(|(labels, _)| selector.matches(labels)).map(|(_, ghost)| *ghost)
    }

    /// Whether an earlier stage told why the selector matches nothing.
    pub fn is_explained(&self, selector: &Selector) -> bool {
        selector.requirements.iter().filter_map(|r| r.span).any(|span| self.explained.contains(&span))
    }

    /// Why a selector matches no endpoint; `None` for one that matches some, or where the input does not tell.
    pub fn emptiness(&self, selector: &Selector) -> Option<&Emptiness<'a>> {
        self.empty.get(selector)
    }

    /// Keeps an answer of [`emptiness::explain`].
    pub fn set_emptiness(&mut self, selector: &'a Selector, emptiness: Emptiness<'a>) {
        self.empty.insert(selector, emptiness);
    }

    /// Every subject of endpoints and every peer by labels that matches none of them.
    pub fn unmatched(&self) -> Vec<&'a Selector> {
        let mut seen = BTreeSet::new();
        selectors(self.cluster).filter(|s| self.matching(s).is_empty() && seen.insert(*s)).collect()
    }

    /// Names of a few endpoints of these identities.
    pub fn names(&self, identities: impl IntoIterator<Item = IdentityIndex>) -> String {
        let mut names: Vec<&str> =
            identities.into_iter().flat_map(|identity| self.endpoints(identity)).map(|e| e.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [first, second, third, _, ..] => format!("{first}, {second}, {third} and {} more", names.len() - 3),
            few => few.join(", "),
        }
    }

    /// Metadata of every object that annotations can excuse.
    pub fn metas(&self) -> impl Iterator<Item = &'a Meta> {
        let objects = self.objects;
        let policies = objects.network_policies.iter().map(|p| &p.meta);
        let policies = policies.chain(objects.cilium_policies.iter().map(|p| &p.meta));
        let policies = policies.chain(objects.admin_policies.iter().map(|p| &p.meta));
        policies.chain(objects.workloads.iter().map(|w| &w.meta)).chain(objects.namespaces.iter().map(|n| &n.meta))
    }
}

/// Selectors of peers in one rule.
pub fn peer_selectors(rule: &Rule) -> impl Iterator<Item = &Selector> {
    let list = match &rule.peers {
        Peers::AnyOf(list) => list.as_slice(),
        Peers::Nobody | Peers::Everyone => &[],
    };
    list.iter().filter_map(|peer| match peer {
        Peer::Labels(selector) => Some(selector),
        Peer::Cidr(_) | Peer::Fqdn(_) | Peer::Nodes(_) | Peer::Network(_) | Peer::Entity(_) => None,
    })
}

fn selectors(cluster: &Cluster) -> impl Iterator<Item = &Selector> {
    let subjects = cluster.policies.iter().filter_map(|policy| match &policy.subject {
        Subject::Endpoints(selector) => Some(selector),
        Subject::Nodes(_) => None,
    });
    subjects.chain(cluster.rules.iter().flat_map(peer_selectors))
}

/// Labels that come from the namespace.
pub fn namespace_labels(cluster: &Cluster, namespace: &str) -> LabelSet {
    let own = cluster.namespaces.get(namespace).into_iter().flatten();
    let labels = own.map(|(key, value)| Label::k8s(format!("{NAMESPACE_LABELS}{key}"), value));
    let named =
        [Label::k8s(NAMESPACE_KEY, namespace), Label::k8s(crate::ir::CLUSTER_KEY, &cluster.options.cluster_name)];
    labels.chain(named).collect()
}

fn ghosts<'a>(objects: &'a Objects, cluster: &Cluster) -> Vec<(LabelSet, Ghost<'a>)> {
    let labels = |namespace: &str, own: &[(String, String)]| {
        let mut all = namespace_labels(cluster, namespace);
        own.iter().for_each(|(key, value)| all.insert(Label::k8s(key, value)));
        all
    };
    let live: BTreeSet<Span> = cluster.endpoints.iter().map(|endpoint| endpoint.span).collect();
    let workloads = objects.workloads.iter().filter(|workload| !live.contains(&workload.meta.span));
    let workloads = workloads.map(|workload| {
        let ghost = if workload.host_network { Ghost::HostNetwork(&workload.meta.object) } else { Ghost::NoPods };
        (labels(&workload.meta.object.namespace, &workload.pod_labels), ghost)
    });
    let custom = objects.custom.iter().filter(|custom| !custom.labels.is_empty());
    workloads.chain(custom.map(|c| (labels(&c.object.namespace, &c.labels), Ghost::NoPods))).collect()
}

/// Identities of endpoints by key and value of their labels: thousands of selectors must not ask each of them.
struct Postings<'a> {
    all: Vec<IdentityIndex>,
    by_label: HashMap<(&'a str, &'a str), Vec<IdentityIndex>>,
}

impl<'a> Postings<'a> {
    fn new(resolved: &'a Resolved, identities: impl Iterator<Item = IdentityIndex>) -> Self {
        let all: Vec<IdentityIndex> = identities.collect();
        let mut by_label: HashMap<(&str, &str), Vec<IdentityIndex>> = HashMap::new();
        for index in &all {
            let labels = resolved.identities.get(index).into_iter().flat_map(|identity| identity.labels.iter());
            for label in labels {
                by_label.entry((&label.key, &label.value)).or_default().push(*index);
            }
        }
        Self { all, by_label }
    }

    fn matching(&self, resolved: &Resolved, selector: &Selector) -> Vec<IdentityIndex> {
        let narrowest = selector.requirements.iter().filter(|r| r.is_k8s_or_any()).filter_map(|r| match &r.test {
            Test::In(values) => match values.as_slice() {
                [value] => Some(self.by_label.get(&(r.key.as_str(), value.as_str())).map_or(&[][..], Vec::as_slice)),
                _ => None,
            },
            Test::NotIn(_) | Test::Exists | Test::DoesNotExist => None,
        });
        let candidates = narrowest.min_by_key(|list| list.len()).unwrap_or(&self.all);
        let matches = |index: &&IdentityIndex| {
            resolved.identities.get(index).is_some_and(|identity| selector.matches(&identity.labels))
        };
        candidates.iter().filter(matches).copied().collect()
    }
}
