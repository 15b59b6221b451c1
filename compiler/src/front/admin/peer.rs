//! Subjects and peers.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, spanned};
use crate::front::names::nearest;
use crate::front::np::{cidr, net};
use crate::front::objects::{AdminPeer, PodSelector, Selector};
use crate::front::parse;
use crate::front::selector::{Keys, selector};
use crate::front::yaml::{Entry, Node};

use super::{AdminKind, Side};

/// Items of `networks` and `domainNames`.
const ADDRESSES_MAX: usize = 25;

/// Reads `subject`.
pub fn subject(ctx: &mut Ctx, node: &Node<'_>) -> Option<PodSelector> {
    let fields = ctx.fields("subject", node)?;
    let (namespaces, pods) = (fields.get("namespaces"), fields.get("pods"));
    fields.finish(ctx, "a subject");
    match (namespaces, pods) {
        (Some(node), None) => namespaces_selector(ctx, node),
        (None, Some(node)) => pods_selector(ctx, node, codes::TIER_SUBJECT),
        (None, None) | (Some(_), Some(_)) => {
            let message = "a subject has exactly one of `namespaces` and `pods`";
            ctx.report(
                Diagnostic::error(codes::TIER_SUBJECT, node.span, message)
                    .hint("`pods` has a namespaceSelector of its own"),
            );
            None
        }
    }
}

/// Reads an item of `from` or `to`.
pub fn peer(ctx: &mut Ctx, node: &Node<'_>, kind: AdminKind, side: Side) -> Option<AdminPeer> {
    let fields = ctx.fields(side.peers(), node)?;
    const KNOWN: [&str; 5] = ["namespaces", "pods", "networks", "nodes", "domainNames"];
    let written: Vec<(&str, &Node<'_>)> =
        KNOWN.into_iter().filter_map(|name| Some((name, fields.get(name)?))).collect();
    if written.is_empty()
        && let Some(entry) = node.entries().unwrap_or_default().iter().find(|entry| !entry.value.is_null())
    {
        let name = entry.key.key_text();
        if nearest(&name, KNOWN).is_none() {
            ctx.report(
                Diagnostic::warning(codes::TIER_UNKNOWN_PEER, entry.key.span, format!("peers by `{name}` are unknown"))
                    .hint("an allow rule with such a peer matches nothing, any other rule denies every peer"),
            );
            return Some(AdminPeer::Unknown(node.span));
        }
    }
    fields.finish(ctx, "a peer");
    let [(name, value)] = written.as_slice() else {
        let message = format!("a peer has exactly one of its fields, this one has {}", written.len());
        ctx.report(
            Diagnostic::error(codes::TIER_PEER, node.span, message).hint("make them items of the list, which is an OR"),
        );
        return None;
    };
    if side == Side::Ingress && !matches!(*name, "namespaces" | "pods") {
        ctx.error(codes::TIER_PEER, value.span, format!("`{name}` selects peers of `egress` only"));
        return None;
    }
    match *name {
        "namespaces" => namespaces_selector(ctx, value).map(AdminPeer::Pods),
        "pods" => pods_selector(ctx, value, codes::TIER_PEER).map(AdminPeer::Pods),
        "nodes" => selector(ctx, "nodes", value, Keys::Policy).map(AdminPeer::Nodes),
        "networks" => networks(ctx, value).map(AdminPeer::Networks),
        _ => {
            if kind == AdminKind::Baseline {
                let message = "a BaselineAdminNetworkPolicy has no `domainNames`";
                ctx.error(codes::TIER_NAMES, value.span, message);
            }
            domain_names(ctx, value).map(AdminPeer::DomainNames)
        }
    }
}

fn namespaces_selector(ctx: &mut Ctx, node: &Node<'_>) -> Option<PodSelector> {
    let drafted = |entry: &&Entry<'_>| entry.key.key_text() == "namespaceSelector";
    if let Some(entry) = node.entries().unwrap_or_default().iter().find(drafted) {
        let message = "`namespaceSelector` is not a field of `namespaces`";
        ctx.report(
            Diagnostic::error(codes::UNKNOWN_FIELD, entry.key.span, message)
                .hint("so it was in drafts of the API; now `namespaces` is the selector itself"),
        );
        return None;
    }
    Some(PodSelector { namespaces: selector(ctx, "namespaces", node, Keys::Policy)?, pods: None })
}

fn pods_selector(ctx: &mut Ctx, node: &Node<'_>, code: Code) -> Option<PodSelector> {
    let fields = ctx.fields("pods", node)?;
    let namespaces = match fields.get("namespaceSelector") {
        Some(node) => selector(ctx, "namespaceSelector", node, Keys::Policy),
        None => Some(Selector { requirements: Vec::new(), span: node.span }),
    };
    let pods = match fields.get("podSelector") {
        Some(node) => selector(ctx, "podSelector", node, Keys::Policy),
        None => ctx.missing(code, "podSelector", node.span),
    };
    fields.finish(ctx, "`pods`");
    Some(PodSelector { namespaces: namespaces?, pods: Some(pods?) })
}

fn networks(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<Spanned<ipnet::IpNet>>> {
    let items = addresses(ctx, "networks", node)?;
    let nets: Vec<_> = items.iter().filter_map(|item| Some(net(&cidr(ctx, "networks", item)?))).collect();
    let mut seen = BTreeSet::new();
    for net in &nets {
        if !seen.insert(net.value) {
            ctx.error(codes::TIER_PEERS, net.span, format!("network {} stands twice", net.value));
        }
    }
    Some(nets)
}

fn domain_names(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<Spanned<String>>> {
    let items = addresses(ctx, "domainNames", node)?;
    Some(items.iter().filter_map(|item| domain_name(ctx, item)).collect())
}

/// A name of two labels at least, the first of which may be `*`; a dot at the end changes nothing.
fn domain_name(ctx: &mut Ctx, node: &Node<'_>) -> Option<Spanned<String>> {
    let written = ctx.text("domainNames", node)?;
    let lower = written.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let literal = name.strip_prefix("*.").unwrap_or(name);
    let whole = |c: char| c.is_ascii_alphanumeric();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.starts_with(whole)
            && label.ends_with(whole)
            && label.chars().all(|c| whole(c) || matches!(c, '-' | '_'))
    };
    if literal.contains('.') && name.len() <= 253 && literal.split('.').all(is_label) {
        return Some(spanned(node, name.to_owned()));
    }
    let message = "a name has two labels or more of letters, digits and `-`, and at most one leading `*.`";
    ctx.wrong(codes::FQDN, node, "domain name", &parse::Wrong::whole(written, message));
    None
}

/// The items of a list of addresses, of which there are 1 to 25.
fn addresses<'n, 'a>(ctx: &mut Ctx, name: &str, node: &'n Node<'a>) -> Option<&'n [Node<'a>]> {
    let items = ctx.items(name, node)?;
    if items.is_empty() || items.len() > ADDRESSES_MAX {
        let message = format!("`{name}` has {} items, it must have 1 to {ADDRESSES_MAX}", items.len());
        ctx.error(codes::TIER_PEERS, node.span, message);
    }
    Some(items)
}
