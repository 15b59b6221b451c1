//! `toPorts[].rules`: exactly one kind, and the small kinds (spec §2.14).

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::L7Rules;
use crate::front::yaml::{Entry, Node};

use super::peers::fqdn_selector;
use super::{Scope, http, kafka};

/// Reads `rules`; the span is that of the kind. A kind with an empty list is the same as no `rules`.
pub fn rules(ctx: &mut Ctx, node: &Node<'_>, scope: Scope) -> Option<Spanned<L7Rules>> {
    let fields = ctx.fields("rules", node)?;
    let [http, kafka, dns, proto, l7] = ["http", "kafka", "dns", "l7proto", "l7"].map(|name| written(&fields, name));
    fields.finish(ctx, "rules");
    one_kind(ctx, node, &[http, kafka, dns, proto], l7, scope);
    if let (None, Some(l7)) = (proto, l7) {
        ctx.report(
            Diagnostic::error(codes::L7_WITHOUT_PROTO, l7.key.span, "`l7` needs `l7proto`")
                .hint("`l7proto` names the parser of the proxy"),
        );
    }
    let at = |entry: &Entry<'_>, value| Some(Spanned { value, span: entry.key.span });
    let http = http.and_then(|entry| at(entry, L7Rules::Http(list(ctx, "http", &entry.value, http::rule)?)));
    let kafka = kafka.and_then(|entry| at(entry, L7Rules::Kafka(list(ctx, "kafka", &entry.value, kafka::rule)?)));
    let dns = dns.and_then(|entry| {
        let items = list(ctx, "dns", &entry.value, |ctx, node| fqdn_selector(ctx, "dns", node))?;
        at(entry, L7Rules::Dns(items))
    });
    let proto = proto.and_then(|entry| {
        let name = ctx.text("l7proto", &entry.value)?.to_owned();
        let rules = l7.and_then(|l7| list(ctx, "l7", &l7.value, pairs)).unwrap_or_default();
        (!name.is_empty()).then_some(())?;
        at(entry, L7Rules::Proto { name, rules })
    });
    http.or(kafka).or(dns).or(proto)
}

fn written<'n, 'a>(fields: &Fields<'n, 'a>, name: &'static str) -> Option<&'n Entry<'a>> {
    fields.entry(name).filter(|entry| !entry.value.is_null())
}

fn one_kind(ctx: &mut Ctx, node: &Node<'_>, kinds: &[Option<&Entry<'_>>; 4], l7: Option<&Entry<'_>>, scope: Scope) {
    let kinds: Vec<_> = kinds.iter().flatten().collect();
    match kinds.as_slice() {
        // The engine reads `rules: {}` as no rules, the schema refuses it.
        [] if l7.is_none() && scope != Scope::Raw => {
            ctx.report(
                Diagnostic::error(codes::L7_KINDS, node.span, "`rules` has no kind")
                    .hint("write one of `http`, `kafka`, `dns` and `l7proto`, or remove `rules`"),
            );
        }
        [first, second, ..] => {
            let message =
                format!("cannot combine `{}` and `{}` in one `rules`", first.key.key_text(), second.key.key_text());
            ctx.report(
                Diagnostic::error(codes::L7_KINDS, second.key.span, message)
                    .related(first.key.span, "the other")
                    .hint("make two items of `toPorts` with different ports"),
            );
        }
        _ => {}
    }
}

/// Items of a kind, sorted because their order means nothing; nothing when there are none.
fn list<T: Ord>(
    ctx: &mut Ctx,
    name: &str,
    node: &Node<'_>,
    mut read: impl FnMut(&mut Ctx, &Node<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = ctx.items(name, node)?;
    let mut rules: Vec<T> = items.iter().filter_map(|item| read(ctx, item)).collect();
    rules.sort_unstable();
    rules.dedup();
    (!items.is_empty()).then_some(rules)
}

fn pairs(ctx: &mut Ctx, node: &Node<'_>) -> Option<BTreeMap<String, String>> {
    let pairs = ctx.string_map("l7", node);
    for (key_node, key, ..) in &pairs {
        if key.is_empty() {
            ctx.error(codes::L7_EMPTY_KEY, key_node.span, "a key of `l7` is empty");
        }
    }
    Some(pairs.into_iter().map(|(_, key, _, value)| (key.into_owned(), value.to_owned())).collect())
}
