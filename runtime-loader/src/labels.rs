//! From the labels that an endpoint came with to the identity that the bundle has for them. No selector: equality only.
//!
//! Whoever adds an endpoint knows the pod's own labels and its namespace. The bundle's identities also hold what Cilium
//! derives from the namespace (`io.cilium.k8s.*`: namespace labels, cluster, service account), and lack what its
//! default filter leaves out. An identity therefore fits when it has every given label, but for those that the
//! filter leaves out, and nothing besides, but for the derived ones when a namespace was given. When two fit, nobody
//! guesses.

use std::collections::BTreeMap;
use std::fmt;

use ciliumc_abi::manifest::{Identity, Manifest};
use serde::{Deserialize, Serialize};

use crate::gather::gather;

/// Source of a label that names none.
const DEFAULT_SOURCE: &str = "k8s";
/// Label that holds a pod's namespace.
const NAMESPACE_LABEL: &str = "k8s:io.kubernetes.pod.namespace";
/// Start of the labels that Cilium derives from the namespace, the service account and the cluster.
const DERIVED: &str = "k8s:io.cilium.k8s.";
/// Starts of the keys that Cilium's default filter leaves out of identities (spec §5.2).
const LEFT_OUT: [&str; 11] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
];

/// Labels that an endpoint or a peer was described by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// Value by `source:key`; the namespace is among them.
    given: BTreeMap<String, String>,
    /// Whether labels that are derived from the namespace may be missing.
    derived_missing: bool,
}

impl Labels {
    /// Reads `source:key=value` or `key=value` items; `namespace` adds the pod's namespace, and says that the derived
    /// labels are left out.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>, namespace: Option<&str>) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        let mut add = |key: String, value: &str| match given.insert(key.clone(), value.to_owned()) {
            Some(other) if other != value => Err(format!("label `{key}` is given as `{other}` and as `{value}`")),
            _ => Ok(()),
        };
        for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) = split(item);
            let key = if key.contains(':') { key.to_owned() } else { format!("{DEFAULT_SOURCE}:{key}") };
            if key.ends_with(':') || key.starts_with(':') {
                return Err(format!("`{item}` is no label; write key=value or source:key=value"));
            }
            add(key, value)?;
        }
        if let Some(namespace) = namespace {
            add(NAMESPACE_LABEL.to_owned(), namespace)?;
        }
        if given.is_empty() {
            return Err("no labels are given; write key=value or source:key=value".to_owned());
        }
        Ok(Self { given, derived_missing: namespace.is_some() })
    }

    /// Exactly the labels of an identity.
    pub fn of(identity: &Identity) -> Self {
        let given = identity.labels.iter().map(|label| split(label));
        let given = gather(given.map(|(key, value)| (key.to_owned(), value.to_owned())));
        Self { given, derived_missing: false }
    }

    /// The one identity of these labels; the error says why there is none.
    pub fn find<'a>(&self, manifest: &'a Manifest) -> Result<&'a Identity, String> {
        let fitting: Vec<_> = manifest.identities.iter().filter(|identity| self.fits(manifest, identity)).collect();
        match fitting[..] {
            [identity] => Ok(identity),
            [] => Err(self.why_none(manifest)),
            [first, second, ..] => {
                let differ = |a: &Identity, b: &Identity| a.labels.iter().find(|l| !b.labels.contains(l)).cloned();
                let label = differ(first, second).or_else(|| differ(second, first)).unwrap_or_default();
                Err(format!(
                    "{} identities have the labels {self}; they differ in `{label}`: give that label, too",
                    fitting.len()
                ))
            }
        }
    }

    fn fits(&self, manifest: &Manifest, identity: &Identity) -> bool {
        let has = |label: &str| {
            let (key, value) = split(label);
            match self.given.get(key) {
                Some(given) => given == value,
                None => self.derived_missing && key.starts_with(DERIVED),
            }
        };
        let known = |key: &str| {
            has_key(identity, key) || (left_out(key) && !manifest.identities.iter().any(|i| has_key(i, key)))
        };
        identity.labels.iter().all(|label| has(label)) && self.given.keys().all(|key| known(key))
    }

    fn why_none(&self, manifest: &Manifest) -> String {
        let unknown = self.given.iter().find(|(key, value)| {
            let label = label(key, value);
            !left_out(key) && !manifest.identities.iter().any(|identity| identity.labels.contains(&label))
        });
        match unknown {
            Some((key, value)) => format!(
                "no identity of the bundle has the label `{}` (if the cluster's label filter leaves it out, leave it out, too)",
                label(key, value)
            ),
            None => format!("no identity of the bundle has exactly the labels {self}"),
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.given.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "," }, label(key, value))?;
        }
        Ok(())
    }
}

