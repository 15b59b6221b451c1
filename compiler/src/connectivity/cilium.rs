//! Cilium's reading: what a resolved cluster lets pass, from the exact verdict functions that tables are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ciliumc_abi::action::VERDICT_DENY;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::table::{DIR_ICMP, DIR_ICMP6, DIR_SCTP, DIR_TCP, DIR_UDP};
use ipnet::IpNet;

use super::ports::{Joiner, Outcome, Ports, Segment, Transport, Treatment};
use super::{Connectivity, Party, RuleIndex, RuleRef, keep_common};
use crate::ir::{Cluster, Direction, Endpoint};
use crate::lower::factor::{ActionKey, Factored, factor};
use crate::resolve::{AuthType, ClassIndex, DirectionPolicy, Enforcement, Identity, Resolved, area_text};

/// Who may talk to whom. Pods of one workload are one party when their policy is the same.
pub fn connect(cluster: &Cluster, resolved: &Resolved) -> Connectivity {
    let workloads = workloads(cluster, resolved);
    let others = others(cluster, resolved);
    let mut ctx = Ctx::new(cluster, resolved);
    let mut pairs: BTreeMap<Party, BTreeMap<Party, _>> = BTreeMap::new();
    for (source, from) in &workloads {
        for (destination, to) in &workloads {
            // The replicas of a workload talk to each other; one pod alone has nobody to talk to.
            if source != destination || from.pods > 1 || !is_pod(source) {
                let egress = ctx.end(&from.classes, Direction::Egress, to.identity);
                let ingress = ctx.end(&to.classes, Direction::Ingress, from.identity);
                let ports = ctx.joined.join(egress, ingress);
                pairs.entry(source.clone()).or_default().insert(destination.clone(), ports);
            }
        }
        for (other, index) in &others {
            let egress = ctx.end(&from.classes, Direction::Egress, *index);
            pairs.entry(source.clone()).or_default().insert(other.clone(), egress);
            let ingress = ctx.end(&from.classes, Direction::Ingress, *index);
            pairs.entry(other.clone()).or_default().insert(source.clone(), ingress);
        }
    }
    let others: Vec<Party> = others.into_iter().map(|(party, _)| party).collect();
    Connectivity {
        rules: rules(cluster),
        labels: labels(cluster, &workloads),
        workloads: workloads.into_keys().collect(),
        others: Direction::ALL.map(|direction| (direction, others.clone())).into(),
        pairs,
        joined: ctx.joined,
    }
}

/// Labels of workloads, by the party that stands for their pods.
fn labels(cluster: &Cluster, workloads: &BTreeMap<Party, Pods>) -> BTreeMap<Party, BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        let party = [true, false].map(|owned| party(endpoint, owned)).into_iter().find(|p| workloads.contains_key(p));
        if let Some(party) = party {
            keep_common(&mut out, party, endpoint.labels.clone());
        }
    }
    out
}

/// Rules by their ids.
fn rules(cluster: &Cluster) -> Vec<RuleRef> {
    let reference = |(id, rule): (_, &crate::ir::Rule)| RuleRef {
        object: cluster.policy_of(id).object.clone(),
        path: rule.path.clone(),
        action: rule.action,
        span: rule.span,
        policy: cluster.policy_of(id).span,
    };
    cluster.rules().map(reference).collect()
}

/// Pods that nothing tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pods {
    identity: IdentityIndex,
    /// One for each kind of node that they may run on.
    classes: Vec<ClassIndex>,
    pods: usize,
}

fn workloads(cluster: &Cluster, resolved: &Resolved) -> BTreeMap<Party, Pods> {
    let mut by_owner: BTreeMap<Party, Vec<(&Endpoint, Pods)>> = BTreeMap::new();
    for (endpoint, numbers) in cluster.endpoints.iter().zip(&resolved.endpoints) {
        let classes = numbers.classes.values().copied().collect();
        let pods = Pods { identity: numbers.identity, classes, pods: 1 };
        by_owner.entry(party(endpoint, true)).or_default().push((endpoint, pods));
    }
    let mut out: BTreeMap<Party, Pods> = BTreeMap::new();
    for (owner, members) in by_owner {
        match members.as_slice() {
            [(_, first), rest @ ..] if rest.iter().all(|(_, pods)| pods == first) => {
                out.insert(owner, Pods { pods: members.len(), ..first.clone() });
            }
            // Replicas that differ in what policies see are each their own.
            _ => out.extend(members.into_iter().map(|(endpoint, pods)| (party(endpoint, false), pods))),
        }
    }
    out
}

