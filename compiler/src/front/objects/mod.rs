//! Typed objects, as `front` hands them to `ir`: checked, with spans, and still in the words of their API.

mod admin;
mod answers;
mod flow;
mod l7;
mod network_policy;
mod policy;

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

pub use admin::{AdminAction, AdminPeer, AdminPolicy, AdminPort, AdminRule, PodSelector, Tier};
pub use answers::{Answers, Choices};
pub use flow::{
    AssumedPod, EndName, Ends, Expectation, Expected, HttpRequests, PortSpan, Requests, SurfaceRow, Test, TestFile,
    Transport,
};
pub use l7::{
    DnsRule, FqdnSelector, HeaderMatch, HttpRule, KafkaRule, L7Rules, Listener, Mismatch, Secret, TlsContext,
};
pub use network_policy::{IpBlock, NetworkPolicy, NpPeer, NpRule};
pub use policy::{
    AuthMode, CidrSet, CidrSource, CiliumPolicy, CiliumRule, Element, Entity, Group, IcmpField, PortRule, PortSpec,
    ServiceRef, Subject,
};

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
    /// CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, and lists of raw rules.
    pub cilium_policies: Vec<CiliumPolicy>,
    /// CiliumCIDRGroup.
    pub cidr_groups: Vec<CidrGroup>,
    /// AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy.
    pub admin_policies: Vec<AdminPolicy>,
    /// Objects of custom kinds, which decide nothing here but may make pods.
    pub custom: Vec<Custom>,
    /// Tests of policies, which decide nothing.
    pub tests: Vec<TestFile>,
    /// Pods of which no document tells: questions about them add them.
    pub assumed: Vec<AssumedPod>,
    /// What no object tells.
    pub answers: Answers,
    /// Choices of the command line.
    pub choices: Choices,
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
    /// The first owner of `ownerReferences`.
    pub owner: Option<Owner>,
    /// Where the object begins.
    pub span: Span,
}

/// What made an object. A field that is missing or no text is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// An object of a kind that is not Kubernetes' own.
#[derive(Debug, Clone)]
pub struct Custom {
    /// Kind, namespace and name.
    pub object: ObjectRef,
    /// Its labels: operators hand them on to their pods.
    pub labels: Vec<(String, String)>,
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// `spec.ports`, as far as they can be read.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `port`: what clients address.
    pub port: u16,
    /// `targetPort` as written, number or name; `port` when absent.
    pub target: String,
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

/// CiliumCIDRGroup (spec §2.8).
#[derive(Debug, Clone)]
pub struct CidrGroup {
    /// Metadata; its labels are what `cidrGroupSelector` asks.
    pub meta: Meta,
    /// `spec.externalCIDRs` that parse, host bits masked off.
    pub prefixes: Vec<Spanned<IpNet>>,
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
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

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
    Only(Cow<'static, str>),
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
