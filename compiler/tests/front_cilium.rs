//! What `front` makes of the rarer constructs of Cilium's policies.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::collections::BTreeMap;

use ciliumc::diag::Severity;
use ciliumc::front::objects::{
    AuthMode, CidrSource, CiliumPolicy, DnsRule, Element, Entity, FqdnSelector, Group, HeaderMatch, HttpRule,
    KafkaRule, KeySource, L7Rules, Listener, Mismatch, Objects, PortRule, PortSpec, Protocol, Secret, ServiceRef,
    Subject, TlsContext,
};
use ciliumc::front::{self, FrontOptions};
use ciliumc::source::SourceMap;

fn read(text: &str) -> Objects {
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    let output = front::read(&sources, &FrontOptions::default());
    let errors: Vec<_> = output.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    output.objects
}

/// The only element of the egress of a CiliumNetworkPolicy in namespace `ns`.
fn egress(element: &str) -> Element {
    let head = "apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p, namespace: ns}";
    let text = format!("{{{head}, spec: {{endpointSelector: {{}}, egress: [{element}]}}}}");
    let mut objects = read(&text);
    objects.cilium_policies.remove(0).rules.remove(0).egress.unwrap().remove(0)
}

/// The only item of `toPorts` with the attributes, on TCP 80.
fn port_rule(attributes: &str) -> PortRule {
    egress(&format!("{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], {attributes}}}]}}"))
        .to_ports
        .unwrap()
        .remove(0)
}

fn l7(rules: &str) -> Option<L7Rules> {
    port_rule(&format!("rules: {rules}")).l7.map(|l7| l7.value)
}

#[test]
fn peers() {
    let requires = egress("{toRequires: [{matchLabels: {env: prod}}, {}]}").requires;
    assert_eq!(requires.iter().map(|selector| selector.requirements.len()).collect::<Vec<_>>(), [1, 0]);

    let element = egress(
        "{toServices: [{k8sService: {serviceName: s, namespace: n1}}, {k8sService: {serviceName: s, namespace: ''}},
        {k8sServiceSelector: {selector: {matchLabels: {app.kubernetes.io/name: s}}}}]}",
    );
    let [ServiceRef::Name { name, namespace, .. }, second, ServiceRef::Selector { selector, namespace: third, .. }] =
        element.services.as_slice()
    else {
        panic!("{:?}", element.services)
    };
    assert_eq!((name.as_str(), namespace.as_deref()), ("s", Some("n1")));
    assert!(matches!(second, ServiceRef::Name { namespace: None, .. }) && third.is_none());
    assert_eq!(
        (&selector.requirements[0].source, selector.requirements[0].key.as_str()),
        (&KeySource::Any, "app.kubernetes.io/name")
    );

    let element = egress("{toFQDNs: [{matchName: A.Example.COM.}, {matchPattern: '*.B.io'}, {matchPattern: '*'}]}");
    let names: Vec<_> = element.fqdns.into_iter().map(|name| name.value).collect();
    let pattern = |text: &str| FqdnSelector::Pattern(text.into());
    assert_eq!(names, [FqdnSelector::Name("a.example.com".into()), pattern("*.b.io"), pattern("*")]);
}

#[test]
fn lists_that_are_absent_or_empty() {
    let absent =
        egress("{toServices: [], toFQDNs: [], toGroups: [], toRequires: [], authentication: null, toCIDRSet: null}");
    assert!(absent.services.is_empty() && absent.fqdns.is_empty() && absent.groups.is_empty());
    assert!(absent.requires.is_empty() && absent.authentication.is_none());
    assert!(absent.cidr_set.is_none() && absent.nodes.is_none());
    assert!(egress("{toCIDRSet: []}").cidr_set.unwrap().is_empty());
}