/// Key, with its source, and value.
fn split(label: &str) -> (&str, &str) {
    label.split_once('=').unwrap_or((label, ""))
}

fn label(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
}

/// Whether the default filter leaves a label out; its key comes with its source. A filter of the cluster's own that
/// keeps such a key shows in the identities, which then have it.
fn left_out(key: &str) -> bool {
    let Some(plain) = key.strip_prefix("k8s:") else { return false };
    key != NAMESPACE_LABEL
        && (LEFT_OUT.iter().any(|start| plain.starts_with(start)) || plain.contains("beta.kubernetes.io"))
}

/// Whether an identity has a label of this key.
fn has_key(identity: &Identity, key: &str) -> bool {
    identity.labels.iter().any(|label| split(label).0 == key)
}

#[cfg(test)]
mod tests {
    use ciliumc_abi::identity::{IdentityIndex, NumericIdentity};

    use super::*;
    use crate::handmade;

    fn manifest(identities: &[&[&str]]) -> Manifest {
        let files = handmade::files(80, |_| vec![]);
        let mut manifest: Manifest =
            serde_json::from_slice(&files[ciliumc_abi::manifest::MANIFEST_FILE]).expect("manifest");
        let identity = |(at, labels): (usize, &&[&str])| Identity {
            index: IdentityIndex(256 + at as u32),
            identity: NumericIdentity(1000 + at as u32),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        manifest.identities = identities.iter().enumerate().map(identity).collect();
        manifest
    }

    fn cluster() -> Manifest {
        const CLUSTER: &str = "k8s:io.cilium.k8s.policy.cluster=default";
        manifest(&[
            &["k8s:app=web", CLUSTER, "k8s:io.kubernetes.pod.namespace=shop"],
            &["k8s:app=web", CLUSTER, "k8s:io.kubernetes.pod.namespace=test"],
            &["k8s:app=web", CLUSTER, "k8s:io.kubernetes.pod.namespace=test", "k8s:tier=front"],
            &["k8s:app=db", "k8s:io.cilium.k8s.policy.serviceaccount=a", "k8s:io.kubernetes.pod.namespace=shop"],
            &["k8s:app=db", "k8s:io.cilium.k8s.policy.serviceaccount=b", "k8s:io.kubernetes.pod.namespace=shop"],
        ])
    }

    fn find(items: &[&str], namespace: Option<&str>) -> Result<u32, String> {
        let cluster = cluster();
        Labels::parse(items.iter().copied(), namespace)?.find(&cluster).map(|identity| identity.identity.0)
    }

    #[test]
    fn a_pod_s_own_labels_and_its_namespace_are_enough() {
        assert_eq!(find(&["app=web"], Some("shop")), Ok(1000));
        assert_eq!(find(&["k8s:app=web"], Some("test")), Ok(1001));
        assert_eq!(find(&["app=web", "tier=front"], Some("test")), Ok(1002));
        assert_eq!(find(&["app=web", "pod-template-hash=5d4f"], Some("shop")), Ok(1000), "never part of an identity");
    }

    #[test]
    fn one_label_more_or_less_is_somebody_else() {
        for (items, namespace) in [
            (&["app=web"][..], None),
            (&["app=web"], Some("prod")),
            (&["app=web", "tier=back"], Some("test")),
            (&["app=web", "team=a"], Some("shop")),
            (&["tier=front"], Some("test")),
            (&["any:app=web"], Some("shop")),
        ] {
            assert!(find(items, namespace).is_err(), "{items:?} in {namespace:?}");
        }
        assert!(find(&["app=web", "team=a"], Some("shop")).unwrap_err().contains("the label `k8s:team=a`"));
    }

    #[test]
    fn nobody_guesses_between_two() {
        let error = find(&["app=db"], Some("shop")).unwrap_err();
        assert!(error.contains("differ in `k8s:io.cilium.k8s.policy.serviceaccount=a`"), "{error}");
        assert_eq!(find(&["app=db", "io.cilium.k8s.policy.serviceaccount=b"], Some("shop")), Ok(1004));
    }

    #[test]
    fn a_key_that_the_cluster_keeps_counts() {
        let cluster = manifest(&[&["k8s:app=web"], &["k8s:app=web", "k8s:pod-template-hash=1"]]);
        let found = Labels::parse(["app=web", "pod-template-hash=2"], None).unwrap().find(&cluster);
        assert!(found.is_err());
    }

    #[test]
    fn what_is_no_label_is_refused() {
        assert!(Labels::parse([], None).is_err());
        assert!(Labels::parse(["k8s:=x"], None).is_err());
        assert!(Labels::parse(["a=1", "a=2"], None).is_err());
        assert!(Labels::parse(["a=1", "a=1"], None).is_ok());
    }
}
