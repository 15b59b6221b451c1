//! Rules of the tiers around the regular one, with numbers in place of names (spec §6.2).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ciliumc_abi::identity::IdentityIndex;

use super::places::{AreaIndex, Named, Unlocated, Where};
use super::policy::{Unresolved, applies};
use super::{Class, Enforcement, Identity, L4Match, PeerSet, VariantIndex, peers};
use crate::diag::{Code, Diagnostic, Span};
use crate::ir::labels::LabelSet;
use crate::ir::options::EnablePolicy;
use crate::ir::{
    Cluster, Direction, EndpointIndex, Peer, Peers, Policy, PolicyIndex, Port, Ports, Protocol, Rule, RuleAction,
    RuleId, Tier,
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

/// Resolves rules of tiers. Most subjects share their rules, so answers are kept for each variant.
pub struct Resolver<'a> {
    cluster: &'a Cluster,
    named: &'a Named,
    /// Indices inside of each area.
    inside: Vec<BTreeSet<IdentityIndex>>,
    unlocated: Unlocated,
    peers: HashMap<(VariantIndex, RuleId), PeerSet>,
    egress: HashMap<(VariantIndex, RuleId), Vec<TierRule>>,
    /// Policies of tiers in the order in which they are tried.
    policies: Vec<(Tier, u16, &'a str, &'a str, PolicyIndex)>,
}

impl<'a> Resolver<'a> {
    pub fn new(
        cluster: &'a Cluster,
        named: &'a Named,
        identities: &BTreeMap<IdentityIndex, Identity>,
        unlocated: Unlocated,
    ) -> Self {
        let mut inside = vec![BTreeSet::new(); named.areas.len()];
        for (index, identity) in identities {
            for area in &identity.place {
                inside[area.0 as usize].insert(*index);
            }
        }
        let place = |(n, policy): (u32, &'a Policy)| {
            let place = policy.tier?;
            Some((place.tier, place.priority, &*policy.object.name, &*policy.object.kind, PolicyIndex(n)))
        };
        let mut policies: Vec<_> = (0..).zip(&cluster.policies).filter_map(place).collect();
        policies.sort_unstable();
        Self { cluster, named, inside, unlocated, peers: HashMap::new(), egress: HashMap::new(), policies }
    }

    /// Adds what the tiers say about a class, unless it has no policy at all.
    pub fn add_to(
        &mut self,
        class: &mut Class,
        labels: &LabelSet,
        peers: &mut peers::Resolver<'a>,
        unresolved: &mut Unresolved,
    ) {
        if Direction::ALL.iter().any(|direction| class.policy(*direction).enforcement == Enforcement::Conflict) {
            return;
        }
        class.ingress.tiers = self.tiers(Direction::Ingress, class, labels, peers, unresolved);
        class.egress.tiers = self.tiers(Direction::Egress, class, labels, peers, unresolved);
    }

    fn tiers(
        &mut self,
        direction: Direction,
        class: &Class,
        labels: &LabelSet,
        peers: &mut peers::Resolver<'a>,
        unresolved: &mut Unresolved,
    ) -> Tiers {
        let mut out = Tiers::default();
        // Spec §6.3: with `never` there are no tiers at all.
        if self.cluster.options.enable_policy == EnablePolicy::Never {
            return out;
        }
        let cluster = self.cluster;
        for (tier, .., policy) in self.policies.clone() {
            if !applies(&cluster.policies[policy.0 as usize], false, labels) {
                continue;
            }
            let list = match tier {
                Tier::Admin => &mut out.admin,
                Tier::Baseline => &mut out.baseline,
            };
            for (id, rule) in cluster.rules_of(policy).filter(|(_, rule)| rule.direction == direction) {
                match direction {
                    Direction::Ingress => list.extend(self.ingress(id, rule, class, peers, unresolved)),
                    Direction::Egress => list.extend(self.egress(id, rule, class.variant, peers, unresolved)),
                }
            }
        }
        out
    }

    /// A name of a port is one of the endpoint's own.
    fn ingress(
        &mut self,
        id: RuleId,
        rule: &'a Rule,
        class: &Class,
        peers: &mut peers::Resolver<'a>,
        unresolved: &mut Unresolved,
    ) -> Option<TierRule> {
        let (mut l4, names) = ports(rule);
        for (name, span) in names {
            let own = class.named_ports.iter().filter(|port| port.name == *name);
            let before = l4.len();
            l4.extend(own.map(|p| L4Match::Ports { protocol: p.protocol, first: p.port, last: p.port }));
            if l4.len() == before {
                unresolved.insert((id, name.clone(), span));
            }
        }
        tier_rule(id, rule, self.select(id, rule, class.variant, peers), l4)
    }

