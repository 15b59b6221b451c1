//! Which rules are covered by others, over all endpoints that they bind.
//!
//! In: the filters of every class and every host. Out: for each rule, in how many places it has a filter, and in how many of them all of
//! its filters are redundant, overshadowed, moot or idle. What is so everywhere is a finding.

use std::collections::BTreeMap;

use crate::ir::{Cluster, Direction, Peer, Peers, RuleAction, RuleId};
use crate::resolve::{DirectionPolicy, Enforcement, L4Filter, L4Match, PeerSet, Resolved};

/// Filters of a class are compared with one another, so a class with more of them is left out.
const FILTERS_MAX: usize = 300;

/// In how many places something holds, and because of which rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    count: u32,
    /// The first rule that makes it so.
    pub by: Option<RuleId>,
}

impl Tally {
    fn add(&mut self, by: Option<RuleId>) {
        self.count += 1;
        self.by = self.by.or(by);
    }
}

/// What holds of one rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cover {
    places: u32,
    redundant: Tally,
    redundant_elsewhere: Tally,
    overshadowed: Tally,
    moot: Tally,
    idle: Tally,
}

impl Cover {
    fn everywhere(&self, tally: Tally) -> Option<Tally> {
        (self.places > 0 && tally.count == self.places).then_some(tally)
    }

    /// Other rules allow all of it (CL007).
    pub fn redundant(&self) -> Option<Tally> {
        self.everywhere(self.redundant)
    }

    /// Rules of other policies allow all of it (CL008).
    pub fn redundant_elsewhere(&self) -> Option<Tally> {
        self.everywhere(self.redundant_elsewhere)
    }

    /// Denies take all of it away (CL009).
    pub fn overshadowed(&self) -> Option<Tally> {
        self.everywhere(self.overshadowed)
    }

    /// It denies what nothing allows (CL010).
    pub fn idle(&self) -> Option<Tally> {
        self.everywhere(self.idle)
    }

    /// Plain allows pass whatever its L7 part refuses (CL011).
    pub fn moot(&self) -> Option<Tally> {
        self.everywhere(self.moot)
    }
}

/// Compares the rules of each class, by [`RuleId`].
pub fn covers(cluster: &Cluster, resolved: &Resolved) -> Vec<Cover> {
    let mut out = vec![Cover::default(); cluster.rules.len()];
    // Without the host firewall hosts have no filters.
    for class in resolved.classes.iter().chain(&resolved.hosts) {
        for direction in Direction::ALL {
            place(cluster, direction, class.policy(direction), &mut out);
        }
    }
    out
}

fn place(cluster: &Cluster, direction: Direction, policy: &DirectionPolicy, out: &mut [Cover]) {
    let isolating = match &policy.enforcement {
        Enforcement::Open | Enforcement::Conflict => return,
        Enforcement::DefaultAllow => None,
        Enforcement::DefaultDeny(rules) => Some(rules),
    };
    let mut by_rule: BTreeMap<RuleId, Vec<&L4Filter>> = BTreeMap::new();
    for filter in &policy.filters {
        if let Some(rule) = filter.rule {
            by_rule.entry(rule).or_default().push(filter);
        }
    }
    let comparable = policy.filters.len() <= FILTERS_MAX;
    for (rule, own) in by_rule {
        let Some(cover) = out.get_mut(rule.0 as usize) else { continue };
        cover.places += 1;
        if !comparable {
            continue;
        }
        let ctx = Ctx { cluster, direction, filters: &policy.filters, rule };
        match own[0].action {
            RuleAction::Allow => ctx.allow(&own, cover),
            RuleAction::Deny => {
                if let Some(isolating) = isolating
                    && ctx.is_idle(&own, isolating)
                {
                    cover.idle.add(None);
                }
            }
            RuleAction::Pass => {}
        }
    }
}

struct Ctx<'a> {
    cluster: &'a Cluster,
    direction: Direction,
    filters: &'a [L4Filter],
    rule: RuleId,
}

