//! CIDRs and CIDR sets (spec §2.8).

use ipnet::IpNet;

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::Ctx;
use crate::front::np::{cidr, net};
use crate::front::objects::{CidrSet, CidrSource};
use crate::front::parse::Cidr;
use crate::front::yaml::Node;

/// Reads `fromCIDR` or `toCIDR`.
pub fn cidr_list(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Vec<Spanned<IpNet>>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| Some(net(&cidr(ctx, name, item)?))).collect())
}

/// Reads `fromCIDRSet` or `toCIDRSet`.
pub fn cidr_set(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Vec<CidrSet>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| set_item(ctx, name, item)).collect())
}

fn set_item(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<CidrSet> {
    let fields = ctx.fields(name, node)?;
    let written = fields.get("cidr");
    let groups =
        [("cidrGroupRef", fields.entry("cidrGroupRef")), ("cidrGroupSelector", fields.entry("cidrGroupSelector"))];
    let groups: Vec<_> = groups.into_iter().filter_map(|(name, entry)| Some((name, entry?))).collect();
    let forms = usize::from(written.is_some()) + groups.len();
    if forms != 1 {
        let message = format!(
            "an item of `{name}` has exactly one of `cidr`, `cidrGroupRef` and `cidrGroupSelector`, this one has {forms}"
        );
        ctx.error(codes::CIDR_FORM, node.span, message);
    }
    for (name, entry) in groups {
        ctx.unsupported(name, entry.key.span);
    }
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
    Some(CidrSet { source: CidrSource::Cidr(net(&whole?)), except, span: node.span })
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
