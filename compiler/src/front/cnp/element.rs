//! Allow and deny elements: peers, and what goes with them (spec §2.2, §2.4-§2.7).

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields, spanned};
use crate::front::names::nearest;
use crate::front::objects::{Element, Entity, Selector};
use crate::front::selector::{Keys, selector};
use crate::front::yaml::{Entry, Node};

use super::cidr::{cidr_list, cidr_set};
use super::icmp::icmps;
use super::ports::to_ports;

/// Whose words an element uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `from...`
    Ingress,
    /// `to...`
    Egress,
}

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
pub fn elements(ctx: &mut Ctx, name: &str, node: &Node<'_>, direction: Direction, deny: bool) -> Option<Vec<Element>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| element(ctx, name, item, direction, deny)).collect())
}

fn element(ctx: &mut Ctx, name: &str, node: &Node<'_>, direction: Direction, deny: bool) -> Option<Element> {
    let fields = ctx.fields(name, node)?;
    let names = match direction {
        Direction::Ingress => &FROM,
        Direction::Egress => &TO,
    };
    let endpoints = fields.get(names.endpoints).and_then(|node| selectors(ctx, names.endpoints, node));
    let cidr = fields.get(names.cidr).and_then(|node| cidr_list(ctx, names.cidr, node));
    let cidr_set = fields.get(names.cidr_set).and_then(|node| cidr_set(ctx, names.cidr_set, node));
    let entities = fields.get(names.entities).and_then(|node| entities(ctx, names.entities, node));
    one_l3_kind(ctx, &fields, names, direction, deny);
    refused(ctx, &fields, names, direction, deny);
    let to_ports = fields.get("toPorts").and_then(|node| to_ports(ctx, node, deny));
    let icmps = fields.get("icmps").and_then(|node| icmps(ctx, node));
    if let (Some(icmps), Some(ports)) = (filled(&fields, "icmps"), filled(&fields, "toPorts")) {
        ctx.report(
            Diagnostic::error(codes::ICMP_WITH_PORTS, icmps.key.span, "`icmps` and `toPorts` cannot be in one element")
                .related(ports.key.span, "the other")
                .hint("make two elements of it, which is an OR"),
        );
    }
    fields.finish(ctx, &format!("an {name} element"));
    Some(Element {
        endpoints,
        requires: Vec::new(),
        cidr,
        cidr_set,
        entities,
        nodes: None,
        groups: Vec::new(),
        services: Vec::new(),
        fqdns: Vec::new(),
        to_ports,
        icmps,
        authentication: None,
        span: node.span,
    })
}

/// A list that is there and has an item.
fn filled<'n, 'a>(fields: &Fields<'n, 'a>, name: &'static str) -> Option<&'n Entry<'a>> {
    fields.entry(name).filter(|entry| entry.value.items().is_some_and(|items| !items.is_empty()))
}

fn one_l3_kind(ctx: &mut Ctx, fields: &Fields<'_, '_>, names: &Names, direction: Direction, deny: bool) {
    let mut kinds = vec![names.endpoints, names.cidr, names.cidr_set, names.entities, names.nodes, names.groups];
    if direction == Direction::Egress {
        kinds.push("toServices");
        if !deny {
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

/// Refuses by name what is not supported yet. The empty list of these is the same as no list, but for nodes.
fn refused(ctx: &mut Ctx, fields: &Fields<'_, '_>, names: &Names, direction: Direction, deny: bool) {
    if let Some(entry) = filled(fields, names.requires) {
        ctx.unsupported(names.requires, entry.key.span);
    }
    if let Some(entry) = filled(fields, names.groups) {
        ctx.report(
            Diagnostic::error(
                codes::GROUPS,
                entry.key.span,
                format!("`{}` needs the addresses of the groups", names.groups),
            )
            .hint("reading them from a file is not supported yet; write them as a CIDR set"),
        );
    }
    if let Some(entry) = fields.entry(names.nodes).filter(|entry| !entry.value.is_null()) {
        ctx.report(
            Diagnostic::error(
                codes::NODES,
                entry.key.span,
                format!("`{}` needs the option enable-node-selector-labels", names.nodes),
            )
            .hint("the option is not supported yet; write the entity `remote-node`"),
        );
    }
    if direction == Direction::Egress {
        if let Some(entry) = filled(fields, "toServices") {
            ctx.unsupported("toServices", entry.key.span);
        }
        if !deny && let Some(entry) = filled(fields, "toFQDNs") {
            ctx.unsupported("toFQDNs", entry.key.span);
        }
    }
    if !deny && let Some(entry) = fields.entry("authentication").filter(|entry| !entry.value.is_null()) {
        ctx.unsupported("authentication", entry.key.span);
    }
}

fn selectors(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Vec<Selector>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| selector(ctx, name, item, Keys::Cilium)).collect())
}

/// Entities by the names they have in objects. The engine also knows `world-ipv4` and `world-ipv6`, the CRD refuses them.
const ENTITIES: [(&str, Entity); 11] = [
    ("all", Entity::All),
    ("world", Entity::World),
    ("cluster", Entity::Cluster),
    ("host", Entity::Host),
    ("init", Entity::Init),
    ("ingress", Entity::Ingress),
    ("unmanaged", Entity::Unmanaged),
    ("remote-node", Entity::RemoteNode),
    ("health", Entity::Health),
    ("none", Entity::None),
    ("kube-apiserver", Entity::KubeApiserver),
];

fn entities(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Vec<Spanned<Entity>>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| entity(ctx, name, item)).collect())
}

fn entity(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Spanned<Entity>> {
    let text = ctx.text(name, node)?;
    if let Some((_, entity)) = ENTITIES.iter().find(|(known, _)| *known == text) {
        return Some(spanned(node, *entity));
    }
    let known = ENTITIES.map(|(known, _)| known);
    let hint = match nearest(text, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("entities are {}", known.join(", ")),
    };
    ctx.report(Diagnostic::error(codes::ENTITY, node.span, format!("{text:?} is not an entity")).hint(hint));
    None
}
