//! Allow and deny elements: peers, and what goes with them (spec §2.2, §2.4).

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields, spanned};
use crate::front::objects::{AuthMode, Element};
use crate::front::selector::Keys;
use crate::front::yaml::{Entry, Node};

use super::cidr::{cidr_list, cidr_set};
use super::entity::entities;
use super::icmp::icmps;
use super::peers::{fqdns, groups, requires, selectors, services};
use super::ports::to_ports;
use super::{Direction, Place};

/// Names of the L3 fields in one direction.
struct Names {
    endpoints: &'static str,
    requires: &'static str,
    cidr: &'static str,
    cidr_set: &'static str,
    entities: &'static str,
    groups: &'static str,
    nodes: &'static str,
}

const FROM: Names = Names {
    endpoints: "fromEndpoints",
    requires: "fromRequires",
    cidr: "fromCIDR",
    cidr_set: "fromCIDRSet",
    entities: "fromEntities",
    groups: "fromGroups",
    nodes: "fromNodes",
};

const TO: Names = Names {
    endpoints: "toEndpoints",
    requires: "toRequires",
    cidr: "toCIDR",
    cidr_set: "toCIDRSet",
    entities: "toEntities",
    groups: "toGroups",
    nodes: "toNodes",
};

/// Reads a list of elements.
pub fn elements(ctx: &mut Ctx, name: &str, node: &Node<'_>, place: Place<'_>) -> Option<Vec<Element>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| element(ctx, name, item, place)).collect())
}

fn element(ctx: &mut Ctx, name: &str, node: &Node<'_>, place: Place<'_>) -> Option<Element> {
    let fields = ctx.fields(name, node)?;
    let names = match place.direction {
        Direction::Ingress => &FROM,
        Direction::Egress => &TO,
    };
    let endpoints = fields.get(names.endpoints).and_then(|node| selectors(ctx, names.endpoints, node, Keys::Cilium));
    let requires = filled(&fields, names.requires).map(|entry| requires(ctx, names.requires, entry));
    let cidr = fields.get(names.cidr).and_then(|node| cidr_list(ctx, names.cidr, node, place.scope));
    let cidr_set = fields.get(names.cidr_set).and_then(|node| cidr_set(ctx, names.cidr_set, node));
    let entities = fields.get(names.entities).and_then(|node| entities(ctx, names.entities, node, place.scope));
    let nodes = fields.get(names.nodes).and_then(|node| selectors(ctx, names.nodes, node, Keys::Source("node")));
    let groups = fields.get(names.groups).map(|node| groups(ctx, names.groups, node));
    let (mut services, mut fqdns) = (None, None);
    if place.direction == Direction::Egress {
        services = fields.get("toServices").map(|node| self::services(ctx, node));
        if !place.deny {
            fqdns = fields.get("toFQDNs").map(|node| self::fqdns(ctx, node));
        }
    }
    one_l3_kind(ctx, &fields, names, place);
    let to_ports = fields.get("toPorts").and_then(|node| to_ports(ctx, node, place));
    let icmps = fields.get("icmps").and_then(|node| icmps(ctx, node));
    if let (Some(icmps), Some(ports)) = (filled(&fields, "icmps"), filled(&fields, "toPorts")) {
        ctx.report(
            Diagnostic::error(codes::ICMP_WITH_PORTS, icmps.key.span, "`icmps` and `toPorts` cannot be in one element")
                .related(ports.key.span, "the other")
                .hint("make two elements of it, which is an OR"),
        );
    }
    let authentication = if place.deny { None } else { fields.get("authentication") };
    let authentication = authentication.and_then(|node| self::authentication(ctx, node));
    fields.finish(ctx, format_args!("an {name} element"));
    Some(Element {
        endpoints,
        requires: requires.unwrap_or_default(),
        cidr,
        cidr_set,
        entities,
        nodes,
        groups: groups.unwrap_or_default(),
        services: services.unwrap_or_default(),
        fqdns: fqdns.unwrap_or_default(),
        to_ports,
        icmps,
        authentication,
        span: node.span,
    })
}

/// A list that is there and has an item.
fn filled<'n, 'a>(fields: &Fields<'n, 'a>, name: &'static str) -> Option<&'n Entry<'a>> {
    fields.entry(name).filter(|entry| entry.value.items().is_some_and(|items| !items.is_empty()))
}

fn one_l3_kind(ctx: &mut Ctx, fields: &Fields<'_, '_>, names: &Names, place: Place<'_>) {
    let mut kinds = vec![names.endpoints, names.cidr, names.cidr_set, names.entities, names.nodes, names.groups];
    if place.direction == Direction::Egress {
        kinds.push("toServices");
        if !place.deny {
            kinds.push("toFQDNs");
        }
    }
    let written: Vec<_> = kinds.into_iter().filter_map(|kind| Some((kind, filled(fields, kind)?))).collect();
    if let [(first, first_entry), (second, second_entry), ..] = written.as_slice() {
        ctx.report(
            Diagnostic::error(
                codes::TWO_L3,
                second_entry.key.span,
                format!("cannot combine `{first}` and `{second}` in one element"),
            )
            .related(first_entry.key.span, "the other")
            .hint("make two elements of it, which is an OR"),
        );
    }
}

/// Modes by name (spec §2.17).
const AUTH_MODES: [(&str, AuthMode); 3] = [
    ("disabled", AuthMode::Disabled),
    ("required", AuthMode::Required),
    ("test-always-fail", AuthMode::TestAlwaysFail),
];

fn authentication(ctx: &mut Ctx, node: &Node<'_>) -> Option<Spanned<AuthMode>> {
    let fields = ctx.fields("authentication", node)?;
    let mode = fields.get("mode");
    fields.finish(ctx, "authentication");
    let Some(mode) = mode else {
        return ctx.missing(codes::AUTHENTICATION, "mode", node.span);
    };
    Some(spanned(mode, ctx.word(codes::AUTHENTICATION, "mode", mode, &AUTH_MODES)?))
}
