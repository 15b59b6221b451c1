//! CIDRs and CIDR sets (spec §2.8).

use ipnet::IpNet;

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, spanned};
use crate::front::np::{cidr, net};
use crate::front::objects::{CidrSet, CidrSource};
use crate::front::parse::{Cidr, dns_subdomain, ip_address};
use crate::front::selector::{Keys, selector};
use crate::front::yaml::Node;

use super::Scope;

/// Reads `fromCIDR` or `toCIDR`. Of raw rules a bare address is the prefix of one host.
pub fn cidr_list(ctx: &mut Ctx, name: &str, node: &Node<'_>, scope: Scope) -> Option<Vec<Spanned<IpNet>>> {
    let items = ctx.items(name, node)?;
    let host = |item: &Node<'_>| item.str().filter(|_| scope == Scope::Raw).and_then(|text| ip_address(text).ok());
    let read = items.iter().filter_map(|item| match host(item) {
        Some(address) => Some(spanned(item, IpNet::from(address))),
        None => Some(net(&cidr(ctx, name, item)?)),
    });
    Some(read.collect())
}

/// Reads `fromCIDRSet` or `toCIDRSet`.
pub fn cidr_set(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Vec<CidrSet>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| set_item(ctx, name, item)).collect())
}

fn set_item(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<CidrSet> {
    let fields = ctx.fields(name, node)?;
    let written = fields.get("cidr");
    let (group, groups) = (fields.get("cidrGroupRef"), fields.get("cidrGroupSelector"));
    let forms = [written, group, groups].into_iter().flatten().count();
    if forms != 1 {
        let message = format!(
            "an item of `{name}` has exactly one of `cidr`, `cidrGroupRef` and `cidrGroupSelector`, this one has {forms}"
        );
        ctx.error(codes::CIDR_FORM, node.span, message);
    }
    let group = group.and_then(|node| group_name(ctx, node));
    let groups = groups.and_then(|node| selector(ctx, "cidrGroupSelector", node, Keys::Source("cidrgroup")));
    let whole = written.and_then(|node| cidr(ctx, "cidr", node));
    let items = fields.get("except").and_then(|node| ctx.items("except", node)).unwrap_or_default();
    let mut except = Vec::new();
    for item in items {
        let Some(hole) = cidr(ctx, "except", item) else {
            continue;
        };
        if let Some(whole) = &whole {
            check_except(ctx, &hole, whole);
        }
        except.push(net(&hole));
    }
    fields.finish(ctx, "a CIDR set");
    let source = match (whole, group, groups) {
        (Some(whole), _, _) => CidrSource::Cidr(net(&whole)),
        (None, Some(group), _) => CidrSource::GroupRef(group),
        (None, None, groups) => CidrSource::GroupSelector(groups?),
    };
    Some(CidrSet { source, except, span: node.span })
}

fn group_name(ctx: &mut Ctx, node: &Node<'_>) -> Option<Spanned<String>> {
    let text = ctx.text("cidrGroupRef", node)?;
    match dns_subdomain(text) {
        Ok(()) => Some(spanned(node, text.to_owned())),
        Err(wrong) => {
            ctx.wrong(codes::BAD_NAME, node, "name of a CIDR group", &wrong);
            None
        }
    }
}

/// Cilium checks the address of an exception, not its length.
fn check_except(ctx: &mut Ctx, hole: &Spanned<Cidr>, whole: &Spanned<Cidr>) {
    let (inner, outer) = (hole.value, whole.value);
    if !outer.net.contains(&inner.address) {
        ctx.report(
            Diagnostic::error(codes::EXCEPT, hole.span, format!("except {} is not inside of {}", inner.net, outer.net))
                .related(whole.span, "the prefix it is taken from"),
        );
    } else if inner.net.prefix_len() <= outer.net.prefix_len() {
        ctx.report(
            Diagnostic::warning(
                codes::EXCEPT_COVERS,
                hole.span,
                format!("except {} covers all of {}", inner.net, outer.net),
            )
            .related(whole.span, "the prefix it is taken from")
            .hint("the item selects nothing"),
        );
    }
}
