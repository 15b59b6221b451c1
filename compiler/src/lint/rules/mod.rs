//! One file for each lint.

pub mod and_or;
pub mod cidr_of_cluster;
pub mod closed_port;
pub mod dns_protocol;
pub mod duplicate;
pub mod empty_list;
pub mod empty_namespace;
pub mod expired;
pub mod fqdn_in_cluster;
pub mod fqdn_without_dns;
pub mod half_open;
pub mod host_network;
pub mod http_path;
pub mod idle_deny;
pub mod moot_l7;
pub mod near_miss;
pub mod no_dns;
pub mod no_namespace;
pub mod no_peer;
pub mod no_subject;
pub mod overshadowed;
pub mod own_namespace;
pub mod policy_types;
pub mod probes;
pub mod redundant_policy;
pub mod redundant_rule;
pub mod silent_isolation;
pub mod unprotected;
pub mod world_open;

use crate::diag::ObjectRef;
use crate::front::objects::{CiliumPolicy, Element};

/// Elements of a policy, allows and denies, each with the object for reports.
fn elements(policy: &CiliumPolicy) -> impl Iterator<Item = (&ObjectRef, &Element)> {
    let lists =
        policy.rules.iter().flat_map(|rule| [&rule.ingress, &rule.ingress_deny, &rule.egress, &rule.egress_deny]);
    lists.flatten().flatten().map(|element| (&policy.meta.object, element))
}
