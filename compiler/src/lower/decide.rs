//! The action where exactly some filters match: Cilium's policy map as it is built and read (spec §4.1, §4.4, §4.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use ciliumc_abi::action::{
    MATCH_ALL, MATCH_L3_L4, MATCH_L3_ONLY, MATCH_L3_PROTO, MATCH_L4_ONLY, MATCH_PROTO_ONLY, VERDICT_DENY,
    VERDICT_REDIRECT,
};
use ciliumc_abi::drop_reason::POLICY_DENY;

use super::factor::{ActionKey, Matching};
use crate::ir::{AuthMode, RuleAction, RuleId};
use crate::resolve::{AuthType, DirectionPolicy, Enforcement, L4Filter, PeerSet, Redirect, Ruleset};

/// Deny beats allow, whatever is more specific; among allows the map decides.
pub fn decide(policy: &DirectionPolicy, default_action: &ActionKey, matching: &[Matching]) -> ActionKey {
    let filter = |m: &Matching| &policy.filters[m.filter];
    let of = |action: RuleAction| matching.iter().filter(move |m| filter(m).action == action);
    let rules_of = |action: RuleAction| {
        let mut rules: Vec<RuleId> = of(action).filter_map(|m| filter(m).rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    };
    if of(RuleAction::Deny).next().is_some() {
        return ActionKey::plain(VERDICT_DENY, POLICY_DENY, rules_of(RuleAction::Deny));
    }
    let all_pass = policy.enforcement == Enforcement::DefaultAllow;
    if of(RuleAction::Allow).next().is_none() {
        return if all_pass { ActionKey::allow(Vec::new(), MATCH_ALL) } else { default_action.clone() };
    }
    let allows = of(RuleAction::Allow).map(|m| (filter(m), m.prefix));
    let Found { redirect, auth, match_type } = Map::build(allows).lookup();
    let plain = ActionKey::allow(rules_of(RuleAction::Allow), match_type);
    let Some(redirect) = redirect else {
        return ActionKey { auth, ..plain };
    };
    let grants = of(RuleAction::Allow).map(|m| redirect_of(filter(m)));
    // Behind a baseline the synthetic allow of §3.2 is the last to be asked, not one among these.
    let all_pass = all_pass && policy.tiers.baseline.is_empty();
    let ruleset = Ruleset::new(&redirect.parser, grants.chain(all_pass.then_some(None)));
    ActionKey { verdict: VERDICT_REDIRECT, ruleset: Some(Arc::new(ruleset)), auth, ..plain }
}

fn redirect_of(filter: &L4Filter) -> Option<&Redirect> {
    filter.attributes.as_ref().and_then(|attributes| attributes.redirect.as_ref())
}

/// Entries of one packet, by L4 prefix length; all of them match it, so a shorter prefix covers a longer one.
type Trie<'a> = BTreeMap<u8, Entry<'a>>;

/// The allow entries of one packet.
#[derive(Debug, Default)]
struct Map<'a> {
    /// Key with the peer's identity.
    identity: Trie<'a>,
    /// Key with identity 0: any peer.
    any: Trie<'a>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry<'a> {
    redirect: Option<&'a Redirect>,
    explicit: Option<AuthMode>,
}

impl<'a> Entry<'a> {
    fn priority(&self) -> u8 {
        self.redirect.map_or(0, |redirect| redirect.priority)
    }

    /// Two filters with one key.
    fn join(&mut self, other: Entry<'a>) {
        if other.redirect.map(Redirect::rank) > self.redirect.map(Redirect::rank) {
            self.redirect = other.redirect;
        }
        self.explicit = self.explicit.max(other.explicit);
    }
}

impl<'a> Map<'a> {
    /// Adds every filter, then drops what a stronger covering entry hides.
    fn build(allows: impl Iterator<Item = (&'a L4Filter, u8)>) -> Self {
        let mut map = Self::default();
        for (filter, prefix) in allows {
            let trie = if filter.peers == PeerSet::Everyone { &mut map.any } else { &mut map.identity };
            let explicit = filter.attributes.as_ref().and_then(|attributes| attributes.auth);
            trie.entry(prefix).or_default().join(Entry { redirect: redirect_of(filter), explicit });
        }
        // An entry of any peer is covered by those alone, an entry of the identity by both.
        let any = pruned(&map.any, &[&map.any]);
        let identity = pruned(&map.identity, &[&map.any, &map.identity]);
        Self { identity, any }
    }

    /// Spec §4.1.
    fn lookup(&self) -> Found<'a> {
        let (e3, e4) = (self.identity.last_key_value(), self.any.last_key_value());
        let (any_wins, both) = match (e3, e4) {
            (None, None) => return Found::default(),
            (Some(_), None) => (false, false),
            (None, Some(_)) => (true, false),
            (Some((p3, e3)), Some((p4, e4))) => ((e4.priority(), p4) > (e3.priority(), p3), true),
        };
        let (own, other) = if any_wins { (&self.any, &self.identity) } else { (&self.identity, &self.any) };
        let other = both.then_some(other);
        let Some((prefix, winner)) = own.last_key_value() else { return Found::default() };
        let auth = match (winner.explicit, other) {
            (None, Some(other)) => stored_auth(own).max(stored_auth(other)),
            (Some(_), _) | (None, None) => stored_auth(own),
        };
        Found { redirect: winner.redirect, auth, match_type: match_type(!any_wins, *prefix) }
    }
}

/// What the map says of one packet.
#[derive(Debug, Default)]
struct Found<'a> {
    redirect: Option<&'a Redirect>,
    auth: AuthType,
    match_type: u8,
}

