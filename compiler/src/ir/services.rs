//! Services, and what `toServices` makes of them (spec §2.9, §7.2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::build::Ctx;
use super::labels::{Label, LabelSet, Requirement, Selector, Test};
use super::scope::{self, NAMESPACE_KEY};
use super::{CidrPeer, CidrSource, Peer, Service};
use crate::diag::{Code, Diagnostic, ObjectRef, Span};
use crate::front::objects::{Objects, ServiceRef};

/// Services by namespace and name, with the addresses of their slices.
pub fn collect(objects: &Objects) -> Vec<Service> {
    let mut backends: BTreeMap<(&str, &str), BTreeSet<IpAddr>> = BTreeMap::new();
    for slice in &objects.slices {
        let key = (slice.meta.object.namespace.as_str(), slice.service.as_str());
        backends.entry(key).or_default().extend(&slice.addresses);
    }
    let service = |written: &crate::front::objects::Service| {
        let object = &written.meta.object;
        Service {
            object: object.clone(),
            labels: written.meta.labels.iter().cloned().collect(),
            selector: written.selector.iter().cloned().collect(),
            backends: backends.get(&(object.namespace.as_str(), object.name.as_str())).cloned().unwrap_or_default(),
            span: written.meta.span,
        }
    };
    let mut services: Vec<Service> = objects.services.iter().map(service).collect();
    services.sort_by(|a, b| a.object.cmp(&b.object));
    services
}

/// The peers that items of an allow element stand for: pods behind a service with a selector, addresses behind one
/// without. W-701 for a selector that 1.18.0 reads in another way.
pub fn peers(ctx: &mut Ctx<'_>, items: &[ServiceRef], object: &ObjectRef) -> Vec<Peer> {
    let mut out = Vec::new();
    for item in items {
        let found = ctx.services().iter().filter(|service| is_meant(item, service));
        for service in found {
            if service.selector.is_empty() {
                out.extend(service.backends.iter().map(|address| backend(*address)));
            } else {
                warn_dotted(ctx, service, span(item), object);
                out.push(Peer::Labels(pods(service)));
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Where an item was written.
pub fn span(item: &ServiceRef) -> Span {
    match item {
        ServiceRef::Name { span, .. } | ServiceRef::Selector { span, .. } => *span,
    }
}

/// A missing or empty namespace is every namespace, also for a namespaced policy.
fn is_meant(item: &ServiceRef, service: &Service) -> bool {
    let in_namespace = |namespace: &Option<String>| {
        namespace.as_deref().is_none_or(|namespace| namespace.is_empty() || namespace == service.object.namespace)
    };
    match item {
        ServiceRef::Name { name, namespace, .. } => *name == service.object.name && in_namespace(namespace),
        ServiceRef::Selector { selector, namespace, .. } => {
            // Labels of a Service have no source, so a key with one names none of them.
            let label = |(key, value): (&String, &String)| Label::new("", key, value);
            let labels: LabelSet = service.labels.iter().map(label).collect();
            in_namespace(namespace) && scope::selector(selector).matches(&labels)
        }
    }
}

fn backend(address: IpAddr) -> Peer {
    Peer::Cidr(CidrPeer { source: CidrSource::Net(IpNet::from(address)), except: Vec::new(), set: true })
}

/// The pods of a service's namespace that its selector means, ready or not.
fn pods(service: &Service) -> Selector {
    let requirement = |(key, value): (&String, &String)| Requirement {
        source: None,
        key: key.clone(),
        test: Test::In(vec![value.clone()]),
        span: None,
    };
    let mut requirements: Vec<_> = service.selector.iter().map(requirement).collect();
    requirements.push(Requirement::k8s_is(NAMESPACE_KEY, &service.object.namespace));
    Selector { requirements }
}

fn warn_dotted(ctx: &mut Ctx<'_>, service: &Service, span: Span, object: &ObjectRef) {
    let Some(key) = service.selector.keys().find(|key| key.contains('.')) else { return };
    let message =
        format!("{} selects pods by `{key}`, which Cilium 1.18.0 reads as a source and a key", service.object);
    let hint = "1.18.0 finds no pod, later releases and this compiler do; select by a key without a dot for both";
    let warning = Diagnostic::warning(Code("W-701"), span, message).related(service.span, "the service").hint(hint);
    ctx.report(warning, object);
}
