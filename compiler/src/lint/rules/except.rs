//! CL019: exceptions of a prefix that leave nothing of it, or that repeat one another.

use ipnet::IpNet;

use super::prefixes;
use crate::lint::Finding;
use crate::lint::facts::Facts;

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for prefix in prefixes(facts.objects) {
        let nets: Vec<IpNet> = prefix.except.iter().map(|except| except.value).collect();
        for (n, except) in prefix.except.iter().enumerate() {
            let holds = |(m, outer): (usize, &IpNet)| {
                m != n && outer.contains(&except.value) && (*outer != except.value || m < n)
            };
            if let Some((_, outer)) = nets.iter().enumerate().find(|(m, outer)| holds((*m, *outer))) {
                let message = format!("{} lies inside of {outer}, which is excepted anyway", except.value);
                out.push(Finding::new(except.span, prefix.object, message).hint("remove one of the two"));
            }
        }
        // One that is as large as the prefix is reported where it is read.
        let net = prefix.cidr.value;
        let alone = nets.iter().any(|except| except.contains(&net));
        if !alone && nets.len() > 1 && IpNet::aggregate(&nets).iter().any(|all| all.contains(&net)) {
            let message = format!("the exceptions leave nothing of {net}: it selects nobody");
            let hint = "remove the item, or the exceptions that are not meant";
            out.push(Finding::new(prefix.cidr.span, prefix.object, message).hint(hint));
        }
    }
    out
}
