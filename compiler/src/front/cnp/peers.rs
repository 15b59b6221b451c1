//! Peers that are neither prefixes nor entities: selectors, services, names, groups (spec §2.5, §2.6, §2.9, §2.15, §2.18).

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields, spanned};
use crate::front::objects::{FqdnSelector, Group, Selector, ServiceRef};
use crate::front::parse::fqdn;
use crate::front::selector::{Keys, selector};
use crate::front::yaml::{Entry, Node};

/// Reads a list of selectors.
pub fn selectors(ctx: &mut Ctx, name: &str, node: &Node<'_>, keys: Keys) -> Option<Vec<Selector>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| selector(ctx, name, item, keys)).collect())
}

/// Reads `fromRequires` or `toRequires`.
pub fn requires(ctx: &mut Ctx, name: &str, entry: &Entry<'_>) -> Vec<Selector> {
    ctx.report(
        Diagnostic::warning(
            codes::REQUIRES,
            entry.key.span,
            format!("`{name}` constrains the peers of other rules too"),
        )
        .hint("Cilium 1.19 no longer has it: write the labels into each selector of peers"),
    );
    selectors(ctx, name, &entry.value, Keys::Cilium).unwrap_or_default()
}

/// Reads `toServices`.
pub fn services(ctx: &mut Ctx, node: &Node<'_>) -> Vec<ServiceRef> {
    let items = ctx.items("toServices", node).unwrap_or_default();
    items.iter().filter_map(|item| service(ctx, item)).collect()
}

fn service(ctx: &mut Ctx, node: &Node<'_>) -> Option<ServiceRef> {
    let fields = ctx.fields("toServices", node)?;
    let (by_name, by_labels) = (fields.get("k8sService"), fields.get("k8sServiceSelector"));
    fields.finish(ctx, "a toServices item");
    let span = node.span;
    if let Some(labels) = by_labels {
        if let Some(ignored) = by_name {
            ctx.report(
                Diagnostic::warning(codes::IGNORED, ignored.span, "`k8sService` has no effect")
                    .related(labels.span, "the selector is used instead")
                    .hint("make two items of it, which is an OR"),
            );
        }
        let fields = ctx.fields("k8sServiceSelector", labels)?;
        let namespace = ctx.optional_text(&fields, "namespace");
        let read = match fields.get("selector") {
            Some(node) => selector(ctx, "selector", node, Keys::Cilium),
            None => ctx.missing(codes::MISSING, "selector", labels.span),
        };
        fields.finish(ctx, "k8sServiceSelector");
        return Some(ServiceRef::Selector { selector: read?, namespace, span });
    }
    let Some(node) = by_name else {
        return ctx.missing(codes::MISSING, "k8sService", span);
    };
    let fields = ctx.fields("k8sService", node)?;
    let namespace = ctx.optional_text(&fields, "namespace");
    let name = match fields.get("serviceName") {
        Some(node) => ctx.text("serviceName", node).map(str::to_owned),
        None => ctx.missing(codes::MISSING, "serviceName", node.span),
    };
    fields.finish(ctx, "k8sService");
    Some(ServiceRef::Name { name: name?, namespace, span })
}

/// Reads `toFQDNs`.
pub fn fqdns(ctx: &mut Ctx, node: &Node<'_>) -> Vec<Spanned<FqdnSelector>> {
    let items = ctx.items("toFQDNs", node).unwrap_or_default();
    items.iter().filter_map(|item| Some(spanned(item, fqdn_selector(ctx, "toFQDNs", item)?))).collect()
}

/// Reads a name or a pattern, as `toFQDNs` and DNS rules have them.
pub fn fqdn_selector(ctx: &mut Ctx, list: &str, node: &Node<'_>) -> Option<FqdnSelector> {
    let fields = ctx.fields(list, node)?;
    let (name, pattern) = (fields.get("matchName"), fields.get("matchPattern"));
    fields.finish(ctx, format_args!("a {list} item"));
    if name.is_some() == pattern.is_some() {
        let has = if name.is_some() { "both" } else { "neither" };
        let message = format!("an item of `{list}` has one of `matchName` and `matchPattern`, this one has {has}");
        let diagnostic = Diagnostic::error(codes::FQDN_FORM, node.span, message);
        ctx.report(match name {
            Some(_) => diagnostic.hint("make two items of it, which is an OR"),
            None => diagnostic.hint("`matchPattern: \"*\"` is every name"),
        });
    }
    let name = name.and_then(|node| dns_name(ctx, "matchName", node, fqdn::name));
    let pattern = pattern.and_then(|node| dns_name(ctx, "matchPattern", node, fqdn::pattern));
    name.map(FqdnSelector::Name).or(pattern.map(FqdnSelector::Pattern))
}

type Parser = fn(&str) -> Result<String, crate::front::parse::Wrong>;

fn dns_name(ctx: &mut Ctx, field: &str, node: &Node<'_>, parse: Parser) -> Option<String> {
    let text = ctx.text(field, node)?;
    parse(text).map_err(|wrong| ctx.wrong(codes::FQDN, node, field, &wrong)).ok()
}

/// Reads `fromGroups` or `toGroups`.
pub fn groups(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Vec<Spanned<Group>> {
    let items = ctx.items(name, node).unwrap_or_default();
    items.iter().filter_map(|item| Some(spanned(item, group(ctx, name, item)?))).collect()
}

fn group(ctx: &mut Ctx, list: &str, node: &Node<'_>) -> Option<Group> {
    let fields = ctx.fields(list, node)?;
    let aws = fields.get("aws");
    fields.finish(ctx, format_args!("a {list} item"));
    match aws {
        Some(node) => aws_group(ctx, node),
        None => ctx.missing(codes::MISSING, "aws", node.span),
    }
}

/// Reads `aws`, as policies and the groups file have it.
pub fn aws_group(ctx: &mut Ctx, node: &Node<'_>) -> Option<Group> {
    let fields = ctx.fields("aws", node)?;
    let mut labels: Vec<(String, String)> = fields
        .get("labels")
        .map(|node| ctx.string_map("labels", node))
        .unwrap_or_default()
        .into_iter()
        .map(|(_, key, _, value)| (key.into_owned(), value.to_owned()))
        .collect();
    labels.sort();
    let security_group_ids = sorted(ctx, &fields, "securityGroupsIds");
    let security_group_names = sorted(ctx, &fields, "securityGroupsNames");
    let region = ctx.optional_text(&fields, "region");
    fields.finish(ctx, "aws");
    Some(Group { labels, security_group_ids, security_group_names, region })
}

fn sorted(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str) -> Vec<String> {
    let mut texts = fields.get(name).map(|node| ctx.texts(name, node)).unwrap_or_default();
    texts.sort();
    texts
}
