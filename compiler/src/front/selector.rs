//! Label selectors (spec §0.6).

use crate::diag::{Diagnostic, Span};

use super::codes;
use super::decode::{Ctx, Fields, each};
use super::names::nearest;
use super::objects::{KeySource, Operator, Requirement, Selector};
use super::parse::{self, Wrong};
use super::yaml::Node;

/// How the keys of a selector are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Cilium's: with a source in front, none meaning any.
    Cilium,
    /// Kubernetes': always source `k8s`, which Cilium puts in front before it checks the length.
    Policy,
    /// Plain keys of what a selector of Cilium's API asks: Cilium puts this source in front, so that no other can be written.
    Source(&'static str),
    /// Those of a workload, which Cilium never sees.
    Workload,
}

/// Reads a selector. Requirements that are wrong are reported and left out.
pub fn selector(ctx: &mut Ctx, name: &str, node: &Node<'_>, keys: Keys) -> Option<Selector> {
    let fields = ctx.fields(name, node)?;
    let labels = fields.get("matchLabels");
    let mut requirements = labels.map(|labels| match_labels(ctx, labels, keys)).unwrap_or_default();
    if let Some(expressions) = fields.get("matchExpressions") {
        let items = ctx.items("matchExpressions", expressions).unwrap_or_default();
        requirements.extend(each(items, |item| expression(ctx, item, keys)));
    }
    match keys {
        Keys::Cilium | Keys::Policy | Keys::Source(_) => fields.finish(ctx, "a label selector"),
        Keys::Workload => {}
    }
    Some(Selector { requirements, span: node.span })
}

/// Reads a mapping of labels as requirements.
pub fn match_labels(ctx: &mut Ctx, node: &Node<'_>, keys: Keys) -> Vec<Requirement> {
    let labels = ctx.string_map("matchLabels", node);
    let mut requirements = Vec::with_capacity(labels.len());
    for (key_node, key_text, value_node, value) in labels {
        let key = key(ctx, key_node, &key_text, keys);
        if let Err(wrong) = parse::label_value(value) {
            ctx.wrong(codes::SELECTOR, value_node, "label value", &wrong);
        } else if let Some((source, key)) = key {
            let span = Span { end: value_node.span.end.max(key_node.span.end), ..key_node.span };
            let values = vec![value.to_owned()];
            requirements.push(Requirement { source, key, operator: Operator::In, values, match_labels: true, span });
        }
    }
    requirements
}

fn expression(ctx: &mut Ctx, node: &Node<'_>, keys: Keys) -> Option<Requirement> {
    let fields = ctx.fields("matchExpressions", node)?;
    let key_field = fields.get("key").or_else(|| ctx.missing(codes::SELECTOR, "key", node.span));
    let operator_field = fields.get("operator").or_else(|| ctx.missing(codes::SELECTOR, "operator", node.span));
    let key = key_field.and_then(|key_node| {
        let text = ctx.text("key", key_node)?;
        key(ctx, key_node, text, keys)
    });
    let operator = operator_field.and_then(|node| operator(ctx, node));
    let values = operator.and_then(|operator| values(ctx, &fields, operator));
    if keys != Keys::Workload {
        fields.ignore(&["values"]);
        fields.finish(ctx, "a selector requirement");
    }
    let ((source, key), operator, values) = (key?, operator?, values?);
    Some(Requirement { source, key, operator, values, match_labels: false, span: node.span })
}

fn operator(ctx: &mut Ctx, node: &Node<'_>) -> Option<Operator> {
    let text = ctx.text("operator", node)?;
    let operator = match text {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => {
            let message = format!("operator {text:?} is not In, NotIn, Exists or DoesNotExist");
            let diagnostic = Diagnostic::error(codes::SELECTOR, node.span, message);
            ctx.report(match nearest(text, ["In", "NotIn", "Exists", "DoesNotExist"]) {
                Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
                None => diagnostic,
            });
            return None;
        }
    };
    Some(operator)
}

fn values(ctx: &mut Ctx, fields: &Fields<'_, '_>, operator: Operator) -> Option<Vec<String>> {
    let node = fields.get("values");
    let items = match node {
        Some(node) => ctx.items("values", node)?,
        None => &[],
    };
    let span = node.map_or(fields.node.span, |node| node.span);
    match operator {
        Operator::In | Operator::NotIn if items.is_empty() => {
            ctx.error(codes::SELECTOR, span, "In and NotIn need `values`");
            return None;
        }
        Operator::Exists | Operator::DoesNotExist if !items.is_empty() => {
            ctx.report(
                Diagnostic::error(codes::SELECTOR, span, "Exists and DoesNotExist take no `values`")
                    .hint("remove `values`, or write In or NotIn"),
            );
            return None;
        }
        Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
    }
    let read = each(items, |item| value(ctx, item));
    (read.len() == items.len()).then_some(read)
}

fn value(ctx: &mut Ctx, node: &Node<'_>) -> Option<String> {
    let text = ctx.text("values", node)?;
    match parse::label_value(text) {
        Ok(()) => Some(text.to_owned()),
        Err(wrong) => {
            ctx.wrong(codes::SELECTOR, node, "label value", &wrong);
            None
        }
    }
}

fn key(ctx: &mut Ctx, node: &Node<'_>, text: &str, keys: Keys) -> Option<(KeySource, String)> {
    let plain = |source: &'static str| (KeySource::Only(source.into()), text.to_owned());
    let read: Result<(KeySource, String), Wrong> = match keys {
        Keys::Cilium => parse::cilium_key(text),
        Keys::Policy => parse::qualified_name("k8s", text).map(|()| plain("k8s")),
        Keys::Source(source) => parse::qualified_name(source, text).map(|()| plain(source)),
        Keys::Workload => parse::qualified_name("", text).map(|()| plain("k8s")),
    };
    read.map_err(|wrong| ctx.wrong(codes::SELECTOR, node, "label key", &wrong)).ok()
}
