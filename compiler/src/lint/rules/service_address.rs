//! CL034: a rule by what clients address, the address or port of a Service, where policy sees what stands behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::prefixes;
use crate::front::objects::{CiliumPolicy, Element, Entity, PortSpec, Service, ServiceRef};
use crate::ir::Direction;
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// A larger prefix may be meant for what else lies in it.
const HOST_BITS_MAX: u8 = 8;

/// The Service of the API server.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let services = &facts.objects.services;
    let mut by_name: BTreeMap<&str, Vec<&Service>> = BTreeMap::new();
    let mut by_address: BTreeMap<IpAddr, &Service> = BTreeMap::new();
    for service in services {
        by_name.entry(&service.meta.object.name).or_default().push(service);
        by_address.extend(service.cluster_ips.iter().map(|address| (*address, service)));
    }
    let mut out = Vec::new();
    for prefix in prefixes(facts.objects).filter(|prefix| prefix.direction == Direction::Egress) {
        let net = prefix.cidr.value;
        let mut inside = by_address.range(net.network()..=net.broadcast());
        let narrow = net.max_prefix_len() - net.prefix_len() <= HOST_BITS_MAX;
        let is_excepted = |address: &IpAddr| prefix.except.iter().any(|except| except.value.contains(address));
        if let Some((address, service)) = inside.find(|(address, _)| narrow && !is_excepted(address)) {
            let message =
                format!("{net} holds {address} of {}, which is translated before policy is asked", service.meta.object);
            let hint = "policy sees the pod behind the service: select it by labels, or the service with `toServices`";
            out.push(
                Finding::new(prefix.cidr.span, prefix.object, message)
                    .related(service.meta.span, "the service")
                    .hint(hint),
            );
        }
    }
    for (policy, element) in facts.objects.cilium_policies.iter().flat_map(egress) {
        for service in meant(element, &by_name) {
            if let Some((port, target)) = untranslated(element, service) {
                let object = &service.meta.object;
                let message =
                    format!("port {port} is that of {object}: policy is asked about {target}, that of its backends");
                let hint = "service ports are translated before policy is asked; write the port of the backends";
                out.push(
                    Finding::new(element.span, &policy.meta.object, message)
                        .related(service.meta.span, "the service")
                        .hint(hint),
                );
            }
        }
    }
    out
}

fn egress(policy: &CiliumPolicy) -> impl Iterator<Item = (&CiliumPolicy, &Element)> {
    let lists = policy.rules.iter().flat_map(|rule| [&rule.egress, &rule.egress_deny]);
    lists.flatten().flatten().map(move |element| (policy, element))
}

/// Services that an element names: by `toServices`, or the API server's by its entity.
fn meant<'a>(element: &Element, by_name: &BTreeMap<&str, Vec<&'a Service>>) -> Vec<&'a Service> {
    let named = |name: &str, namespace: Option<&str>| {
        let all = by_name.get(name).into_iter().flatten().copied();
        let fits = |service: &&Service| namespace.is_none_or(|ns| ns.is_empty() || ns == service.meta.object.namespace);
        all.filter(fits).collect::<Vec<_>>()
    };
    let by_reference = element.services.iter().flat_map(|item| match item {
        ServiceRef::Name { name, namespace, .. } => named(name, namespace.as_deref()),
        ServiceRef::Selector { .. } => Vec::new(),
    });
    let api_server = element.entities.iter().flatten().any(|entity| entity.value == Entity::KubeApiserver);
    let by_entity = if api_server { named(API_SERVER.1, Some(API_SERVER.0)) } else { Vec::new() };
    by_reference.chain(by_entity).collect()
}

/// A port of the element that is the service's and none of its targets', with the target.
fn untranslated<'a>(element: &Element, service: &'a Service) -> Option<(u16, &'a str)> {
    let written = || {
        element.to_ports.iter().flatten().flat_map(|item| &item.ports).filter_map(|port| match port {
            PortSpec::Range { first, last, .. } => Some((*first, *last)),
            PortSpec::Named { .. } => None,
        })
    };
    let is_written = |port: u16| written().any(|(first, last)| (first..=last).contains(&port));
    service.ports.iter().find_map(|own| {
        let target: Option<u16> = own.target.parse().ok();
        let is_target = service.ports.iter().any(|other| other.target == own.port.to_string());
        let named = written().any(|range| range == (own.port, own.port));
        // A target with a name may be any number.
        (named && !is_target && !is_written(target?)).then_some((own.port, own.target.as_str()))
    })
}
