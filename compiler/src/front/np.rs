//! `networking.k8s.io/v1` NetworkPolicy (spec §1).

use ipnet::IpNet;

use crate::diag::{Diagnostic, ObjectRef, Spanned};

use super::codes;
use super::decode::{Ctx, Fields, each, spanned};
use super::meta::meta;
use super::objects::{IpBlock, NetworkPolicy, NpPeer, NpRule, Operator, PortSpec, Protocol, Selector};
use super::parse::{self, Cidr};
use super::selector::{Keys, selector};
use super::yaml::{Node, Value};

/// Reads a NetworkPolicy.
pub fn network_policy(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<NetworkPolicy> {
    let top = ctx.fields("NetworkPolicy", root)?;
    top.ignore(&["apiVersion", "kind", "metadata", "status"]);
    let spec = top.get("spec");
    top.finish(ctx, "a NetworkPolicy");
    let meta = meta(ctx, root, object, true);
    let Some(spec) = spec else {
        return ctx.missing(codes::MISSING, "spec", root.span);
    };
    let fields = ctx.fields("spec", spec)?;
    let pod_selector = match fields.get("podSelector") {
        Some(node) => selector(ctx, "podSelector", node, Keys::Policy),
        // The API's default since it became optional.
        None => Some(Selector { requirements: Vec::new(), span: spec.span }),
    };
    let types = fields.get("policyTypes").and_then(|node| policy_types(ctx, node));
    let ingress = fields.get("ingress").and_then(|node| rules(ctx, "ingress", "from", node));
    let egress = fields.get("egress").and_then(|node| rules(ctx, "egress", "to", node));
    if let Some((Types { ingress: in_types, egress: out_types }, node)) = types.zip(fields.get("policyTypes")) {
        let directions = [("Ingress", in_types, &ingress), ("Egress", out_types, &egress)];
        for (name, listed, rules) in directions {
            if !listed && rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
                let field = name.to_ascii_lowercase();
                ctx.report(
                    Diagnostic::warning(
                        codes::NP_TYPES_OMIT,
                        node.span,
                        format!("`policyTypes` omits {name}, but `{field}` has rules"),
                    )
                    .hint(format!("Cilium enforces them all the same; add {name}, or remove `{field}`")),
                );
            }
        }
    }
    fields.finish(ctx, "the spec of a NetworkPolicy");
    Some(NetworkPolicy {
        meta: meta?,
        pod_selector: pod_selector?,
        policy_types: types.map(|types| (types.ingress, types.egress)),
        ingress,
        egress,
    })
}

#[derive(Clone, Copy)]
struct Types {
    ingress: bool,
    egress: bool,
}

/// `None` when nothing is listed, which is the same as no list.
fn policy_types(ctx: &mut Ctx, node: &Node<'_>) -> Option<Types> {
    let items = ctx.items("policyTypes", node)?;
    if items.len() > 2 {
        ctx.error(codes::NP_TYPES, node.span, format!("`policyTypes` has {} items, there are two types", items.len()));
    }
    let mut types = Types { ingress: false, egress: false };
    for item in items {
        match ctx.text("policyTypes", item) {
            Some("Ingress") => types.ingress = true,
            Some("Egress") => types.egress = true,
            Some(other) => {
                ctx.error(codes::NP_TYPES, item.span, format!("policy type {other:?} is not Ingress or Egress"))
            }
            None => {}
        }
    }
    (!items.is_empty()).then_some(types)
}

fn rules(ctx: &mut Ctx, name: &str, peers: &'static str, node: &Node<'_>) -> Option<Vec<NpRule>> {
    let items = ctx.items(name, node)?;
    Some(each(items, |item| rule(ctx, name, peers, item)))
}

fn rule(ctx: &mut Ctx, name: &str, peers: &'static str, node: &Node<'_>) -> Option<NpRule> {
    let fields = ctx.fields(name, node)?;
    let peer_items = fields.get(peers).and_then(|node| ctx.items(peers, node)).unwrap_or_default();
    let port_items = fields.get("ports").and_then(|node| ctx.items("ports", node)).unwrap_or_default();
    let read = NpRule {
        peers: each(peer_items, |item| peer(ctx, peers, item)),
        ports: each(port_items, |item| port(ctx, item)),
        span: node.span,
    };
    fields.finish(ctx, format_args!("an {name} rule"));
    Some(read)
}