fn party(endpoint: &Endpoint, owned: bool) -> Party {
    let name = endpoint.name.rsplit('/').next().unwrap_or(&endpoint.name);
    let owner = endpoint.owner.as_ref().filter(|_| owned);
    Party::workload(&endpoint.namespace, name, &endpoint.kind, owner)
}

fn is_pod(party: &Party) -> bool {
    matches!(party, Party::Workload { kind, .. } if kind == "Pod")
}

/// Everyone who is no endpoint: prefixes outside of the cluster, and what has a word.
fn others(cluster: &Cluster, resolved: &Resolved) -> Vec<(Party, IdentityIndex)> {
    let endpoints = of_endpoints(cluster, resolved);
    let mut out: BTreeMap<Party, IdentityIndex> = BTreeMap::new();
    for (address, enabled) in [
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), cluster.options.ipv4),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), cluster.options.ipv6),
    ] {
        if let (true, Ok(net)) = (enabled, IpNet::new(address, 0)) {
            let world =
                if net.addr().is_ipv4() { resolved.addresses.world_ipv4 } else { resolved.addresses.world_ipv6 };
            out.insert(Party::Net(net), world);
        }
    }
    for (net, index) in resolved.addresses.rows() {
        if resolved.identities.get(&index).is_some_and(is_outside) {
            out.insert(Party::Net(net), index);
        }
    }
    let by_address: BTreeSet<IdentityIndex> = out.values().copied().collect();
    for (&index, identity) in &resolved.identities {
        // A world without addresses is the other one, of a cluster with one family or with two.
        if !by_address.contains(&index) && !endpoints.contains(&index) && !is_outside(identity) {
            out.insert(Party::Entity(word(resolved, identity)), index);
        }
    }
    out.into_iter().collect()
}

/// Identities of endpoints, wherever their addresses lie.
fn of_endpoints(cluster: &Cluster, resolved: &Resolved) -> BTreeSet<IdentityIndex> {
    let by_name = resolved.endpoints.iter().map(|endpoint| endpoint.identity);
    let addresses = cluster.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let by_address = addresses.filter_map(|address| resolved.addresses.at(*address));
    by_name.chain(by_address).collect()
}

fn is_outside(identity: &Identity) -> bool {
    let worlds = ["world", "world-ipv4", "world-ipv6"];
    worlds.iter().any(|world| identity.labels.has_reserved(world))
}

/// `remote-node`, or all labels where there are others; and where it lies, if rules ask for that.
fn word(resolved: &Resolved, identity: &Identity) -> String {
    let reserved = identity.labels.iter().all(|label| label.source == "reserved");
    let labels = identity.labels.iter().map(|label| if reserved { label.key.clone() } else { label.to_string() });
    let labels = labels.collect::<Vec<_>>().join("+");
    let areas = identity.place.iter().filter_map(|area| resolved.areas.get(area.0 as usize));
    areas.fold(labels, |text, area| format!("{text} inside {}", area_text(area)))
}

struct Ctx {
    transports: Vec<Transport>,
    /// By class and direction; classes of one policy share theirs.
    rows: BTreeMap<(ClassIndex, Direction), Arc<Rows>>,
    joined: Joiner,
}

/// One direction of a policy: what each row of peers may do.
struct Rows {
    of: BTreeMap<IdentityIndex, usize>,
    ports: Vec<Arc<Ports>>,
}

