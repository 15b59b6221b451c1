//! The L3 part of an element of a CiliumNetworkPolicy (spec §2.4-§2.10, §2.15, §2.18).

use ipnet::IpNet;

use super::build::Ctx;
use super::labels::{Requirement, Selector};
use super::{CidrPeer, CidrSource, Entity, Peer, Peers, RuleAction, fqdn, groups, quirks, scope, services};
use crate::diag::{Code, Diagnostic, ObjectRef, Spanned};
use crate::front::objects::{self, CidrSet, Element};

/// What the selectors of a rule are scoped by (spec §0.6).
#[derive(Debug, Clone, Copy)]
pub struct RuleScope<'a> {
    /// The object, for diagnostics.
    pub object: &'a ObjectRef,
    /// Namespace of the policy; `None` for cluster-wide ones.
    pub namespace: Option<&'a str>,
    /// The subject names `reserved:init`.
    pub names_init: bool,
    /// Raw rules are not scoped at all (spec §2.13).
    pub raw: bool,
}

/// Spec §2.4: absent, empty and `{}`.
pub fn peers(ctx: &mut Ctx<'_>, element: &Element, action: RuleAction, scope: RuleScope<'_>) -> Peers {
    let lists = [
        element.endpoints.as_ref().map(Vec::len),
        element.cidr.as_ref().map(Vec::len),
        element.cidr_set.as_ref().map(Vec::len),
        element.entities.as_ref().map(Vec::len),
        element.nodes.as_ref().map(Vec::len),
        // Of these the empty list is the absent one.
        Some(element.fqdns.len()).filter(|n| *n > 0),
        Some(element.groups.len()).filter(|n| *n > 0),
    ];
    let services = to_services(ctx, element, action, scope.object);
    let mut out = services.clone().unwrap_or_default();
    for selector in element.endpoints.iter().flatten() {
        let scoped = match scope.raw {
            true => scope::selector(selector),
            false => scope::peer(selector, scope.namespace, scope.names_init, ctx.options()),
        };
        quirks::negative_peer(ctx, &scoped, selector.span, scope.object);
        out.push(Peer::Labels(scoped));
    }
    if let Some(cidrs) = &element.cidr {
        out.extend(cidr_list(ctx, cidrs));
    }
    for set in element.cidr_set.iter().flatten() {
        out.push(cidr_set(ctx, set, scope.object));
    }
    nodes(ctx, element, scope.object, &mut out);
    out.extend(groups::peers(ctx, &element.groups, scope.object));
    let double_star = ctx.choices().fqdn_double_star;
    out.extend(element.fqdns.iter().map(|written| Peer::Fqdn(fqdn::normal(&written.value, double_star))));
    out.extend(element.entities.iter().flatten().map(|entity| Peer::Entity(entity.value)));

    let has_l4 = element.to_ports.is_some() || element.icmps.is_some();
    let is_absent = services.is_none() && lists.iter().all(Option::is_none);
    match is_absent {
        true if has_l4 => Peers::Everyone,
        true => Peers::Nobody,
        false if lists.contains(&Some(0)) || out.is_empty() => Peers::Nobody,
        // The wildcard swallows its neighbours (§4.2).
        false if out.contains(&Peer::Entity(Entity::All)) => Peers::Everyone,
        false => Peers::AnyOf(out),
    }
}

/// `fromRequires` or `toRequires`.
pub fn requires(ctx: &Ctx<'_>, element: &Element, scope: RuleScope<'_>) -> Vec<Selector> {
    let selector = |written: &objects::Selector| match scope.raw {
        true => scope::selector(written),
        false => scope::requires(written, scope.namespace, scope.names_init, ctx.options()),
    };
    element.requires.iter().map(selector).collect()
}

/// The peers of `toServices`; `None` where it counts as absent.
fn to_services(ctx: &mut Ctx<'_>, element: &Element, action: RuleAction, object: &ObjectRef) -> Option<Vec<Peer>> {
    let span = services::span(element.services.first()?);
    if action == RuleAction::Deny {
        let message = "`toServices` of a deny is not resolved: the element denies its ports to everyone, or nothing";
        let hint = "name the pods or addresses behind the service";
        ctx.report(Diagnostic::warning(Code("W-703"), span, message).hint(hint), object);
        return None;
    }
    let found = services::peers(ctx, &element.services, object);
    if found.is_empty() {
        let literal = ctx.choices().literal_to_services;
        let hint = match (literal, element.to_ports.is_some() || element.icmps.is_some()) {
            (_, false) => "the element selects nothing until the service and its endpoints are in the input",
            (true, true) => "as in Cilium 1.18 the element opens its ports to everyone",
            (false, true) => {
                "the element selects nothing; Cilium 1.18 would open its ports to everyone (--compat-toservices)"
            }
        };
        let message = "no service of `toServices` has a selector or an address";
        ctx.report(Diagnostic::warning(Code("W-702"), span, message).hint(hint), object);
        return (!literal).then_some(found);
    }
    Some(found)
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

fn cidr_set(ctx: &mut Ctx<'_>, set: &CidrSet, object: &ObjectRef) -> Peer {
    let source = match &set.source {
        objects::CidrSource::Cidr(net) => {
            quirks::zero_of_other_family(ctx, *net, object);
            CidrSource::Net(net.value)
        }
        objects::CidrSource::GroupRef(name) => {
            if !ctx.has_cidr_group(&name.value) {
                let message = format!("there is no CiliumCIDRGroup `{}`", name.value);
                let hint = "the item selects nothing until the group is in the input";
                ctx.report(Diagnostic::warning(Code("W-207"), name.span, message).hint(hint), object);
            }
            CidrSource::Group(name.value.clone())
        }
        objects::CidrSource::GroupSelector(selector) => {
            let groups = scope::of_source(selector, "cidrgroup");
            quirks::negative_groups(ctx, &groups, selector.span, object);
            CidrSource::Groups(groups)
        }
    };
    Peer::Cidr(CidrPeer { source, except: set.except.iter().map(|e| e.value).collect(), set: true })
}

/// Node selectors need an option (E-214); a list without a selector needs none.
fn nodes(ctx: &mut Ctx<'_>, element: &Element, object: &ObjectRef, out: &mut Vec<Peer>) {
    let Some(first) = element.nodes.as_ref().and_then(|nodes| nodes.first()) else { return };
    if !ctx.options().node_selector_labels {
        let message = "nodes cannot be selected: enable-node-selector-labels is off";
        let hint = "set it to \"true\" in kube-system/cilium-config, or name the entity remote-node";
        ctx.report(Diagnostic::error(Code("E-214"), first.span, message).hint(hint), object);
    }
    out.extend(element.nodes.iter().flatten().map(|selector| Peer::Nodes(scope::of_source(selector, "node"))));
}
