//! Generated pairs of versions: what `diff` and `list` say of them is what enumerating flows and requests says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ciliumc::connectivity::diff::{self, Part, Row, Version};
use ciliumc::connectivity::ports::{Transport, Treatment};
use ciliumc::connectivity::requests::More;
use ciliumc::connectivity::{Connectivity, Party, cilium};
use ciliumc::driver::{self, Analysis};
use ciliumc::eval::probe::{self, Probe};
use ciliumc::eval::{Decision, Verdict};
use ciliumc::front::FrontOptions;
use ciliumc::ir::{Direction, HttpRule};
use ciliumc::resolve::{AuthType, Lock, Ruleset};
use ciliumc::source::SourceMap;
use proptest::prelude::*;

const PODS: [(&str, &str, &str); 3] =
    [("shop", "web", "10.0.0.1"), ("shop", "cart", "10.0.0.2"), ("ops", "db", "10.0.0.3")];
const ADDRESSES: [&str; 4] = ["203.0.113.1", "203.0.113.129", "198.51.100.1", "8.8.8.8"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 6] = ["/", "/a", "/b", "/ab", "/a/1", "/a/x"];

/// One policy, as text with its name left out.
fn policy() -> impl Strategy<Value = String> {
    prop_oneof![3 => cilium_policy(), 1 => network_policy()]
}

fn cilium_policy() -> impl Strategy<Value = String> {
    let subject = prop::sample::select(vec!["{}", "{matchLabels: {app: web}}", "{matchLabels: {app: cart}}"]);
    (any::<bool>(), any::<bool>(), subject, peers(), ports()).prop_map(|(ingress, deny, subject, peers, ports)| {
        let (direction, side) = if ingress { ("ingress", "from") } else { ("egress", "to") };
        let deny = deny && !ports.contains("rules");
        let parts = [peers.replace("SIDE", side), ports].into_iter().filter(|part| !part.is_empty());
        let element = parts.collect::<Vec<_>>().join(", ");
        let suffix = if deny { "Deny" } else { "" };
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: NAME, namespace: shop}}, \
             spec: {{endpointSelector: {subject}, {direction}{suffix}: [{{{element}}}]}}}}"
        )
    })
}

fn peers() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "SIDEEndpoints: [{matchLabels: {app: web}}]",
        "SIDEEndpoints: [{}]",
        "SIDEEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': ops}}]",
        "SIDEEntities: [world]",
        "SIDEEntities: [cluster]",
        "SIDECIDR: [203.0.113.0/24]",
        "SIDECIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]",
    ])
    .prop_map(String::from)
}

fn ports() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "",
        "toPorts: [{ports: [{port: '80', protocol: TCP}]}]",
        "toPorts: [{ports: [{port: '79', endPort: 90, protocol: TCP}]}]",
        "toPorts: [{ports: [{port: '53', protocol: ANY}]}]",
        "icmps: [{fields: [{type: 8, family: IPv4}]}]",
    ]);
    let item = (
        prop::sample::select(vec!["", "GET", "GET|POST", "P.*"]),
        prop::sample::select(vec!["", "/a", "/a.*", "/(a|b)", "/[ab]", ".*", "/a/[0-9]+", "/a/[^/]*"]),
    );
    let item = item.prop_map(|(method, path)| {
        let fields = [("method", method), ("path", path)].into_iter().filter(|(_, text)| !text.is_empty());
        format!("{{{}}}", fields.map(|(name, text)| format!("{name}: '{text}'")).collect::<Vec<_>>().join(", "))
    });
    let http = prop::collection::vec(item, 1..3).prop_map(|items| {
        format!("toPorts: [{{ports: [{{port: '80', protocol: TCP}}], rules: {{http: [{}]}}}}]", items.join(", "))
    });
    prop_oneof![plain.prop_map(String::from), http]
}

fn network_policy() -> impl Strategy<Value = String> {
    let from = prop::sample::select(vec![
        "",
        "from: [{podSelector: {matchLabels: {app: web}}}], ",
        "from: [{ipBlock: {cidr: 203.0.113.0/24}}], ",
    ]);
    (from, prop::sample::select(vec!["", "ports: [{port: 80}]", "ports: [{port: 81, endPort: 99}]"])).prop_map(
        |(from, ports)| {
            format!(
                "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: NAME, namespace: shop}}, \
                 spec: {{podSelector: {{matchLabels: {{app: cart}}}}, ingress: [{{{from}{ports}}}]}}}}"
            )
        },
    )
}

struct Side {
    sources: SourceMap,
    analysis: Analysis,
    connectivity: Connectivity,
}

