//! CL031: an element of a CiliumNetworkPolicy that selects nobody, where a NetworkPolicy would select everyone.

use crate::front::objects::{CiliumPolicy, CiliumRule, Element};
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    facts.objects.cilium_policies.iter().flat_map(of_policy).collect()
}

fn of_policy(policy: &CiliumPolicy) -> Vec<Finding> {
    let mut out = Vec::new();
    let lists = |rule: &CiliumRule| [rule.ingress.clone(), rule.egress.clone()];
    for list in policy.rules.iter().flat_map(lists).flatten() {
        for element in &list {
            let finding =
                |message: &str, hint: &str| Finding::new(element.span, &policy.meta.object, message).hint(hint);
            // `[{}]` by itself is how one writes default deny.
            if is_bare(element) && list.len() > 1 {
                out.push(finding(
                    "`{}` allows nobody here; in a NetworkPolicy it would allow everyone",
                    "write `fromEntities: [all]` (`toEntities`) to allow everyone, or leave the item out",
                ));
            } else if element.endpoints.as_ref().is_some_and(Vec::is_empty) {
                out.push(finding(
                    "an empty list of endpoints selects nobody; `[{}]` is every endpoint of the namespace",
                    "write `[{}]`, or leave the element out",
                ));
            }
        }
    }
    out
}

fn is_bare(element: &Element) -> bool {
    let lists = [
        element.endpoints.is_some(),
        element.cidr.is_some(),
        element.cidr_set.is_some(),
        element.entities.is_some(),
        element.nodes.is_some(),
        element.to_ports.is_some(),
        element.icmps.is_some(),
    ];
    let long = element.requires.len() + element.groups.len() + element.services.len() + element.fqdns.len();
    !lists.contains(&true) && long == 0
}
