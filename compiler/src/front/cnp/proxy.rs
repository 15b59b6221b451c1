//! What an item of `toPorts` asks of the proxy, and where that is possible (spec §2.3, §2.11, §2.14-§2.16).

use crate::diag::{Code, Diagnostic, Span, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{L7Rules, Listener, PortSpec, Protocol, TlsContext};
use crate::front::yaml::Node;

use super::tls::{listener, server_names, tls_context};
use super::{Direction, Place, l7};

/// Attributes of an item.
#[derive(Debug, Default)]
pub struct Proxy {
    /// `rules`.
    pub l7: Option<Spanned<L7Rules>>,
    /// `serverNames`, sorted.
    pub server_names: Vec<String>,
    /// `terminatingTLS`.
    pub terminating_tls: Option<TlsContext>,
    /// `originatingTLS`.
    pub originating_tls: Option<TlsContext>,
    /// `listener`.
    pub listener: Option<Listener>,
}

/// Reads the attributes of an allow item and checks them against its ports, each with where it was written.
pub fn proxy(ctx: &mut Ctx, fields: &Fields<'_, '_>, ports: &[(&Node<'_>, PortSpec)], place: Place<'_>) -> Proxy {
    let mut context = |name: &'static str| fields.get(name).and_then(|node| tls_context(ctx, name, node));
    let (terminating_tls, originating_tls) = (context("terminatingTLS"), context("originatingTLS"));
    let proxy = Proxy {
        l7: fields.get("rules").and_then(|node| l7::rules(ctx, node, place.scope)),
        server_names: fields.get("serverNames").map(|node| server_names(ctx, node)).unwrap_or_default(),
        terminating_tls,
        originating_tls,
        listener: fields.get("listener").and_then(|node| listener(ctx, node, place)),
    };
    if let Some(l7) = &proxy.l7 {
        check_place(ctx, l7, place);
        check_ports(ctx, fields, l7, ports);
        check_neighbours(ctx, fields, l7.span);
    }
    for name in ["serverNames", "terminatingTLS", "originatingTLS"] {
        if fields.get(name).is_some() {
            let message = format!("`{name}` needs protocol TCP");
            need_tcp(ctx, codes::TLS_PROTOCOL, &message, ports);
            break;
        }
    }
    proxy
}

/// DNS is looked at on egress only; the host is no endpoint whose traffic the proxy sees.
fn check_place(ctx: &mut Ctx, l7: &Spanned<L7Rules>, place: Place<'_>) {
    let ingress = place.direction == Direction::Ingress;
    let (kind, of_host) = match l7.value {
        L7Rules::Http(_) => ("http", false),
        L7Rules::Kafka(_) => ("kafka", false),
        L7Rules::Dns(_) => ("dns", !ingress),
        // Cilium does not count this kind.
        L7Rules::Proto { .. } => ("l7proto", true),
    };
    if place.host && !of_host {
        let message = format!("`{kind}` is not possible in a rule for nodes");
        ctx.report(
            Diagnostic::error(codes::HOST_L7, l7.span, message)
                .hint("a host policy has no L7 rules but `dns` on egress; remove `rules`"),
        );
    } else if ingress && kind == "dns" {
        ctx.report(
            Diagnostic::error(codes::DNS_INGRESS, l7.span, "`dns` is not possible on ingress")
                .hint("write it into the egress of those that ask"),
        );
    }
}

fn check_ports(ctx: &mut Ctx, fields: &Fields<'_, '_>, l7: &Spanned<L7Rules>, ports: &[(&Node<'_>, PortSpec)]) {
    let is_dns = matches!(l7.value, L7Rules::Dns(_));
    for (node, port) in ports {
        let PortSpec::Range { first, last, .. } = port else {
            continue;
        };
        if *first == 0 {
            ctx.report(
                Diagnostic::error(codes::L7_PORT_ZERO, at(node, "port"), "L7 rules with port 0")
                    .related(l7.span, "these rules")
                    .hint("name the ports"),
            );
        } else if is_dns && last > first {
            ctx.report(
                Diagnostic::error(codes::DNS_RANGE, at(node, "endPort"), "`dns` with a range of ports")
                    .related(l7.span, "these rules")
                    .hint("DNS is spoken on one port, most often 53"),
            );
        }
    }
    if !is_dns {
        need_tcp(ctx, codes::L7_PROTOCOL, "L7 rules other than `dns` need protocol TCP", ports);
    } else if fields.get("ports").and_then(Node::items).is_none_or(<[_]>::is_empty) {
        ctx.report(
            Diagnostic::error(codes::DNS_WITHOUT_PORT, l7.span, "`dns` needs a port")
                .hint("write `ports: [{port: \"53\", protocol: ANY}]`"),
        );
    }
}

/// What cannot stand beside L7 rules in one item.
fn check_neighbours(ctx: &mut Ctx, fields: &Fields<'_, '_>, l7: Span) {
    if let Some(names) = fields.get("serverNames")
        && fields.get("terminatingTLS").is_none()
    {
        ctx.report(
            Diagnostic::error(codes::SNI_AND_L7, names.span, "`serverNames` with L7 rules needs `terminatingTLS`")
                .related(l7, "the rules")
                .hint("rules can be asked only about what was decrypted"),
        );
    }
    if let Some(listener) = fields.get("listener") {
        ctx.report(
            Diagnostic::error(codes::LISTENER_AND_L7, listener.span, "`listener` with L7 rules")
                .related(l7, "the rules")
                .hint("a listener has rules of its own; remove one of the two"),
        );
    }
}

/// The protocol must be written, and must be TCP.
fn need_tcp(ctx: &mut Ctx, code: Code, message: &str, ports: &[(&Node<'_>, PortSpec)]) {
    for (node, port) in ports {
        let (PortSpec::Range { protocol, .. } | PortSpec::Named { protocol, .. }) = port;
        if *protocol != Some(Protocol::Tcp) {
            let found = protocol.map_or("ANY", Protocol::name);
            ctx.report(
                Diagnostic::error(code, at(node, "protocol"), format!("{message}, not {found}"))
                    .hint("write `protocol: TCP`"),
            );
        }
    }
}

/// A field of a port item, or the whole item.
fn at(node: &Node<'_>, field: &str) -> Span {
    node.get(field).map_or(node.span, |value| value.span)
}
