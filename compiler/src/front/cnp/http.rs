//! HTTP rules (spec §2.14).

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::objects::{HeaderMatch, HttpRule, Mismatch};
use crate::front::parse;
use crate::front::yaml::Node;

use super::tls::secret;

/// Reads an item of `http`.
pub fn rule(ctx: &mut Ctx, node: &Node<'_>) -> Option<HttpRule> {
    let fields = ctx.fields("http", node)?;
    let path = expression(ctx, &fields, "path");
    let method = expression(ctx, &fields, "method");
    let host = expression(ctx, &fields, "host");
    let mut headers = fields.get("headers").map(|node| ctx.texts("headers", node)).unwrap_or_default();
    headers.sort_unstable();
    let items = fields.get("headerMatches").and_then(|node| ctx.items("headerMatches", node)).unwrap_or_default();
    let mut header_matches: Vec<_> = items.iter().filter_map(|item| header(ctx, item)).collect();
    header_matches.sort_unstable();
    fields.finish(ctx, "an http item");
    Some(HttpRule { path, method, host, headers, header_matches })
}

/// A regular expression; the empty one counts as absent.
fn expression(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str) -> Option<String> {
    let text = ctx.optional_text(fields, name)?;
    if let (Err(wrong), Some(node)) = (parse::re2(&text), fields.get(name)) {
        let message = format!("`{name}` is no regular expression: {}", wrong.message);
        let place = node.part(wrong.offset, wrong.len);
        // Cilium leaves the host to the proxy.
        let diagnostic = match name {
            "host" => Diagnostic::warning(codes::HOST_REGEX, place, message),
            _ => Diagnostic::error(codes::L7_REGEX, place, message),
        };
        ctx.report(diagnostic.hint("the proxy takes the syntax of RE2 only"));
    }
    Some(text)
}

/// Actions by name.
const MISMATCHES: [(&str, Mismatch); 4] =
    [("LOG", Mismatch::Log), ("ADD", Mismatch::Add), ("DELETE", Mismatch::Delete), ("REPLACE", Mismatch::Replace)];

fn header(ctx: &mut Ctx, node: &Node<'_>) -> Option<HeaderMatch> {
    let fields = ctx.fields("headerMatches", node)?;
    let name = ctx.optional_text(&fields, "name");
    if name.is_none() {
        let span = fields.get("name").map_or(node.span, |name| name.span);
        ctx.error(codes::L7_NO_NAME, span, "a header to match has no `name`");
    }
    let value = fields.get("value").and_then(|node| ctx.text("value", node)).map(str::to_owned);
    let secret = fields.get("secret").map(|node| secret(ctx, node));
    let mismatch = fields.get("mismatch").map(|node| ctx.word(codes::BAD_VALUE, "mismatch", node, &MISMATCHES));
    fields.finish(ctx, "a headerMatches item");
    Some(HeaderMatch { name: name?, value, secret: secret.flatten(), mismatch: mismatch.flatten() })
}
