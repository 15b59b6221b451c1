//! Rules of the tiers around the regular one, with numbers in place of names (spec §6.2).

use std::collections::BTreeSet;

use ciliumc_abi::identity::IdentityIndex;

use super::peers::Resolver;
use super::places::{self, Area};
use super::policy::{ClassKey, Unresolved};
use super::{Class, L4Match, PeerSet};
use crate::diag::{Code, Diagnostic};
use crate::ir::options::EnablePolicy;
use crate::ir::{
    Cluster, Direction, EndpointIndex, Peer, Peers, Policy, PolicyIndex, Port, Ports, Rule, RuleAction, RuleId, Tier,
};

/// A rule of a tier. Of a tier's rules the first that matches counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TierRule {
    /// The rule it comes from; one rule may be several of these, side by side.
    pub rule: RuleId,
    /// Allow and deny are final, pass leaves the tier.
    pub action: RuleAction,
    /// Who.
    pub peers: PeerSet,
    /// Where to: any of these.
    pub l4: Vec<L4Match>,
}

/// The tiers around the regular one, for one direction of a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tiers {
    /// Before the regular tier.
    pub admin: Vec<TierRule>,
    /// Behind it, where it does not decide.
    pub baseline: Vec<TierRule>,
}

impl Tiers {
    /// The rules of both.
    pub fn rules(&self) -> impl Iterator<Item = &TierRule> {
        self.admin.iter().chain(&self.baseline)
    }

    /// Whether anything can be dropped because of them.
    pub fn deny(&self) -> bool {
        self.rules().any(|rule| rule.action == RuleAction::Deny)
    }
}

/// What the tiers say about a class.
pub fn tiers<'a>(
    cluster: &'a Cluster,
    direction: Direction,
    key: &ClassKey,
    selects: impl Fn(&Policy) -> bool,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> Tiers {
    // Spec §6.3: with `never` there are no tiers at all.
    if cluster.options.enable_policy == EnablePolicy::Never {
        return Tiers::default();
    }
    let mut of = |tier| rules(cluster, (tier, direction), key, &selects, peers, unresolved);
    Tiers { admin: of(Tier::Admin), baseline: of(Tier::Baseline) }
}

/// The rules of a tier in the order in which they are tried: by priority, name, and place in the object.
fn rules<'a>(
    cluster: &'a Cluster,
    (tier, direction): (Tier, Direction),
    key: &ClassKey,
    selects: &impl Fn(&Policy) -> bool,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> Vec<TierRule> {
    let mut policies: Vec<(u16, &str, &str, PolicyIndex)> = Vec::new();
    for (n, policy) in (0..).zip(&cluster.policies) {
        if let Some(place) = policy.tier
            && place.tier == tier
            && selects(policy)
        {
            policies.push((place.priority, &policy.object.name, &policy.object.kind, PolicyIndex(n)));
        }
    }
    policies.sort_unstable();
    let mut out = Vec::new();
    for (.., policy) in policies {
        // Rules are sorted by policy and direction.
        let first = cluster.rules.partition_point(|rule| (rule.policy, rule.direction) < (policy, direction));
        let rules = cluster.rules[first..].iter().take_while(|r| (r.policy, r.direction) == (policy, direction));
        for (id, rule) in (first as u32..).map(RuleId).zip(rules) {
            out.extend(resolve(cluster, id, rule, key, peers, unresolved));
        }
    }
    out
}

fn resolve<'a>(
    cluster: &'a Cluster,
    id: RuleId,
    rule: &'a Rule,
    key: &ClassKey,
    peers: &mut Resolver<'a>,
    unresolved: &mut Unresolved,
) -> Vec<TierRule> {
    let selected = select(cluster, rule, key, peers);
    if matches!(&selected, PeerSet::These(list) if list.is_empty()) {
        return Vec::new();
    }
    let one = |peers: PeerSet, l4: Vec<L4Match>| TierRule { rule: id, action: rule.action, peers, l4 };
    let list = match &rule.ports {
        Ports::All => return vec![one(selected, vec![L4Match::All])],
        Ports::AnyOf(list) => list,
    };
    let mut l4 = Vec::new();
    let mut out = Vec::new();
    for matched in list {
        match &matched.port {
            Port::Range { protocol, first, last } => {
                l4.push(L4Match::Ports { protocol: *protocol, first: *first, last: *last });
            }
            Port::NamedAtPeer { name, span } => {
                let places = l4.len() + out.len();
                match rule.direction {
                    Direction::Ingress => {
                        let own = key.named_ports.iter().filter(|port| port.name == *name);
                        l4.extend(own.map(|p| L4Match::Ports { protocol: p.protocol, first: p.port, last: p.port }));
                    }
                    Direction::Egress => {
                        for ((protocol, port), area) in places::port_areas(cluster, name) {
                            let has = |endpoint: &EndpointIndex| {
                                let ports = &cluster.endpoints[endpoint.0 as usize].named_ports;
                                ports.iter().any(|p| p.name == *name && (p.protocol, p.port) == (protocol, port))
                            };
                            let there = within(&selected, &named(rule.action, &area, peers, has));
                            if !there.is_empty() {
                                let l4 = L4Match::Ports { protocol, first: port, last: port };
                                out.push(one(PeerSet::These(there.into()), vec![l4]));
                            }
                        }
                    }
                }
                if l4.len() + out.len() == places {
                    unresolved.insert((id, name.clone(), *span));
                }
            }
            // No tier has these.
            Port::Named { .. } | Port::Icmp(_) | Port::Icmp6(_) => {}
        }
    }
    if !l4.is_empty() {
        l4.sort_unstable();
        l4.dedup();
        out.push(one(selected, l4));
    }
    out
}

