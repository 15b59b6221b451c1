//! Selectors of the API to selectors of the IR: spec §0.6 (peers) and §2.3 (subjects).

use super::labels::{Requirement, Selector, Test};
use super::options::Options;
use crate::front::objects::{self, KeySource, Operator};

/// Label key of a pod's namespace.
pub const NAMESPACE_KEY: &str = "io.kubernetes.pod.namespace";
/// Prefix of the label keys that carry a namespace's labels.
pub const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
/// Label key of the cluster.
pub const CLUSTER_KEY: &str = "io.cilium.k8s.policy.cluster";

/// A selector as written.
pub fn selector(written: &objects::Selector) -> Selector {
    Selector { requirements: written.requirements.iter().map(requirement).collect() }
}

fn requirement(written: &objects::Requirement) -> Requirement {
    Requirement {
        source: match &written.source {
            KeySource::Any => None,
            KeySource::Only(source) => Some(source.clone()),
        },
        key: written.key.clone(),
        test: test(written),
        span: Some(written.span),
    }
}

fn test(written: &objects::Requirement) -> Test {
    match written.operator {
        Operator::In => Test::In(written.values.clone()),
        Operator::NotIn => Test::NotIn(written.values.clone()),
        Operator::Exists => Test::Exists,
        Operator::DoesNotExist => Test::DoesNotExist,
    }
}

/// A selector over namespace labels: each key `k` becomes `k8s:io.cilium.k8s.namespace.labels.k`.
pub fn namespace_labels(written: &objects::Selector) -> Selector {
    let requirements = written.requirements.iter().map(|r| Requirement {
        source: Some("k8s".into()),
        key: format!("{NAMESPACE_LABELS}{}", r.key),
        test: test(r),
        span: Some(r.span),
    });
    Selector { requirements: requirements.collect() }
}

/// A selector over labels of one source: keys that name none have this one.
pub fn of_source(written: &objects::Selector, source: &'static str) -> Selector {
    let mut out = selector(written);
    for requirement in &mut out.requirements {
        requirement.source.get_or_insert_with(|| source.into());
    }
    out
}

/// A peer selector of a CNP (`namespace` is its own) or CCNP (`None`), scoped by spec §0.6; a `reserved` key exempts it.
pub fn peer(
    written: &objects::Selector,
    namespace: Option<&str>,
    subject_names_init: bool,
    options: &Options,
) -> Selector {
    let is_reserved = |r: &objects::Requirement| r.source == KeySource::Only("reserved".into());
    match written.requirements.iter().any(is_reserved) {
        true => selector(written),
        false => requires(written, namespace, subject_names_init, options),
    }
}

/// A selector of `fromRequires` or `toRequires`, scoped by spec §0.6 whatever its keys are.
pub fn requires(
    written: &objects::Selector,
    namespace: Option<&str>,
    subject_names_init: bool,
    options: &Options,
) -> Selector {
    let mut out = selector(written);
    let has = |f: &dyn Fn(&Requirement) -> bool| out.requirements.iter().any(f);
    let names_cluster = has(&|r| r.key == CLUSTER_KEY && r.is_k8s_or_any());
    if !has(&|r| r.key == NAMESPACE_KEY && r.is_k8s_or_any()) {
        let names_namespace_label = has(&|r| r.key.starts_with(NAMESPACE_LABELS) && r.is_k8s_or_any());
        match namespace {
            None if subject_names_init => {}
            None => out.requirements.push(Requirement::k8s_exists(NAMESPACE_KEY)),
            Some(_) if names_namespace_label => {}
            Some(namespace) => out.requirements.push(Requirement::k8s_is(NAMESPACE_KEY, namespace)),
        }
    }
    if options.default_local_cluster && !names_cluster {
        out.requirements.push(Requirement::k8s_is(CLUSTER_KEY, &options.cluster_name));
    }
    out
}
