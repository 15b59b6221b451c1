//! CL026: an empty list of rules for a direction that `policyTypes` leaves out isolates nothing.

use crate::front::objects::NpRule;
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for policy in &facts.objects.network_policies {
        let (ingress, egress) = policy.policy_types.unwrap_or((true, false));
        let is_empty = |rules: &Option<Vec<NpRule>>| rules.as_ref().is_some_and(Vec::is_empty);
        let lists = [("Ingress", ingress, is_empty(&policy.ingress)), ("Egress", egress, is_empty(&policy.egress))];
        for (name, listed, empty) in lists {
            if empty && !listed {
                let field = name.to_ascii_lowercase();
                let message = format!("`{field}: []` isolates nothing: `policyTypes` does not name {name}");
                let hint = format!("add `{name}` to `policyTypes`, or leave `{field}` out");
                out.push(Finding::new(policy.meta.span, &policy.meta.object, message).hint(hint));
            }
        }
    }
    out
}
