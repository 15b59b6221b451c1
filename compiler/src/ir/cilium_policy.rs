//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to rules (spec §2).

use std::sync::Arc;

use ipnet::IpNet;

use super::build::Ctx;
use super::labels::{Requirement, Selector};
use super::scope::{self, NAMESPACE_KEY};
use super::{
    CidrPeer, CidrSource, DefaultDeny, Direction, Entity, Peer, Peers, Policy, Port, PortMatch, Ports, Protocol,
    ProxyPolicy, Rule, RuleAction, Subject,
};
use crate::diag::{Code, Diagnostic, Spanned};
use crate::front::objects::{self, CiliumPolicy, CiliumRule, Element, IcmpField, KeySource, PortRule, PortSpec};

/// Adds one object.
pub fn add(ctx: &mut Ctx<'_>, object: &CiliumPolicy) {
    let namespace = Some(object.meta.object.namespace.as_str()).filter(|n| !n.is_empty());
    for (n, rule) in object.rules.iter().enumerate() {
        let subject = match &rule.subject {
            objects::Subject::Endpoints(selector) => Subject::Endpoints(subject(ctx, object, selector, namespace)),
            objects::Subject::Nodes(selector) => {
                if !ctx.options().host_firewall {
                    let message = "this host policy has no effect: enable-host-firewall is off";
                    ctx.report(Diagnostic::warning(Code("W-202"), selector.span, message), &object.meta.object);
                }
                Subject::Nodes(scope::selector(selector))
            }
        };
        let policy = ctx.policy(Policy {
            object: object.meta.object.clone(),
            spec_index: n as u32,
            path: rule.path.clone(),
            subject,
            namespace: namespace.map(Into::into),
            tier: None,
            default_deny: default_deny(ctx, rule),
            log: rule.log.clone(),
            span: rule.span,
        });
        let names_init = names_init(&rule.subject);
        let lists = [
            (Direction::Ingress, RuleAction::Allow, "ingress", &rule.ingress),
            (Direction::Ingress, RuleAction::Deny, "ingressDeny", &rule.ingress_deny),
            (Direction::Egress, RuleAction::Allow, "egress", &rule.egress),
            (Direction::Egress, RuleAction::Deny, "egressDeny", &rule.egress_deny),
        ];
        for (direction, action, field, elements) in lists {
            for (n, element) in elements.iter().flatten().enumerate() {
                let path = format!("{}.{field}[{n}]", rule.path);
                let scoped = |selector: &objects::Selector| match object.raw {
                    true => scope::selector(selector),
                    false => scope::peer(selector, namespace, names_init, ctx.options()),
                };
                let peers = peers(ctx, element, scoped);
                ctx.rule(Rule {
                    policy,
                    direction,
                    action,
                    path,
                    span: element.span,
                    peers,
                    requires: element.requires.iter().map(scope::selector).collect(),
                    ports: l4(element),
                    auth: element.authentication.map(|auth| auth.value),
                });
            }
        }
    }
}

fn subject(ctx: &mut Ctx<'_>, object: &CiliumPolicy, written: &objects::Selector, namespace: Option<&str>) -> Selector {
    let mut out = scope::selector(written);
    let Some(namespace) = namespace else {
        return out;
    };
    // A `k8s:` namespace in matchLabels is overwritten; every other condition on it stays and is ANDed (§2.3).
    for written in &written.requirements {
        if is_pinned(written) && written.values != [namespace] {
            let message =
                format!("namespace `{}` is replaced by the policy's own, `{namespace}`", written.values.join(","));
            let hint = "a CiliumNetworkPolicy selects endpoints of its own namespace only";
            ctx.report(Diagnostic::warning(Code("W-201"), written.span, message).hint(hint), &object.meta.object);
        }
    }
    let mut kept = written.requirements.iter().map(|r| !is_pinned(r));
    out.requirements.retain(|_| kept.next().unwrap_or(true));
    out.requirements.push(Requirement::k8s_is(NAMESPACE_KEY, namespace));
    out
}

fn is_pinned(written: &objects::Requirement) -> bool {
    written.match_labels && written.key == NAMESPACE_KEY && written.source == KeySource::Only("k8s".into())
}

fn names_init(subject: &objects::Subject) -> bool {
    match subject {
        objects::Subject::Endpoints(selector) => {
            selector.requirements.iter().any(|r| r.key == "init" && r.source == KeySource::Only("reserved".into()))
        }
        objects::Subject::Nodes(_) => false,
    }
}

fn default_deny(ctx: &Ctx<'_>, rule: &CiliumRule) -> DefaultDeny {
    let has = |allow: &Option<Vec<Element>>, deny: &Option<Vec<Element>>| {
        [allow, deny].into_iter().flatten().any(|list| !list.is_empty())
    };
    if !ctx.options().non_default_deny {
        return DefaultDeny { ingress: true, egress: true };
    }
    DefaultDeny {
        ingress: rule.default_deny_ingress.unwrap_or(has(&rule.ingress, &rule.ingress_deny)),
        egress: rule.default_deny_egress.unwrap_or(has(&rule.egress, &rule.egress_deny)),
    }
}

