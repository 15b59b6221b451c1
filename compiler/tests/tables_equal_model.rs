//! The lowered tables and the reference model are two readings of one policy: they must agree on every peer, protocol
//! and port, and on the rules they name.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ciliumc::eval::{self, Flow, L4, Reason, Verdict};
use ciliumc::ir::options::Options;
use ciliumc::ir::{AuthMode, Direction, HttpRule, L7Rules, Listener, Protocol, ProxyPolicy, RuleAction, RuleId};
use ciliumc::lower;
use ciliumc::resolve::{
    AddressTable, Attributes, Class, DirectionPolicy, Enforcement, Identity, L4Filter, L4Match, Lock, PeerSet,
    Resolved, TierRule, Tiers, Variant, VariantIndex,
};
use ciliumc::validate::tables;
use ciliumc_abi::identity::{IdentityIndex, NumericIdentity};
use proptest::prelude::*;

const PEERS: [u32; 7] = [1, 2, 9, 256, 257, 300, 700];

fn l4_match() -> impl Strategy<Value = L4Match> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    // Few borders, so that ranges meet, nest and overlap.
    let border = prop_oneof![Just(0u16), Just(1), Just(79), Just(80), Just(255), Just(256), Just(1000), Just(65535)];
    prop_oneof![
        1 => Just(L4Match::All),
        4 => (protocol, border.clone(), border).prop_map(|(protocol, a, b)| L4Match::Ports {
            protocol,
            first: a.min(b),
            last: a.max(b)
        }),
        1 => (0u8..4).prop_map(L4Match::Icmp),
        1 => (0u8..4).prop_map(L4Match::Icmp6),
    ]
}

fn peers() -> impl Strategy<Value = PeerSet> {
    prop_oneof![
        1 => Just(PeerSet::Everyone),
        4 => prop::sample::subsequence(PEERS.to_vec(), 0..PEERS.len())
            .prop_map(|list| PeerSet::These(list.into_iter().map(IdentityIndex).collect::<Arc<[_]>>())),
    ]
}

fn attributes() -> impl Strategy<Value = Option<Arc<Attributes>>> {
    let http = |path: &str| {
        let rule = HttpRule { path: Some(path.into()), ..HttpRule::default() };
        ProxyPolicy { l7: Some(L7Rules::Http(vec![rule])), ..ProxyPolicy::default() }
    };
    let listener = |name: &str, priority| {
        let listener = Some(Listener { name: name.into(), priority });
        ProxyPolicy { listener, ..ProxyPolicy::default() }
    };
    let tls = ProxyPolicy { server_names: BTreeSet::from(["a.io".into()]), ..ProxyPolicy::default() };
    let kafka = ProxyPolicy { l7: Some(L7Rules::Kafka(vec![Default::default()])), ..ProxyPolicy::default() };
    let proxies = [
        http("/a"),
        http("/b"),
        kafka,
        tls,
        listener("ns/a/l", None),
        listener("ns/b/l", None),
        listener("ns/c/l", Some(5)),
    ];
    let proxy = prop::option::of(prop::sample::select(proxies.map(Arc::new).to_vec()));
    let auth = prop_oneof![
        3 => Just(None),
        1 => Just(Some(AuthMode::Disabled)),
        2 => Just(Some(AuthMode::Required)),
        1 => Just(Some(AuthMode::TestAlwaysFail)),
    ];
    (proxy, auth).prop_map(|(proxy, auth)| Attributes::new(proxy.as_ref(), auth))
}

/// Rules of tiers have numbers of their own, in no order: the order of the list is that of the policies.
fn tier() -> impl Strategy<Value = Vec<TierRule>> {
    let action = prop_oneof![Just(RuleAction::Allow), Just(RuleAction::Deny), Just(RuleAction::Pass)];
    let rule = (30u32..40, action, peers(), prop::collection::vec(l4_match(), 1..3));
    let rule = rule.prop_map(|(rule, action, peers, l4)| TierRule { rule: RuleId(rule), action, peers, l4 });
    prop::collection::vec(rule, 0..5)
}

fn tiers() -> impl Strategy<Value = Tiers> {
    prop_oneof![
        1 => Just(Tiers::default()),
        3 => (tier(), tier()).prop_map(|(admin, baseline)| Tiers { admin, baseline }),
    ]
}

