//! One file for each lint.

pub mod and_or;
pub mod cidr_form;
pub mod cidr_of_cluster;
pub mod closed_port;
pub mod dns_protocol;
pub mod duplicate;
pub mod empty_list;
pub mod empty_namespace;
pub mod except;
pub mod expired;
pub mod fqdn_in_cluster;
pub mod fqdn_without_dns;
pub mod half_open;
pub mod host_network;
pub mod http_path;
pub mod idle_deny;
pub mod inner_l7;
pub mod key_source;
pub mod later_release;
pub mod map_pressure;
pub mod moot_l7;
pub mod named_port;
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
pub mod service_address;
pub mod silent_isolation;
pub mod unequal_pods;
pub mod unprotected;
pub mod world_open;

use ipnet::IpNet;

use crate::diag::{ObjectRef, Spanned};
use crate::front::objects::{CidrSource, CiliumPolicy, Element, NpPeer, Objects, Selector, Subject};
use crate::ir::{Direction, Endpoint};

/// Elements of a policy, allows and denies, each with the object for reports.
fn elements(policy: &CiliumPolicy) -> impl Iterator<Item = (&ObjectRef, &Element)> {
    directed(policy).map(|(_, object, element)| (object, element))
}

fn directed(policy: &CiliumPolicy) -> impl Iterator<Item = (Direction, &ObjectRef, &Element)> {
    let lists = policy.rules.iter().flat_map(|rule| {
        let ingress = [&rule.ingress, &rule.ingress_deny].map(|list| (Direction::Ingress, list));
        ingress.into_iter().chain([&rule.egress, &rule.egress_deny].map(|list| (Direction::Egress, list)))
    });
    lists.flat_map(move |(direction, list)| {
        list.iter().flatten().map(move |element| (direction, &policy.meta.object, element))
    })
}

/// Selectors over labels of endpoints in a policy, the subjects included.
fn cilium_selectors(policy: &CiliumPolicy) -> impl Iterator<Item = (&ObjectRef, &Selector)> {
    let subjects = policy.rules.iter().filter_map(|rule| match &rule.subject {
        Subject::Endpoints(selector) => Some(selector),
        Subject::Nodes(_) => None,
    });
    let peers = elements(policy).flat_map(|(_, element)| element.endpoints.iter().flatten().chain(&element.requires));
    subjects.chain(peers).map(|selector| (&policy.meta.object, selector))
}

/// A prefix as a policy names it.
struct Prefix<'a> {
    direction: Direction,
    object: &'a ObjectRef,
    cidr: Spanned<IpNet>,
    except: &'a [Spanned<IpNet>],
}

/// Every prefix of NetworkPolicies and of Cilium's.
fn prefixes(objects: &Objects) -> impl Iterator<Item = Prefix<'_>> {
    let plain = objects.network_policies.iter().flat_map(|policy| {
        let ingress = policy.ingress.iter().flatten().map(|rule| (Direction::Ingress, rule));
        let rules = ingress.chain(policy.egress.iter().flatten().map(|rule| (Direction::Egress, rule)));
        let peers = rules.flat_map(|(direction, rule)| rule.peers.iter().map(move |peer| (direction, peer)));
        peers.filter_map(|(direction, peer)| match peer {
            NpPeer::IpBlock(block) => {
                Some(Prefix { direction, object: &policy.meta.object, cidr: block.cidr, except: &block.except })
            }
            NpPeer::Pods { .. } => None,
        })
    });
    let cilium = objects.cilium_policies.iter().flat_map(directed).flat_map(|(direction, object, element)| {
        let lone = element.cidr.iter().flatten();
        let lone = lone.map(move |cidr| Prefix { direction, object, cidr: *cidr, except: &[] });
        let sets = element.cidr_set.iter().flatten().filter_map(move |set| match &set.source {
            CidrSource::Cidr(cidr) => Some(Prefix { direction, object, cidr: *cidr, except: &set.except }),
            CidrSource::GroupRef(_) | CidrSource::GroupSelector(_) => None,
        });
        lone.chain(sets)
    });
    plain.chain(cilium)
}

/// The object that an endpoint was read from.
fn object(endpoint: &Endpoint) -> ObjectRef {
    let name = endpoint.name.rsplit('/').next().unwrap_or_default();
    ObjectRef { kind: endpoint.kind.clone(), namespace: endpoint.namespace.clone(), name: name.to_owned() }
}