    /// A name of a port is one of each peer's: one rule may be several, which exclude each other.
    fn egress(
        &mut self,
        id: RuleId,
        rule: &'a Rule,
        variant: VariantIndex,
        peers: &mut peers::Resolver<'a>,
        unresolved: &mut Unresolved,
    ) -> Vec<TierRule> {
        if let Some(known) = self.egress.get(&(variant, id)) {
            return known.clone();
        }
        let selected = self.select(id, rule, variant, peers);
        let (l4, names) = ports(rule);
        let mut out = Vec::new();
        for (name, span) in names {
            let before = out.len();
            for (&(protocol, port), &area) in self.named.by_port.get(name).into_iter().flatten() {
                let there: BTreeSet<_> = self.with_port(rule.action, area, (name, protocol, port));
                let there = there.into_iter().filter(|index| selected.contains(*index)).collect();
                let l4 = vec![L4Match::Ports { protocol, first: port, last: port }];
                out.extend(tier_rule(id, rule, PeerSet::These(there), l4));
            }
            if out.len() == before {
                unresolved.insert((id, name.clone(), span));
            }
        }
        out.extend(tier_rule(id, rule, selected, l4));
        self.egress.insert((variant, id), out.clone());
        out
    }

    /// The identities with a port of a name. Of pods without a known address several may share an identity and differ
    /// in their ports: any of them is enough for a deny, all of them must have it otherwise.
    fn with_port(
        &self,
        action: RuleAction,
        area: AreaIndex,
        (name, protocol, port): (&str, Protocol, u16),
    ) -> BTreeSet<IdentityIndex> {
        let has = |endpoint: &EndpointIndex| {
            let ports = &self.cluster.endpoints[endpoint.0 as usize].named_ports;
            ports.iter().any(|p| p.name == name && (p.protocol, p.port) == (protocol, port))
        };
        let unlocated = self.unlocated.iter().filter(|(_, endpoints)| match action {
            RuleAction::Deny => endpoints.iter().any(has),
            RuleAction::Allow | RuleAction::Pass => endpoints.iter().all(has),
        });
        self.inside[area.0 as usize].iter().chain(unlocated.map(|(index, _)| index)).copied().collect()
    }

    /// Who the peers of a rule are. A pod without a known address is where the rule does less harm: inside of a network
    /// for a deny, outside otherwise.
    fn select(
        &mut self,
        id: RuleId,
        rule: &'a Rule,
        variant: VariantIndex,
        peers: &mut peers::Resolver<'a>,
    ) -> PeerSet {
        let list = match (&rule.peers, self.named.by_rule.get(&id)) {
            (Peers::Everyone, _) | (_, Some(Where::Everywhere)) => return PeerSet::Everyone,
            (Peers::Nobody, _) => return PeerSet::These([].into()),
            (Peers::AnyOf(list), _) => list,
        };
        if let Some(known) = self.peers.get(&(variant, id)) {
            return known.clone();
        }
        let mut out: BTreeSet<IdentityIndex> = BTreeSet::new();
        for peer in list {
            match peer {
                Peer::Labels(_) | Peer::Fqdn(_) => out.extend(peers.one(peer, variant).iter()),
                Peer::Network(_) if rule.action == RuleAction::Deny => out.extend(self.unlocated.keys()),
                // The rest is by address, below.
                Peer::Network(_) | Peer::Nodes(_) => {}
                // No tier has these.
                Peer::Cidr(_) | Peer::Entity(_) => {}
            }
        }
        if let Some(Where::Inside(area)) = self.named.by_rule.get(&id) {
            out.extend(&self.inside[area.0 as usize]);
        }
        let selected = PeerSet::These(out.into_iter().collect());
        self.peers.insert((variant, id), selected.clone());
        selected
    }
}

/// The ports of a rule that have numbers, and those that have names.
fn ports(rule: &Rule) -> (Vec<L4Match>, Vec<(&String, Span)>) {
    let list = match &rule.ports {
        Ports::All => return (vec![L4Match::All], Vec::new()),
        Ports::AnyOf(list) => list,
    };
    let (mut l4, mut names) = (Vec::new(), Vec::new());
    for matched in list {
        match &matched.port {
            Port::Range { protocol, first, last } => {
                l4.push(L4Match::Ports { protocol: *protocol, first: *first, last: *last });
            }
            Port::NamedAtPeer { name, span } => names.push((name, *span)),
            // No tier has these.
            Port::Named { .. } | Port::Icmp(_) | Port::Icmp6(_) => {}
        }
    }
    (l4, names)
}

/// A rule that can match, or none.
fn tier_rule(id: RuleId, rule: &Rule, peers: PeerSet, mut l4: Vec<L4Match>) -> Option<TierRule> {
    let nobody = matches!(&peers, PeerSet::These(list) if list.is_empty());
    l4.sort_unstable();
    l4.dedup();
    (!nobody && !l4.is_empty()).then_some(TierRule { rule: id, action: rule.action, peers, l4 })
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
