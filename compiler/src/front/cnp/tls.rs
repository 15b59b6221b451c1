//! Server names, TLS contexts, secrets and listeners (spec §2.11, §2.16).

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{Listener, Secret, TlsContext};
use crate::front::parse::fqdn;
use crate::front::yaml::Node;

use super::{Direction, Place, Scope};

/// Reads `serverNames`, sorted.
pub fn server_names(ctx: &mut Ctx, node: &Node<'_>) -> Vec<String> {
    let items = ctx.items("serverNames", node).unwrap_or_default();
    if node.items().is_some_and(<[_]>::is_empty) {
        ctx.report(
            Diagnostic::error(codes::SERVER_NAME, node.span, "`serverNames` is empty")
                .hint("remove it to let every name pass"),
        );
    }
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for item in items {
        let Some(text) = ctx.text("serverNames", item) else {
            continue;
        };
        if let Err(wrong) = fqdn::server_name(text) {
            ctx.wrong(codes::SERVER_NAME, item, "server name", &wrong);
        }
        if let Some(first) = names.insert(text, item.span) {
            ctx.report(
                Diagnostic::error(codes::SERVER_NAME, item.span, format!("server name {text:?} is there twice"))
                    .related(first, "first here")
                    .hint("remove one of the two"),
            );
        }
    }
    names.into_keys().map(str::to_owned).collect()
}

/// Reads `terminatingTLS` or `originatingTLS`.
pub fn tls_context(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<TlsContext> {
    let fields = ctx.fields(name, node)?;
    let secret = match fields.get("secret") {
        Some(node) => secret(ctx, node),
        None => ctx.missing(codes::L7_NO_NAME, "secret", node.span),
    };
    let trusted_ca = ctx.optional_text(&fields, "trustedCA");
    let certificate = ctx.optional_text(&fields, "certificate");
    let private_key = ctx.optional_text(&fields, "privateKey");
    fields.finish(ctx, name);
    Some(TlsContext { secret: secret?, trusted_ca, certificate, private_key })
}

/// Reads the name of a Secret.
pub fn secret(ctx: &mut Ctx, node: &Node<'_>) -> Option<Secret> {
    let fields = ctx.fields("secret", node)?;
    let namespace = ctx.optional_text(&fields, "namespace");
    let name = ctx.optional_text(&fields, "name");
    if name.is_none() {
        let span = fields.get("name").map_or(node.span, |name| name.span);
        ctx.error(codes::L7_NO_NAME, span, "a secret has no `name`");
    }
    fields.finish(ctx, "secret");
    Some(Secret { namespace, name: name? })
}

/// Kinds of Envoy configurations; whether they belong to a namespace.
const CONFIG_KINDS: [(&str, bool); 2] = [("CiliumEnvoyConfig", true), ("CiliumClusterwideEnvoyConfig", false)];

/// Reads `listener`.
pub fn listener(ctx: &mut Ctx, node: &Node<'_>, place: Place<'_>) -> Option<Listener> {
    let fields = ctx.fields("listener", node)?;
    if place.direction == Direction::Ingress {
        ctx.report(
            Diagnostic::error(codes::LISTENER_INGRESS, node.span, "`listener` is not possible on ingress")
                .hint("remove it; only connections from endpoints can be given to a listener"),
        );
    }
    let name = name(ctx, &fields);
    let config = match fields.get("envoyConfig") {
        Some(node) => config(ctx, node, place),
        None => ctx.missing(codes::MISSING, "envoyConfig", node.span),
    };
    let priority = fields.get("priority").map(|node| priority(ctx, node));
    fields.finish(ctx, "listener");
    Some(Listener { name: format!("{}/{}", config?, name?), priority: priority.flatten() })
}

/// Namespace, empty for a cluster-wide configuration, and name.
fn config(ctx: &mut Ctx, node: &Node<'_>, place: Place<'_>) -> Option<String> {
    let fields = ctx.fields("envoyConfig", node)?;
    let has_namespace = place.scope == Scope::Namespaced;
    let kind = match fields.get("kind").filter(|node| node.str() != Some("")) {
        Some(node) => ctx.word(codes::BAD_VALUE, "kind", node, &CONFIG_KINDS).map(|namespaced| (namespaced, node.span)),
        None => Some((has_namespace, node.span)),
    };
    if let Some((true, span)) = kind.filter(|_| !has_namespace) {
        ctx.report(
            Diagnostic::error(codes::LISTENER_KIND, span, "a cluster-wide policy cannot name a CiliumEnvoyConfig")
                .hint("write a CiliumClusterwideEnvoyConfig, or a CiliumNetworkPolicy"),
        );
    }
    let name = name(ctx, &fields);
    fields.finish(ctx, "envoyConfig");
    let namespace = if kind?.0 { place.namespace } else { "" };
    Some(format!("{namespace}/{}", name?))
}

fn name(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<String> {
    let name = ctx.optional_text(fields, "name");
    if name.is_none() {
        let span = fields.get("name").map_or(fields.node.span, |name| name.span);
        ctx.missing::<()>(codes::MISSING, "name", span);
    }
    name
}

fn priority(ctx: &mut Ctx, node: &Node<'_>) -> Option<u8> {
    let number = ctx.integer("priority", node)?;
    let priority = u8::try_from(number).ok().filter(|priority| (1..=100).contains(priority));
    if priority.is_none() {
        ctx.error(codes::BAD_VALUE, node.span, format!("priority {number} is not between 1 and 100"));
    }
    priority
}
