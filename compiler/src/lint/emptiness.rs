//! Why a selector matches no endpoint.
//!
//! An input that plainly lacks what it would take to know gets no answer: pods of a namespace that holds none, pods that
//! an operator makes, labels of namespaces that nobody described.

use std::collections::BTreeSet;

use super::facts::{Facts, Ghost, namespace_labels, peer_selectors};
use crate::diag::Span;
use crate::front::names::nearest;
use crate::ir::labels::{Label, LabelSet, Requirement, Selector, Test};
use crate::ir::{CLUSTER_KEY, Cluster, NAMESPACE_KEY, NAMESPACE_LABELS, Policy, RuleAction, RuleId, Subject};

/// Why a selector matches no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emptiness<'a> {
    /// The policy's own namespace has none, others do.
    Elsewhere(Vec<&'a str>),
    /// An endpoint fails one requirement by a few letters.
    Near {
        /// The requirement.
        requirement: &'a Requirement,
        /// The label that is there, `key=value`.
        label: String,
        /// Name of an endpoint that has it.
        endpoint: &'a str,
        /// The key or value to write in place of another.
        swap: Swap,
    },
    /// No namespace has this label.
    Namespace {
        /// The requirement.
        requirement: &'a Requirement,
        /// A value that is there, and the one it is near to.
        near: Option<Swap>,
    },
    /// Pods on the host network have the labels.
    HostNetwork(String),
    /// Nothing looks like it.
    Nobody(&'a Requirement),
}

/// A word and the one to write in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// As written.
    pub from: String,
    /// What is there.
    pub to: String,
}

/// A subject or a peer without endpoints.
pub struct Unmatched<'a> {
    /// The rule of a peer; a subject has none.
    pub rule: Option<RuleId>,
    /// Its policy.
    pub policy: &'a Policy,
    /// Why.
    pub why: Emptiness<'a>,
    selector: &'a Selector,
    span: Span,
}

impl<'a> Unmatched<'a> {
    /// Where a requirement of it was written. Selectors that mean the same share an answer, but not the place.
    pub fn place(&self, requirement: &Requirement) -> Span {
        let own = self.selector.requirements.iter().find(|own| *own == requirement);
        own.and_then(|own| own.span).unwrap_or(self.span)
    }

    /// Where the first requirement was written.
    pub fn first_place(&self) -> Span {
        self.selector.requirements.iter().find_map(|r| r.span).unwrap_or(self.span)
    }

    /// What comes of it.
    pub fn effect(&self, cluster: &Cluster) -> &'static str {
        match self.rule.map(|rule| cluster.rule(rule).action) {
            None => "the policy constrains nobody",
            Some(RuleAction::Allow) => "this peer lets nobody in or out",
            Some(RuleAction::Deny) => "this peer denies nobody",
            Some(RuleAction::Pass) => "this peer passes nobody on",
        }
    }
}

/// Every subject and peer without endpoints whose reason is known.
pub fn all<'a>(facts: &Facts<'a>) -> Vec<Unmatched<'a>> {
    let cluster = facts.cluster;
    let mut out = Vec::new();
    let mut add = |rule, policy, selector, span| {
        if let Some(why) = facts.emptiness(selector) {
            out.push(Unmatched { rule, policy, why: why.clone(), selector, span });
        }
    };
    for policy in &cluster.policies {
        if let Subject::Endpoints(selector) = &policy.subject {
            add(None, policy, selector, policy.span);
        }
    }
    for (id, rule) in cluster.rules() {
        for selector in peer_selectors(rule) {
            add(Some(id), cluster.policy_of(id), selector, rule.span);
        }
    }
    out
}

/// A requirement in the words of a manifest.
pub fn words(requirement: &Requirement) -> String {
    let key = requirement.key.strip_prefix(NAMESPACE_LABELS).unwrap_or(&requirement.key);
    match &requirement.test {
        Test::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
        Test::In(values) => format!("{key} in ({})", values.join(", ")),
        Test::NotIn(values) => format!("{key} not in ({})", values.join(", ")),
        Test::Exists => key.to_owned(),
        Test::DoesNotExist => format!("!{key}"),
    }
}

