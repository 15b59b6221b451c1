//! Generated clusters, as text: what selectors, prefixes, groups, services and `requires` mean together, held against
//! address arithmetic, against policies that say the same in other words, and against themselves in another order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;

use ciliumc::driver::build::{self, emit};
use ciliumc::driver::{self, Analysis, Stage};
use ciliumc::eval::{self, Flow, L4, Verdict, probe};
use ciliumc::front::FrontOptions;
use ciliumc::ir::{Direction, Protocol};
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;
use ciliumc::validate::tables;
use ipnet::IpNet;
use proptest::prelude::*;

/// Two nodes, three namespaces, and pods that differ in two labels.
fn cluster() -> Vec<String> {
    let mut out = Vec::new();
    for (n, zone) in [(1, "a"), (2, "b")] {
        out.push(format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n{n}, labels: {{zone: {zone}}}}}, \
             status: {{addresses: [{{type: InternalIP, address: 192.0.2.{n}}}]}}}}"
        ));
    }
    for (namespace, team) in [("ns1", "red"), ("ns2", "blue")] {
        out.push(format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{team: {team}}}}}}}"
        ));
        for (n, (app, env)) in
            [("web", "prod"), ("web", "test"), ("cli", "prod"), ("cli", "test")].into_iter().enumerate()
        {
            let host = if namespace == "ns1" { n } else { n + 10 };
            out.push(format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {app}-{env}, namespace: {namespace}, \
                 labels: {{app: {app}, env: {env}}}}}, spec: {{nodeName: n{}, containers: [{{name: c, image: x}}]}}, \
                 status: {{podIP: 10.0.0.{host}}}}}",
                n % 2 + 1
            ));
        }
    }
    out
}

fn analyse(documents: &[String]) -> Analysis {
    let text = documents.join("\n---\n");
    let sources = SourceMap::from_texts([("a.yaml", text.clone())]);
    let analysis = driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap();
    assert!(!analysis.has_errors(), "{:?}\n{text}", analysis.diagnostics);
    analysis
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: {name}, namespace: ns1}}, spec: {spec}}}"
    )
}

/// Verdict of `ns1/web-prod` for a peer on a TCP port, from the model and from the tables, which must agree.
fn allowed(analysis: &Analysis, lowered: &ciliumc::lower::Lowered, direction: &str, peer: &str, port: u16) -> bool {
    let probe = probe::parse(&format!("ns1/web-prod\t{direction}\t{peer}\tTCP\t{port}\n")).unwrap().remove(0);
    let model = probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap();
    let read = tables::answer(&analysis.cluster, lowered, &probe, model.clone());
    assert_eq!(model.decision.verdict, read.decision.verdict, "{probe:?}");
    model.decision.verdict == Verdict::Allow
}

/// Prefixes that nest and meet; none holds a node or a pod.
fn net() -> impl Strategy<Value = IpNet> {
    let nets =
        ["203.0.112.0/22", "203.0.113.0/24", "203.0.113.0/25", "203.0.113.64/26", "203.0.113.70/32", "198.51.0.0/16"];
    prop::sample::select(nets.map(|net| net.parse().unwrap()).to_vec())
}

const ADDRESSES: [&str; 8] = [
    "203.0.112.1",
    "203.0.113.1",
    "203.0.113.65",
    "203.0.113.70",
    "203.0.113.200",
    "203.0.115.255",
    "198.51.100.1",
    "8.8.8.8",
];

/// Members and label of a CIDR group.
#[derive(Debug, Clone)]
struct Group {
    members: Vec<IpNet>,
    kind: &'static str,
}

/// One item of a CIDR set.
#[derive(Debug, Clone)]
struct Item {
    source: Source,
    except: Vec<IpNet>,
}

#[derive(Debug, Clone)]
enum Source {
    Net(IpNet),
    /// By index; one behind the last is a group that does not exist.
    Group(usize),
    Kind(&'static str),
}

impl Item {
    fn text(&self) -> String {
        let source = match &self.source {
            Source::Net(net) => format!("cidr: {net}"),
            Source::Group(n) => format!("cidrGroupRef: g{n}"),
            Source::Kind(kind) => format!("cidrGroupSelector: {{matchLabels: {{kind: {kind}}}}}"),
        };
        let except: Vec<_> = self.except.iter().map(ToString::to_string).collect();
        format!("{{{source}, except: [{}]}}", except.join(", "))
    }