#[test]
fn cidr_groups() {
    let objects = read(
        "
apiVersion: cilium.io/v2alpha1
kind: CiliumCIDRGroup
metadata: {name: g, namespace: ignored, labels: {b: z, a: x}}
spec: {externalCIDRs: [10.1.2.3/8, nonsense, 'fd00::/8']}
",
    );
    let group = &objects.cidr_groups[0];
    assert_eq!(group.meta.object.to_string(), "CiliumCIDRGroup g");
    assert_eq!(group.meta.labels[0].0, "a");
    assert_eq!(group.prefixes.iter().map(|net| net.value.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::/8"]);

    let set =
        egress("{toCIDRSet: [{cidrGroupRef: g, except: [10.9.9.9/16]}, {cidrGroupSelector: {matchLabels: {a: x}}}]}");
    let set = set.cidr_set.unwrap();
    assert!(matches!(&set[0].source, CidrSource::GroupRef(name) if name.value == "g"));
    assert_eq!(set[0].except[0].value.to_string(), "10.9.0.0/16");
    let CidrSource::GroupSelector(selector) = &set[1].source else { panic!("{:?}", set[1]) };
    assert_eq!(selector.requirements[0].source, KeySource::Only("cidrgroup".into()));
}

#[test]
fn authentication() {
    for (word, mode) in [
        ("disabled", AuthMode::Disabled),
        ("required", AuthMode::Required),
        ("test-always-fail", AuthMode::TestAlwaysFail),
    ] {
        let element = egress(&format!("{{authentication: {{mode: {word}}}}}"));
        assert_eq!(element.authentication.map(|auth| auth.value), Some(mode));
    }
    assert!(egress("{}").authentication.is_none());
}

#[test]
fn http() {
    let rules = l7(
        "{http: [{path: /b, method: GET, host: h}, {},
        {headers: ['X-B: c d', X-A], headerMatches: [{name: nn, secret: {name: s, namespace: ''}, mismatch: LOG}, {name: m, value: ''}]}]}",
    );
    let header = |name: &str| HeaderMatch { name: name.into(), value: None, secret: None, mismatch: None };
    let secret = Secret { namespace: None, name: "s".into() };
    let expected = vec![
        HttpRule::default(),
        HttpRule {
            headers: vec!["X-A".into(), "X-B: c d".into()],
            header_matches: vec![
                HeaderMatch { value: Some(String::new()), ..header("m") },
                HeaderMatch { secret: Some(secret), mismatch: Some(Mismatch::Log), ..header("nn") },
            ],
            ..HttpRule::default()
        },
        HttpRule { path: Some("/b".into()), method: Some("GET".into()), host: Some("h".into()), ..HttpRule::default() },
    ];
    assert_eq!(rules, Some(L7Rules::Http(expected)));
    assert_eq!(l7("{http: [{path: /a}, {path: /b}]}"), l7("{http: [{path: /b}, {path: /a}, {path: /b}]}"));
}

#[test]
fn kafka() {
    let rules = l7("{kafka: [{role: produce, topic: t}, {apiKey: Fetch, apiVersion: '7', clientID: c}]}");
    let expected = vec![
        KafkaRule { api_keys: vec![0, 3, 18], topic: Some("t".into()), ..KafkaRule::default() },
        KafkaRule { api_keys: vec![1], api_version: Some(7), client_id: Some("c".into()), topic: None },
    ];
    assert_eq!(rules, Some(L7Rules::Kafka(expected)));
}

#[test]
fn other_kinds_of_l7() {
    let dns: Vec<DnsRule> = vec![FqdnSelector::Name("a.io".into()), FqdnSelector::Pattern("*".into())];
    assert_eq!(l7("{dns: [{matchPattern: '*'}, {matchName: A.io}]}"), Some(L7Rules::Dns(dns)));
    let proto = |rules| Some(L7Rules::Proto { name: "x".into(), rules });
    let pair = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    assert_eq!(l7("{l7proto: x, l7: [{a: b}]}"), proto(vec![pair]));
    assert_eq!(l7("{l7proto: x}"), proto(Vec::new()));
    for none in ["{http: []}", "{kafka: []}", "{dns: []}", "null"] {
        assert_eq!(l7(none), None, "{none}");
    }
}

#[test]
fn tls() {
    let rule = port_rule(
        "serverNames: [b.io, '*.a.io'], terminatingTLS: {secret: {name: s, namespace: n1}, trustedCA: ca},
        originatingTLS: {secret: {name: o}}, rules: {http: [{}]}",
    );
    assert_eq!(rule.server_names, ["*.a.io", "b.io"]);
    let secret = Secret { namespace: Some("n1".into()), name: "s".into() };
    let expected = TlsContext { secret, trusted_ca: Some("ca".into()), certificate: None, private_key: None };
    assert_eq!(rule.terminating_tls, Some(expected));
    assert_eq!(rule.originating_tls.unwrap().secret, Secret { namespace: None, name: "o".into() });
    assert!(rule.l7.is_some() && rule.listener.is_none());
}

