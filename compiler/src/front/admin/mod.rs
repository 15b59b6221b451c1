//! AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy of `policy.networking.k8s.io` (spec §6.1).
//!
//! The three say the same in two notations: `v1alpha1` has the first two kinds, `v1alpha2` the third.

mod peer;
mod ports;

use crate::diag::{Diagnostic, ObjectRef, Span};

use super::codes;
use super::decode::{Ctx, Fields};
use super::meta::{meta, no_namespace};
use super::objects::{AdminAction, AdminPeer, AdminPolicy, AdminPort, AdminRule, Tier};
use super::yaml::Node;

/// Highest `priority`.
const PRIORITY_MAX: u16 = 1000;
/// Priority of the BaselineAdminNetworkPolicy, which has none: behind all of its tier.
const PRIORITY_BASELINE: u16 = PRIORITY_MAX + 1;
/// Characters of a rule's name.
const NAME_MAX: usize = 100;

/// Which of the three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminKind {
    /// AdminNetworkPolicy, `v1alpha1`.
    Admin,
    /// BaselineAdminNetworkPolicy, `v1alpha1`.
    Baseline,
    /// ClusterNetworkPolicy, `v1alpha2`.
    Cluster,
}

impl AdminKind {
    fn words(self) -> &'static str {
        match self {
            Self::Admin => "an AdminNetworkPolicy",
            Self::Baseline => "a BaselineAdminNetworkPolicy",
            Self::Cluster => "a ClusterNetworkPolicy",
        }
    }

    /// Rules of a direction.
    fn rules_max(self) -> usize {
        match self {
            Self::Admin | Self::Baseline => 100,
            Self::Cluster => 25,
        }
    }

    /// Items of `from`, `to`, `ports` and `protocols`.
    fn items_max(self) -> usize {
        self.rules_max()
    }

    /// Words of `action`.
    fn actions(self) -> &'static [(&'static str, AdminAction)] {
        match self {
            Self::Admin => &[("Allow", AdminAction::Allow), ("Deny", AdminAction::Deny), ("Pass", AdminAction::Pass)],
            Self::Baseline => &[("Allow", AdminAction::Allow), ("Deny", AdminAction::Deny)],
            Self::Cluster => {
                &[("Accept", AdminAction::Allow), ("Deny", AdminAction::Deny), ("Pass", AdminAction::Pass)]
            }
        }
    }
}

/// A direction of a policy, in the words of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ingress,
    Egress,
}