fn peer(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<NpPeer> {
    let fields = ctx.fields(name, node)?;
    let block = fields.get("ipBlock");
    let pods = fields.get("podSelector");
    let namespaces = fields.get("namespaceSelector");
    fields.finish(ctx, "a peer");
    match (block, pods, namespaces) {
        (None, None, None) => {
            ctx.report(
                Diagnostic::error(
                    codes::NP_PEER,
                    node.span,
                    "a peer needs `podSelector`, `namespaceSelector` or `ipBlock`",
                )
                .hint("an absent or empty list of peers is everyone"),
            );
            None
        }
        (Some(block), None, None) => ip_block(ctx, block).map(NpPeer::IpBlock),
        (Some(_), _, _) => {
            ctx.report(
                Diagnostic::error(
                    codes::NP_PEER,
                    node.span,
                    "`ipBlock` cannot be combined with a selector in one peer",
                )
                .hint("make them two items of the list, which is an OR"),
            );
            None
        }
        (None, pods, namespaces) => {
            let pods = pods.map(|node| selector(ctx, "podSelector", node, Keys::Policy));
            let read = namespaces.map(|node| selector(ctx, "namespaceSelector", node, Keys::Policy));
            if let Some(Some(read)) = &read {
                warn_negative(ctx, read);
            }
            Some(NpPeer::Pods { pods: transpose(pods)?, namespaces: transpose(read)?, span: node.span })
        }
    }
}

/// A field that is absent is fine, one that could not be read is not.
fn transpose<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn warn_negative(ctx: &mut Ctx, namespaces: &Selector) {
    let negative = |operator| matches!(operator, Operator::NotIn | Operator::DoesNotExist);
    let requirements = &namespaces.requirements;
    if !requirements.is_empty() && requirements.iter().all(|requirement| negative(requirement.operator)) {
        ctx.report(
            Diagnostic::warning(
                codes::NP_NEGATIVE,
                namespaces.span,
                "a namespace selector of negative requirements only",
            )
            .hint("it also matches what has no namespace: nodes and the world; add a requirement with Exists"),
        );
    }
}

fn ip_block(ctx: &mut Ctx, node: &Node<'_>) -> Option<IpBlock> {
    let fields = ctx.fields("ipBlock", node)?;
    let cidr = match fields.get("cidr") {
        Some(node) => cidr(ctx, "cidr", node),
        None => ctx.missing(codes::CIDR, "cidr", node.span),
    };
    let items = fields.get("except").and_then(|node| ctx.items("except", node)).unwrap_or_default();
    let mut except = Vec::new();
    for item in items {
        let Some(hole) = self::cidr(ctx, "except", item) else {
            continue;
        };
        if let Some(cidr) = &cidr
            && !is_strict_subset(&hole.value, &cidr.value)
        {
            ctx.report(
                Diagnostic::error(
                    codes::NP_EXCEPT,
                    hole.span,
                    format!("except {} is not strictly inside of {}", hole.value.net, cidr.value.net),
                )
                .related(cidr.span, "the prefix it is taken from"),
            );
        }
        except.push(net(&hole));
    }
    fields.finish(ctx, "an ipBlock");
    Some(IpBlock { cidr: net(&cidr?), except })
}

fn is_strict_subset(inner: &Cidr, outer: &Cidr) -> bool {
    outer.net.contains(&inner.address) && inner.net.prefix_len() > outer.net.prefix_len()
}

/// The masked prefix of one as written.
pub fn net(cidr: &Spanned<Cidr>) -> Spanned<IpNet> {
    Spanned { value: cidr.value.net, span: cidr.span }
}

/// Reads `address/len`.
pub fn cidr(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Spanned<Cidr>> {
    let text = ctx.text(name, node)?;
    match parse::cidr(text) {
        Ok(cidr) => Some(spanned(node, cidr)),
        Err(wrong) => {
            ctx.wrong(codes::CIDR, node, "CIDR", &wrong);
            None
        }
    }
}

fn port(ctx: &mut Ctx, node: &Node<'_>) -> Option<PortSpec> {
    let fields = ctx.fields("ports", node)?;
    let protocol = match fields.get("protocol") {
        Some(node) => protocol(ctx, node),
        None => Some(Protocol::Tcp),
    };
    let read = port_range(ctx, node, &fields, protocol);
    fields.finish(ctx, "a port");
    read
}

fn protocol(ctx: &mut Ctx, node: &Node<'_>) -> Option<Protocol> {
    let text = ctx.text("protocol", node)?;
    let protocol = parse::protocol(text);
    if protocol.is_none() {
        ctx.error(codes::NP_PROTOCOL, node.span, format!("protocol {text:?} is not TCP, UDP or SCTP"));
    }
    protocol
}

fn port_range(ctx: &mut Ctx, item: &Node<'_>, fields: &Fields<'_, '_>, protocol: Option<Protocol>) -> Option<PortSpec> {
    let (port, end) = (fields.get("port"), fields.get("endPort"));
    let span = item.span;
    let first = match port.map(|node| (node, node.value())) {
        None => {
            if let Some(end) = end {
                ctx.error(codes::NP_END_PORT, end.span, "endPort needs a `port`");
                return None;
            }
            return Some(PortSpec::Range { protocol: Some(protocol?), first: 0, last: u16::MAX, span });
        }
        Some((node, Some(Value::Str(name)))) => {
            if let Err(wrong) = parse::port_name(name) {
                ctx.wrong(codes::NP_PORT, node, "port", &wrong);
                return None;
            }
            if let Some(end) = end {
                ctx.error(codes::NP_END_PORT, end.span, "endPort needs a numeric `port`");
                return None;
            }
            return Some(PortSpec::Named { protocol: Some(protocol?), name: name.to_owned(), span });
        }
        Some((node, _)) => {
            let number = ctx.integer("port", node)?;
            let Some(number) = u16::try_from(number).ok().filter(|number| *number > 0) else {
                ctx.error(codes::NP_PORT, node.span, format!("port {number} is not between 1 and 65535"));
                return None;
            };
            number
        }
    };
    let last = match end {
        None => first,
        Some(node) => {
            let number = ctx.integer("endPort", node)?;
            match u16::try_from(number) {
                Ok(last) if last >= first => last,
                Ok(last) => {
                    ctx.report(
                        Diagnostic::error(
                            codes::NP_END_PORT,
                            node.span,
                            format!("endPort {last} is below port {first}"),
                        )
                        .hint("swap `port` and `endPort`"),
                    );
                    return None;
                }
                Err(_) => {
                    ctx.error(
                        codes::NP_END_PORT,
                        node.span,
                        format!("endPort {number} is not between {first} and 65535"),
                    );
                    return None;
                }
            }
        }
    };
    Some(PortSpec::Range { protocol: Some(protocol?), first, last, span })
}
