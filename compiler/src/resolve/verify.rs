//! What every later stage relies on. A failure is our bug, not the user's.

use std::collections::{BTreeMap, BTreeSet};

use ciliumc_abi::identity::IdentityIndex;

use super::{Enforcement, L4Match, PeerSet, Resolved};
use crate::ir::{Cluster, Direction, RuleAction};

/// Checks the resolved cluster; the text names what does not hold.
pub fn verify(cluster: &Cluster, resolved: &Resolved) -> Result<(), String> {
    let known = |index: IdentityIndex| resolved.identities.contains_key(&index);
    let mut numbers = BTreeMap::new();
    for identity in resolved.identities.values() {
        if numbers.insert(identity.numeric, &identity.labels).is_some_and(|labels| *labels != identity.labels) {
            return Err("two identities have one number".into());
        }
    }
    let mut areas = resolved.identities.values().flat_map(|identity| &identity.place);
    if areas.any(|area| area.0 as usize >= resolved.areas.len()) {
        return Err("an identity lies in an area that is not there".into());
    }
    let places: BTreeSet<_> = resolved.identities.values().map(|i| (i.numeric, &i.place)).collect();
    if places.len() != resolved.identities.len() {
        return Err("two indices of one number mean one place".into());
    }
    if resolved.host_indices.values().any(|index| resolved.identities.get(index).is_none_or(|i| i.numeric.0 != 1)) {
        return Err("an address of a node is not the host's".into());
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
    let own = |(n, host): (usize, &super::Class)| host.is_host() && host.variant.0 as usize == n;
    if resolved.hosts.len() != resolved.variants.len() || !resolved.hosts.iter().enumerate().all(own) {
        return Err("a host has another variant's policy".into());
    }
    if resolved.classes.iter().any(super::Class::is_host) {
        return Err("a class of endpoints is the host's".into());
    }
    for (n, class) in resolved.classes.iter().chain(&resolved.hosts).enumerate() {
        for direction in Direction::ALL {
            let policy = class.policy(direction);
            let has_policy = !matches!(policy.enforcement, Enforcement::Open | Enforcement::Conflict);
            if !has_policy && !policy.filters.is_empty() {
                return Err(format!("class {n} has filters and no policy"));
            }
            let other = Direction::ALL.map(|other| class.policy(other).enforcement == Enforcement::Conflict);
            if other[0] != other[1] {
                return Err(format!("class {n} has a conflict in one direction alone"));
            }
            for filter in &policy.filters {
                let asks = filter.attributes.as_ref();
                if asks.is_some_and(|a| a.redirect.is_none() && a.auth.is_none()) {
                    return Err(format!("class {n} has attributes that say nothing"));
                }
                if asks.is_some() && filter.action != RuleAction::Allow {
                    return Err(format!("class {n} has a deny with attributes"));
                }
                if asks.and_then(|a| a.redirect.as_ref()).is_some_and(|r| !(1..=127).contains(&r.priority)) {
                    return Err(format!("class {n} has a redirect without priority"));
                }
            }
            let peers = policy.filters.iter().map(|filter| &filter.peers).chain(policy.tiers.rules().map(|r| &r.peers));
            for peers in peers {
                if let PeerSet::These(list) = peers
                    && (!list.windows(2).all(|w| w[0] < w[1]) || !list.iter().all(|i| known(*i)))
                {
                    return Err(format!("class {n} has unsorted or unknown peers"));
                }
            }
            let l4 = policy.filters.iter().map(|filter| filter.l4);
            for l4 in l4.chain(policy.tiers.rules().flat_map(|rule| rule.l4.iter().copied())) {
                if let L4Match::Ports { first, last, .. } = l4
                    && first > last
                {
                    return Err(format!("class {n} has an empty port range"));
                }
            }
        }
    }
    Ok(())
}