#[test]
fn listeners_have_qualified_names() {
    let listener = |text: &str| port_rule(&format!("listener: {text}")).listener.unwrap();
    let expected = Listener { name: "ns/c/l".into(), priority: Some(7) };
    assert_eq!(listener("{name: l, priority: 7, envoyConfig: {name: c}}"), expected);
    let expected = Listener { name: "/c/l".into(), priority: None };
    assert_eq!(listener("{name: l, envoyConfig: {kind: CiliumClusterwideEnvoyConfig, name: c}}"), expected);
    let head = "apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: p}";
    let element = "{toPorts: [{ports: [{port: '80', protocol: TCP}], listener: {name: l, envoyConfig: {name: c}}}]}";
    let objects = read(&format!("{{{head}, spec: {{endpointSelector: {{}}, egress: [{element}]}}}}"));
    let element = &objects.cilium_policies[0].rules[0].egress.as_ref().unwrap()[0];
    assert_eq!(element.to_ports.as_ref().unwrap()[0].listener, Some(expected));
}

fn raw(text: &str) -> CiliumPolicy {
    read(text).cilium_policies.remove(0)
}

#[test]
fn raw_rules() {
    let policy = raw(r#"[{"endpointSelector": {"matchLabels": {"any:app": "web"}}, "labels": ["k8s:name=x"],
        "ingress": [{"fromEntities": ["world-ipv4"]}, {"fromCIDR": ["10.0.0.1"],
            "toPorts": [{"ports": [{"port": "80", "protocol": "udp"}], "rules": {}}], "fromEndpoint": 1}]},
        {"nodeSelector": {}, "egress": [{}]}]"#);
    assert!(policy.raw);
    assert_eq!((policy.meta.object.kind.as_str(), policy.meta.object.namespace.as_str()), ("Rule", ""));
    assert_eq!(policy.rules.iter().map(|rule| rule.path.as_str()).collect::<Vec<_>>(), ["[0]", "[1]"]);
    let elements = policy.rules[0].ingress.as_ref().unwrap();
    assert_eq!(elements[0].entities.as_ref().unwrap()[0].value, Entity::WorldIpv4);
    assert_eq!(elements[1].cidr.as_ref().unwrap()[0].value.to_string(), "10.0.0.1/32");
    let ports = &elements[1].to_ports.as_ref().unwrap()[0];
    assert!(matches!(ports.ports[0], PortSpec::Range { protocol: Some(Protocol::Udp), first: 80, last: 80, .. }));
    assert!(matches!(policy.rules[1].subject, Subject::Nodes(_)));
}

#[test]
fn raw_rules_are_named_by_content() {
    let name = |text: &str| raw(text).meta.object.name;
    let first = name("[{endpointSelector: {}, ingress: [{}]}]");
    assert_eq!(first.len(), 12);
    assert_eq!(first, name("# A comment.\n- ingress:\n  - {}\n  \"endpointSelector\": {}\n"));
    assert_ne!(first, name("[{endpointSelector: {}, egress: [{}]}]"));
    let twice = read("[{endpointSelector: {}, ingress: [{}]}]\n---\n[{ingress: [{}], endpointSelector: {}}]\n");
    assert_eq!(twice.cilium_policies.len(), 1);
}

#[test]
fn nodes_and_groups() {
    let text = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec:
  endpointSelector: {}
  ingress:
  - fromNodes: [{matchLabels: {kubernetes.io/hostname: n1}}]
  - fromNodes: []
  - fromGroups: [{aws: {labels: {b: z, a: x}, securityGroupsIds: [s2, s1], securityGroupsNames: [sg], region: r}}]
";
    let objects = read(text);
    let elements = objects.cilium_policies[0].rules[0].ingress.as_ref().unwrap();
    let requirement = &elements[0].nodes.as_ref().unwrap()[0].requirements[0];
    assert_eq!(
        (&requirement.source, requirement.key.as_str()),
        (&KeySource::Only("node".into()), "kubernetes.io/hostname")
    );
    assert!(elements[1].nodes.as_ref().unwrap().is_empty());
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = Group {
        labels: vec![pair("a", "x"), pair("b", "z")],
        security_group_ids: vec!["s1".into(), "s2".into()],
        security_group_names: vec!["sg".into()],
        region: Some("r".into()),
    };
    assert_eq!(elements[2].groups[0].value, expected);
}
