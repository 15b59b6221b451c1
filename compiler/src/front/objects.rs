//! Typed objects, as `front` hands them to `ir`: checked, with spans, and still in the words of their API.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diag::{ObjectRef, Span, Spanned};

/// Everything the input held, in the order of the documents.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Namespaces that documents describe.
    pub namespaces: Vec<Namespace>,
    /// Pods and workload templates.
    pub workloads: Vec<Workload>,
    /// Node and CiliumNode objects.
    pub nodes: Vec<Node>,
    /// Services.
    pub services: Vec<Service>,
    /// EndpointSlice and Endpoints objects.
    pub slices: Vec<EndpointSlice>,
    /// ConfigMap `kube-system/cilium-config`, keys and values as written.
    pub config: Vec<(Spanned<String>, Spanned<String>)>,
    /// `networking.k8s.io/v1` NetworkPolicy.
    pub network_policies: Vec<NetworkPolicy>,
    /// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
    pub cilium_policies: Vec<CiliumPolicy>,
}

/// `metadata`.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Kind, namespace (after defaults) and name.
    pub object: ObjectRef,
    /// Labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Annotations, sorted by key.
    pub annotations: Vec<(String, String)>,
    /// Whether `ownerReferences` names an owner.
    pub owned: bool,
    /// Where the object begins.
    pub span: Span,
}

/// Namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Metadata.
    pub meta: Meta,
}

/// A pod, or the pod template of a workload.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Metadata of the object itself (not of its template).
    pub meta: Meta,
    /// Labels of the pod or of the pod template, sorted by key.
    pub pod_labels: Vec<(String, String)>,
    /// `spec.selector` of a workload, to find the pods in the input that represent it.
    pub selector: Option<Selector>,
    /// `spec.replicas: 0`, or a Job or CronJob with nothing to run.
    pub zero_replicas: bool,
    /// `serviceAccountName`, if written.
    pub service_account: Option<String>,
    /// `hostNetwork: true`.
    pub host_network: bool,
    /// `nodeName`, if written.
    pub node_name: Option<Spanned<String>>,
    /// Ports of all containers (init containers with `restartPolicy: Always` too).
    pub ports: Vec<ContainerPort>,
    /// `status.podIPs` (else `status.podIP`), for pods.
    pub addresses: Vec<Spanned<IpAddr>>,
    /// `status.phase` is Succeeded or Failed.
    pub finished: bool,
}

/// A container port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// `name`, if written.
    pub name: Option<String>,
    /// `containerPort`.
    pub port: u16,
    /// `protocol`, TCP when absent.
    pub protocol: Protocol,
}

/// Node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Metadata; its labels are the node's.
    pub meta: Meta,
    /// InternalIP and ExternalIP addresses (CiliumNode: `spec.addresses`).
    pub addresses: Vec<Spanned<IpAddr>>,
    /// CiliumNode: health addresses.
    pub health: Vec<IpAddr>,
    /// CiliumNode: ingress addresses.
    pub ingress: Vec<IpAddr>,
}

/// Service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Metadata.
    pub meta: Meta,
    /// `spec.selector`; empty when absent.
    pub selector: Vec<(String, String)>,
    /// `spec.clusterIPs` (else `clusterIP`), without `None`.
    pub cluster_ips: Vec<IpAddr>,
}

/// EndpointSlice (or Endpoints).
#[derive(Debug, Clone)]
pub struct EndpointSlice {
    /// Metadata.
    pub meta: Meta,
    /// Service it belongs to: label `kubernetes.io/service-name`, for Endpoints its own name.
    pub service: String,
    /// Addresses of all endpoints.
    pub addresses: Vec<IpAddr>,
}

/// L4 protocol of a rule or a container port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, 6.
    Tcp,
    /// UDP, 17.
    Udp,
    /// SCTP, 132.
    Sctp,
}

impl Protocol {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Source of a label key in a selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// `any:` or no prefix: every source.
    Any,
    /// Only labels of this source (`k8s`, `reserved`, `cidr`, ...).
    Only(String),
}

/// A label selector: all requirements must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Requirements; none matches everything.
    pub requirements: Vec<Requirement>,
    /// Where it was written.
    pub span: Span,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Source of the key.
    pub source: KeySource,
    /// Key without its source.
    pub key: String,
    /// Operator; `matchLabels` is [`Operator::In`] with one value.
    pub operator: Operator,
    /// Values.
    pub values: Vec<String>,
    /// Written under `matchLabels` (spec §2.3 tells the two apart).
    pub match_labels: bool,
    /// Where it was written.
    pub span: Span,
}

/// Operator of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// Key present and value listed.
    In,
    /// Key absent, or value not listed.
    NotIn,
    /// Key present.
    Exists,
    /// Key absent.
    DoesNotExist,
}

/// `networking.k8s.io/v1` NetworkPolicy (spec §1).
#[derive(Debug, Clone)]
pub struct NetworkPolicy {
    /// Metadata.
    pub meta: Meta,
    /// `spec.podSelector`; keys have source `k8s`.
    pub pod_selector: Selector,
    /// `policyTypes`, if written and not empty: (ingress, egress).
    pub policy_types: Option<(bool, bool)>,
    /// `spec.ingress`; absent and `null` are `None`.
    pub ingress: Option<Vec<NpRule>>,
    /// `spec.egress`; absent and `null` are `None`.
    pub egress: Option<Vec<NpRule>>,
}