    /// Spec §2.8, by address.
    fn selects(&self, groups: &[Group], address: IpAddr) -> bool {
        let in_group = |group: &Group| group.members.iter().any(|net| net.contains(&address));
        let selected = match &self.source {
            Source::Net(net) => net.contains(&address),
            Source::Group(n) => groups.get(*n).is_some_and(in_group),
            Source::Kind(kind) => groups.iter().any(|group| group.kind == *kind && in_group(group)),
        };
        selected && !self.except.iter().any(|net| net.contains(&address))
    }
}

fn group() -> impl Strategy<Value = Group> {
    (prop::collection::vec(net(), 0..3), prop::sample::select(vec!["a", "b"]))
        .prop_map(|(members, kind)| Group { members, kind })
}

fn item() -> impl Strategy<Value = Item> {
    let source = prop_oneof![
        net().prop_map(Source::Net),
        (0usize..4).prop_map(Source::Group),
        prop::sample::select(vec!["a", "b"]).prop_map(Source::Kind),
    ];
    (source, prop::collection::vec(net(), 0..2)).prop_map(|(source, except)| {
        // Of a written prefix an exception has to begin inside.
        let except = match &source {
            Source::Net(net) => except.into_iter().filter(|e| net.contains(&e.addr())).collect(),
            Source::Group(_) | Source::Kind(_) => except,
        };
        Item { source, except }
    })
}

fn group_text((n, group): (usize, &Group)) -> String {
    let members: Vec<_> = group.members.iter().map(ToString::to_string).collect();
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {{name: g{n}, labels: {{kind: {}}}}}, \
         spec: {{externalCIDRs: [{}]}}}}",
        group.kind,
        members.join(", ")
    )
}

/// A requirement on one label of a pod.
fn labels() -> impl Strategy<Value = String> {
    let expressions = [
        "matchLabels: {app: web}",
        "matchLabels: {env: prod}",
        "matchExpressions: [{key: env, operator: NotIn, values: [test]}]",
        "matchExpressions: [{key: app, operator: Exists}]",
        "matchLabels: {\"k8s:io.kubernetes.pod.namespace\": ns2}",
        "matchExpressions: [{key: \"k8s:io.kubernetes.pod.namespace\", operator: Exists}]",
    ];
    prop::sample::select(expressions.map(str::to_owned).to_vec())
}

/// An element of any L3 kind, with the documents it needs.
fn element() -> impl Strategy<Value = (&'static str, String)> {
    let requires = prop::option::weighted(0.2, labels());
    let peers = prop_oneof![
        4 => labels().prop_map(|selector| ("", format!("Endpoints: [{{{selector}}}]"))),
        2 => item().prop_map(|item| ("", format!("CIDRSet: [{}]", item.text()))),
        1 => prop::sample::select(vec!["host", "world", "cluster", "remote-node", "all"])
            .prop_map(|entity| ("", format!("Entities: [{entity}]"))),
        1 => prop::sample::select(vec!["pods", "addresses", "ghost"])
            .prop_map(|name| ("egress", format!("Services: [{{k8sService: {{serviceName: {name}}}}}]"))),
        1 => Just(("", String::new())),
    ];
    (prop::sample::select(vec!["ingress", "egress"]), any::<bool>(), peers, requires, prop::option::of(0u16..3))
        .prop_map(|(direction, deny, (only, peers), requires, port)| {
            let direction = if only.is_empty() { direction } else { only };
            let word = if direction == "ingress" { "from" } else { "to" };
            let mut fields = Vec::new();
            if !peers.is_empty() {
                fields.push(format!("{word}{peers}"));
            }
            fields.extend(requires.map(|selector| format!("{word}Requires: [{{{selector}}}]")));
            fields.extend(port.map(|n| format!("toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]", 80 + n)));
            let list = match (direction, deny) {
                ("ingress", false) => "ingress",
                ("ingress", true) => "ingressDeny",
                (_, false) => "egress",
                (_, true) => "egressDeny",
            };
            (list, format!("{{{}}}", fields.join(", ")))
        })
}

