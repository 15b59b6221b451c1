//! CL036: a selector means pods on the host network, which are no endpoints.

use crate::lint::Finding;
use crate::lint::emptiness::{self, Emptiness};
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for unmatched in emptiness::all(facts) {
        let Emptiness::HostNetwork(workload) = &unmatched.why else { continue };
        let message = format!("{workload} is on the host network: no selector of endpoints means its pods");
        let hint = match unmatched.rule {
            None => "the policy constrains nobody; the host firewall is what constrains nodes",
            Some(_) => "as peers they are their node: name the entities `host` and `remote-node`",
        };
        out.push(Finding::new(unmatched.first_place(), &unmatched.policy.object, message).hint(hint));
    }
    out
}
