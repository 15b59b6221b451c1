//! The cluster around the pods: namespaces, nodes, services, configuration.

use std::net::IpAddr;

use crate::diag::{Diagnostic, ObjectRef, Spanned};

use super::codes;
use super::decode::{Ctx, spanned};
use super::meta::{labels, meta};
use super::objects::{CidrGroup, EndpointSlice, Namespace, Node as ClusterNode, Service, ServicePort};
use super::parse;
use super::workload::address;
use super::yaml::Node;

/// Reads a Namespace.
pub fn namespace(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<Namespace> {
    Some(Namespace { meta: meta(ctx, root, object, false)? })
}

/// Reads a Node.
pub fn node(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<ClusterNode> {
    let meta = meta(ctx, root, object, false);
    let mut addresses = Vec::new();
    for item in list(ctx, root, "status", "addresses") {
        let Some(fields) = ctx.fields("addresses", item) else {
            continue;
        };
        let is_ip =
            fields.get("type").and_then(Node::str).is_some_and(|kind| matches!(kind, "InternalIP" | "ExternalIP"));
        if let Some(node) = fields.get("address").filter(|_| is_ip) {
            addresses.extend(address(ctx, "address", node));
        }
    }
    Some(ClusterNode { meta: meta?, addresses, health: Vec::new(), ingress: Vec::new() })
}

/// Reads a CiliumNode.
pub fn cilium_node(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<ClusterNode> {
    let meta = meta(ctx, root, object, false);
    let mut addresses = Vec::new();
    for item in list(ctx, root, "spec", "addresses") {
        if let Some(node) = ctx.fields("addresses", item).and_then(|fields| fields.get("ip")) {
            addresses.extend(address(ctx, "ip", node));
        }
    }
    let health = special(ctx, root, "health");
    let ingress = special(ctx, root, "ingress");
    Some(ClusterNode { meta: meta?, addresses, health, ingress })
}

/// `spec.health` or `spec.ingress` of a CiliumNode: an address of each family, both optional.
fn special(ctx: &mut Ctx, root: &Node<'_>, name: &str) -> Vec<IpAddr> {
    let Some(node) = root.get("spec").and_then(|spec| spec.get(name)).filter(|node| !node.is_null()) else {
        return Vec::new();
    };
    let Some(fields) = ctx.fields(name, node) else {
        return Vec::new();
    };
    let written = [fields.get("ipv4"), fields.get("ipv6")];
    let written = written.into_iter().flatten().filter(|node| node.str() != Some(""));
    written.filter_map(|node| address(ctx, name, node)).map(|address| address.value).collect()
}

/// Reads a Service.
pub fn service(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<Service> {
    let meta = meta(ctx, root, object, false);
    let mut selector = Vec::new();
    let mut cluster_ips = Vec::new();
    let mut ports = Vec::new();
    if let Some(spec) = root.get("spec").filter(|spec| !spec.is_null()) {
        let spec = ctx.fields("spec", spec)?;
        selector = spec.get("selector").map(|node| labels(ctx, "selector", node)).unwrap_or_default();
        let many = spec.get("clusterIPs").and_then(|node| ctx.items("clusterIPs", node)).unwrap_or_default();
        let one = spec.get("clusterIP").filter(|_| many.is_empty());
        for node in many.iter().chain(one) {
            if !matches!(node.str(), Some("None" | "")) {
                cluster_ips.extend(address(ctx, "clusterIP", node).map(|address| address.value));
            }
        }
        ports = spec.get("ports").and_then(Node::items).unwrap_or_default().iter().filter_map(service_port).collect();
    }
    Some(Service { meta: meta?, selector, cluster_ips, ports })
}

/// No verdict depends on it, so what cannot be read is left out.
fn service_port(node: &Node<'_>) -> Option<ServicePort> {
    let text = |name: &str| node.get(name).filter(|node| !node.is_null()).map(Node::key_text);
    let port = text("port")?;
    let number = port.parse().ok()?;
    Some(ServicePort { port: number, target: text("targetPort").unwrap_or(port).into_owned() })
}

/// Label that tells whose addresses an EndpointSlice holds.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Reads an EndpointSlice.
pub fn slice(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<EndpointSlice> {
    let meta = meta(ctx, root, object, false);
    let mut addresses = Vec::new();
    // The third address type, FQDN, holds names.
    let names = root.get("addressType").and_then(Node::str) == Some("FQDN");
    if let Some(endpoints) = root.get("endpoints").filter(|node| !node.is_null() && !names) {
        for item in ctx.items("endpoints", endpoints).unwrap_or_default() {
            let Some(list) = ctx.fields("endpoints", item).and_then(|fields| fields.get("addresses")) else {
                continue;
            };
            for node in ctx.items("addresses", list).unwrap_or_default() {
                addresses.extend(address(ctx, "addresses", node).map(|address| address.value));
            }
        }
    }
    let meta = meta?;
    let service = meta.labels.iter().find(|(key, _)| key == SERVICE_NAME).map(|(_, value)| value.clone());
    Some(EndpointSlice { meta, service: service.unwrap_or_default(), addresses })
}

/// Reads an Endpoints object.
pub fn endpoints(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<EndpointSlice> {
    let meta = meta(ctx, root, object, false);
    let mut addresses = Vec::new();
    if let Some(subsets) = root.get("subsets").filter(|node| !node.is_null()) {
        for subset in ctx.items("subsets", subsets).unwrap_or_default() {
            let Some(subset) = ctx.fields("subsets", subset) else {
                continue;
            };
            for list in [subset.get("addresses"), subset.get("notReadyAddresses")].into_iter().flatten() {
                for item in ctx.items("addresses", list).unwrap_or_default() {
                    if let Some(node) = ctx.fields("addresses", item).and_then(|fields| fields.get("ip")) {
                        addresses.extend(address(ctx, "ip", node).map(|address| address.value));
                    }
                }
            }
        }
    }
    let meta = meta?;
    let service = meta.object.name.clone();
    Some(EndpointSlice { meta, service, addresses })
}

/// Reads a CiliumCIDRGroup (spec §2.8). An entry that is no prefix is left out, as Cilium does.
pub fn cidr_group(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<CidrGroup> {
    let top = ctx.fields(&object.kind, root)?;
    top.ignore(&["apiVersion", "kind", "metadata", "status"]);
    let spec = top.get("spec");
    top.finish(ctx, "a CiliumCIDRGroup");
    let meta = meta(ctx, root, object, false);
    let Some(spec) = spec else {
        return ctx.missing(codes::MISSING, "spec", root.span);
    };
    let fields = ctx.fields("spec", spec)?;
    let Some(list) = fields.get("externalCIDRs") else {
        return ctx.missing(codes::MISSING, "externalCIDRs", spec.span);
    };
    let mut prefixes = Vec::new();
    for item in ctx.items("externalCIDRs", list).unwrap_or_default() {
        let Some(text) = ctx.text("externalCIDRs", item) else {
            continue;
        };
        match parse::cidr(text) {
            Ok(cidr) => prefixes.push(spanned(item, cidr.net)),
            Err(wrong) => ctx.report(
                Diagnostic::warning(
                    codes::GROUP_CIDR,
                    item.part(wrong.offset, wrong.len),
                    format!("CIDR {text:?}: {}", wrong.message),
                )
                .hint("Cilium leaves it out of the group; the rest stays in use"),
            ),
        }
    }
    fields.finish(ctx, "the spec of a CiliumCIDRGroup");
    Some(CidrGroup { meta: meta?, prefixes })
}

/// A key and a value, each with its place.
pub type Setting = (Spanned<String>, Spanned<String>);

/// Reads the data of ConfigMap `kube-system/cilium-config`.
pub fn config(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef) -> Option<Vec<Setting>> {
    meta(ctx, root, object, false)?;
    let Some(data) = root.get("data").filter(|data| !data.is_null()) else {
        return ctx.missing(codes::MISSING, "data", root.span);
    };
    let pairs = ctx.string_map("data", data);
    Some(
        pairs
            .into_iter()
            .map(|(key_node, key, node, value)| (spanned(key_node, key.into_owned()), spanned(node, value.to_owned())))
            .collect(),
    )
}

/// The items of a list two levels down; empty when it is absent.
fn list<'n, 'a>(ctx: &mut Ctx, root: &'n Node<'a>, outer: &str, inner: &'static str) -> &'n [Node<'a>] {
    let Some(node) = root.get(outer).filter(|node| !node.is_null()) else {
        return &[];
    };
    let Some(node) = ctx.fields(outer, node).and_then(|fields| fields.get(inner)) else {
        return &[];
    };
    ctx.items(inner, node).unwrap_or_default()
}