/// The kind of an entry, by what its key says: of this peer or of any, and so many bits of protocol and port.
pub fn match_type(of_peer: bool, prefix: u8) -> u8 {
    match (of_peer, prefix) {
        (true, 0) => MATCH_L3_ONLY,
        (true, 1..=8) => MATCH_L3_PROTO,
        (true, 9..) => MATCH_L3_L4,
        (false, 0) => MATCH_ALL,
        (false, 1..=8) => MATCH_PROTO_ONLY,
        (false, 9..) => MATCH_L4_ONLY,
    }
}

/// What is left of `trie` beside the entries of `covering` tries. An entry with explicit authentication is never
/// dropped: it takes the stronger redirect over.
fn pruned<'a>(trie: &Trie<'a>, covering: &[&Trie<'a>]) -> Trie<'a> {
    let kept = trie.iter().filter_map(|(&prefix, entry)| {
        let broader = covering.iter().flat_map(|trie| trie.range(..=prefix)).map(|(&prefix, entry)| (prefix, entry));
        // Sorted by prefix within a trie, and the identity's own trie is the last one: `max` keeps the later of equals.
        let stronger = broader
            .filter(|(_, other)| other.priority() > entry.priority())
            .max_by_key(|(prefix, other)| (other.priority(), *prefix));
        match (stronger, entry.explicit) {
            (None, _) => Some((prefix, *entry)),
            (Some(_), None) => None,
            (Some((_, stronger)), Some(_)) => Some((prefix, Entry { redirect: stronger.redirect, ..*entry })),
        }
    });
    kept.collect()
}

/// Authentication that the longest entry carries: its own, or that of the most specific explicit entry that covers it.
fn stored_auth(trie: &Trie<'_>) -> AuthType {
    trie.values().rev().find_map(|entry| entry.explicit).map_or(AuthType::None, AuthType::from)
}

#[cfg(test)]
mod tests {
    use ciliumc_abi::action::MATCH_NONE;
    use ciliumc_abi::table::{DIR_SCTP, DIR_TCP, DIR_UDP};

    use super::*;
    use crate::lower::factor::factor;
    use crate::lower::fixture::policy_of_a;

    /// The match kind of what `a` gets from the pod with a label, at a port of a directory.
    fn kinds(rules: &str, asked: &[(&str, u32, u16)]) -> Vec<u8> {
        let analysis = policy_of_a(rules);
        let resolved = &analysis.resolved;
        let known: Vec<_> = resolved.identities.keys().copied().collect();
        let index = |app: &str| {
            let has = |label: String| label.ends_with(&format!(":app={app}"));
            let of = resolved.identities.iter().find(|(_, one)| one.labels.iter().any(|label| has(label.to_string())));
            *of.unwrap().0
        };
        let own = index("a");
        let class = resolved.classes.iter().find(|class| class.identity == own).unwrap();
        let factored = factor(&class.ingress, &known);
        let kind = |&(app, directory, port): &(&str, u32, u16)| {
            let row = factored.rows_of.iter().find(|(one, _)| *one == index(app)).unwrap().1;
            let segments = &factored.directories[directory as usize];
            let segment = segments.iter().find(|segment| (segment.first..=segment.last).contains(&port)).unwrap();
            factored.cells[row][segment.class].match_type
        };
        asked.iter().map(kind).collect()
    }

    #[test]
    fn the_entry_that_lets_a_packet_pass_says_what_it_is_about() {
        let rules = "
  ingress:
  - fromEndpoints: [{matchLabels: {app: b}}]
    toPorts: [{ports: [{port: '80', protocol: TCP}, {port: '440', endPort: 450, protocol: TCP}, {port: '0', protocol: SCTP}]}]
  - toPorts: [{ports: [{port: '443', protocol: TCP}, {port: '0', protocol: UDP}]}]
  - fromEndpoints: [{matchLabels: {app: c}}]
";
        let asked = [
            ("b", DIR_TCP, 80),
            ("b", DIR_TCP, 81),
            ("b", DIR_TCP, 441),
            // Of two entries the longer one speaks, and of two as long the peer's own.
            ("b", DIR_TCP, 443),
            ("b", DIR_UDP, 9),
            ("b", DIR_SCTP, 9),
            ("c", DIR_TCP, 80),
            ("c", DIR_TCP, 443),
            ("c", DIR_UDP, 9),
        ];
        let expected = [
            MATCH_L3_L4,
            MATCH_NONE,
            MATCH_L3_L4,
            MATCH_L4_ONLY,
            MATCH_PROTO_ONLY,
            MATCH_L3_PROTO,
            MATCH_L3_ONLY,
            MATCH_L4_ONLY,
            MATCH_PROTO_ONLY,
        ];
        assert_eq!(kinds(rules, &asked), expected);
    }

    #[test]
    fn what_nothing_isolates_passes_for_everything() {
        let rules = "
  enableDefaultDeny: {ingress: false}
  ingressDeny: [{fromEndpoints: [{matchLabels: {app: c}}]}]
";
        assert_eq!(kinds(rules, &[("b", DIR_TCP, 80), ("c", DIR_TCP, 80)]), [MATCH_ALL, MATCH_NONE]);
    }
}
