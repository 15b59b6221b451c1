//! `ports` of `v1alpha1` and `protocols` of `v1alpha2`.

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{AdminPort, Protocol};
use crate::front::parse;
use crate::front::yaml::Node;

use super::AdminKind;

/// Reads the L4 part of a rule; `None` is every protocol and port.
pub fn ports(ctx: &mut Ctx, rule: &Fields<'_, '_>, kind: AdminKind) -> Option<Vec<AdminPort>> {
    let (name, read): (_, fn(&mut Ctx, &Node<'_>) -> Option<AdminPort>) = match kind {
        AdminKind::Admin | AdminKind::Baseline => ("ports", port),
        AdminKind::Cluster => ("protocols", protocol_item),
    };
    let node = rule.get(name)?;
    let items = ctx.items(name, node)?;
    if items.is_empty() || items.len() > kind.items_max() {
        let message = format!("`{name}` has {} items, it must have 1 to {}", items.len(), kind.items_max());
        ctx.report(
            Diagnostic::error(codes::TIER_PORT, node.span, message)
                .hint(format!("without `{name}` the rule is about every protocol and port")),
        );
    }
    Some(items.iter().filter_map(|item| read(ctx, item)).collect())
}

/// `portNumber`, `portRange` or `namedPort`.
fn port(ctx: &mut Ctx, node: &Node<'_>) -> Option<AdminPort> {
    let fields = ctx.fields("ports", node)?;
    let (number, range, name) = (fields.get("portNumber"), fields.get("portRange"), fields.get("namedPort"));
    fields.finish(ctx, "a port");
    match (number, range, name) {
        (Some(node), None, None) => {
            let fields = ctx.fields("portNumber", node)?;
            let protocol = protocol(ctx, &fields);
            let port = number_field(ctx, &fields, "port");
            fields.finish(ctx, "a port number");
            let (protocol, port) = (protocol?, port?);
            Some(AdminPort::Range { protocol, first: port, last: port })
        }
        (None, Some(node), None) => {
            let fields = ctx.fields("portRange", node)?;
            let protocol = protocol(ctx, &fields);
            let range = range_fields(ctx, &fields);
            fields.finish(ctx, "a port range");
            let (protocol, (first, last)) = (protocol?, range?);
            Some(AdminPort::Range { protocol, first, last })
        }
        (None, None, Some(node)) => port_name(ctx, "namedPort", node),
        _ => one_of(ctx, node, "a port", "`portNumber`, `portRange` and `namedPort`"),
    }
}

/// `tcp`, `udp`, `sctp` or `destinationNamedPort`.
fn protocol_item(ctx: &mut Ctx, node: &Node<'_>) -> Option<AdminPort> {
    let fields = ctx.fields("protocols", node)?;
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];
    let written: Vec<_> =
        protocols.into_iter().filter_map(|(name, protocol)| Some((name, protocol, fields.get(name)?))).collect();
    let name = fields.get("destinationNamedPort");
    fields.finish(ctx, "an item of `protocols`");
    match (written.as_slice(), name) {
        ([(name, protocol, node)], None) => destination(ctx, name, *protocol, node),
        ([], Some(node)) => port_name(ctx, "destinationNamedPort", node),
        _ => one_of(ctx, node, "an item of `protocols`", "`tcp`, `udp`, `sctp` and `destinationNamedPort`"),
    }
}

fn destination(ctx: &mut Ctx, name: &str, protocol: Protocol, node: &Node<'_>) -> Option<AdminPort> {
    let fields = ctx.fields(name, node)?;
    let port = fields.get("destinationPort");
    fields.finish(ctx, format_args!("`{name}`"));
    let Some(node) = port else {
        return ctx.missing(codes::TIER_PORT, "destinationPort", node.span);
    };
    let fields = ctx.fields("destinationPort", node)?;
    let (number, range) = (fields.get("number"), fields.get("range"));
    let read = match (number, range) {
        (Some(_), None) => number_field(ctx, &fields, "number").map(|port| (port, port)),
        (None, Some(node)) => {
            let fields = ctx.fields("range", node)?;
            let range = range_fields(ctx, &fields);
            fields.finish(ctx, "a port range");
            range
        }
        _ => one_of(ctx, node, "`destinationPort`", "`number` and `range`"),
    };
    fields.finish(ctx, "`destinationPort`");
    let (first, last) = read?;
    Some(AdminPort::Range { protocol, first, last })
}

fn one_of<T>(ctx: &mut Ctx, node: &Node<'_>, what: &str, fields: &str) -> Option<T> {
    ctx.error(codes::TIER_PORT, node.span, format!("{what} has exactly one of {fields}"));
    None
}

fn protocol(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<Protocol> {
    let Some(node) = fields.get("protocol") else {
        return Some(Protocol::Tcp);
    };
    let text = ctx.text("protocol", node)?;
    let protocol = parse::protocol(text);
    if protocol.is_none() {
        ctx.error(codes::TIER_PORT, node.span, format!("protocol {text:?} is not TCP, UDP or SCTP"));
    }
    protocol
}

fn range_fields(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<(u16, u16)> {
    let (start, end) = (number_field(ctx, fields, "start"), number_field(ctx, fields, "end"));
    let (start, end) = (start?, end?);
    if start >= end {
        let span = fields.get("end").map_or(fields.node.span, |node| node.span);
        ctx.error(codes::TIER_PORT, span, format!("end {end} is not above start {start}"));
        return None;
    }
    Some((start, end))
}

fn number_field(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str) -> Option<u16> {
    let Some(node) = fields.get(name) else {
        return ctx.missing(codes::TIER_PORT, name, fields.node.span);
    };
    let number = ctx.integer(name, node)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        ctx.error(codes::TIER_PORT, node.span, format!("{name} {number} is not between 1 and 65535"));
    }
    port
}

fn port_name(ctx: &mut Ctx, field: &str, node: &Node<'_>) -> Option<AdminPort> {
    let name = ctx.text(field, node)?.to_ascii_lowercase();
    match parse::port_name(&name) {
        Ok(()) => Some(AdminPort::Named { name, span: node.span }),
        Err(wrong) => {
            ctx.wrong(codes::TIER_PORT, node, "port", &wrong);
            None
        }
    }
}
