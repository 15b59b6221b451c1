//! Objects to a [`Cluster`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::groups::{self, GroupAddresses};
use super::options::{self, Options};
use super::{
    CidrGroup, Cluster, FqdnSelector, Peer, Peers, Policy, PolicyIndex, Rule, Service, admin, cilium_policy, fqdn,
    network_policy, services, workloads,
};
use crate::diag::{Code, Diagnostic, ObjectRef, Severity};
use crate::front::objects::{self, Choices, Group, Objects};

/// State of the construction; rules are sorted and numbered at the end.
pub struct Ctx<'a> {
    options: &'a Options,
    choices: Choices,
    services: &'a [Service],
    cidr_groups: &'a BTreeMap<String, CidrGroup>,
    groups: GroupAddresses<'a>,
    policies: Vec<Policy>,
    rules: Vec<Rule>,
    /// Objects with an error that only shows here.
    refused: BTreeSet<ObjectRef>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Ctx<'a> {
    /// The agent's options.
    pub fn options(&self) -> &'a Options {
        self.options
    }

    /// Choices of the command line.
    pub fn choices(&self) -> Choices {
        self.choices
    }

    /// Services, by namespace and name.
    pub fn services(&self) -> &'a [Service] {
        self.services
    }

    /// Whether there is a CIDR group of this name.
    pub fn has_cidr_group(&self, name: &str) -> bool {
        self.cidr_groups.contains_key(name)
    }

    /// Addresses of a provider's group; `None` when nobody answered for it.
    pub fn group(&self, group: &Group) -> Option<&BTreeSet<IpAddr>> {
        self.groups.get(group)
    }

    /// Adds a policy.
    pub fn policy(&mut self, policy: Policy) -> PolicyIndex {
        self.policies.push(policy);
        PolicyIndex(self.policies.len() as u32 - 1)
    }

    /// Adds a rule.
    pub fn rule(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Reports a problem of an object. An error refuses the object: its policies and rules are left out, those added
    /// before and those still to come.
    pub fn report(&mut self, diagnostic: Diagnostic, object: &ObjectRef) {
        if diagnostic.severity == Severity::Error {
            self.refused.insert(object.clone());
        }
        self.diagnostics.push(diagnostic.object(object.clone()));
    }
}

/// Builds the cluster. What is wrong becomes a diagnostic; the result is complete for all that was right.
pub fn build(objects: &Objects, diagnostics: &mut Vec<Diagnostic>) -> Cluster {
    let options = options::read(&objects.config, diagnostics);

    let services = services::collect(objects);
    let cidr_groups: BTreeMap<String, CidrGroup> = objects.cidr_groups.iter().map(cidr_group).collect();

    let mut ctx = Ctx {
        options: &options,
        choices: objects.choices,
        services: &services,
        cidr_groups: &cidr_groups,
        groups: groups::collect(&objects.answers),
        policies: Vec::new(),
        rules: Vec::new(),
        refused: BTreeSet::new(),
        diagnostics,
    };
    for object in &objects.network_policies {
        network_policy::add(&mut ctx, object);
    }
    for object in &objects.cilium_policies {
        cilium_policy::add(&mut ctx, object);
    }
    for object in &objects.admin_policies {
        admin::add(&mut ctx, object);
    }
    let (policies, rules) = sort(ctx.policies, ctx.rules, &ctx.refused);

    let nodes = workloads::nodes(objects);
    let workloads = workloads::collect(objects, &nodes, diagnostics);
    let namespaces = namespaces(objects, &workloads.endpoints, diagnostics);
    let api_servers = objects
        .slices
        .iter()
        .filter(|slice| slice.meta.object.namespace == "default" && slice.service == "kubernetes")
        .flat_map(|slice| &slice.addresses)
        .chain(&objects.answers.api_servers)
        .copied()
        .collect();
    let fqdn_addresses = fqdn_addresses(&rules, objects);

    Cluster {
        options,
        namespaces,
        nodes,
        endpoints: workloads.endpoints,
        host_pods: workloads.host_pods,
        api_servers,
        cidr_groups,
        services,
        fqdn_addresses,
        policies,
        rules,
    }
}

/// What is known of the names of each selector in use.
fn fqdn_addresses(rules: &[Rule], objects: &Objects) -> BTreeMap<FqdnSelector, BTreeSet<IpAddr>> {
    let mut out = BTreeMap::new();
    for rule in rules {
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        for peer in peers {
            let Peer::Fqdn(selector) = peer else { continue };
            out.entry(selector.clone()).or_insert_with(|| {
                let known = objects.answers.dns.iter().filter(|(name, _)| fqdn::matches(selector, name));
                known.flat_map(|(_, addresses)| addresses.iter().copied()).collect()
            });
        }
    }
    out
}

fn cidr_group(group: &objects::CidrGroup) -> (String, CidrGroup) {
    let labels = group.meta.labels.iter().cloned().collect();
    let prefixes = group.prefixes.iter().map(|net| net.value).collect();
    (group.meta.object.name.clone(), CidrGroup { labels, prefixes })
}

/// Sorts policies by kind, namespace, name and spec index, and rules by policy, direction and place, so that ids do not
/// depend on the order of documents. Those of refused objects are left out.
fn sort(policies: Vec<Policy>, mut rules: Vec<Rule>, refused: &BTreeSet<ObjectRef>) -> (Vec<Policy>, Vec<Rule>) {
    let is_right = |i: usize| !refused.contains(&policies[i].object);
    rules.retain(|rule| is_right(rule.policy.0 as usize));
    let mut order: Vec<usize> = (0..policies.len()).filter(|&i| is_right(i)).collect();
    order.sort_by(|&a, &b| {
        let key = |i: usize| (&policies[i].object, policies[i].spec_index);
        key(a).cmp(&key(b))
    });
    let mut place = vec![0u32; policies.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new as u32;
    }
    for rule in &mut rules {
        rule.policy = PolicyIndex(place[rule.policy.0 as usize]);
    }
    // Stable: inside one policy and direction, allow elements come before deny elements, each in list order.
    rules.sort_by_key(|rule| (rule.policy, rule.direction));
    let mut slots: Vec<Option<Policy>> = policies.into_iter().map(Some).collect();
    let policies = order.into_iter().filter_map(|old| slots[old].take()).collect();
    (policies, rules)
}

/// A namespace that no document describes is assumed with its name label alone, and said.
fn namespaces(
    objects: &Objects,
    endpoints: &[super::Endpoint],
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let name_label = |name: &str| ("kubernetes.io/metadata.name".to_string(), name.to_string());
    let mut out: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for namespace in &objects.namespaces {
        let name = &namespace.meta.object.name;
        let mut labels: BTreeMap<_, _> = namespace.meta.labels.iter().cloned().collect();
        labels.extend([name_label(name)]);
        out.insert(name.clone(), labels);
    }
    let used: BTreeSet<&str> = endpoints.iter().map(|e| e.namespace.as_str()).collect();
    let assumed: Vec<&str> = used.into_iter().filter(|name| !out.contains_key(*name)).collect();
    if !assumed.is_empty() {
        let message =
            format!("no document describes namespace {}; assumed with its name label alone", assumed.join(", "));
        let hint = "add the Namespace objects if policies select by namespace labels";
        diagnostics.push(Diagnostic::info(Code("F-202"), None, message).hint(hint));
    }
    for name in assumed {
        out.insert(name.to_string(), BTreeMap::from([name_label(name)]));
    }
    out
}
