//! What `front` makes of correct objects.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use ciliumc::front::objects::{
    CidrSource, Entity, KeySource, NpPeer, Objects, Operator, PortSpec, Protocol, Subject, Workload,
};
use ciliumc::front::{self, FrontOptions};
use ciliumc::source::SourceMap;

fn read(text: &str) -> Objects {
    let sources = SourceMap::from_texts([("a.yaml", text)]);
    let output = front::read(&sources, &FrontOptions::default());
    assert!(output.diagnostics.is_empty(), "{:#?}", output.diagnostics);
    output.objects
}

fn workload(text: &str) -> Workload {
    read(text).workloads.remove(0)
}

#[test]
fn pod() {
    let pod = workload(
        "
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: ns, labels: {b: z, a: x}, ownerReferences: [{kind: ReplicaSet}]}
spec:
  nodeName: n1
  serviceAccountName: reader
  hostNetwork: true
  initContainers:
  - {name: once, ports: [{containerPort: 1}]}
  - {name: sidecar, restartPolicy: Always, ports: [{containerPort: 2, protocol: UDP}]}
  containers:
  - {name: c, ports: [{name: http, containerPort: 80}]}
status: {phase: Succeeded, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
",
    );
    assert_eq!(pod.meta.object.to_string(), "Pod ns/p");
    assert!(pod.meta.owner.is_some() && pod.host_network && pod.finished && !pod.zero_replicas);
    assert_eq!(pod.pod_labels, [("a".to_owned(), "x".to_owned()), ("b".to_owned(), "z".to_owned())]);
    let ports: Vec<_> = pod.ports.iter().map(|port| (port.name.as_deref(), port.port, port.protocol)).collect();
    assert_eq!(ports, [(Some("http"), 80, Protocol::Tcp), (None, 2, Protocol::Udp)]);
    assert_eq!(pod.node_name.unwrap().value, "n1");
    assert_eq!(pod.service_account.as_deref(), Some("reader"));
    let addresses: Vec<_> = pod.addresses.iter().map(|address| address.value.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
}

#[test]
fn workload_kinds() {
    let template = "template: {metadata: {labels: {a: x}}, spec: {containers: [{name: c}]}}";
    let selector = "selector: {matchLabels: {a: x}}";
    let cases = [
        ("apps/v1", "Deployment", format!("{{replicas: 0, {selector}, {template}}}"), true, true),
        ("apps/v1", "Deployment", format!("{{{selector}, {template}}}"), true, false),
        ("apps/v1", "StatefulSet", format!("{{replicas: 2, {selector}, {template}}}"), true, false),
        ("apps/v1", "ReplicaSet", format!("{{replicas: 0, {selector}, {template}}}"), true, true),
        ("apps/v1", "DaemonSet", format!("{{{selector}, {template}}}"), true, false),
        ("v1", "ReplicationController", format!("{{selector: {{a: x}}, {template}}}"), true, false),
        ("v1", "ReplicationController", format!("{{{template}}}"), false, false),
        ("batch/v1", "Job", format!("{{{template}}}"), false, false),
        ("batch/v1", "Job", format!("{{suspend: true, {template}}}"), false, true),
        ("batch/v1", "Job", format!("{{parallelism: 0, {template}}}"), false, true),
        ("batch/v1", "CronJob", format!("{{jobTemplate: {{spec: {{{template}}}}}}}"), false, false),
        ("batch/v1", "CronJob", format!("{{suspend: true, jobTemplate: {{spec: {{{template}}}}}}}"), false, true),
    ];
    for (version, kind, spec, has_selector, zero) in cases {
        let text = format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: w}}, spec: {spec}}}");
        let read = workload(&text);
        assert_eq!(read.meta.object.kind, kind);
        assert_eq!(read.selector.is_some(), has_selector, "{text}");
        assert_eq!(read.zero_replicas, zero, "{text}");
        assert_eq!(read.pod_labels, [("a".to_owned(), "x".to_owned())], "{text}");
    }
}

#[test]
fn cluster_objects() {
    let objects = read(
        "
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
status: {addresses: [{type: InternalIP, address: 172.20.0.1}, {type: Hostname, address: n1}, {type: ExternalIP, address: 1.2.3.4}]}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n1}
spec:
  addresses: [{ip: 172.20.0.1, type: InternalIP}, {ip: 10.0.0.9, type: CiliumInternalIP}]
  health: {ipv4: 10.0.0.7, ipv6: ''}
  ingress: {ipv4: 10.0.0.8}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: x}, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1']}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: kubernetes}
subsets: [{addresses: [{ip: 172.20.0.3}], notReadyAddresses: [{ip: 172.20.0.4}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-ipv6: 'true', enable-policy: default}
",
    );
    let addresses = |node: usize| objects.nodes[node].addresses.iter().map(|a| a.value.to_string()).collect::<Vec<_>>();
    assert_eq!(addresses(0), ["172.20.0.1", "1.2.3.4"]);
    assert_eq!(addresses(1), ["172.20.0.1", "10.0.0.9"]);
    assert_eq!(objects.nodes[1].health.len(), 1);
    assert_eq!(objects.nodes[1].ingress.len(), 1);
    assert_eq!(objects.services[0].cluster_ips.len(), 2);
    assert!(objects.services[1].cluster_ips.is_empty() && objects.services[1].selector.is_empty());
    let slices: Vec<_> = objects.slices.iter().map(|slice| (slice.service.as_str(), slice.addresses.len())).collect();
    assert_eq!(slices, [("s", 2), ("kubernetes", 2)]);
    let config: Vec<_> = objects.config.iter().map(|(key, value)| (key.value.as_str(), value.value.as_str())).collect();
    assert_eq!(config, [("enable-ipv6", "true"), ("enable-policy", "default")]);
}

