//! `toPorts` (spec §2.11).

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{PortRule, PortSpec, Protocol};
use crate::front::parse::{self, Port, PortWrong};
use crate::front::yaml::Node;

use super::proxy::{Proxy, proxy};
use super::{Place, Scope};

/// Items of one `ports` list.
const PORTS_MAX: usize = 40;

/// Reads `toPorts`; `[]` is the same as no list.
pub fn to_ports(ctx: &mut Ctx, node: &Node<'_>, place: Place<'_>) -> Option<Vec<PortRule>> {
    let items = ctx.items("toPorts", node)?;
    let read: Vec<_> = items.iter().filter_map(|item| port_item(ctx, item, place)).collect();
    (!items.is_empty()).then_some(read)
}

fn port_item(ctx: &mut Ctx, node: &Node<'_>, place: Place<'_>) -> Option<PortRule> {
    let fields = ctx.fields("toPorts", node)?;
    let list = fields.get("ports");
    let items = list.and_then(|node| ctx.items("ports", node)).unwrap_or_default();
    if items.len() > PORTS_MAX {
        let span = list.map_or(node.span, |list| list.span);
        ctx.report(
            Diagnostic::error(
                codes::PORTS_COUNT,
                span,
                format!("{} ports in one list, the limit is {PORTS_MAX}", items.len()),
            )
            .hint("make several items of `toPorts`, or write ranges"),
        );
    } else if items.is_empty() && list.is_none_or(|list| list.items().is_some()) {
        ctx.report(
            Diagnostic::warning(codes::NO_PORTS, node.span, "an item of `toPorts` without ports selects nothing")
                .hint("remove `toPorts` to select every port"),
        );
    }
    let ports: Vec<_> = items.iter().filter_map(|item| Some((item, port(ctx, item, place.scope)?))).collect();
    let Proxy { l7, server_names, terminating_tls, originating_tls, listener } =
        if place.deny { Proxy::default() } else { proxy(ctx, &fields, &ports, place) };
    fields.finish(ctx, if place.deny { "a toPorts item of a deny" } else { "a toPorts item" });
    Some(PortRule {
        ports: ports.into_iter().map(|(_, port)| port).collect(),
        l7,
        server_names,
        terminating_tls,
        originating_tls,
        listener,
        span: node.span,
    })
}

fn port(ctx: &mut Ctx, node: &Node<'_>, scope: Scope) -> Option<PortSpec> {
    let fields = ctx.fields("ports", node)?;
    let protocol = match fields.get("protocol") {
        Some(node) => protocol(ctx, node, scope),
        None => Some(None),
    };
    let port = match fields.get("port") {
        Some(node) => number_or_name(ctx, node),
        None => ctx.missing(codes::PORT, "port", node.span),
    };
    let read = port.and_then(|port| range(ctx, node, &fields, port, protocol?));
    fields.ignore(&["endPort"]);
    fields.finish(ctx, "a port");
    read
}

/// `None` in the result is `ANY`. The engine takes lower case, the schema does not.
fn protocol(ctx: &mut Ctx, node: &Node<'_>, scope: Scope) -> Option<Option<Protocol>> {
    let text = ctx.text("protocol", node)?;
    let upper = text.to_ascii_uppercase();
    let word = if scope == Scope::Raw { upper.as_str() } else { text };
    if word == "ANY" || (word.is_empty() && scope == Scope::Raw) {
        return Some(None);
    }
    if let Some(protocol) = parse::protocol(word) {
        return Some(Some(protocol));
    }
    let diagnostic =
        Diagnostic::error(codes::PROTOCOL, node.span, format!("protocol {text:?} is not TCP, UDP, SCTP or ANY"));
    ctx.report(match upper.as_str() {
        "TCP" | "UDP" | "SCTP" | "ANY" => diagnostic.hint(format!("write {upper}")),
        "ICMP" | "ICMPV6" => diagnostic.hint("write `icmps` instead of `toPorts`"),
        _ => diagnostic,
    });
    None
}

fn number_or_name(ctx: &mut Ctx, node: &Node<'_>) -> Option<Port> {
    let text = ctx.text("port", node)?;
    match parse::port(text) {
        Ok(port) => Some(port),
        Err(PortWrong::LeadingZero) => {
            ctx.report(
                Diagnostic::error(codes::LEADING_ZERO, node.span, format!("port {text:?} has a leading zero"))
                    .hint("Cilium reads it as octal in one place and as decimal in another; write it without the zero"),
            );
            None
        }
        Err(PortWrong::Bad(wrong)) => {
            ctx.wrong(codes::PORT, node, "port", &wrong);
            None
        }
    }
}

fn range(
    ctx: &mut Ctx,
    item: &Node<'_>,
    fields: &Fields<'_, '_>,
    port: Port,
    protocol: Option<Protocol>,
) -> Option<PortSpec> {
    let end = match fields.get("endPort") {
        Some(node) => Some((node, end_port(ctx, node)?)),
        None => None,
    };
    let span = item.span;
    match (port, end) {
        (Port::Name(name), None | Some((_, 0))) => Some(PortSpec::Named { protocol, name, span }),
        (Port::Name(name), Some((node, _))) => {
            ctx.report(
                Diagnostic::error(codes::NAMED_RANGE, node.span, format!("endPort with the port name {name:?}"))
                    .hint("a range needs two numbers"),
            );
            None
        }
        // Port 0 alone is every port of the protocol; with an end it starts a range like any other.
        (Port::Number(0), None | Some((_, 0))) => Some(PortSpec::Range { protocol, first: 0, last: u16::MAX, span }),
        (Port::Number(first), None | Some((_, 0))) => Some(PortSpec::Range { protocol, first, last: first, span }),
        (Port::Number(first), Some((node, last))) => {
            if last <= first {
                ctx.report(
                    Diagnostic::warning(
                        codes::INVERTED_RANGE,
                        node.span,
                        format!("endPort {last} is not above port {first}"),
                    )
                    .hint(format!("Cilium reads it as port {first} alone")),
                );
            }
            Some(PortSpec::Range { protocol, first, last: last.max(first), span })
        }
    }
}

fn end_port(ctx: &mut Ctx, node: &Node<'_>) -> Option<u16> {
    let number = ctx.integer("endPort", node)?;
    u16::try_from(number)
        .map_err(|_| ctx.error(codes::PORT, node.span, format!("endPort {number} is not between 0 and 65535")))
        .ok()
}
