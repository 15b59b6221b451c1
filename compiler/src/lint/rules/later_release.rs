//! CL033: what a later release of Cilium refuses or reads in another way. (`fromRequires` and `toRequires` have W-204.)

use super::elements;
use crate::diag::{ObjectRef, Span};
use crate::front::objects::{FqdnSelector, L7Rules};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut add = |span: Span, object: &ObjectRef, message: String, hint: &str| {
        out.push(Finding::new(span, object, message).hint(hint));
    };
    let double_star = |selector: &FqdnSelector| match selector {
        FqdnSelector::Pattern(pattern) if pattern.starts_with("**.") && !facts.objects.choices.fqdn_double_star => {
            Some(format!("`{pattern}` is one label here, and one or more from Cilium 1.19 on"))
        }
        FqdnSelector::Pattern(_) | FqdnSelector::Name(_) => None,
    };
    let star_hint = "write `*.` for one label; check with --fqdn-double-star 1.19 what the next release does";
    for (object, element) in facts.objects.cilium_policies.iter().flat_map(elements) {
        for name in &element.fqdns {
            if let Some(message) = double_star(&name.value) {
                add(name.span, object, message, star_hint);
            }
        }
        for l7 in element.to_ports.iter().flatten().filter_map(|item| item.l7.as_ref()) {
            match &l7.value {
                L7Rules::Kafka(_) => {
                    let message = "Kafka rules are deprecated and gone in Cilium 1.20".to_owned();
                    add(l7.span, object, message, "restrict clients by labels and ports, or in the brokers themselves");
                }
                L7Rules::Proto { name, .. } => {
                    let message = format!("parser `{name}` is an Envoy Go extension, which Cilium 1.20 no longer has");
                    add(l7.span, object, message, "restrict by labels and ports, or with a listener of your own");
                }
                L7Rules::Dns(rules) => {
                    if let Some(message) = rules.iter().find_map(double_star) {
                        add(l7.span, object, message, star_hint);
                    }
                }
                L7Rules::Http(_) => {}
            }
        }
    }
    out
}
