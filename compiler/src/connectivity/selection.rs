//! Several workloads in few words: an expression of labels that selects them and no other.

use std::collections::{BTreeMap, BTreeSet};

use super::Party;
use crate::ir::labels::{Label, LabelSet};
use crate::ir::{CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS};

/// Workloads that are named one by one.
const NAMED_MAX: usize = 2;
/// Values of one key, and exceptions from all.
const VALUES_MAX: usize = 6;

/// What is known of workloads: their namespace and labels.
pub struct Selections<'a> {
    workloads: BTreeMap<&'a Party, BTreeMap<Key<'a>, &'a str>>,
}

/// A label that people give, or the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Namespace,
    Label(&'a str),
}

impl<'a> Selections<'a> {
    /// Of all workloads that there are, in either version.
    pub fn new(labels: impl IntoIterator<Item = (&'a Party, &'a LabelSet)>) -> Self {
        let mut workloads: BTreeMap<&Party, BTreeMap<Key<'a>, &str>> = BTreeMap::new();
        for (party, labels) in labels {
            let Party::Workload { namespace, .. } = party else { continue };
            let known = workloads.entry(party).or_default();
            known.insert(Key::Namespace, namespace);
            let own = labels.iter().filter(|label| is_given(label));
            known.extend(own.map(|label| (Key::Label(label.key.as_str()), label.value.as_str())));
        }
        Self { workloads }
    }

    /// An expression that selects the workloads among these parties and no other; `None` where they are few, or no short
    /// one does.
    pub fn expression(&self, parties: &[Party]) -> Option<String> {
        let members: BTreeSet<&Party> = parties.iter().filter(|party| self.workloads.contains_key(party)).collect();
        if members.len() <= NAMED_MAX {
            return None;
        }
        let keys = self.common(&members);
        let singles = keys.iter().map(|key| vec![key]);
        let with_namespace = keys.iter().filter(|(key, _)| **key != Key::Namespace);
        let pairs = with_namespace.filter_map(|key| Some(vec![keys.get_key_value(&Key::Namespace)?, key]));
        let candidates = singles.chain(pairs).filter(|candidate| self.selects(candidate, members.len()));
        let words = candidates.map(|candidate| candidate.into_iter().map(word).collect::<Vec<_>>().join(", "));
        let everything = self.all_but(&members);
        everything.into_iter().chain(words).min_by_key(|text| (text.len(), text.clone()))
    }

    /// Keys that all members have, with their values.
    fn common(&self, members: &BTreeSet<&Party>) -> BTreeMap<Key<'a>, BTreeSet<&'a str>> {
        let mut out: BTreeMap<Key<'a>, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for (key, value) in members.iter().filter_map(|party| self.workloads.get(*party)).flatten() {
            let (count, values) = out.entry(*key).or_default();
            *count += 1;
            values.insert(value);
        }
        let is_common =
            |(count, values): &(usize, BTreeSet<&str>)| *count == members.len() && values.len() <= VALUES_MAX;
        out.into_iter().filter(|(_, found)| is_common(found)).map(|(key, (_, values))| (key, values)).collect()
    }

    /// Whether just as many workloads are selected: then they are the same.
    fn selects(&self, terms: &[(&Key<'a>, &BTreeSet<&'a str>)], count: usize) -> bool {
        let has = |known: &BTreeMap<Key<'a>, &str>| {
            terms.iter().all(|(key, values)| known.get(key).is_some_and(|value| values.contains(value)))
        };
        self.workloads.values().filter(|known| has(known)).count() == count
    }

    fn all_but(&self, members: &BTreeSet<&Party>) -> Option<String> {
        let others: Vec<String> =
            self.workloads.keys().filter(|party| !members.contains(*party)).map(ToString::to_string).collect();
        match others.as_slice() {
            [] => Some("all workloads".into()),
            few if few.len() <= NAMED_MAX => Some(format!("all workloads but {}", few.join(", "))),
            _ => None,
        }
    }
}

/// Not derived from cluster, namespace or service account.
fn is_given(label: &Label) -> bool {
    let derived = label.key == CLUSTER_KEY || label.key == NAMESPACE_KEY || label.key.starts_with("io.cilium.");
    label.source == "k8s" && !derived && !label.key.starts_with(NAMESPACE_LABELS)
}

/// `app in (a,b)`, or `app=a`.
fn word((key, values): (&Key<'_>, &BTreeSet<&str>)) -> String {
    let key = match key {
        Key::Namespace => "namespace",
        Key::Label(key) => key,
    };
    let values: Vec<&str> = values.iter().copied().collect();
    match values.as_slice() {
        [value] => format!("{key}={value}"),
        values => format!("{key} in ({})", values.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(namespace: &str, name: &str) -> Party {
        Party::Workload { namespace: namespace.into(), name: name.into(), kind: "Deployment".into() }
    }

    fn cluster() -> BTreeMap<Party, LabelSet> {
        let all =
            [("shop", "web", "front"), ("shop", "cart", "back"), ("shop", "api", "back"), ("ops", "web", "front")];
        let more = [("ops", "log", "back"), ("ops", "top", "back")];
        let labels = |app: &str, tier: &str| {
            LabelSet::from_iter([Label::k8s("app", app), Label::k8s("tier", tier), Label::k8s(NAMESPACE_KEY, "x")])
        };
        all.into_iter().chain(more).map(|(ns, name, tier)| (workload(ns, name), labels(name, tier))).collect()
    }

    fn expression(names: &[(&str, &str)]) -> Option<String> {
        let cluster = cluster();
        let members: Vec<Party> = names.iter().map(|(namespace, name)| workload(namespace, name)).collect();
        Selections::new(&cluster).expression(&members)
    }

    #[test]
    fn the_shortest_expression_that_selects_just_these() {
        let shop = [("shop", "api"), ("shop", "cart"), ("shop", "web")];
        assert_eq!(expression(&shop).as_deref(), Some("namespace=shop"));
        let back = [("shop", "api"), ("shop", "cart"), ("ops", "log"), ("ops", "top")];
        assert_eq!(expression(&back).as_deref(), Some("tier=back"));
        assert_eq!(expression(&back[..3]).as_deref(), Some("app in (api,cart,log)"));
        let mixed = [("shop", "api"), ("shop", "cart"), ("shop", "web"), ("ops", "log"), ("ops", "top")];
        assert_eq!(expression(&mixed).as_deref(), Some("all workloads but ops/web[Deployment]"));
    }

    #[test]
    fn few_are_named_and_an_expression_that_selects_more_is_none() {
        assert_eq!(expression(&[("shop", "api"), ("shop", "cart")]), None);
        // `app=web` would be both; `app in (api,cart,web)` too.
        let cluster: BTreeMap<Party, LabelSet> = cluster()
            .into_iter()
            .chain([(workload("x", "a"), LabelSet::default()), (workload("x", "b"), LabelSet::default())])
            .collect();
        let members = [workload("shop", "web"), workload("shop", "api"), workload("ops", "log")];
        let found = Selections::new(&cluster).expression(&members);
        assert_eq!(found, None);
    }
}