fn policy() -> impl Strategy<Value = DirectionPolicy> {
    let action = prop_oneof![3 => Just(RuleAction::Allow), 1 => Just(RuleAction::Deny)];
    let filter = (prop::option::weighted(0.9, 0u32..20), action, peers(), l4_match(), attributes());
    let enforcement = prop_oneof![
        1 => Just(Enforcement::Open),
        2 => Just(Enforcement::DefaultAllow),
        4 => prop::collection::btree_set(0u32..20, 0..3)
            .prop_map(|rules| Enforcement::DefaultDeny(rules.into_iter().map(RuleId).collect())),
    ];
    let all = (prop::collection::vec(filter, 0..12), enforcement, tiers());
    all.prop_map(|(filters, enforcement, tiers)| DirectionPolicy {
        audit: false,
        tiers,
        filters: filters
            .into_iter()
            // Without a rule nothing is enforced.
            .filter(|_| enforcement != Enforcement::Open)
            .map(|(rule, action, peers, l4, attributes)| L4Filter {
                // Only the local host's allow comes from no rule, and only an allow has attributes.
                rule: if action == RuleAction::Deny { Some(RuleId(rule.unwrap_or(0))) } else { rule.map(RuleId) },
                action,
                peers,
                l4,
                attributes: attributes.filter(|_| action == RuleAction::Allow),
            })
            .collect(),
        enforcement,
    })
}

fn resolved(policy: DirectionPolicy) -> Resolved {
    let tiers = Tiers::default();
    let open = DirectionPolicy { enforcement: Enforcement::Open, filters: Vec::new(), tiers, audit: false };
    let identity = |n: u32| {
        let identity = Identity { numeric: NumericIdentity(n), labels: Default::default(), place: Default::default() };
        (IdentityIndex(n), identity)
    };
    Resolved {
        identities: PEERS.into_iter().map(identity).collect(),
        lock: Lock::default(),
        areas: Vec::new(),
        host_indices: BTreeMap::new(),
        addresses: AddressTable::new(&Options::default(), std::iter::empty()),
        variants: vec![Variant { host_labels: Default::default() }],
        node_variants: Vec::new(),
        classes: vec![Class {
            identity: IdentityIndex(256),
            namespace: "ns".into(),
            named_ports: BTreeSet::new(),
            variant: VariantIndex(0),
            ingress: policy,
            egress: open,
        }],
        hosts: Vec::new(),
        host_labels_matter: false,
        endpoints: Vec::new(),
    }
}

