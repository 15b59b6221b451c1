//! F-405: authentication that crosses over to a stronger rule, the quirk of spec §4.5 step 5.
//!
//! Of an entry for the peer and an entry for everyone the one with the higher priority wins, but the larger
//! authentication of the two holds, whichever has it. So a redirect that asks for none is authenticated all the same.

use std::collections::BTreeSet;

use super::{AuthType, Class, L4Filter, L4Match, PeerSet};
use crate::diag::{Code, Diagnostic};
use crate::ir::{Cluster, Direction, RuleId};

/// Warns once for each pair of rules, at the redirect.
pub fn warn<'c>(cluster: &Cluster, classes: impl Iterator<Item = &'c Class>, diagnostics: &mut Vec<Diagnostic>) {
    let mut pairs = BTreeSet::new();
    for class in classes {
        for direction in Direction::ALL {
            pairs.extend(crossing(&class.policy(direction).filters));
        }
    }
    for (redirect, weaker) in pairs {
        let message = "what this rule redirects is authenticated too, because a weaker rule requires it";
        let hint = "Cilium takes the stronger authentication of a rule for the peer and a rule for everyone; \
                    `authentication: {mode: disabled}` here would lift it";
        let text = format!("{} of {}", cluster.rule(weaker).path, cluster.policy_of(weaker).object);
        let diagnostic = Diagnostic::warning(Code("F-405"), cluster.rule(redirect).span, message).hint(hint);
        let object = cluster.policy_of(redirect).object.clone();
        diagnostics.push(diagnostic.related(cluster.rule(weaker).span, text).object(object));
    }
}

/// Redirects without a word on authentication, each with a weaker filter of the other kind of peers that requires it.
fn crossing(filters: &[L4Filter]) -> impl Iterator<Item = (RuleId, RuleId)> {
    let priority = |filter: &L4Filter| {
        let redirect = filter.attributes.as_ref().and_then(|attributes| attributes.redirect.as_ref());
        redirect.map_or(0, |redirect| redirect.priority)
    };
    let auth = |filter: &L4Filter| filter.attributes.as_ref().and_then(|attributes| attributes.auth);
    let redirects = filters.iter().filter(move |filter| priority(filter) > 0 && auth(filter).is_none());
    redirects.flat_map(move |redirect| {
        let crosses = move |weaker: &&L4Filter| {
            auth(weaker).is_some_and(|mode| AuthType::from(mode) > AuthType::None)
                && priority(weaker) < priority(redirect)
                && (weaker.peers == PeerSet::Everyone) != (redirect.peers == PeerSet::Everyone)
                && meet(weaker.l4, redirect.l4)
        };
        filters.iter().filter(crosses).filter_map(|weaker| Some((redirect.rule?, weaker.rule?)))
    })
}

/// Whether some flow is in both.
fn meet(a: L4Match, b: L4Match) -> bool {
    match (a, b) {
        (L4Match::All, _) | (_, L4Match::All) => true,
        (
            L4Match::Ports { protocol, first, last },
            L4Match::Ports { protocol: other, first: other_first, last: other_last },
        ) => protocol == other && first <= other_last && other_first <= last,
        // Redirects have ports.
        (L4Match::Icmp(_) | L4Match::Icmp6(_), _) | (_, L4Match::Icmp(_) | L4Match::Icmp6(_)) => false,
    }
}