impl Side {
    fn rules(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

/// Reads a policy of any of the kinds.
pub fn admin_policy(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef, kind: AdminKind) -> Option<AdminPolicy> {
    let top = ctx.fields(&object.kind, root)?;
    top.ignore(&["apiVersion", "kind", "metadata", "status"]);
    let spec = top.get("spec");
    top.finish(ctx, kind.words());
    let meta = meta(ctx, root, object, true);
    no_namespace(ctx, root, kind.words(), None);
    if kind == AdminKind::Baseline && !object.name.is_empty() && object.name != "default" {
        let named = root.get("metadata").and_then(|meta| meta.get("name")).map_or(root.span, |name| name.span);
        let message = format!("a BaselineAdminNetworkPolicy is named `default`, not {:?}", object.name);
        ctx.report(Diagnostic::error(codes::TIER_NAME, named, message).hint("there is one in a cluster"));
    }
    let Some(spec) = spec else {
        return ctx.missing(codes::MISSING, "spec", root.span);
    };
    let fields = ctx.fields("spec", spec)?;
    let tier = match kind {
        AdminKind::Admin => Some(Tier::Admin),
        AdminKind::Baseline => Some(Tier::Baseline),
        AdminKind::Cluster => tier(ctx, &fields),
    };
    let priority = match kind {
        AdminKind::Baseline => Some(PRIORITY_BASELINE),
        AdminKind::Admin | AdminKind::Cluster => priority(ctx, &fields),
    };
    let subject = match fields.get("subject") {
        Some(node) => peer::subject(ctx, node),
        None => ctx.missing(codes::TIER_SUBJECT, "subject", spec.span),
    };
    let ingress = fields.get("ingress").map(|node| rules(ctx, node, kind, Side::Ingress)).unwrap_or_default();
    let egress = fields.get("egress").map(|node| rules(ctx, node, kind, Side::Egress)).unwrap_or_default();
    fields.finish(ctx, format_args!("the spec of {}", kind.words()));
    Some(AdminPolicy { meta: meta?, tier: tier?, priority: priority?, subject: subject?, ingress, egress })
}

fn tier(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<Tier> {
    let Some(node) = fields.get("tier") else {
        return ctx.missing(codes::TIER, "tier", fields.node.span);
    };
    match ctx.text("tier", node)? {
        "Admin" => Some(Tier::Admin),
        "Baseline" => Some(Tier::Baseline),
        other => {
            ctx.error(codes::TIER, node.span, format!("tier {other:?} is not Admin or Baseline"));
            None
        }
    }
}

fn priority(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<u16> {
    let Some(node) = fields.get("priority") else {
        return ctx.missing(codes::TIER_PRIORITY, "priority", fields.node.span);
    };
    let number = ctx.integer("priority", node)?;
    let priority = u16::try_from(number).ok().filter(|number| *number <= PRIORITY_MAX);
    if priority.is_none() {
        let message = format!("priority {number} is not between 0 and {PRIORITY_MAX}");
        ctx.error(codes::TIER_PRIORITY, node.span, message);
    }
    priority
}

fn rules(ctx: &mut Ctx, node: &Node<'_>, kind: AdminKind, side: Side) -> Vec<AdminRule> {
    let items = ctx.items(side.rules(), node).unwrap_or_default();
    if items.len() > kind.rules_max() {
        let message = format!("{} {} rules, the limit is {}", items.len(), side.rules(), kind.rules_max());
        ctx.report(
            Diagnostic::error(codes::TIER_RULES, node.span, message)
                .hint("move rules to another policy with a higher priority number"),
        );
    }
    items.iter().filter_map(|item| rule(ctx, item, kind, side)).collect()
}

fn rule(ctx: &mut Ctx, node: &Node<'_>, kind: AdminKind, side: Side) -> Option<AdminRule> {
    let fields = ctx.fields(side.rules(), node)?;
    let name = fields.get("name").and_then(|node| name(ctx, node));
    let action = action(ctx, &fields, kind);
    let peers = peers(ctx, &fields, kind, side);
    let ports = ports::ports(ctx, &fields, kind);
    fields.finish(ctx, format_args!("an {} rule", side.rules()));
    if let Some(ports) = &ports {
        named_ports_have_pods(ctx, &peers, ports);
    }
    let action = action?;
    if action != AdminAction::Allow {
        for peer in &peers {
            if let (AdminPeer::DomainNames(_), span) = peer {
                let message = "`domainNames` in a rule that does not allow";
                ctx.report(
                    Diagnostic::error(codes::TIER_NAMES, *span, message)
                        .hint("names can be allowed; deny everything else in a later rule"),
                );
            }
        }
    }
    let peers = peers.into_iter().map(|(peer, _)| peer).collect();
    Some(AdminRule { name, action, peers, ports, span: node.span })
}

fn name(ctx: &mut Ctx, node: &Node<'_>) -> Option<String> {
    let text = ctx.text("name", node)?;
    let length = text.chars().count();
    if length > NAME_MAX {
        let message = format!("a rule name of {length} characters, the limit is {NAME_MAX}");
        ctx.error(codes::TIER_RULE_NAME, node.span, message);
    }
    Some(text.to_owned())
}

fn action(ctx: &mut Ctx, fields: &Fields<'_, '_>, kind: AdminKind) -> Option<AdminAction> {
    let Some(node) = fields.get("action") else {
        return ctx.missing(codes::TIER_ACTION, "action", fields.node.span);
    };
    let text = ctx.text("action", node)?;
    let known = kind.actions();
    let found = known.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        let diagnostic = Diagnostic::error(
            codes::TIER_ACTION,
            node.span,
            format!("action {text:?} is none of {} here", words.join(", ")),
        );
        ctx.report(match text {
            "Allow" => diagnostic.hint("in v1alpha2 the word is Accept"),
            "Accept" => diagnostic.hint("in v1alpha1 the word is Allow"),
            "Pass" => diagnostic.hint("behind the baseline there is nothing to pass to; leave the rule out"),
            _ => diagnostic,
        });
    }
    found.map(|(_, action)| *action)
}

fn peers(ctx: &mut Ctx, fields: &Fields<'_, '_>, kind: AdminKind, side: Side) -> Vec<(AdminPeer, Span)> {
    let name = side.peers();
    let Some(node) = fields.get(name) else {
        ctx.report(
            Diagnostic::error(codes::TIER_PEERS, fields.node.span, format!("`{name}` is missing"))
                .hint("write `namespaces: {}` for every pod"),
        );
        return Vec::new();
    };
    let Some(items) = ctx.items(name, node) else { return Vec::new() };
    let max = kind.items_max();
    if items.is_empty() || items.len() > max {
        let message = format!("`{name}` has {} peers, it must have 1 to {max}", items.len());
        ctx.error(codes::TIER_PEERS, node.span, message);
    }
    items.iter().filter_map(|item| Some((peer::peer(ctx, item, kind, side)?, item.span))).collect()
}

/// A port has a name at a pod, not at an address.
fn named_ports_have_pods(ctx: &mut Ctx, peers: &[(AdminPeer, Span)], ports: &[AdminPort]) {
    let by_address = peers.iter().find(|(peer, _)| match peer {
        AdminPeer::Networks(_) | AdminPeer::Nodes(_) | AdminPeer::DomainNames(_) => true,
        AdminPeer::Pods(_) | AdminPeer::Unknown(_) => false,
    });
    let Some((_, peer)) = by_address else { return };
    for port in ports {
        let AdminPort::Named { name, span } = port else { continue };
        ctx.report(
            Diagnostic::error(
                codes::TIER_NAMED_PORT,
                *span,
                format!("port name {name:?} in a rule with peers that are no pods"),
            )
            .related(*peer, "this peer has no port names")
            .hint("write the number, or make two rules"),
        );
    }
}