fn side(policies: &[(usize, &String)]) -> Side {
    let namespaces =
        ["shop", "ops"].map(|name| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
    let pods = PODS.map(|(namespace, name, address)| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, \
             spec: {{containers: [{{name: c, image: x}}]}}, status: {{podIP: {address}}}}}"
        )
    });
    let policies = policies.iter().map(|(n, text)| text.replace("NAME", &format!("p{n}")));
    let text: Vec<String> = namespaces.into_iter().chain(pods).chain(policies).collect();
    let sources = SourceMap::from_texts([("a.yaml", text.join("\n---\n"))]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    assert!(!analysis.has_errors(), "{:?}\n{}", analysis.diagnostics, text.join("\n"));
    let connectivity = cilium::connect(&analysis.cluster, &analysis.resolved, &cilium::Names::new());
    Side { sources, analysis, connectivity }
}

impl Side {
    fn version(&self) -> Version<'_> {
        Version { connectivity: &self.connectivity, sources: &self.sources }
    }

    /// What the model says at one end.
    fn ask(
        &self,
        endpoint: &Who,
        direction: Direction,
        peer: &Who,
        transport: Transport,
        port: u16,
    ) -> Option<Decision> {
        let Who::Pod(namespace, name) = endpoint else { return None };
        let peer = match peer {
            Who::Pod(namespace, name) => format!("pod:{namespace}/{name}"),
            Who::Address(address) => format!("ip:{address}"),
        };
        let endpoint = format!("{namespace}/{name}");
        let probe = Probe { endpoint, direction, peer, protocol: transport.name().into(), port };
        Some(probe::answer(&self.analysis.cluster, &self.analysis.resolved, &probe).unwrap().decision)
    }

    /// How the model says that a flow passes: the rule sets on the way.
    fn passes(&self, flow: &Flow) -> Option<Treatment> {
        let (from, to) = (&flow.source, &flow.destination);
        let ends = [
            self.ask(from, Direction::Egress, to, flow.transport, flow.port),
            self.ask(to, Direction::Ingress, from, flow.transport, flow.port),
        ];
        let ends: Vec<Decision> = ends.into_iter().flatten().collect();
        let passes = ends.iter().all(|end| matches!(end.verdict, Verdict::Allow | Verdict::Redirect));
        passes.then(|| Treatment {
            l7: ends.iter().filter_map(|end| end.ruleset.clone()).collect(),
            auth: ends.iter().map(|end| end.auth).filter(|auth| *auth != AuthType::None).collect(),
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    Pod(&'static str, &'static str),
    Address(IpAddr),
}

#[derive(Debug, Clone)]
struct Flow {
    source: Who,
    destination: Who,
    transport: Transport,
    port: u16,
}

fn flows() -> Vec<Flow> {
    let pods = PODS.map(|(namespace, name, _)| Who::Pod(namespace, name));
    let addresses = ADDRESSES.map(|text| Who::Address(text.parse().unwrap()));
    let mut out = Vec::new();
    let all: Vec<Who> = pods.into_iter().chain(addresses).collect();
    for source in &all {
        for destination in &all {
            let has_pod = [source, destination].into_iter().any(|who| matches!(who, Who::Pod(..)));
            if source == destination || !has_pod {
                continue;
            }
            let of = |transport, ports: &[u16]| ports.iter().map(move |port| (transport, *port)).collect::<Vec<_>>();
            let ports = [
                of(Transport::Tcp, &[1, 53, 78, 79, 80, 81, 90, 91, 99, 100, 65535]),
                of(Transport::Udp, &[52, 53, 54]),
                of(Transport::Icmp, &[0, 8, 9]),
            ];
            for (transport, port) in ports.concat() {
                out.push(Flow { source: source.clone(), destination: destination.clone(), transport, port });
            }
        }
    }
    out
}

/// Whether a party is about one end of a flow: prefixes by the longest of both versions.
fn is_about(sides: [&Side; 2], party: &Party, who: &Who) -> bool {
    match who {
        Who::Pod(namespace, name) => {
            matches!(party, Party::Workload { namespace: ns, name: n, .. } if ns == namespace && n == name)
        }
        Who::Address(address) => {
            let others = sides.into_iter().flat_map(|side| side.connectivity.outside(Direction::Ingress));
            let holding = others.filter_map(|party| match party {
                Party::Net(net) if net.contains(address) => Some(*net),
                _ => None,
            });
            holding.max_by_key(|net| net.prefix_len()).map(Party::Net).as_ref() == Some(party)
        }
    }
}

/// Whether a treatment lets a request pass, by the regex crate and nothing of ours.
fn lets(treatment: &Treatment, method: &str, path: &str) -> bool {
    treatment.l7.iter().all(|ruleset| lets_ruleset(ruleset, method, path))
}

fn lets_ruleset(ruleset: &Ruleset, method: &str, path: &str) -> bool {
    let whole = |expression: &Option<String>, text: &str| {
        expression.as_ref().is_none_or(|e| regex::Regex::new(&format!("^(?:{e})$")).unwrap().is_match(text))
    };
    let matches = |rule: &HttpRule| whole(&rule.method, method) && whole(&rule.path, path);
    ruleset.grants.values().any(|items| items.everything || items.http.iter().any(matches))
}

/// Whether rows say that a request of a flow is among what they list.
fn says(
    sides: [&Side; 2],
    rows: &[Row<'_>],
    parts: impl Fn(&Row<'_>) -> Vec<Part>,
    flow: &Flow,
    request: [&str; 2],
) -> bool {
    let [method, path] = request;
    rows.iter().any(|row| {
        let from = row.sources.iter().any(|party| is_about(sides, party, &flow.source));
        let to = row.destinations.iter().any(|party| is_about(sides, party, &flow.destination));
        from && to
            && parts(row).iter().any(|part| {
                let here = part.ranges.iter().any(|(first, last)| (*first..=*last).contains(&flow.port));
                let other = part.instead_of.as_ref().is_some_and(|other| lets(other, method, path));
                part.transport == flow.transport && here && lets(&part.treatment, method, path) && !other
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn gained_and_lost_are_exact_and_nothing_differs_when_nothing_is_said(
        common in prop::collection::vec(policy(), 0..3),
        removed in prop::collection::vec(policy(), 0..3),
        added in prop::collection::vec(policy(), 0..3),
    ) {
        let numbered: Vec<(usize, &String)> = common.iter().chain(&removed).chain(&added).enumerate().collect();
        let (kept, rest) = numbered.split_at(common.len());
        let (removed, added) = rest.split_at(removed.len());
        let (old, new) = (side(&[kept, removed].concat()), side(&[kept, added].concat()));
        let diff = diff::diff(old.version(), new.version());
        let sides = [&old, &new];
        let mut differs = false;
        for flow in flows() {
            let (before, after) = (old.passes(&flow), new.passes(&flow));
            for request in METHODS.into_iter().flat_map(|method| PATHS.map(|path| [method, path])) {
                let passes = |treatment: &Option<Treatment>| {
                    treatment.as_ref().is_some_and(|treatment| lets(treatment, request[0], request[1]))
                };
                let (was, is) = (passes(&before), passes(&after));
                differs |= was != is;
                let gained = says(sides, &diff.rows, |row| row.gained.clone(), &flow, request);
                let lost = says(sides, &diff.rows, |row| row.lost.clone(), &flow, request);
                prop_assert_eq!((gained, lost), (is && !was, was && !is), "{:?} {:?}\n{:#?}", flow, request, diff.rows);
            }
        }
        prop_assert!(!differs || !diff.rows.is_empty());
        // Whatever is said has a request that makes the difference: the model has to agree with that one.
        for row in &diff.rows {
            for part in row.gained.iter().chain(&row.lost) {
                match &part.request {
                    More::Request(text) => {
                        let (method, path) = text.split_once(' ').unwrap();
                        prop_assert!(lets(&part.treatment, method, path), "{}", text);
                        prop_assert!(!lets(part.instead_of.as_ref().unwrap(), method, path), "{}", text);
                    }
                    More::Nothing => prop_assert!(part.instead_of.is_none()),
                    More::Unknown(why) => prop_assert!(false, "{}", why),
                }
            }
        }
    }

    #[test]
    fn a_list_is_what_the_model_says(policies in prop::collection::vec(policy(), 0..5)) {
        let numbered: Vec<(usize, &String)> = policies.iter().enumerate().collect();
        let side = side(&numbered);
        let parties: BTreeSet<&Party> = side.connectivity.pairs.keys().collect();
        for flow in flows() {
            let of = |who: &Who| parties.iter().copied().find(|party| is_about([&side, &side], party, who)).unwrap();
            let ports = side.connectivity.between(of(&flow.source), of(&flow.destination)).unwrap();
            let mut segments = ports.segments();
            let segment = segments.find(|(t, s)| *t == flow.transport && (s.first..=s.last).contains(&flow.port));
            prop_assert_eq!(&segment.unwrap().1.outcome.passes, &side.passes(&flow), "{:?}", flow);
        }
    }
}
