//! NetworkPolicy to rules (spec §1).

use super::build::Ctx;
use super::labels::{Requirement, Selector};
use super::scope::{self, CLUSTER_KEY, NAMESPACE_KEY};
use super::{
    CidrPeer, CidrSource, DefaultDeny, Direction, Peer, Peers, Policy, PolicyIndex, Ports, Rule, RuleAction, Subject,
    cilium_policy, quirks,
};
use crate::diag::{ObjectRef, Span};
use crate::front::objects::{NetworkPolicy, NpPeer, NpRule};

/// Adds one object.
pub fn add(ctx: &mut Ctx<'_>, object: &NetworkPolicy) {
    let namespace = object.meta.object.namespace.clone();
    let mut subject = scope::selector(&object.pod_selector);
    subject.requirements.push(Requirement::k8s_is(NAMESPACE_KEY, &namespace));

    // Cilium looks at the rules first and at the types second (§1.3): a direction with rules is isolated whatever
    // `policyTypes` says.
    let (type_ingress, type_egress) = object.policy_types.unwrap_or((true, has_rules(&object.egress)));
    let isolates_ingress = has_rules(&object.ingress) || type_ingress || !type_egress;
    let isolates_egress = has_rules(&object.egress) || type_egress;

    let policy = ctx.policy(Policy {
        object: object.meta.object.clone(),
        spec_index: 0,
        path: "spec".into(),
        subject: Subject::Endpoints(subject),
        namespace: Some(namespace),
        tier: None,
        default_deny: DefaultDeny { ingress: isolates_ingress, egress: isolates_egress },
        log: None,
        span: object.meta.span,
    });
    let directions =
        [(Direction::Ingress, &object.ingress, isolates_ingress), (Direction::Egress, &object.egress, isolates_egress)];
    for (direction, rules, isolates) in directions {
        let rules = rules.as_deref().unwrap_or_default();
        for (n, rule) in rules.iter().enumerate() {
            let path = format!("spec.{}[{n}]", direction.word());
            let peers = peers(ctx, rule, &object.meta.object);
            let ports = match rule.ports.as_slice() {
                [] => Ports::All,
                ports => Ports::AnyOf(cilium_policy::ports(ports, None)),
            };
            allow(ctx, policy, direction, path, rule.span, (peers, ports));
        }
        if isolates && rules.is_empty() {
            // The empty allow element: it isolates the direction and allows nothing.
            let path = format!("spec.{}", direction.word());
            allow(ctx, policy, direction, path, object.meta.span, (Peers::Nobody, Ports::All));
        }
    }
}

fn allow(
    ctx: &mut Ctx<'_>,
    policy: PolicyIndex,
    direction: Direction,
    path: String,
    span: Span,
    (peers, ports): (Peers, Ports),
) {
    let action = RuleAction::Allow;
    ctx.rule(Rule { policy, direction, action, path, span, peers, requires: Vec::new(), ports, auth: None });
}

fn has_rules(rules: &Option<Vec<NpRule>>) -> bool {
    rules.as_ref().is_some_and(|rules| !rules.is_empty())
}

fn peers(ctx: &mut Ctx<'_>, rule: &NpRule, object: &ObjectRef) -> Peers {
    if rule.peers.is_empty() {
        // A selector, not the wildcard: a `requires` of another policy constrains it (§2.6).
        return Peers::AnyOf(vec![Peer::Labels(Selector::default())]);
    }
    Peers::AnyOf(rule.peers.iter().map(|p| peer(ctx, p, object)).collect())
}

fn peer(ctx: &mut Ctx<'_>, written: &NpPeer, object: &ObjectRef) -> Peer {
    match written {
        NpPeer::IpBlock(block) => {
            quirks::zero_of_other_family(ctx, block.cidr, object);
            Peer::Cidr(CidrPeer {
                source: CidrSource::Net(block.cidr.value),
                except: block.except.iter().map(|e| e.value).collect(),
                set: true,
            })
        }
        NpPeer::Pods { pods, namespaces, .. } => {
            let mut selector = Selector::default();
            match namespaces {
                // Only `{}` asks for "some pod": a selector of negative requirements alone also matches what has no
                // namespace at all (W-102).
                Some(namespaces) if namespaces.requirements.is_empty() => {
                    selector.requirements.push(Requirement::k8s_exists(NAMESPACE_KEY));
                }
                Some(namespaces) => selector.requirements.extend(scope::namespace_labels(namespaces).requirements),
                None => selector.requirements.push(Requirement::k8s_is(NAMESPACE_KEY, &object.namespace)),
            }
            if let Some(pods) = pods {
                selector.requirements.extend(scope::selector(pods).requirements);
            }
            let names_cluster = selector.requirements.iter().any(|r| r.key == CLUSTER_KEY && r.is_k8s_or_any());
            if ctx.options().default_local_cluster && !names_cluster {
                selector.requirements.push(Requirement::k8s_is(CLUSTER_KEY, &ctx.options().cluster_name));
            }
            Peer::Labels(selector)
        }
    }
}
