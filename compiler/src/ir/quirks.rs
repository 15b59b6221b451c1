//! What Cilium 1.18 makes of a policy and its reader would not expect (the specification's quirks that no other stage
//! reports): matched all the same, with a warning that says what it means.

use ipnet::IpNet;

use super::build::Ctx;
use super::labels::{Selector, Test};
use crate::diag::{Code, Diagnostic, ObjectRef, Span, Spanned};
use crate::front::objects::Element;

/// F-401, G-12: a scoped peer selector that asks for no label at all.
pub fn negative_peer(ctx: &mut Ctx<'_>, selector: &Selector, span: Span, object: &ObjectRef) {
    if !selector.requirements.is_empty() && is_negative(selector) {
        let message = "a selector of negative requirements only selects the world, nodes and CIDRs too";
        let hint = "they have none of these labels; for pods alone add `io.kubernetes.pod.namespace` with Exists";
        ctx.report(Diagnostic::warning(Code("F-401"), span, message).hint(hint), object);
    }
}

/// F-402, G-40: ICMP type 0.
pub fn icmp_type_zero(ctx: &mut Ctx<'_>, element: &Element, object: &ObjectRef) {
    for field in element.icmps.iter().flatten().flatten().filter(|field| field.icmp_type == 0) {
        let family = if field.ipv6 { "ICMPv6" } else { "ICMP" };
        let message = format!("{family} type 0 is read as every type of {family}");
        let hint = "answers to a ping need no rule; for the ping itself write EchoRequest";
        ctx.report(Diagnostic::warning(Code("F-402"), field.span, message).hint(hint), object);
    }
}

/// F-403, G-43: a /0 of the family that is off, in a CIDR set or an `ipBlock`.
pub fn zero_of_other_family(ctx: &mut Ctx<'_>, net: Spanned<IpNet>, object: &ObjectRef) {
    let options = ctx.options();
    let off = if net.value.addr().is_ipv4() { !options.ipv4 } else { !options.ipv6 };
    if net.value.prefix_len() == 0 && off {
        let other = if options.ipv4 { "IPv4" } else { "IPv6" };
        let message = format!("{} is of the family that is off, and selects the whole {other} world", net.value);
        let hint = "Cilium reads any /0 of a CIDR set as the world in a single-stack cluster; remove the item";
        ctx.report(Diagnostic::warning(Code("F-403"), net.span, message).hint(hint), object);
    }
}

/// F-404: a selector of CIDR groups that asks for no label of a group.
pub fn negative_groups(ctx: &mut Ctx<'_>, selector: &Selector, span: Span, object: &ObjectRef) {
    if is_negative(selector) {
        let message = "a selector of CIDR groups without a positive requirement selects pods, nodes and the world too";
        let hint =
            "it is asked about every identity, and those have no such label; add a requirement with Exists or In";
        ctx.report(Diagnostic::warning(Code("F-404"), span, message).hint(hint), object);
    }
}

fn is_negative(selector: &Selector) -> bool {
    selector.requirements.iter().all(|requirement| matches!(requirement.test, Test::NotIn(_) | Test::DoesNotExist))
}
