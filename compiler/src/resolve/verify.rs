//! What every later stage relies on. A failure is our bug, not the user's.

use std::collections::BTreeSet;

use ciliumc_abi::identity::IdentityIndex;

use super::{Enforcement, L4Match, PeerSet, Resolved};
use crate::ir::{Cluster, Direction};

/// Checks the resolved cluster; the text names what does not hold.
pub fn verify(cluster: &Cluster, resolved: &Resolved) -> Result<(), String> {
    let known = |index: IdentityIndex| resolved.identities.contains_key(&index);
    let numbers: BTreeSet<_> = resolved.identities.values().map(|i| i.numeric).collect();
    if numbers.len() != resolved.identities.len() {
        return Err("two identities have one number".into());
    }
    for (net, index) in resolved.addresses.rows() {
        if !known(index) {
            return Err(format!("prefix {net} has unknown identity {index}"));
        }
    }
    if resolved.endpoints.len() != cluster.endpoints.len() || resolved.node_variants.len() != cluster.nodes.len() {
        return Err("an endpoint or a node was lost".into());
    }
    for (endpoint, resolved_endpoint) in cluster.endpoints.iter().zip(&resolved.endpoints) {
        if resolved_endpoint.classes.is_empty() || !known(resolved_endpoint.identity) {
            return Err(format!("endpoint {} has no class or no identity", endpoint.name));
        }
        for (variant, class) in &resolved_endpoint.classes {
            let Some(class) = resolved.classes.get(class.0 as usize) else {
                return Err(format!("endpoint {} has a class that is not there", endpoint.name));
            };
            if class.variant != *variant || class.identity != resolved_endpoint.identity {
                return Err(format!("endpoint {} has another endpoint's class", endpoint.name));
            }
        }
    }
    for (n, class) in resolved.classes.iter().enumerate() {
        for direction in Direction::ALL {
            let policy = class.policy(direction);
            if policy.enforcement == Enforcement::Open && !policy.filters.is_empty() {
                return Err(format!("class {n} is open and has filters"));
            }
            for filter in &policy.filters {
                if let PeerSet::These(list) = &filter.peers
                    && (!list.windows(2).all(|w| w[0] < w[1]) || !list.iter().all(|i| known(*i)))
                {
                    return Err(format!("class {n} has unsorted or unknown peers"));
                }
                if let L4Match::Ports { first, last, .. } = filter.l4
                    && first > last
                {
                    return Err(format!("class {n} has an empty port range"));
                }
            }
        }
    }
    Ok(())
}
