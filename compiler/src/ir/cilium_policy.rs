//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to rules (spec §2).

use std::sync::Arc;

use super::build::Ctx;
use super::cilium_peers::{self, RuleScope};
use super::labels::{Requirement, Selector};
use super::scope::{self, NAMESPACE_KEY};
use super::{
    DefaultDeny, Direction, Policy, Port, PortMatch, Ports, Protocol, ProxyPolicy, Rule, RuleAction, Subject, quirks,
};
use crate::diag::{Code, Diagnostic, ObjectRef};
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
        let scope = RuleScope {
            object: &object.meta.object,
            namespace,
            names_init: names_init(&rule.subject),
            raw: object.raw,
        };
        let lists = [
            (Direction::Ingress, RuleAction::Allow, "ingress", &rule.ingress),
            (Direction::Ingress, RuleAction::Deny, "ingressDeny", &rule.ingress_deny),
            (Direction::Egress, RuleAction::Allow, "egress", &rule.egress),
            (Direction::Egress, RuleAction::Deny, "egressDeny", &rule.egress_deny),
        ];
        for (direction, action, field, elements) in lists {
            for (n, element) in elements.iter().flatten().enumerate() {
                let path = format!("{}.{field}[{n}]", rule.path);
                let peers = cilium_peers::peers(ctx, element, action, scope);
                let requires = cilium_peers::requires(ctx, element, scope);
                refuse_switched_off(ctx, element, &object.meta.object);
                quirks::icmp_type_zero(ctx, element, &object.meta.object);
                ctx.rule(Rule {
                    policy,
                    direction,
                    action,
                    path,
                    span: element.span,
                    peers,
                    requires,
                    ports: l4(element),
                    auth: element.authentication.map(|auth| auth.value),
                });
            }
        }
    }
}

/// What an option of the cluster rules out (spec §0.2).
fn refuse_switched_off(ctx: &mut Ctx<'_>, element: &Element, object: &ObjectRef) {
    let (l7_proxy, icmp_rules) = (ctx.options().l7_proxy, ctx.options().icmp_rules);
    for l7 in element.to_ports.iter().flatten().filter_map(|item| item.l7.as_ref()).filter(|_| !l7_proxy) {
        let message = "L7 rules need the proxy, and enable-l7-proxy is off";
        let hint = "switch it on in cilium-config, or leave `rules` out";
        ctx.report(Diagnostic::error(Code("E-242"), l7.span, message).hint(hint), object);
    }
    for field in element.icmps.iter().flatten().flatten().filter(|_| !icmp_rules) {
        let message = "`icmps` has no meaning while enable-icmp-rules is off";
        let hint = "switch it on in cilium-config, or leave `icmps` out";
        ctx.report(Diagnostic::error(Code("F-204"), field.span, message).hint(hint), object);
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
