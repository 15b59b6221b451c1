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
    Resolved, Variant, VariantIndex,
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

fn policy() -> impl Strategy<Value = DirectionPolicy> {
    let action = prop_oneof![3 => Just(RuleAction::Allow), 1 => Just(RuleAction::Deny)];
    let filter = (prop::option::weighted(0.9, 0u32..20), action, peers(), l4_match(), attributes());
    let enforcement = prop_oneof![
        1 => Just(Enforcement::DefaultAllow),
        4 => prop::collection::btree_set(0u32..20, 0..3)
            .prop_map(|rules| Enforcement::DefaultDeny(rules.into_iter().map(RuleId).collect())),
    ];
    (prop::collection::vec(filter, 0..12), enforcement).prop_map(|(filters, enforcement)| DirectionPolicy {
        enforcement,
        audit: false,
        filters: filters
            .into_iter()
            .map(|(rule, action, peers, l4, attributes)| L4Filter {
                // Only the local host's allow comes from no rule, and only an allow has attributes.
                rule: if action == RuleAction::Deny { Some(RuleId(rule.unwrap_or(0))) } else { rule.map(RuleId) },
                action,
                peers,
                l4,
                attributes: attributes.filter(|_| action == RuleAction::Allow),
            })
            .collect(),
    })
}

fn resolved(policy: DirectionPolicy) -> Resolved {
    let open = DirectionPolicy { enforcement: Enforcement::Open, filters: Vec::new(), audit: false };
    let identity = |n: u32| (IdentityIndex(n), Identity { numeric: NumericIdentity(n), labels: Default::default() });
    Resolved {
        identities: PEERS.into_iter().map(identity).collect(),
        lock: Lock::default(),
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
        endpoints: Vec::new(),
    }
}

fn flows() -> Vec<L4> {
    let ports = [0, 1, 2, 78, 79, 80, 81, 254, 255, 256, 257, 999, 1000, 1001, 65534, 65535];
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
        stricter.filters.push(L4Filter { rule, action, peers, l4, attributes: None });
        let (before, after) = (verdicts(policy), verdicts(stricter));
        for (flow, verdict) in &after {
            prop_assert!(*verdict == Verdict::Deny || before[flow] == *verdict, "{:?}", flow);
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
        wider.filters.push(L4Filter { rule, action, peers, l4, attributes });
        let (before, after) = (verdicts(policy), verdicts(wider));
        for (flow, verdict) in &after {
            prop_assert!(*verdict != Verdict::Deny || before[flow] == Verdict::Deny, "{:?}", flow);
        }
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