/// The identities with a port of a name. Of pods without a known address several may share an identity and differ in
/// their ports: any of them is enough for a deny, all of them must have it otherwise.
fn named(
    action: RuleAction,
    area: &Area,
    peers: &Resolver<'_>,
    has: impl Fn(&EndpointIndex) -> bool,
) -> BTreeSet<IdentityIndex> {
    let mut out: BTreeSet<IdentityIndex> = peers.inside(area).collect();
    for (index, endpoints) in peers.unlocated() {
        let there = match action {
            RuleAction::Deny => endpoints.iter().any(&has),
            RuleAction::Allow | RuleAction::Pass => endpoints.iter().all(&has),
        };
        if there {
            out.insert(*index);
        }
    }
    out
}

fn within(selected: &PeerSet, others: &BTreeSet<IdentityIndex>) -> Vec<IdentityIndex> {
    others.iter().copied().filter(|index| selected.contains(*index)).collect()
}

/// Who the peers of a rule are. A pod without a known address is where the rule does less harm: inside of a network
/// for a deny, outside otherwise.
fn select<'a>(cluster: &'a Cluster, rule: &'a Rule, key: &ClassKey, peers: &mut Resolver<'a>) -> PeerSet {
    let list = match &rule.peers {
        Peers::Everyone => return PeerSet::Everyone,
        Peers::Nobody => return PeerSet::These([].into()),
        Peers::AnyOf(list) => list,
    };
    let mut out: BTreeSet<IdentityIndex> = BTreeSet::new();
    for peer in list {
        match peer {
            Peer::Labels(_) | Peer::Fqdn(_) => out.extend(peers.one(peer, key.variant).iter()),
            // By address, below.
            Peer::Network(_) | Peer::Nodes(_) => {}
            // No tier has these.
            Peer::Cidr(_) | Peer::Entity(_) => {}
        }
    }
    if let Some(area) = places::area(cluster, rule) {
        if places::is_everywhere(cluster, &area) {
            return PeerSet::Everyone;
        }
        out.extend(peers.inside(&area));
        let has_networks = list.iter().any(|peer| matches!(peer, Peer::Network(_)));
        if has_networks && rule.action == RuleAction::Deny {
            out.extend(peers.unlocated().keys());
        }
    }
    PeerSet::These(out.into_iter().collect())
}

/// W-301: two policies of equal priority that do different things to the same traffic. Their names decide.
pub fn warn_ties(cluster: &Cluster, classes: &[Class], diagnostics: &mut Vec<Diagnostic>) {
    let mut ties: BTreeSet<(RuleId, RuleId)> = BTreeSet::new();
    let mut pairs: BTreeSet<(PolicyIndex, PolicyIndex)> = BTreeSet::new();
    for class in classes {
        for policy in Direction::ALL.map(|direction| class.policy(direction)) {
            for tier in [&policy.tiers.admin, &policy.tiers.baseline] {
                for (n, first) in tier.iter().enumerate() {
                    let place = |rule: &TierRule| cluster.policy_of(rule.rule).tier.map(|tier| tier.priority);
                    let equal = tier[n + 1..].iter().take_while(|later| place(later) == place(first));
                    for later in equal.filter(|later| later.action != first.action && meet(first, later)) {
                        let pair = [first, later].map(|rule| cluster.rule(rule.rule).policy);
                        if pair[0] != pair[1] && pairs.insert((pair[0], pair[1])) {
                            ties.insert((first.rule, later.rule));
                        }
                    }
                }
            }
        }
    }
    for (first, later) in ties {
        let (winner, loser) = (cluster.policy_of(first), cluster.policy_of(later));
        let message = format!("{} has the same priority and does something else to the same traffic", winner.object);
        diagnostics.push(
            Diagnostic::warning(Code("W-301"), cluster.rule(later).span, message)
                .related(cluster.rule(first).span, "this rule is tried first, because of the policy's name")
                .hint("give the two policies different priorities")
                .object(loser.object.clone()),
        );
    }
}

fn meet(a: &TierRule, b: &TierRule) -> bool {
    let peers = match (&a.peers, &b.peers) {
        (PeerSet::Everyone, _) | (_, PeerSet::Everyone) => true,
        (PeerSet::These(list), PeerSet::These(_)) => list.iter().any(|index| b.peers.contains(*index)),
    };
    peers && a.l4.iter().any(|x| b.l4.iter().any(|y| overlap(*x, *y)))
}

fn overlap(a: L4Match, b: L4Match) -> bool {
    match (a, b) {
        (L4Match::All, _) | (_, L4Match::All) => true,
        (L4Match::Ports { protocol, first, last }, L4Match::Ports { protocol: p, first: f, last: l }) => {
            protocol == p && first <= l && f <= last
        }
        // Type 0 is every type (G-40).
        (L4Match::Icmp(x), L4Match::Icmp(y)) | (L4Match::Icmp6(x), L4Match::Icmp6(y)) => x == y || x == 0 || y == 0,
        (L4Match::Ports { .. } | L4Match::Icmp(_) | L4Match::Icmp6(_), _) => false,
    }
}