/// Near misses are looked for among all labels, so only so many selectors are worth it.
const NEAR_SEARCHES_MAX: usize = 1000;

/// Names shorter than this are near to everything.
const NEAR_LEN_MIN: usize = 3;

/// Explains every selector without endpoints, as far as the input tells.
pub fn explain(facts: &mut Facts<'_>) {
    if facts.cluster.endpoints.is_empty() {
        return;
    }
    let peopled: BTreeSet<&str> = facts.cluster.endpoints.iter().map(|e| e.namespace.as_str()).collect();
    let scopes: Vec<(&str, LabelSet)> =
        peopled.into_iter().map(|name| (name, namespace_labels(facts.cluster, name))).collect();
    for (n, selector) in facts.unmatched().into_iter().enumerate() {
        let why = match facts.ghost(selector).filter(|_| names_pods(facts, selector)) {
            Some(Ghost::HostNetwork(object)) => Some(Emptiness::HostNetwork(object.to_string())),
            Some(Ghost::NoPods) => None,
            None if names_pods(facts, selector) => why(facts, selector, &scopes, n < NEAR_SEARCHES_MAX),
            None => None,
        };
        if let Some(why) = why {
            facts.set_emptiness(selector, why);
        }
    }
}

/// What lies outside of Kubernetes' labels is no pod, what is negative alone means more than pods, and of some selectors
/// an earlier stage told that they can never match.
fn names_pods(facts: &Facts<'_>, selector: &Selector) -> bool {
    let is_plain = selector.requirements.iter().all(Requirement::is_k8s_or_any);
    // Pods of another cluster are not in the input.
    let own_cluster = [Label::k8s(CLUSTER_KEY, &facts.cluster.options.cluster_name)].into_iter().collect();
    let of_cluster = selector.requirements.iter().filter(|r| r.key == CLUSTER_KEY).all(|r| r.matches(&own_cluster));
    is_plain && of_cluster && written(selector).next().is_some() && !facts.is_explained(selector)
}

/// Requirements that somebody wrote and that ask for a label.
fn written(selector: &Selector) -> impl Iterator<Item = &Requirement> + Clone {
    selector.requirements.iter().filter(|r| r.span.is_some() && is_positive(r))
}

fn why<'a>(
    facts: &Facts<'a>,
    selector: &'a Selector,
    scopes: &[(&'a str, LabelSet)],
    search: bool,
) -> Option<Emptiness<'a>> {
    let (of_namespace, of_pod): (Vec<&Requirement>, Vec<&Requirement>) =
        selector.requirements.iter().partition(|r| is_of_namespace(r));
    let scope: Vec<&str> = scopes
        .iter()
        .filter(|(_, labels)| of_namespace.iter().all(|r| r.matches(labels)))
        .map(|(name, _)| *name)
        .collect();

    let pinned = of_namespace.iter().any(|r| r.span.is_none() && r.key == NAMESPACE_KEY && r.test != Test::Exists);
    if pinned && search && !scope.is_empty() {
        let has = |labels: &LabelSet| of_pod.iter().all(|r| r.matches(labels));
        let alike = facts.identities().filter(|identity| facts.labels(*identity).is_some_and(has));
        let namespaces: BTreeSet<&str> =
            alike.filter_map(|identity| facts.endpoints(identity).next()).map(|e| e.namespace.as_str()).collect();
        if !namespaces.is_empty() {
            return Some(Emptiness::Elsewhere(namespaces.into_iter().collect()));
        }
    }
    if scope.is_empty() {
        return unknown_namespace(facts, &of_namespace);
    }
    if let Some(near) = of_pod.iter().filter(|_| search).find_map(|r| near(facts, r, &of_pod, &scope)) {
        return Some(near);
    }
    let lacks = |r: &&Requirement| !facts.identities().filter_map(|i| facts.labels(i)).any(|labels| r.matches(labels));
    let mut of_pod = written(selector).filter(|r| !is_of_namespace(r));
    let first = of_pod.clone().next();
    of_pod.find(|r| search && lacks(r)).or(first).map(Emptiness::Nobody)
}

fn is_positive(requirement: &Requirement) -> bool {
    match requirement.test {
        Test::In(_) | Test::Exists => true,
        Test::NotIn(_) | Test::DoesNotExist => false,
    }
}