fn flows() -> Vec<L4> {
    // Around the borders, and around those of the blocks that ranges between them are cut into.
    let ports = [
        0, 1, 2, 63, 64, 78, 79, 80, 81, 95, 96, 127, 128, 254, 255, 256, 257, 511, 512, 767, 768, 895, 896, 959, 960,
        991, 992, 999, 1000, 1001, 32767, 32768, 65534, 65535,
    ];
    let mut out = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        out.extend(ports.map(|port| L4::Port(protocol, port)));
    }
    for icmp_type in [0, 1, 2, 3, 4, 255] {
        out.extend([L4::Icmp(icmp_type), L4::Icmp6(icmp_type)]);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn on_every_flow(policy in policy()) {
        let resolved = resolved(policy);
        let lowered = lower::lower(&Options::default(), &resolved).unwrap();
        lower::verify::verify(&lowered).unwrap();
        let direction = lowered.classes[0].direction(Direction::Ingress);
        // 0, 3 and 10 000 are identities that nobody knows.
        for peer in PEERS.into_iter().chain([0, 3, 10_000]).map(IdentityIndex) {
            for l4 in flows() {
                let model = eval::decide(&resolved, resolved.classes[0].policy(Direction::Ingress), Flow { peer, l4 });
                let read = tables::decide(&lowered, direction, peer, l4);
                prop_assert_eq!(read.verdict, model.verdict, "{:?} {:?}: {:?}", peer, l4, model);
                prop_assert_eq!(&read.ruleset, &model.ruleset, "{:?} {:?}: {:?}", peer, l4, model);
                prop_assert_eq!(read.auth, model.auth, "{:?} {:?}: {:?}", peer, l4, model);
                prop_assert_eq!(&read.rules, &model.rules, "{:?} {:?}: {:?}", peer, l4, model);
                prop_assert_eq!(read.reason == 181, model.reason == Reason::DenyRule);
            }
        }
    }

    #[test]
    fn an_added_deny_never_opens(policy in policy(), peers in peers(), l4 in l4_match()) {
        let mut stricter = policy.clone();
        let (rule, action) = (Some(RuleId(99)), RuleAction::Deny);
        let mut policy = policy;
        enforce(&mut policy);
        enforce(&mut stricter);
        stricter.filters.push(L4Filter { rule, action, peers, l4, attributes: None });
        let (before, after) = (verdicts(policy), verdicts(stricter));
        for (flow, verdict) in &after {
            prop_assert!(*verdict == Verdict::Deny || before[flow] == *verdict, "{:?}", flow);
        }
    }

    /// Spec appendix B.6: what the admin tier decides, nothing else changes.
    #[test]
    fn an_admin_verdict_is_final(one in policy(), other in policy(), baseline in tier()) {
        let mut other = other;
        other.tiers = Tiers { admin: one.tiers.admin.clone(), baseline };
        let admin = one.tiers.admin.clone();
        let (one, other) = (resolved(one), resolved(other));
        for peer in PEERS.map(IdentityIndex) {
            for l4 in flows() {
                let first = admin.iter().find(|rule| rule.peers.contains(peer) && rule.l4.iter().any(|m| has(*m, l4)));
                let Some(TierRule { rule, action, .. }) = first else { continue };
                let verdict = match action {
                    RuleAction::Allow => Verdict::Allow,
                    RuleAction::Deny => Verdict::Deny,
                    RuleAction::Pass => continue,
                };
                for resolved in [&one, &other] {
                    let policy = resolved.classes[0].policy(Direction::Ingress);
                    let decision = eval::decide(resolved, policy, Flow { peer, l4 });
                    prop_assert_eq!(decision.verdict, verdict, "{:?} {:?}", peer, l4);
                    // Where nothing at all denies, nobody asks which rule allows.
                    if !policy.is_open() {
                        prop_assert_eq!(decision.rules, vec![*rule]);
                    }
                }
            }
        }
    }

    #[test]
    fn an_added_allow_never_closes(
        policy in policy(),
        peers in peers(),
        l4 in l4_match(),
        attributes in attributes(),
    ) {
        let mut wider = policy.clone();
        let (rule, action) = (Some(RuleId(99)), RuleAction::Allow);
        let mut policy = policy;
        enforce(&mut policy);
        enforce(&mut wider);
        wider.filters.push(L4Filter { rule, action, peers, l4, attributes });
        let (before, after) = (verdicts(policy), verdicts(wider));
        for (flow, verdict) in &after {
            prop_assert!(*verdict != Verdict::Deny || before[flow] == Verdict::Deny, "{:?}", flow);
        }
    }
}

/// A first rule ends the open state of a direction; whether it may is not what these properties are about.
fn enforce(policy: &mut DirectionPolicy) {
    if policy.enforcement == Enforcement::Open {
        policy.enforcement = Enforcement::DefaultAllow;
    }
}

fn has(l4_match: L4Match, l4: L4) -> bool {
    match (l4_match, l4) {
        (L4Match::All, _) => true,
        (L4Match::Ports { protocol, first, last }, L4::Port(p, port)) => {
            protocol == p && (first..=last).contains(&port)
        }
        (L4Match::Icmp(t), L4::Icmp(u)) | (L4Match::Icmp6(t), L4::Icmp6(u)) => t == 0 || t == u,
        _ => false,
    }
}

fn verdicts(policy: DirectionPolicy) -> BTreeMap<(u32, L4), Verdict> {
    let resolved = resolved(policy);
    let policy = resolved.classes[0].policy(Direction::Ingress);
    let mut out = BTreeMap::new();
    for peer in PEERS {
        for l4 in flows() {
            let flow = Flow { peer: IdentityIndex(peer), l4 };
            out.insert((peer, l4), eval::decide(&resolved, policy, flow).verdict);
        }
    }
    out
}
