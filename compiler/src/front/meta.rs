//! `metadata` of every object.

use crate::diag::{Diagnostic, ObjectRef};

use super::codes;
use super::decode::Ctx;
use super::objects::{Meta, Owner};
use super::parse;
use super::yaml::Node;

/// Namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Fields of `metadata` that the API knows.
const FIELDS: [&str; 17] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "clusterName",
    "initializers",
];

/// What makes an object this object, read before anything else so that every diagnostic can name it.
pub fn object_ref(root: &Node<'_>, kind: &str, namespaced: bool, default_namespace: &str) -> ObjectRef {
    let field = |name: &str| {
        root.get("metadata").and_then(|meta| meta.get(name)).and_then(Node::str).filter(|text| !text.is_empty())
    };
    let namespace = if namespaced { field("namespace").unwrap_or(default_namespace) } else { "" };
    let name = field("name").or_else(|| field("generateName")).unwrap_or_default();
    ObjectRef { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// Reads `metadata`. In a policy, unknown fields are errors and a missing name has the policy's own code.
pub fn meta(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef, policy: bool) -> Option<Meta> {
    let no_name = if policy { codes::NO_NAME } else { codes::MISSING };
    let Some(node) = root.get("metadata").filter(|node| !node.is_null()) else {
        return ctx.missing(no_name, "metadata.name", root.span);
    };
    let fields = ctx.fields("metadata", node)?;
    let name = fields.get("name").or_else(|| fields.get("generateName"));
    match name.map(|node| (node, ctx.text("name", node))) {
        Some((_, Some(""))) | None => {
            ctx.missing::<()>(no_name, "metadata.name", node.span);
        }
        Some((node, Some(name))) => {
            // The API server appends characters to `generateName`.
            let name = if fields.get("name").is_none() { name.trim_end_matches('-') } else { name };
            check_name(ctx, node, name);
        }
        Some((_, None)) => {}
    }
    if let Some(node) = fields.get("namespace")
        && let Some(namespace) = ctx.text("namespace", node)
        && !namespace.is_empty()
        && let Err(wrong) = parse::dns_label(namespace)
    {
        ctx.wrong(codes::BAD_NAME, node, "namespace", &wrong);
    }
    let labels = fields.get("labels").map(|node| labels(ctx, "labels", node)).unwrap_or_default();
    let mut annotations: Vec<(String, String)> = fields
        .get("annotations")
        .map(|node| ctx.string_map("annotations", node))
        .unwrap_or_default()
        .into_iter()
        .map(|(_, key, _, value)| (key.into_owned(), value.to_owned()))
        .collect();
    annotations.sort();
    let text = |node: &Node<'_>, name| node.get(name).and_then(Node::str).unwrap_or_default().to_owned();
    let owner = fields.get("ownerReferences").and_then(Node::items).and_then(<[_]>::first);
    let owner = owner.map(|owner| Owner { kind: text(owner, "kind"), name: text(owner, "name") });
    if policy {
        fields.ignore(&FIELDS);
        fields.finish(ctx, "metadata");
    }
    Some(Meta { object: object.clone(), labels, annotations, owner, span: root.span })
}

/// Names appear in paths and reports: what could break those is refused, what only the API server minds is not.
fn check_name(ctx: &mut Ctx, node: &Node<'_>, name: &str) {
    let Err(wrong) = parse::dns_subdomain(name) else {
        return;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() <= 253 && name.chars().all(plain) && !name.starts_with('.') {
        let message = format!("name {name:?}: the API server refuses it: {}", wrong.message);
        ctx.report(Diagnostic::warning(codes::ODD_NAME, node.part(wrong.offset, wrong.len), message));
    } else {
        ctx.wrong(codes::BAD_NAME, node, "name", &wrong);
    }
}

/// Reads labels, sorted by key.
pub fn labels(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (key_node, key, value_node, value) in ctx.string_map(name, node) {
        if let Err(wrong) = parse::qualified_name("", &key) {
            ctx.wrong(codes::BAD_NAME, key_node, "label key", &wrong);
        } else if let Err(wrong) = parse::label_value(value) {
            ctx.wrong(codes::BAD_NAME, value_node, "label value", &wrong);
        } else {
            labels.push((key.into_owned(), value.to_owned()));
        }
    }
    labels.sort();
    labels
}

/// Refuses `metadata.namespace` of a cluster-wide policy; `instead` is the kind that has one.
pub fn no_namespace(ctx: &mut Ctx, root: &Node<'_>, what: &str, instead: Option<&str>) {
    if let Some(node) = root.get("metadata").and_then(|meta| meta.get("namespace"))
        && node.str().is_some_and(|namespace| !namespace.is_empty())
    {
        let hint = match instead {
            Some(kind) => format!("remove `namespace`, or write a {kind}"),
            None => "remove `namespace`".to_owned(),
        };
        ctx.report(Diagnostic::error(codes::NAMESPACE, node.span, format!("{what} has no namespace")).hint(hint));
    }
}