/// One item of `spec.ingress` or `spec.egress`.
#[derive(Debug, Clone)]
pub struct NpRule {
    /// `from` or `to`; absent and `[]` are both empty and mean everyone.
    pub peers: Vec<NpPeer>,
    /// `ports`; absent and `[]` are both empty and mean everything.
    pub ports: Vec<PortSpec>,
    /// Where the item begins.
    pub span: Span,
}

/// One item of `from` or `to`.
#[derive(Debug, Clone)]
pub enum NpPeer {
    /// `ipBlock`.
    IpBlock(CidrSet),
    /// `podSelector` and/or `namespaceSelector`, at least one of them present.
    Pods {
        /// `podSelector`.
        pods: Option<Selector>,
        /// `namespaceSelector`; keys are the namespace's own, source `k8s`.
        namespaces: Option<Selector>,
        /// Where the item begins.
        span: Span,
    },
}

/// A prefix with exceptions. Host bits are masked off.
#[derive(Debug, Clone)]
pub struct CidrSet {
    /// The prefix.
    pub cidr: Spanned<IpNet>,
    /// Exceptions.
    pub except: Vec<Spanned<IpNet>>,
    /// Where the item begins.
    pub span: Span,
}

/// One port item. `Named` and `Range` carry the protocol; `None` is `ANY` (CNP).
#[derive(Debug, Clone)]
pub enum PortSpec {
    /// Numbers, inclusive; 0-65535 is every port.
    Range {
        /// Protocol; `None` is TCP, UDP and SCTP.
        protocol: Option<Protocol>,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// Where the item begins.
        span: Span,
    },
    /// A name, in lower case.
    Named {
        /// Protocol; `None` is TCP, UDP and SCTP.
        protocol: Option<Protocol>,
        /// Name.
        name: String,
        /// Where the item begins.
        span: Span,
    },
}

/// CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy (spec §2).
#[derive(Debug, Clone)]
pub struct CiliumPolicy {
    /// Metadata; an empty namespace means cluster-wide.
    pub meta: Meta,
    /// `spec` (index 0, path `spec`) and `specs` (paths `specs[i]`), in this order.
    pub rules: Vec<CiliumRule>,
}

/// One rule (`spec` or an item of `specs`).
#[derive(Debug, Clone)]
pub struct CiliumRule {
    /// `spec`, or `specs[2]`.
    pub path: String,
    /// `endpointSelector` or `nodeSelector`.
    pub subject: Subject,
    /// `ingress`; absent and `null` are `None`.
    pub ingress: Option<Vec<Element>>,
    /// `ingressDeny`.
    pub ingress_deny: Option<Vec<Element>>,
    /// `egress`.
    pub egress: Option<Vec<Element>>,
    /// `egressDeny`.
    pub egress_deny: Option<Vec<Element>>,
    /// `enableDefaultDeny.ingress`, if written.
    pub default_deny_ingress: Option<bool>,
    /// `enableDefaultDeny.egress`, if written.
    pub default_deny_egress: Option<bool>,
    /// `log.value`, if written.
    pub log: Option<String>,
    /// Where the rule begins.
    pub span: Span,
}

/// What a rule constrains.
#[derive(Debug, Clone)]
pub enum Subject {
    /// `endpointSelector`.
    Endpoints(Selector),
    /// `nodeSelector` (CCNP only).
    Nodes(Selector),
}

/// One allow or deny element. For each L3 list, `None` is absent and `Some(vec![])` is present and empty: they differ
/// (spec §2.4). At most one list is non-empty.
#[derive(Debug, Clone)]
pub struct Element {
    /// `fromEndpoints` / `toEndpoints`.
    pub endpoints: Option<Vec<Selector>>,
    /// `fromCIDR` / `toCIDR`, host bits masked off.
    pub cidr: Option<Vec<Spanned<IpNet>>>,
    /// `fromCIDRSet` / `toCIDRSet`.
    pub cidr_set: Option<Vec<CidrSet>>,
    /// `fromEntities` / `toEntities`.
    pub entities: Option<Vec<Spanned<Entity>>>,
    /// `toPorts`, absent and `[]` are `None`; an item without ports is an empty list.
    pub to_ports: Option<Vec<Vec<PortSpec>>>,
    /// `icmps`, absent and `[]` are `None`; an item without fields is an empty list.
    pub icmps: Option<Vec<Vec<IcmpField>>>,
    /// Where the element begins.
    pub span: Span,
}

/// Entities (spec §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// Everyone.
    All,
    /// Outside of the cluster.
    World,
    /// Nodes, their special endpoints, and the pods of the local cluster.
    Cluster,
    /// The local node.
    Host,
    /// Endpoints whose labels are not known yet.
    Init,
    /// The ingress proxy.
    Ingress,
    /// Pods without a Cilium endpoint.
    Unmanaged,
    /// Other nodes.
    RemoteNode,
    /// The health endpoint.
    Health,
    /// Nobody.
    None,
    /// API servers.
    KubeApiserver,
}

/// One field of `icmps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpField {
    /// ICMPv6 instead of ICMP.
    pub ipv6: bool,
    /// Type.
    pub icmp_type: u8,
    /// Where it was written.
    pub span: Span,
}

impl Entity {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::World => "world",
            Self::Cluster => "cluster",
            Self::Host => "host",
            Self::Init => "init",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
            Self::RemoteNode => "remote-node",
            Self::Health => "health",
            Self::None => "none",
            Self::KubeApiserver => "kube-apiserver",
        }
    }
}
