//! What the built datapath does not do for an input that is right.

use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use crate::diag::{Code, Diagnostic};
use crate::ir::options::EnablePolicy;
use crate::ir::{AuthMode, Direction, Policy, RuleId, Subject};
use crate::resolve::{Enforcement, Parser};

/// One warning for all Services, and one for each rule and each host policy, whose traffic a node does not treat as a
/// cluster would.
pub fn warnings(analysis: &Analysis) -> Vec<Diagnostic> {
    services(analysis).into_iter().chain(rules(analysis)).chain(hosts(analysis)).collect()
}

/// Names of Services that a warning tells.
const NAMES_MAX: usize = 10;

/// No service address is translated: an endpoint whose egress is isolated is judged by the service's address and not by
/// its backend's.
fn services(analysis: &Analysis) -> Option<Diagnostic> {
    let isolated = analysis.resolved.classes.iter().any(|class| class.egress.enforcement != Enforcement::Open);
    let services = analysis.cluster.services.iter().filter(|service| isolated && !service.selector.is_empty());
    let services: Vec<_> = services.collect();
    let first = services.first()?;
    let names =
        services.iter().take(NAMES_MAX).map(|service| format!("{}/{}", service.object.namespace, service.object.name));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if services.len() > NAMES_MAX {
        names += &format!(" and {} more", services.len() - NAMES_MAX);
    }
    let message = format!("service addresses are not translated: an endpoint with isolated egress cannot use {names}");
    let hint = "its egress policy is asked about the service's own address; let it address the backends";
    Some(Diagnostic::warning(Code("F-301"), first.span, message).hint(hint).object(first.object.clone()))
}

/// There is no program on the devices of the node itself: what its host policies would drop passes.
fn hosts(analysis: &Analysis) -> Vec<Diagnostic> {
    let cluster = &analysis.cluster;
    // Elsewhere they have no effect in a cluster either.
    if !cluster.options.host_firewall || cluster.options.enable_policy == EnablePolicy::Never {
        return Vec::new();
    }
    let of_nodes = |policy: &&Policy| matches!(policy.subject, Subject::Nodes(_));
    let warning = |policy: &Policy| {
        let message = "nodes do not enforce host policies yet: this one is left out of the bundle";
        let hint = "what it would drop at the node itself passes; guard the node by other means";
        Diagnostic::warning(Code("F-304"), policy.span, message).hint(hint).object(policy.object.clone())
    };
    let always = (cluster.options.enable_policy == EnablePolicy::Always).then(|| {
        let message = "nodes do not enforce policy for themselves yet: `enable-policy: always` does not close them";
        Diagnostic::warning(Code("F-304"), None, message)
    });
    cluster.policies.iter().filter(of_nodes).map(warning).chain(always).collect()
}

/// There is no proxy and no handshake: the node drops what needs one.
fn rules(analysis: &Analysis) -> Vec<Diagnostic> {
    let mut redirects: BTreeMap<RuleId, BTreeSet<&Parser>> = BTreeMap::new();
    let mut handshakes: BTreeSet<RuleId> = BTreeSet::new();
    let policies = analysis.resolved.classes.iter().flat_map(|class| Direction::ALL.map(|d| class.policy(d)));
    for filter in policies.flat_map(|policy| &policy.filters) {
        let (Some(rule), Some(attributes)) = (filter.rule, &filter.attributes) else { continue };
        if let Some(redirect) = &attributes.redirect {
            redirects.entry(rule).or_default().insert(&redirect.parser);
        }
        if attributes.auth.is_some_and(|mode| mode != AuthMode::Disabled) {
            handshakes.insert(rule);
        }
    }

    let warning = |code, rule: RuleId, message: String, hint: &str| {
        let object = analysis.cluster.policy_of(rule).object.clone();
        Diagnostic::warning(code, analysis.cluster.rule(rule).span, message).hint(hint).object(object)
    };
    let mut out = Vec::new();
    for (rule, parsers) in redirects {
        let words: Vec<String> = parsers.iter().map(ToString::to_string).collect();
        let message = format!(
            "this rule sends traffic to a proxy ({}), which nodes do not have yet: they drop it (178)",
            words.join(", ")
        );
        out.push(warning(Code("F-302"), rule, message, "a rule without L7 part lets the traffic pass unseen"));
    }
    for rule in handshakes {
        let (effect, hint) = match analysis.cluster.options.audit {
            true => ("audit mode lets it pass", "it is reported as audited"),
            false => ("they drop it (189)", "a rule without `authentication` lets the traffic pass"),
        };
        let message = format!("this rule requires authentication, which nodes do not have yet: {effect}");
        out.push(warning(Code("F-303"), rule, message, hint));
    }
    out
}