fn generated(groups: &[Group], policies: &[Vec<(&'static str, String)>]) -> Vec<String> {
    let mut documents = cluster();
    documents.extend(groups.iter().enumerate().map(group_text));
    documents.push(
        "{apiVersion: v1, kind: Service, metadata: {name: pods, namespace: ns2}, spec: {selector: {app: web}}}".into(),
    );
    documents.push("{apiVersion: v1, kind: Service, metadata: {name: addresses, namespace: ns2}, spec: {}}".into());
    documents.push(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, namespace: ns2, \
         labels: {kubernetes.io/service-name: addresses}}, addressType: IPv4, \
         endpoints: [{addresses: [203.0.113.70]}, {addresses: [10.0.0.1]}]}"
            .into(),
    );
    documents.push(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: ns1}, \
         spec: {podSelector: {matchLabels: {env: test}}, ingress: [{ports: [{port: 80}]}]}}"
            .into(),
    );
    for (n, elements) in policies.iter().enumerate() {
        let mut lists = std::collections::BTreeMap::<_, Vec<&str>>::new();
        for (list, element) in elements {
            lists.entry(list).or_default().push(element);
        }
        let lists: Vec<_> = lists.into_iter().map(|(list, items)| format!("{list}: [{}]", items.join(", "))).collect();
        documents.push(policy(&format!("p{n}"), &format!("{{endpointSelector: {{}}, {}}}", lists.join(", "))));
    }
    documents
}

fn policies() -> impl Strategy<Value = Vec<Vec<(&'static str, String)>>> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 1..4)
}

/// A policy of the whole cluster with these elements.
fn clusterwide(name: &str, subject: &str, elements: &[(&'static str, String)]) -> String {
    let mut lists = std::collections::BTreeMap::<_, Vec<&str>>::new();
    for (list, element) in elements {
        lists.entry(list).or_default().push(element);
    }
    let lists: Vec<_> = lists.into_iter().map(|(list, items)| format!("{list}: [{}]", items.join(", "))).collect();
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {{name: {name}}}, \
         spec: {{{subject}, {}}}}}",
        lists.join(", ")
    )
}

fn option(options: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: cilium-config, namespace: kube-system}}, \
         data: {{{options}}}}}"
    )
}

/// Subjects of host policies, and the nodes that each selects.
const HOSTS: [(&str, &[&str]); 3] = [
    ("nodeSelector: {}", &["n1", "n2"]),
    ("nodeSelector: {matchLabels: {zone: a}}", &["n1"]),
    ("nodeSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}", &["n2"]),
];

/// Peers of hosts and of pods.
fn peers() -> Vec<String> {
    let pods = ["ns1", "ns2"].into_iter().flat_map(|ns| ["web-prod", "cli-test"].map(|pod| format!("pod:{ns}/{pod}")));
    let entities = ["host", "remote-node", "health"].map(|entity| format!("entity:{entity}"));
    pods.chain(entities).chain(ADDRESSES.map(|address| format!("ip:{address}"))).collect()
}

