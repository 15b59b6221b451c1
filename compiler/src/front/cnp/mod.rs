//! CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and lists of raw rules (spec §2).
//!
//! One file for each construct. What the engine or the schema of the CRD refuses is refused here.

mod cidr;
mod element;
mod entity;
mod http;
mod icmp;
pub mod kafka;
mod l7;
mod peers;
mod ports;
mod proxy;
mod rule;
mod tls;

pub use peers::aws_group;

use crate::diag::{Diagnostic, ObjectRef};

use super::codes;
use super::decode::Ctx;
use super::meta::{meta, no_namespace};
use super::objects::{CiliumPolicy, Meta};
use super::yaml::{Node, digest};

/// Where a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// CiliumNetworkPolicy: one namespace.
    Namespaced,
    /// CiliumClusterwideNetworkPolicy.
    Cluster,
    /// A list of rules without an object (spec §2.13): cluster-wide, and the schema of the CRDs does not count.
    Raw,
}

/// Whose words an element uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// `from...`
    Ingress,
    /// `to...`
    Egress,
}

/// Where an element stands, which decides what it may hold.
#[derive(Debug, Clone, Copy)]
struct Place<'o> {
    /// Kind of the policy.
    scope: Scope,
    /// Namespace of the policy, empty for cluster-wide ones.
    namespace: &'o str,
    /// The subject of the rule is nodes.
    host: bool,
    /// Direction of the element.
    direction: Direction,
    /// It is in `ingressDeny` or `egressDeny`.
    deny: bool,
}

/// Reads a policy of either kind.
pub fn cilium_policy(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef, scope: Scope) -> Option<CiliumPolicy> {
    let top = ctx.fields(&object.kind, root)?;
    top.ignore(&["apiVersion", "kind", "metadata", "status"]);
    let (spec, specs) = (top.get("spec"), top.get("specs"));
    top.finish(ctx, format_args!("a {}", object.kind));
    let meta = meta(ctx, root, object, true);
    if scope == Scope::Cluster {
        no_namespace(ctx, root, &format!("a {}", object.kind), Some("CiliumNetworkPolicy"));
    }
    let items = specs.and_then(|node| ctx.items("specs", node)).unwrap_or_default();
    if spec.is_none() && items.is_empty() {
        ctx.report(
            Diagnostic::error(codes::NO_SPEC, root.span, "neither `spec` nor `specs` is there")
                .hint("a policy needs at least one rule"),
        );
    }
    let mut rules = Vec::new();
    if let Some(node) = spec {
        rules.extend(rule::rule(ctx, "spec".to_owned(), node, scope, &object.namespace));
    }
    for (item, index) in items.iter().zip(0usize..) {
        rules.extend(rule::rule(ctx, format!("specs[{index}]"), item, scope, &object.namespace));
    }
    Some(CiliumPolicy { meta: meta?, raw: false, rules })
}

/// Whether a node looks like a rule that no object holds.
pub fn is_raw_rule(node: &Node<'_>) -> bool {
    const FIELDS: [&str; 6] = ["endpointSelector", "nodeSelector", "ingress", "ingressDeny", "egress", "egressDeny"];
    FIELDS.iter().any(|name| node.get(name).is_some())
}

/// Name of a list of raw rules, which has none of its own: from its content, so that it moves with it.
pub fn raw_rules_ref(root: &Node<'_>) -> ObjectRef {
    let name = digest(root).chars().take(12).collect();
    ObjectRef { kind: "Rule".to_owned(), namespace: String::new(), name }
}

/// Reads a list of raw rules (spec §2.13).
pub fn raw_rules(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<CiliumPolicy> {
    ctx.allow_unknown_fields();
    let items = ctx.items("rules", root)?;
    let rules = items.iter().zip(0usize..);
    let rules = rules.filter_map(|(item, index)| rule::rule(ctx, format!("[{index}]"), item, Scope::Raw, "")).collect();
    let meta =
        Meta { object: object.clone(), labels: Vec::new(), annotations: Vec::new(), owner: None, span: root.span };
    Some(CiliumPolicy { meta, raw: true, rules })
}
