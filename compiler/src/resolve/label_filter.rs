//! Which labels are part of an identity (spec §5.2, §5.3).

use std::sync::LazyLock;

use regex::Regex;

use crate::ir::labels::{Label, LabelSet};
use crate::ir::options::LabelFilterItem;

/// Includes of the default list: (source, pattern).
const DEFAULT_INCLUDES: [(Option<&str>, &str); 6] = [
    (Some("reserved"), ".*"),
    (None, r"io\.kubernetes\.pod\.namespace"),
    (None, r"io\.cilium\.k8s\.namespace\.labels"),
    (None, r"app\.kubernetes\.io"),
    (None, r"io\.cilium\.k8s\.policy\.cluster"),
    (None, r"io\.cilium\.k8s\.policy\.serviceaccount"),
];

/// Excludes of the default list.
const DEFAULT_EXCLUDES: [&str; 13] = [
    r"io\.kubernetes",
    r"kubernetes\.io",
    r"statefulset\.kubernetes\.io/pod-name",
    r"apps\.kubernetes\.io/pod-index",
    r"batch\.kubernetes\.io/job-completion-index",
    r"batch\.kubernetes\.io/controller-uid",
    r".*beta\.kubernetes\.io",
    r"k8s\.io",
    r"pod-template-(generation|hash)",
    r"controller-revision-hash",
    r"controller-uid",
    r"annotation.*",
    r"etcd_node",
];

/// The filter, compiled.
#[derive(Debug)]
pub struct LabelFilter {
    items: Vec<Item>,
    whitelist: bool,
}

#[derive(Debug, Clone)]
struct Item {
    source: Option<String>,
    regex: Regex,
    exclude: bool,
}

/// The default list is the same in every cluster, and compiling it costs more than reading a small one.
static DEFAULT: LazyLock<Result<Vec<Item>, regex::Error>> = LazyLock::new(|| {
    let includes = DEFAULT_INCLUDES.into_iter().map(|(source, pattern)| Item::new(source, pattern, false));
    let excludes = DEFAULT_EXCLUDES.into_iter().map(|pattern| Item::new(None, pattern, true));
    includes.chain(excludes).collect()
});

impl Item {
    fn new(source: Option<&str>, pattern: &str, exclude: bool) -> Result<Self, regex::Error> {
        Ok(Self { source: source.map(Into::into), regex: Regex::new(&format!("^(?:{pattern})"))?, exclude })
    }
}

impl LabelFilter {
    /// The filter of node labels (source `node`), which has no default list: without an item of the operator it keeps all.
    pub fn nodes(operator: &[LabelFilterItem]) -> Result<Self, regex::Error> {
        let item = |item: &LabelFilterItem| Item::new(item.source.as_deref(), &item.pattern, item.exclude);
        let items = operator.iter().map(item).collect::<Result<_, _>>()?;
        Ok(Self { items, whitelist: operator.iter().any(|item| !item.exclude) })
    }

    /// The default list with the operator's items behind it. A pattern that does not compile is named in the error;
    /// [`crate::ir::options`] has refused it before.
    pub fn new(operator: &[LabelFilterItem]) -> Result<Self, regex::Error> {
        let mut filter = Self::nodes(operator)?;
        filter.items.extend((*DEFAULT).clone()?);
        Ok(filter)
    }

    /// Whether a label of this source and key is kept.
    pub fn keeps(&self, source: &str, key: &str) -> bool {
        // The weight of an item is the length of the text it matched, not of its pattern.
        let weights = |exclude: bool| {
            self.items
                .iter()
                .filter(move |item| item.exclude == exclude && item.source.as_deref().is_none_or(|s| s == source))
                .filter_map(|item| item.regex.find(key).map(|found| found.len()))
        };
        let include = weights(false).max().unwrap_or(0);
        let exclude = weights(true).min().unwrap_or(0);
        include > exclude || (!self.whitelist && exclude == 0)
    }

    /// The labels that are kept.
    pub fn filter(&self, labels: impl IntoIterator<Item = Label>) -> LabelSet {
        labels.into_iter().filter(|l| self.keeps(&l.source, &l.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::options::LabelFilterItem;

    #[test]
    fn the_examples_of_the_spec() {
        let filter = LabelFilter::new(&[]).unwrap();
        for kept in [
            "app",
            "app.kubernetes.io/name",
            "topology.kubernetes.io/zone",
            "io.kubernetes.pod.namespace",
            "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
        ] {
            assert!(filter.keeps("k8s", kept), "{kept}");
        }
        for dropped in [
            "kubernetes.io/arch",
            "io.kubernetes.pod.name",
            "pod-template-hash",
            "failure-domain.beta.kubernetes.io/zone",
            "statefulset.kubernetes.io/pod-name",
        ] {
            assert!(!filter.keeps("k8s", dropped), "{dropped}");
        }
    }

    #[test]
    fn one_operator_include_drops_the_rest() {
        let item = LabelFilterItem { source: Some("k8s".into()), pattern: "team".into(), exclude: false };
        let filter = LabelFilter::new(&[item]).unwrap();
        assert!(filter.keeps("k8s", "team"));
        assert!(!filter.keeps("k8s", "app"));
        assert!(filter.keeps("k8s", "io.kubernetes.pod.namespace"));
    }
}