impl Ctx<'_> {
    fn allow(&self, own: &[&L4Filter], cover: &mut Cover) {
        if let Some(by) = self.all(own, |filter, other| other.action == RuleAction::Deny && holds(other, filter)) {
            return cover.overshadowed.add(by);
        }
        let redirected: Vec<&L4Filter> = own.iter().copied().filter(|filter| is_redirect(filter)).collect();
        let passes = |filter: &L4Filter, other: &L4Filter| {
            other.action == RuleAction::Allow && other.attributes.is_none() && holds(other, filter)
        };
        if !redirected.is_empty()
            && let Some(by) = self.all(&redirected, passes)
        {
            cover.moot.add(by);
        }
        let Some(by) = self.all(own, |filter, other| self.allows_all_of(filter, other)) else { return };
        cover.redundant.add(by);
        let policy = self.cluster.rule(self.rule).policy;
        let elsewhere = |filter: &L4Filter, other: &L4Filter| {
            other.rule.is_some_and(|rule| self.cluster.rule(rule).policy != policy) && self.allows_all_of(filter, other)
        };
        if let Some(by) = self.all(own, elsewhere) {
            cover.redundant_elsewhere.add(by);
        }
    }

    /// Whether each filter has another that does it; the rule of the first one.
    fn all(&self, own: &[&L4Filter], does: impl Fn(&L4Filter, &L4Filter) -> bool) -> Option<Option<RuleId>> {
        let others = || self.filters.iter().filter(|other| other.rule.is_some() && other.rule != Some(self.rule));
        let by: Option<Vec<Option<RuleId>>> =
            own.iter().map(|filter| others().find(|other| does(filter, other)).map(|other| other.rule)).collect();
        by.and_then(|by| by.first().copied())
    }

    /// By what is written and not by whom it selects today. Of two that are equal, the first one stays.
    fn allows_all_of(&self, filter: &L4Filter, other: &L4Filter) -> bool {
        let (Some(by), true) = (other.rule, other.action == RuleAction::Allow) else { return false };
        let (own_rule, by_rule) = (self.cluster.rule(self.rule), self.cluster.rule(by));
        let isolates = |rule| self.cluster.policy_of(rule).default_deny.of(self.direction);
        // What is cheap first: peers are lists of selectors.
        l4_holds(other.l4, filter.l4)
            && filter.attributes == other.attributes
            && by_rule.requires.is_empty()
            && own_rule.requires.is_empty()
            && (isolates(by) || !isolates(self.rule))
            // Of allows with attributes the most specific one decides, so only its equal can stand for it.
            && (filter.attributes.is_none() || filter.l4 == other.l4 && own_rule.peers == by_rule.peers)
            && peers_hold(&by_rule.peers, &own_rule.peers)
            && (by < self.rule || filter.l4 != other.l4 || own_rule.peers != by_rule.peers)
    }

    /// No allow meets it, and it is not what isolates.
    fn is_idle(&self, own: &[&L4Filter], isolating: &[RuleId]) -> bool {
        let policy = self.cluster.rule(self.rule).policy;
        let isolated_without = isolating.iter().any(|rule| self.cluster.rule(*rule).policy != policy)
            || self
                .cluster
                .rules_of(policy)
                .any(|(_, r)| r.direction == self.direction && r.action == RuleAction::Allow);
        let allows = || self.filters.iter().filter(|other| other.action == RuleAction::Allow);
        isolated_without && own.iter().all(|filter| !allows().any(|allow| meets(filter, allow)))
    }
}

fn is_redirect(filter: &L4Filter) -> bool {
    filter.attributes.as_ref().is_some_and(|attributes| attributes.redirect.is_some())
}

/// Whether `outer` matches all that `inner` matches.
fn holds(outer: &L4Filter, inner: &L4Filter) -> bool {
    let peers = match (&outer.peers, &inner.peers) {
        (PeerSet::Everyone, _) => true,
        (PeerSet::These(_), PeerSet::Everyone) => false,
        (PeerSet::These(_), PeerSet::These(list)) => list.iter().all(|index| outer.peers.contains(*index)),
    };
    l4_holds(outer.l4, inner.l4) && peers
}

fn meets(one: &L4Filter, other: &L4Filter) -> bool {
    let peers = match (&one.peers, &other.peers) {
        (PeerSet::Everyone, PeerSet::These(list)) | (PeerSet::These(list), PeerSet::Everyone) => !list.is_empty(),
        (PeerSet::Everyone, PeerSet::Everyone) => true,
        (PeerSet::These(list), PeerSet::These(_)) => list.iter().any(|index| other.peers.contains(*index)),
    };
    l4_meets(one.l4, other.l4) && peers
}

/// Whether `outer` is about all that `inner` is about.
pub fn l4_holds(outer: L4Match, inner: L4Match) -> bool {
    match (outer, inner) {
        (L4Match::All, _) => true,
        (L4Match::Ports { protocol, first, last }, L4Match::Ports { protocol: p, first: f, last: l }) => {
            protocol == p && first <= f && l <= last
        }
        (L4Match::Icmp(outer), L4Match::Icmp(inner)) | (L4Match::Icmp6(outer), L4Match::Icmp6(inner)) => {
            outer == 0 || outer == inner
        }
        (L4Match::Ports { .. } | L4Match::Icmp(_) | L4Match::Icmp6(_), _) => false,
    }
}

/// Whether some packet is meant by both.
pub fn l4_meets(one: L4Match, other: L4Match) -> bool {
    match (one, other) {
        (L4Match::Ports { protocol, first, last }, L4Match::Ports { protocol: p, first: f, last: l }) => {
            protocol == p && first <= l && f <= last
        }
        _ => l4_holds(one, other) || l4_holds(other, one),
    }
}

fn peers_hold(outer: &Peers, inner: &Peers) -> bool {
    match (outer, inner) {
        (Peers::Everyone, _) => true,
        (Peers::AnyOf(outer), Peers::AnyOf(inner)) => {
            let everyone = |peer: &Peer| matches!(peer, Peer::Labels(selector) if selector.requirements.is_empty());
            outer.iter().any(everyone) || inner.iter().all(|peer| outer.contains(peer))
        }
        (Peers::AnyOf(outer), Peers::Everyone) => {
            outer.iter().any(|peer| matches!(peer, Peer::Labels(selector) if selector.requirements.is_empty()))
        }
        (Peers::Nobody, _) | (Peers::AnyOf(_), Peers::Nobody) => false,
    }
}