#[test]
fn network_policy() {
    let objects = read(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: ''}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress, Ingress]
  ingress:
  - from:
    - podSelector: {}
    - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [a, b]}]}
      podSelector: {matchLabels: null}
    - ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16]}
    ports: [{}, {port: http, protocol: UDP}, {port: 80, endPort: 90}, {protocol: SCTP}]
  egress: null
",
    );
    let policy = &objects.network_policies[0];
    assert_eq!(policy.meta.object.namespace, "default");
    assert_eq!(policy.policy_types, Some((true, true)));
    assert!(policy.egress.is_none());
    let requirement = &policy.pod_selector.requirements[0];
    assert!(requirement.match_labels && requirement.source == KeySource::Only("k8s".into()));
    let rule = &policy.ingress.as_ref().unwrap()[0];
    assert!(matches!(&rule.peers[0], NpPeer::Pods { pods: Some(_), namespaces: None, .. }));
    assert!(matches!(&rule.peers[1], NpPeer::Pods { pods: Some(_), namespaces: Some(namespaces), .. }
        if namespaces.requirements[0].operator == Operator::In && !namespaces.requirements[0].match_labels));
    assert!(matches!(&rule.peers[2], NpPeer::IpBlock(block)
        if block.cidr.value.to_string() == "10.0.0.0/8" && block.except[0].value.to_string() == "10.9.0.0/16"));
    let ports: Vec<_> = rule.ports.iter().map(show).collect();
    assert_eq!(ports, ["Tcp 0-65535", "Udp http", "Tcp 80-90", "Sctp 0-65535"]);
}

fn show(port: &PortSpec) -> String {
    let name = |protocol: &Option<Protocol>| protocol.map_or("Any".to_owned(), |protocol| format!("{protocol:?}"));
    match port {
        PortSpec::Range { protocol, first, last, .. } => format!("{} {first}-{last}", name(protocol)),
        PortSpec::Named { protocol, name: port, .. } => format!("{} {port}", name(protocol)),
    }
}

#[test]
fn cilium_policy() {
    let objects = read(
        "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec:
  endpointSelector: {matchLabels: {app: web, 'reserved:x': ''}}
  enableDefaultDeny: {egress: false}
  log: {value: why}
  ingress:
  - fromEndpoints: []
    toPorts: []
    icmps: []
  - fromEntities: [host, all]
    toPorts: [{ports: [{port: '0'}, {port: '0', endPort: 9, protocol: TCP}, {port: HTTP, protocol: SCTP}, {port: '80', endPort: 90}]}]
  - {}
  egressDeny:
  - toCIDRSet: [{cidr: 'fd00::1/8', except: ['fd00::/16']}]
    icmps: [{fields: [{type: EchoReply}, {family: IPv6, type: '128'}]}, {}]
specs:
- endpointSelector: {}
  egress: [{toCIDR: [1.2.3.4/0]}]
",
    );
    let policy = &objects.cilium_policies[0];
    assert_eq!(policy.rules.iter().map(|rule| rule.path.as_str()).collect::<Vec<_>>(), ["spec", "specs[0]"]);
    let rule = &policy.rules[0];
    assert!(matches!(&rule.subject, Subject::Endpoints(selector)
        if selector.requirements[0].source == KeySource::Any && selector.requirements[1].source == KeySource::Only("reserved".into())));
    assert_eq!((rule.default_deny_ingress, rule.default_deny_egress), (None, Some(false)));
    assert_eq!(rule.log.as_deref(), Some("why"));
    let ingress = rule.ingress.as_ref().unwrap();
    // A peer list may be there and empty; an L4 list may not.
    assert!(ingress[0].endpoints.as_ref().is_some_and(Vec::is_empty));
    assert!(ingress[0].to_ports.is_none() && ingress[0].icmps.is_none() && ingress[0].cidr.is_none());
    let entities: Vec<_> = ingress[1].entities.iter().flatten().map(|entity| entity.value).collect();
    assert_eq!(entities, [Entity::Host, Entity::All]);
    let ports: Vec<_> = ingress[1].to_ports.as_ref().unwrap()[0].ports.iter().map(show).collect();
    assert_eq!(ports, ["Any 0-65535", "Tcp 0-9", "Sctp http", "Any 80-90"]);
    assert!(ingress[2].endpoints.is_none());
    let deny = &rule.egress_deny.as_ref().unwrap()[0];
    let CidrSource::Cidr(net) = &deny.cidr_set.as_ref().unwrap()[0].source else { panic!("a group") };
    assert_eq!(net.value.to_string(), "fd00::/8");
    let icmps = deny.icmps.as_ref().unwrap();
    assert_eq!(
        icmps[0].iter().map(|field| (field.ipv6, field.icmp_type)).collect::<Vec<_>>(),
        [(false, 0), (true, 128)]
    );
    assert!(icmps[1].is_empty());
    let cidr = policy.rules[1].egress.as_ref().unwrap()[0].cidr.as_ref().unwrap();
    assert_eq!(cidr[0].value.to_string(), "0.0.0.0/0");
}