/// What model and tables, which must agree, say of one probe.
fn verdict(analysis: &Analysis, lowered: &ciliumc::lower::Lowered, line: &str) -> Verdict {
    let probe = probe::parse(line).unwrap().remove(0);
    let model = probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap();
    let read = tables::answer(&analysis.cluster, lowered, &probe, model.clone());
    assert_eq!(model.decision.verdict, read.decision.verdict, "{probe:?}");
    assert_eq!(model.decision.rules, read.decision.rules, "{probe:?}");
    model.decision.verdict
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn prefixes_are_what_address_arithmetic_says(
        groups in prop::collection::vec(group(), 0..4),
        items in prop::collection::vec(item(), 1..5),
    ) {
        let mut documents = cluster();
        documents.extend(groups.iter().enumerate().map(group_text));
        let ports = |n: usize| format!("toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]", n + 1);
        let elements: Vec<_> =
            items.iter().enumerate().map(|(n, item)| format!("{{toCIDRSet: [{}], {}}}", item.text(), ports(n))).collect();
        documents.push(policy("p", &format!("{{endpointSelector: {{}}, egress: [{}]}}", elements.join(", "))));
        let analysis = analyse(&documents);
        let lowered = build::lower(&analysis).unwrap();
        for address in ADDRESSES {
            for (n, item) in items.iter().enumerate() {
                let expected = item.selects(&groups, address.parse().unwrap());
                let port = n as u16 + 1;
                prop_assert_eq!(
                    allowed(&analysis, &lowered, "egress", &format!("ip:{address}"), port), expected,
                    "{} {}", address, item.text()
                );
            }
        }
        // Pods and nodes are never inside of a prefix.
        prop_assert!(!allowed(&analysis, &lowered, "egress", "pod:ns2/web-prod", 1));
        prop_assert!(!allowed(&analysis, &lowered, "egress", "entity:remote-node", 1));
    }

    #[test]
    fn requires_are_requirements_of_every_selector(
        selectors in prop::collection::vec(labels(), 1..4),
        // A requirement that names the namespace is scoped as the selector would be; leave that to the cases.
        required in prop::sample::select(vec!["app, operator: In, values: [web]", "env, operator: NotIn, values: [prod]"]),
    ) {
        let element = |selector: &String| format!("{{fromEndpoints: [{{{selector}}}]}}");
        let plain: Vec<_> = selectors.iter().map(element).collect();
        let scoped = format!("{{key: {required}}}, {{key: \"k8s:io.kubernetes.pod.namespace\", operator: In, values: [ns1]}}");
        let narrowed: Vec<_> = selectors
            .iter()
            .map(|selector| match selector.strip_suffix("]").filter(|s| s.starts_with("matchExpressions")) {
                Some(head) => format!("{{fromEndpoints: [{{{head}, {scoped}]}}]}}"),
                None => format!("{{fromEndpoints: [{{{selector}, matchExpressions: [{scoped}]}}]}}"),
            })
            .collect();
        let of = |name, elements: &[String]| policy(name, &format!("{{endpointSelector: {{}}, ingress: [{}]}}", elements.join(", ")));
        let mut with = cluster();
        with.push(of("p", &plain));
        with.push(of("q", &[format!("{{fromRequires: [{{matchExpressions: [{{key: {required}}}]}}]}}")]));
        let mut without = cluster();
        without.push(of("p", &narrowed));
        let (with, without) = (analyse(&with), analyse(&without));
        let (with_tables, without_tables) = (build::lower(&with).unwrap(), build::lower(&without).unwrap());
        for namespace in ["ns1", "ns2"] {
            for pod in ["web-prod", "web-test", "cli-prod", "cli-test"] {
                let peer = format!("pod:{namespace}/{pod}");
                prop_assert_eq!(
                    allowed(&with, &with_tables, "ingress", &peer, 80),
                    allowed(&without, &without_tables, "ingress", &peer, 80),
                    "{}", peer
                );
            }
        }
    }

    #[test]
    fn tables_are_the_model(
        groups in prop::collection::vec(group(), 0..3),
        policies in policies(),
        hosts in prop::collection::vec((0..HOSTS.len(), prop::collection::vec(element(), 1..4)), 0..3),
    ) {
        let mut documents = generated(&groups, &policies);
        documents.push(option("enable-host-firewall: \"true\""));
        let subjects = hosts.iter().map(|(host, elements)| (HOSTS[*host].0, elements)).enumerate();
        documents.extend(subjects.map(|(n, (subject, elements))| clusterwide(&format!("h{n}"), subject, elements)));
        let analysis = analyse(&documents);
        let lowered = build::lower(&analysis).unwrap();
        let hosts = lowered.hosts.as_deref().unwrap();
        prop_assert_eq!(hosts.classes.len(), 2);
        let of_hosts = analysis.resolved.hosts.iter().zip(&hosts.classes).map(|(class, tables)| (class, hosts, tables));
        let of_pods = analysis.resolved.classes.iter().zip(&lowered.classes);
        for (class, all, tables) in of_pods.map(|(class, tables)| (class, &lowered, tables)).chain(of_hosts) {
            for direction in Direction::ALL {
                for &peer in analysis.resolved.identities.keys() {
                    for l4 in [79, 80, 81, 82, 83].map(|port| L4::Port(Protocol::Tcp, port)).into_iter().chain([L4::Icmp(8)]) {
                        let model = eval::decide(&analysis.resolved, class.policy(direction), Flow { peer, l4 });
                        let read = tables::decide(all, tables.direction(direction), peer, l4);
                        prop_assert_eq!(read.verdict, model.verdict, "{:?} {:?} {:?}", direction, peer, l4);
                        prop_assert_eq!(&read.rules, &model.rules);
                    }
                }
            }
        }
    }

    /// A host with a policy is what a pod with the same policy is that the local host may not reach by itself.
    #[test]
    fn a_host_is_judged_as_a_pod_would_be(
        groups in prop::collection::vec(group(), 0..3),
        elements in prop::collection::vec(element(), 1..5),
        host in 0..HOSTS.len(),
        mode in prop::sample::select(vec!["default", "always", "never"]),
    ) {
        let (subject, selected) = HOSTS[host];
        let options = |firewall| {
            option(&format!("allow-localhost: policy, enable-policy: {mode}, enable-host-firewall: \"{firewall}\""))
        };
        let with = |policy: String, firewall| {
            let mut documents = generated(&groups, &[]);
            documents.retain(|document| !document.contains("kind: NetworkPolicy"));
            documents.extend([options(firewall), policy]);
            let analysis = analyse(&documents);
            let lowered = build::lower(&analysis).unwrap();
            (analysis, lowered)
        };
        let pods = "endpointSelector: {matchLabels: {app: web, env: prod, \"k8s:io.kubernetes.pod.namespace\": ns1}}";
        let (pods, pod_tables) = with(clusterwide("p", pods, &elements), false);
        let (hosts, host_tables) = with(clusterwide("p", subject, &elements), true);
        let (off, off_tables) = with(clusterwide("p", subject, &elements), false);
        for peer in peers() {
            for direction in ["ingress", "egress"] {
                for flow in ["TCP\t80", "TCP\t83", "ICMP\t8"] {
                    let line = |endpoint: &str| format!("{endpoint}\t{direction}\t{peer}\t{flow}\n");
                    // `ns1/web-prod` runs on n1.
                    let pod = verdict(&pods, &pod_tables, &line("ns1/web-prod"));
                    for node in ["n1", "n2"] {
                        let line = line(&format!("node:{node}"));
                        let expected = match (selected.contains(&node), mode) {
                            (true, _) => pod,
                            (false, "always") => Verdict::Deny,
                            (false, _) => Verdict::Allow,
                        };
                        prop_assert_eq!(verdict(&hosts, &host_tables, &line), expected, "{}", line);
                        prop_assert_eq!(verdict(&off, &off_tables, &line), Verdict::Allow, "{}", line);
                    }
                }
            }
        }
    }

    /// Host policies, and the option, are nothing to pods.
    #[test]
    fn pods_do_not_see_host_policies(
        policies in policies(),
        elements in prop::collection::vec(element(), 1..4),
        host in 0..HOSTS.len(),
    ) {
        let without = analyse(&generated(&[], &policies));
        let mut documents = generated(&[], &policies);
        documents.extend([option("enable-host-firewall: \"true\""), clusterwide("h", HOSTS[host].0, &elements)]);
        let with = analyse(&documents);
        let (without_tables, with_tables) = (build::lower(&without).unwrap(), build::lower(&with).unwrap());
        prop_assert_eq!(with_tables.classes.len(), without_tables.classes.len());
        prop_assert!(without_tables.hosts.is_none());
        // A prefix that a host policy alone names is an identity more, and nothing besides.
        for peer in peers() {
            for direction in ["ingress", "egress"] {
                for flow in ["TCP\t80", "TCP\t83", "ICMPv6\t139"] {
                    let line = format!("ns1/web-prod\t{direction}\t{peer}\t{flow}\n");
                    prop_assert_eq!(
                        verdict(&with, &with_tables, &line), verdict(&without, &without_tables, &line), "{}", line
                    );
                }
            }
        }
    }

    #[test]
    fn the_order_of_documents_changes_nothing(
        (documents, shuffled) in (prop::collection::vec(group(), 0..3), policies()).prop_flat_map(|(groups, policies)| {
            let documents = generated(&groups, &policies);
            (Just(documents.clone()), Just(documents).prop_shuffle())
        }),
    ) {
        let text = |documents: &[String]| {
            let analysis = analyse(documents);
            let lowered = build::lower(&analysis).unwrap();
            [Stage::Ir, Stage::Resolve, Stage::Lower].map(|stage| emit(stage, &analysis, &lowered, &[]))
        };
        prop_assert_eq!(text(&documents), text(&shuffled));
    }

    #[test]
    fn the_order_of_elements_changes_no_verdict(
        groups in prop::collection::vec(group(), 0..3),
        (policies, shuffled) in policies().prop_flat_map(|policies| {
            let shuffled: Vec<_> = policies.iter().map(|elements| Just(elements.clone()).prop_shuffle()).collect();
            (Just(policies), shuffled)
        }),
    ) {
        let (one, other) = (analyse(&generated(&groups, &policies)), analyse(&generated(&groups, &shuffled)));
        let (one_tables, other_tables) = (build::lower(&one).unwrap(), build::lower(&other).unwrap());
        let pods = ["pod:ns1/cli-prod", "pod:ns2/web-test", "entity:host", "entity:remote-node"].map(str::to_owned);
        for peer in pods.into_iter().chain(ADDRESSES.map(|address| format!("ip:{address}"))) {
            for direction in ["ingress", "egress"] {
                for port in [80, 81, 90] {
                    prop_assert_eq!(
                        allowed(&one, &one_tables, direction, &peer, port),
                        allowed(&other, &other_tables, direction, &peer, port),
                        "{} {} {}", direction, peer, port
                    );
                }
            }
        }
    }
}