impl Ctx {
    fn new(cluster: &Cluster, resolved: &Resolved) -> Self {
        let passes = |transport: &Transport| cluster.options.sctp || *transport != Transport::Sctp;
        let transports = Transport::ALL.into_iter().filter(passes).collect();
        let mut ctx = Self { transports, rows: BTreeMap::new(), joined: Joiner::default() };
        let known: Vec<IdentityIndex> = resolved.identities.keys().copied().collect();
        let mut by_policy: HashMap<&DirectionPolicy, Arc<Rows>> = HashMap::new();
        for (class, index) in resolved.classes.iter().zip((0..).map(ClassIndex)) {
            for direction in Direction::ALL {
                let policy = class.policy(direction);
                let rows = by_policy.entry(policy).or_insert_with(|| Arc::new(ctx.factor(policy, &known)));
                ctx.rows.insert((index, direction), rows.clone());
            }
        }
        ctx
    }

    /// What the policy of pods lets pass from or to a peer, on whatever node they run.
    fn end(&self, classes: &[ClassIndex], direction: Direction, peer: IdentityIndex) -> Arc<Ports> {
        let mut out: Option<Arc<Ports>> = None;
        for class in classes {
            let Some(ports) = self.class(*class, direction, peer) else { continue };
            out = Some(match out {
                None => ports,
                Some(all) if Arc::ptr_eq(&all, &ports) => all,
                Some(all) => Arc::new(all.combine(&ports, Outcome::either)),
            });
        }
        out.unwrap_or_else(|| Arc::new(self.constant(true, BTreeSet::new())))
    }

    fn class(&self, class: ClassIndex, direction: Direction, peer: IdentityIndex) -> Option<Arc<Ports>> {
        let rows = self.rows.get(&(class, direction))?;
        let row = rows.of.get(&peer).copied().unwrap_or_default();
        rows.ports.get(row).cloned()
    }

    fn factor(&self, policy: &DirectionPolicy, known: &[IdentityIndex]) -> Rows {
        // What is open or in conflict looks nothing up.
        let constant = match (&policy.enforcement, policy.is_open()) {
            (_, true) => Some(true),
            (Enforcement::Conflict, false) => Some(policy.audit),
            (Enforcement::Open | Enforcement::DefaultAllow | Enforcement::DefaultDeny(_), false) => None,
        };
        if let Some(passes) = constant {
            return Rows { of: BTreeMap::new(), ports: vec![Arc::new(self.constant(passes, BTreeSet::new()))] };
        }
        let factored = factor(policy, known);
        let ports = (0..factored.cells.len()).map(|row| Arc::new(self.row(&factored, row, policy.audit))).collect();
        Rows { of: factored.rows_of.into_iter().collect(), ports }
    }

    fn row(&self, factored: &Factored, row: usize, audit: bool) -> Ports {
        let outcomes: Vec<Arc<Outcome>> =
            factored.cells[row].iter().map(|action| Arc::new(outcome(action, audit))).collect();
        let segments = self.transports.iter().flat_map(|&transport| {
            let segments = factored.directories.get(directory(transport) as usize).into_iter().flatten();
            segments.map(move |segment| (transport, segment))
        });
        Ports::from_segments(segments.map(|(transport, segment)| {
            let outcome = outcomes[segment.class].clone();
            (transport, Segment { first: segment.first, last: segment.last, outcome })
        }))
    }

    fn constant(&self, passes: bool, rules: BTreeSet<RuleIndex>) -> Ports {
        let outcome = Outcome { passes: passes.then(Treatment::default), rules };
        Ports::all(&self.transports, &Arc::new(outcome))
    }
}

fn outcome(action: &ActionKey, audit: bool) -> Outcome {
    let treatment = Treatment {
        l7: action.ruleset.iter().cloned().collect(),
        auth: [action.auth].into_iter().filter(|auth| *auth != AuthType::None).collect(),
    };
    let passes = action.verdict != VERDICT_DENY || audit;
    let rules = action.rules.iter().map(|rule| RuleIndex(rule.0)).collect();
    Outcome { passes: passes.then_some(treatment), rules }
}

fn directory(transport: Transport) -> u32 {
    match transport {
        Transport::Icmp => DIR_ICMP,
        Transport::Icmp6 => DIR_ICMP6,
        Transport::Sctp => DIR_SCTP,
        Transport::Tcp => DIR_TCP,
        Transport::Udp => DIR_UDP,
    }
}