fn is_of_namespace(requirement: &Requirement) -> bool {
    requirement.key == NAMESPACE_KEY || requirement.key.starts_with(NAMESPACE_LABELS)
}

/// A namespace label that no namespace has, if the input can tell.
fn unknown_namespace<'a>(facts: &Facts<'a>, requirements: &[&'a Requirement]) -> Option<Emptiness<'a>> {
    let namespaces = &facts.cluster.namespaces;
    let labels: Vec<LabelSet> = namespaces.keys().map(|name| namespace_labels(facts.cluster, name)).collect();
    let mut written = requirements.iter().copied().filter(|r| r.span.is_some() && is_positive(r));
    let requirement = written.find(|r| !labels.iter().any(|labels| r.matches(labels)))?;
    let there = labels.iter().flat_map(|labels| labels.iter()).filter(|label| label.key == requirement.key);
    let values: BTreeSet<&str> = there.map(|label| label.value.as_str()).collect();
    let near = match &requirement.test {
        Test::In(wanted) => wanted.iter().find_map(|wanted| near_value(wanted, values.iter().copied())),
        Test::NotIn(_) | Test::Exists | Test::DoesNotExist => None,
    };
    // A name that is not there may belong to a namespace that is not in the input.
    let names = requirement.key == NAMESPACE_KEY || requirement.key.ends_with("kubernetes.io/metadata.name");
    let described = facts.objects.namespaces.len() == namespaces.len();
    (near.is_some() || (described && !names)).then_some(Emptiness::Namespace { requirement, near })
}

/// An endpoint of the scope that fails this requirement alone, and that by little.
fn near<'a>(
    facts: &Facts<'a>,
    requirement: &'a Requirement,
    all: &[&'a Requirement],
    scope: &[&str],
) -> Option<Emptiness<'a>> {
    requirement.span.filter(|_| is_positive(requirement))?;
    let in_scope = |identity: &_| facts.endpoints(*identity).any(|e| scope.contains(&e.namespace.as_str()));
    let others = |labels: &LabelSet| all.iter().filter(|r| !std::ptr::eq(**r, requirement)).all(|r| r.matches(labels));
    let candidates: Vec<_> = facts.identities().filter(in_scope).collect();
    for identity in candidates {
        let Some(labels) = facts.labels(identity).filter(|labels| others(labels)) else { continue };
        if let Some((label, swap)) = near_label(requirement, labels) {
            let endpoint = facts.endpoints(identity).next().map_or("", |endpoint| endpoint.name.as_str());
            return Some(Emptiness::Near { requirement, label, endpoint, swap });
        }
    }
    None
}

/// The label of the same key with a value that is near, or of another key with the same value.
fn near_label(requirement: &Requirement, labels: &LabelSet) -> Option<(String, Swap)> {
    let own = || labels.iter().filter(|label| label.source == "k8s" && !label.key.starts_with("io.cilium."));
    let Test::In(wanted) = &requirement.test else {
        let swap = near_value(&requirement.key, own().map(|label| label.key.as_str()))?;
        let label = own().find(|label| label.key == swap.to)?;
        return Some((format!("{}={}", label.key, label.value), swap));
    };
    let same_key = || own().filter(|label| label.key == requirement.key).map(|label| label.value.as_str());
    for wanted in wanted {
        if let Some(swap) = near_value(wanted, same_key()) {
            return Some((format!("{}={}", requirement.key, swap.to), swap));
        }
        let same_value =
            own().find(|label| label.value == *wanted && label.key != NAMESPACE_KEY && wanted.len() >= NEAR_LEN_MIN);
        if let Some(label) = same_value {
            let swap = Swap { from: requirement.key.clone(), to: label.key.clone() };
            return Some((format!("{}={wanted}", label.key), swap));
        }
    }
    None
}

fn near_value<'v>(wanted: &str, values: impl Iterator<Item = &'v str>) -> Option<Swap> {
    let near = if wanted.len() >= NEAR_LEN_MIN { nearest(wanted, values) } else { None };
    near.map(|near| Swap { from: wanted.to_owned(), to: near.to_owned() })
}
