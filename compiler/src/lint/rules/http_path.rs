//! CL013: an HTTP path that is a regular expression and does not look like one.

use super::elements;
use crate::diag::Span;
use crate::front::objects::L7Rules;
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (object, element) in facts.objects.cilium_policies.iter().flat_map(elements) {
        for l7 in element.to_ports.iter().flatten().filter_map(|item| item.l7.as_ref()) {
            let L7Rules::Http(rules) = &l7.value else { continue };
            let paths = rules.iter().filter_map(|rule| rule.path.as_deref());
            out.extend(paths.filter_map(|path| {
                Some(problem(path, l7.span)?)
                    .map(|(span, message, hint)| Finding::new(span, object, message).hint(hint))
            }));
        }
    }
    out
}

fn problem(path: &str, span: Span) -> Option<(Span, String, String)> {
    if let Some(stem) = path.strip_suffix("/*") {
        let message = format!("path `{path}` is a regular expression: `/*` is any number of slashes, and nothing else");
        return Some((span, message, format!("write `{stem}/.*` for everything below")));
    }
    let first = path.chars().next()?;
    if first.is_ascii_alphanumeric() && !path.contains('|') {
        let message = format!("path `{path}` has to match the whole path, which begins with a slash");
        return Some((span, message, format!("write `/{path}`, or `.*{path}.*` for a part of it")));
    }
    None
}