/// Spec §2.4: absent, empty and `{}`.
fn peers(ctx: &Ctx<'_>, element: &Element, scoped: impl Fn(&objects::Selector) -> Selector) -> Peers {
    let lists = [
        element.endpoints.as_ref().map(Vec::len),
        element.cidr.as_ref().map(Vec::len),
        element.cidr_set.as_ref().map(Vec::len),
        element.entities.as_ref().map(Vec::len),
        element.nodes.as_ref().map(Vec::len),
        // Of this one the empty list is the absent one.
        Some(element.fqdns.len()).filter(|n| *n > 0),
    ];
    if lists.contains(&Some(0)) {
        return Peers::Nobody;
    }
    if lists.iter().all(Option::is_none) {
        let has_l4 = element.to_ports.is_some() || element.icmps.is_some();
        return if has_l4 { Peers::Everyone } else { Peers::Nobody };
    }
    let mut out = Vec::new();
    out.extend(element.endpoints.iter().flatten().map(|selector| Peer::Labels(scoped(selector))));
    if let Some(cidrs) = &element.cidr {
        out.extend(cidr_list(ctx, cidrs));
    }
    for set in element.cidr_set.iter().flatten() {
        let source = match &set.source {
            objects::CidrSource::Cidr(net) => CidrSource::Net(net.value),
            objects::CidrSource::GroupRef(name) => CidrSource::Group(name.value.clone()),
            objects::CidrSource::GroupSelector(selector) => CidrSource::Groups(scope::selector(selector)),
        };
        let except = set.except.iter().map(|e| e.value).collect();
        out.push(Peer::Cidr(CidrPeer { source, except, set: true }));
    }
    out.extend(element.nodes.iter().flatten().map(|selector| Peer::Nodes(scope::selector(selector))));
    out.extend(element.fqdns.iter().map(|fqdn| Peer::Fqdn(fqdn.value.clone())));
    for entity in element.entities.iter().flatten() {
        out.push(Peer::Entity(entity.value));
    }
    // The wildcard swallows its neighbours (§4.2).
    if out.contains(&Peer::Entity(Entity::All)) { Peers::Everyone } else { Peers::AnyOf(out) }
}

fn cidr_list(ctx: &Ctx<'_>, cidrs: &[Spanned<IpNet>]) -> Vec<Peer> {
    let peer = |net| Peer::Cidr(CidrPeer { source: CidrSource::Net(net), except: Vec::new(), set: false });
    let mut out: Vec<_> = cidrs.iter().map(|c| peer(c.value)).collect();
    let whole = |v4: bool| cidrs.iter().any(|c| c.value.prefix_len() == 0 && c.value.addr().is_ipv4() == v4);
    // Both /0 prefixes in one list also select plain `reserved:world` in dual stack (§2.8).
    if ctx.options().dual_stack() && whole(true) && whole(false) {
        out.push(Peer::Labels(Selector { requirements: vec![Requirement::reserved("world")] }));
    }
    out
}

fn l4(element: &Element) -> Ports {
    match (&element.to_ports, &element.icmps) {
        (None, None) => Ports::All,
        (to_ports, icmps) => {
            let mut out: Vec<PortMatch> =
                to_ports.iter().flatten().flat_map(|item| ports(&item.ports, proxy(item))).collect();
            out.extend(icmps.iter().flatten().flatten().map(|field| PortMatch { port: icmp(field), proxy: None }));
            Ports::AnyOf(out)
        }
    }
}

/// What an item asks of the proxy, if anything.
fn proxy(item: &PortRule) -> Option<Arc<ProxyPolicy>> {
    let policy = ProxyPolicy {
        l7: item.l7.as_ref().map(|l7| l7.value.clone()),
        server_names: item.server_names.iter().cloned().collect(),
        terminating_tls: item.terminating_tls.clone(),
        originating_tls: item.originating_tls.clone(),
        listener: item.listener.clone(),
    };
    (policy != ProxyPolicy::default()).then(|| Arc::new(policy))
}

fn icmp(field: &IcmpField) -> Port {
    if field.ipv6 { Port::Icmp6(field.icmp_type) } else { Port::Icmp(field.icmp_type) }
}

/// Port items; `ANY` is TCP, UDP and SCTP, never ICMP (§2.11).
pub fn ports(items: &[PortSpec], proxy: Option<Arc<ProxyPolicy>>) -> Vec<PortMatch> {
    let protocols = |protocol: &Option<Protocol>| match protocol {
        Some(protocol) => vec![*protocol],
        None => vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
    };
    let mut out = Vec::new();
    let mut add = |port| out.push(PortMatch { port, proxy: proxy.clone() });
    for item in items {
        match item {
            PortSpec::Range { protocol, first, last, .. } => {
                for protocol in protocols(protocol) {
                    add(Port::Range { protocol, first: *first, last: *last });
                }
            }
            PortSpec::Named { protocol, name, span } => {
                for protocol in protocols(protocol) {
                    add(Port::Named { protocol, name: name.clone(), span: *span });
                }
            }
        }
    }
    out
}
