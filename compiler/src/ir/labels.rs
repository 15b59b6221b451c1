//! Labels and selectors (spec §0.6).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};

use ipnet::IpNet;

use crate::diag::Span;

/// One label: `source:key=value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Key; first, because canonical text sorts by it.
    pub key: String,
    /// Source: `k8s`, `reserved`, `cidr`, ...
    pub source: String,
    /// Value, often empty.
    pub value: String,
    /// The key of a `cidr` label, parsed once: every CIDR peer asks every identity for it.
    net: Option<IpNet>,
}

impl Label {
    /// `source:key=value`.
    pub fn new(source: &str, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        let net = if source == "cidr" { key.parse().ok() } else { None };
        Self { key, source: source.into(), value: value.into(), net }
    }

    /// `k8s:key=value`.
    pub fn k8s(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new("k8s", key, value)
    }

    /// `reserved:name=`.
    pub fn reserved(name: &str) -> Self {
        Self::new("reserved", name, "")
    }

    /// `cidr:prefix=`.
    pub fn cidr(net: IpNet) -> Self {
        Self { key: net.to_string(), source: "cidr".into(), value: String::new(), net: Some(net) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        Ok(())
    }
}

/// A set of labels: what an identity stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSet(BTreeSet<Label>);

impl LabelSet {
    /// The labels, sorted by key, source, value.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Adds a label.
    pub fn insert(&mut self, label: Label) {
        self.0.insert(label);
    }

    /// Whether the reserved label of this name is among them.
    pub fn has_reserved(&self, name: &str) -> bool {
        self.0.iter().any(|l| l.source == "reserved" && l.key == name)
    }

    /// Prefixes of the `cidr` labels.
    pub fn cidrs(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().filter_map(|l| l.net)
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Spec §5.4's canonical text: `source:key=value;`, sorted by key.
    pub fn canonical(&self) -> String {
        use fmt::Write;
        let mut out = String::new();
        for label in &self.0 {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}:{}={};", label.source, label.key, label.value);
        }
        out
    }
}

impl FromIterator<Label> for LabelSet {
    fn from_iter<T: IntoIterator<Item = Label>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, label) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            label.fmt(f)?;
        }
        Ok(())
    }
}

/// Operator of a requirement; `matchLabels` is `In` with one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// Key present and value listed.
    In(Vec<String>),
    /// Key absent, or value not listed.
    NotIn(Vec<String>),
    /// Key present.
    Exists,
    /// Key absent.
    DoesNotExist,
}

/// One requirement on a label. Two that mean the same are equal, wherever they were written.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// Source that the label must have; `None` is any.
    pub source: Option<Cow<'static, str>>,
    /// Key.
    pub key: String,
    /// What must hold.
    pub test: Test,
    /// Where it was written; none for what scoping added.
    pub span: Option<Span>,
}

impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for Requirement {}

impl PartialOrd for Requirement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Requirement {
    fn cmp(&self, other: &Self) -> Ordering {
        self.meaning().cmp(&other.meaning())
    }
}

impl Hash for Requirement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl Requirement {
    fn meaning(&self) -> (Option<&str>, &str, &Test) {
        (self.source.as_deref(), &self.key, &self.test)
    }

    /// `k8s:key = value`, added by us.
    pub fn k8s_is(key: &str, value: &str) -> Self {
        Self { source: Some("k8s".into()), key: key.into(), test: Test::In(vec![value.into()]), span: None }
    }

    /// `k8s:key Exists`, added by us.
    pub fn k8s_exists(key: &str) -> Self {
        Self { source: Some("k8s".into()), key: key.into(), test: Test::Exists, span: None }
    }

    /// `reserved:name Exists`, added by us.
    pub fn reserved(name: &str) -> Self {
        Self { source: Some("reserved".into()), key: name.into(), test: Test::Exists, span: None }
    }

    /// Whether the source of the key is `k8s` or any: the two that name a Kubernetes label.
    pub fn is_k8s_or_any(&self) -> bool {
        self.source.as_deref().is_none_or(|s| s == "k8s")
    }

    fn names(&self, label: &Label) -> bool {
        match &self.source {
            None => label.key == self.key,
            // A cidr selector matches every label whose prefix lies inside its own.
            Some(source) if source == "cidr" && label.source == "cidr" => {
                match (self.key.parse::<IpNet>(), label.net) {
                    (Ok(outer), Some(inner)) => outer.contains(&inner),
                    _ => label.key == self.key,
                }
            }
            Some(source) => label.source == *source && label.key == self.key,
        }
    }

    /// Whether the labels satisfy it. With `any`, one label of several sources is enough.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        let mut found = labels.iter().filter(|label| self.names(label));
        match &self.test {
            Test::In(values) => found.any(|label| values.contains(&label.value)),
            Test::NotIn(values) => !found.any(|label| values.contains(&label.value)),
            Test::Exists => found.next().is_some(),
            Test::DoesNotExist => found.next().is_none(),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref().unwrap_or("any");
        let key = format!("{source}:{}", self.key);
        match &self.test {
            Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Test::In(values) => write!(f, "{key} in ({})", values.join(",")),
            Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
            Test::Exists => f.write_str(&key),
            Test::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

/// A selector: all requirements must hold; none matches everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Selector {
    /// Requirements.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// Whether the labels satisfy every requirement.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requirements.is_empty() {
            return f.write_str("*");
        }
        for (n, requirement) in self.requirements.iter().enumerate() {
            if n > 0 {
                f.write_str(" and ")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> LabelSet {
        [Label::k8s("app", "web"), Label::cidr("10.1.0.0/16".parse().unwrap())].into_iter().collect()
    }

    fn requirement(source: Option<&'static str>, key: &str, test: Test) -> Requirement {
        Requirement { source: source.map(Into::into), key: key.into(), test, span: None }
    }

    #[test]
    fn negative_operators_hold_for_an_absent_key() {
        assert!(requirement(None, "env", Test::NotIn(vec!["x".into()])).matches(&pod()));
        assert!(requirement(None, "env", Test::DoesNotExist).matches(&pod()));
        assert!(!requirement(None, "app", Test::NotIn(vec!["web".into()])).matches(&pod()));
        assert!(!requirement(None, "env", Test::Exists).matches(&pod()));
    }

    #[test]
    fn a_source_narrows_and_any_does_not() {
        let web = || Test::In(vec!["web".into()]);
        assert!(requirement(None, "app", web()).matches(&pod()));
        assert!(requirement(Some("k8s"), "app", web()).matches(&pod()));
        assert!(!requirement(Some("container"), "app", web()).matches(&pod()));
    }

    #[test]
    fn a_cidr_selector_matches_what_lies_inside() {
        assert!(requirement(Some("cidr"), "10.0.0.0/8", Test::Exists).matches(&pod()));
        assert!(!requirement(Some("cidr"), "10.1.1.0/24", Test::Exists).matches(&pod()));
    }
}
