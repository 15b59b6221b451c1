//! A rule: its subject, its elements, its switches (spec §2.2, §2.3).

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{CiliumRule, KeySource, Selector, Subject};
use crate::front::selector::{Keys, selector};
use crate::front::yaml::Node;

use super::element::elements;
use super::{Direction, Place, Scope};

/// Reads `spec` or an item of `specs`.
pub fn rule(ctx: &mut Ctx, path: String, node: &Node<'_>, scope: Scope, namespace: &str) -> Option<CiliumRule> {
    let fields = ctx.fields(&path, node)?;
    let subject = subject(ctx, &fields, scope);
    let host = fields.get("nodeSelector").is_some();
    let mut list = |name: &'static str, direction, deny| {
        let node = fields.get(name)?;
        elements(ctx, name, node, Place { scope, namespace, host, direction, deny })
    };
    let ingress = list("ingress", Direction::Ingress, false);
    let ingress_deny = list("ingressDeny", Direction::Ingress, true);
    let egress = list("egress", Direction::Egress, false);
    let egress_deny = list("egressDeny", Direction::Egress, true);
    let written = ["ingress", "ingressDeny", "egress", "egressDeny"];
    // An item that could not be read is an element too.
    if !written
        .iter()
        .any(|name| fields.get(name).is_some_and(|node| node.items().is_none_or(|items| !items.is_empty())))
    {
        ctx.report(
            Diagnostic::error(codes::NO_ELEMENT, node.span, "no direction has an element")
                .hint("write `ingress: [{}]` to isolate a direction without allowing anything"),
        );
    }
    let (default_deny_ingress, default_deny_egress) = match fields.get("enableDefaultDeny") {
        Some(node) => default_deny(ctx, node),
        None => (None, None),
    };
    labels(ctx, &fields, scope);
    if let Some(node) = fields.get("description") {
        ctx.text("description", node);
    }
    let log = fields.get("log").and_then(|node| log(ctx, node));
    fields.finish(ctx, "a rule");
    Some(CiliumRule {
        path,
        subject: subject?,
        ingress,
        ingress_deny,
        egress,
        egress_deny,
        default_deny_ingress,
        default_deny_egress,
        log,
        span: node.span,
    })
}

fn subject(ctx: &mut Ctx, fields: &Fields<'_, '_>, scope: Scope) -> Option<Subject> {
    let endpoints = fields.get("endpointSelector");
    let nodes = fields.get("nodeSelector");
    if let Some(nodes) = nodes.filter(|_| scope == Scope::Namespaced) {
        ctx.report(
            Diagnostic::error(codes::NODE_SUBJECT, nodes.span, "a CiliumNetworkPolicy cannot have a `nodeSelector`")
                .hint("nodes belong to no namespace: write a CiliumClusterwideNetworkPolicy"),
        );
    }
    match (endpoints, nodes) {
        (Some(node), None) => {
            let read = selector(ctx, "endpointSelector", node, Keys::Cilium)?;
            if scope == Scope::Namespaced {
                refuse_init(ctx, &read);
            }
            Some(Subject::Endpoints(read))
        }
        (None, Some(node)) => Some(Subject::Nodes(selector(ctx, "nodeSelector", node, Keys::Cilium)?)),
        (Some(endpoints), Some(nodes)) => {
            ctx.report(
                Diagnostic::error(
                    codes::SUBJECT,
                    nodes.span,
                    "a rule cannot have both `endpointSelector` and `nodeSelector`",
                )
                .related(endpoints.span, "the other subject")
                .hint("make two rules of it"),
            );
            None
        }
        (None, None) => {
            let message = "a rule needs an `endpointSelector` or a `nodeSelector`";
            ctx.report(
                Diagnostic::error(codes::SUBJECT, fields.node.span, message)
                    .hint("`endpointSelector: {}` selects every endpoint"),
            );
            None
        }
    }
}

fn refuse_init(ctx: &mut Ctx, subject: &Selector) {
    let is_init = |source: &KeySource, key: &str| *source == KeySource::Only("reserved".into()) && key == "init";
    for requirement in &subject.requirements {
        if is_init(&requirement.source, &requirement.key) {
            ctx.report(
                Diagnostic::error(
                    codes::INIT_SUBJECT,
                    requirement.span,
                    "a CiliumNetworkPolicy cannot select `reserved:init`",
                )
                .hint("initialising endpoints have no namespace: write a CiliumClusterwideNetworkPolicy"),
            );
        }
    }
}

fn default_deny(ctx: &mut Ctx, node: &Node<'_>) -> (Option<bool>, Option<bool>) {
    let Some(fields) = ctx.fields("enableDefaultDeny", node) else {
        return (None, None);
    };
    let ingress = fields.get("ingress").and_then(|node| ctx.boolean("ingress", node));
    let egress = fields.get("egress").and_then(|node| ctx.boolean("egress", node));
    fields.finish(ctx, "enableDefaultDeny");
    (ingress, egress)
}

/// Labels of a rule tell people where it comes from; they decide nothing.
fn labels(ctx: &mut Ctx, fields: &Fields<'_, '_>, scope: Scope) {
    let Some(node) = fields.get("labels") else {
        return;
    };
    for item in ctx.items("labels", node).unwrap_or_default() {
        // The engine also reads `source:key=value`.
        if scope == Scope::Raw && item.str().is_some() {
            continue;
        }
        let Some(label) = ctx.fields("labels", item) else {
            continue;
        };
        match label.get("key") {
            Some(node) => {
                ctx.text("key", node);
            }
            None => {
                ctx.missing::<()>(codes::MISSING, "key", item.span);
            }
        }
        for name in ["value", "source"] {
            if let Some(node) = label.get(name) {
                ctx.text(name, node);
            }
        }
        label.finish(ctx, "a label");
    }
}

fn log(ctx: &mut Ctx, node: &Node<'_>) -> Option<String> {
    let fields = ctx.fields("log", node)?;
    let value = fields.get("value").and_then(|node| ctx.text("value", node));
    fields.finish(ctx, "log");
    value.map(str::to_owned)
}
