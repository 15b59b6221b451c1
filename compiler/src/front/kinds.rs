//! The kinds of Kubernetes objects: which are read, refused or skipped.

use super::admin::AdminKind;
use super::cnp::Scope;
use super::names::nearest;
use super::workload::WorkloadKind;

/// How a kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Namespace.
    Namespace,
    /// Pod and what makes pods.
    Workload(WorkloadKind),
    /// Node.
    Node,
    /// CiliumNode.
    CiliumNode,
    /// Service.
    Service,
    /// EndpointSlice.
    Slice,
    /// Endpoints.
    Endpoints,
    /// ConfigMap; only `kube-system/cilium-config` matters.
    Config,
    /// CiliumCIDRGroup.
    CidrGroup,
    /// NetworkPolicy.
    NetworkPolicy,
    /// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
    Cilium(Scope),
    /// AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy.
    Admin(AdminKind),
    /// Tests, which are no object.
    Tests,
}

impl Reader {
    /// Whether objects of the kind belong to a namespace.
    pub fn is_namespaced(self) -> bool {
        match self {
            Self::Namespace | Self::Node | Self::CiliumNode | Self::CidrGroup => false,
            Self::Cilium(Scope::Cluster | Scope::Raw) => false,
            Self::Admin(_) | Self::Tests => false,
            Self::Workload(_) | Self::Service | Self::Slice | Self::Endpoints | Self::Config => true,
            Self::NetworkPolicy | Self::Cilium(Scope::Namespaced) => true,
        }
    }
}

/// A kind we read in one apiVersion.
type Known = (&'static str, &'static str, Reader);

/// Of a kind that is read in several apiVersions, the one to write comes first.
const KINDS: [Known; 23] = [
    ("v1", "Namespace", Reader::Namespace),
    ("v1", "Pod", Reader::Workload(WorkloadKind::Pod)),
    ("v1", "ReplicationController", Reader::Workload(WorkloadKind::Controller)),
    ("v1", "Node", Reader::Node),
    ("v1", "Service", Reader::Service),
    ("v1", "Endpoints", Reader::Endpoints),
    ("v1", "ConfigMap", Reader::Config),
    ("apps/v1", "Deployment", Reader::Workload(WorkloadKind::Replicated)),
    ("apps/v1", "StatefulSet", Reader::Workload(WorkloadKind::Replicated)),
    ("apps/v1", "ReplicaSet", Reader::Workload(WorkloadKind::Replicated)),
    ("apps/v1", "DaemonSet", Reader::Workload(WorkloadKind::Daemon)),
    ("batch/v1", "Job", Reader::Workload(WorkloadKind::Job)),
    ("batch/v1", "CronJob", Reader::Workload(WorkloadKind::CronJob)),
    ("discovery.k8s.io/v1", "EndpointSlice", Reader::Slice),
    ("networking.k8s.io/v1", "NetworkPolicy", Reader::NetworkPolicy),
    ("cilium.io/v2", "CiliumNode", Reader::CiliumNode),
    ("cilium.io/v2", "CiliumCIDRGroup", Reader::CidrGroup),
    ("cilium.io/v2alpha1", "CiliumCIDRGroup", Reader::CidrGroup),
    ("cilium.io/v2", "CiliumNetworkPolicy", Reader::Cilium(Scope::Namespaced)),
    ("cilium.io/v2", "CiliumClusterwideNetworkPolicy", Reader::Cilium(Scope::Cluster)),
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", Reader::Admin(AdminKind::Admin)),
    ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", Reader::Admin(AdminKind::Baseline)),
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", Reader::Admin(AdminKind::Cluster)),
];

/// Groups in which an unknown kind may be a policy.
const POLICY_GROUPS: [&str; 2] = ["cilium.io", "policy.networking.k8s.io"];

/// Older group of kinds we read: `extensions/v1beta1` had workloads and NetworkPolicy.
const OLD_GROUP: &str = "extensions";

/// Kinds of the policy groups that change verdicts, but are not supported: a CiliumNodeConfig gives some nodes other
/// options.
const UNSUPPORTED: [&str; 1] = ["CiliumNodeConfig"];

/// Kinds of the policy groups that decide no verdict: state that an agent keeps, routing, address pools, observation.
///
/// Some of them move traffic and still decide nothing. A `listener` is told by its name, whatever the configurations of
/// Envoy hold. A local redirect is a translation of services, which comes before the policy is asked (spec §7.1), and an
/// egress gateway takes what the policy let pass.
const HARMLESS: [&str; 19] = [
    "CiliumEnvoyConfig",
    "CiliumClusterwideEnvoyConfig",
    "CiliumLocalRedirectPolicy",
    "CiliumEgressGatewayPolicy",
    "CiliumEndpoint",
    "CiliumEndpointSlice",
    "CiliumIdentity",
    "CiliumPodIPPool",
    "CiliumLoadBalancerIPPool",
    "CiliumL2AnnouncementPolicy",
    "CiliumBGPPeeringPolicy",
    "CiliumBGPClusterConfig",
    "CiliumBGPPeerConfig",
    "CiliumBGPAdvertisement",
    "CiliumBGPNodeConfig",
    "CiliumBGPNodeConfigOverride",
    "CiliumGatewayClassConfig",
    "TracingPolicy",
    "TracingPolicyNamespaced",
];

/// What becomes of an object by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is read.
    Read(Reader),
    /// Its kind is read, but only in this apiVersion.
    OtherVersion(Reader, &'static str),
    /// It is refused by name.
    Unsupported,
    /// It may be a policy; the nearest kind that is known.
    Unknown(Option<&'static str>),
    /// It may be a policy, but its kind is missing.
    NoKind,
    /// It decides no verdict.
    Skipped,
}

/// Finds the class; at least one of the two texts is not empty.
pub fn classify(api_version: &str, kind: &str) -> Class {
    let group = group_of(api_version);
    if kind.is_empty() {
        let may_be_policy = POLICY_GROUPS.contains(&group) || group == "networking.k8s.io";
        return if may_be_policy { Class::NoKind } else { Class::Skipped };
    }
    let of_group = |known: &str| group_of(known) == group || group == OLD_GROUP || api_version.is_empty();
    let mut versions = KINDS.iter().filter(|(known, name, _)| *name == kind && of_group(known)).peekable();
    if let Some((first, _, reader)) = versions.peek().copied() {
        let is_read = versions.any(|(version, ..)| *version == api_version);
        return if is_read { Class::Read(*reader) } else { Class::OtherVersion(*reader, first) };
    }
    if !POLICY_GROUPS.contains(&group) || HARMLESS.contains(&kind) {
        return Class::Skipped;
    }
    if UNSUPPORTED.contains(&kind) {
        return Class::Unsupported;
    }
    let known = KINDS.iter().filter(|(version, ..)| POLICY_GROUPS.contains(&group_of(version)));
    Class::Unknown(nearest(kind, known.map(|(_, name, _)| *name).chain(UNSUPPORTED)))
}

fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_tell_kinds_of_one_name_apart() {
        assert_eq!(classify("v1", "Service"), Class::Read(Reader::Service));
        assert_eq!(classify("serving.knative.dev/v1", "Service"), Class::Skipped);
        assert_eq!(classify("networking.k8s.io/v1", "NetworkPolicy"), Class::Read(Reader::NetworkPolicy));
        assert_eq!(classify("crd.projectcalico.org/v1", "NetworkPolicy"), Class::Skipped);
    }

    #[test]
    fn a_kind_may_have_two_versions() {
        let group = |version| classify(version, "CiliumCIDRGroup");
        assert_eq!(group("cilium.io/v2"), Class::Read(Reader::CidrGroup));
        assert_eq!(group("cilium.io/v2alpha1"), Class::Read(Reader::CidrGroup));
        assert_eq!(group("cilium.io/v2alpha2"), Class::OtherVersion(Reader::CidrGroup, "cilium.io/v2"));
    }

    #[test]
    fn what_may_be_a_policy_is_not_skipped() {
        let other = Class::OtherVersion(Reader::NetworkPolicy, "networking.k8s.io/v1");
        assert_eq!(classify("extensions/v1beta1", "NetworkPolicy"), other);
        assert_eq!(classify("", "NetworkPolicy"), other);
        assert_eq!(classify("networking.k8s.io/v1", ""), Class::NoKind);
        assert_eq!(classify("cilium.io/v2", "CiliumNodeConfig"), Class::Unsupported);
        assert_eq!(classify("cilium.io/v2", "CiliumNetworkPolicies"), Class::Unknown(Some("CiliumNetworkPolicy")));
        assert_eq!(classify("cilium.io/v2", "CiliumIdentity"), Class::Skipped);
        assert_eq!(classify("", "Secret"), Class::Skipped);
        assert_eq!(classify("v1", ""), Class::Skipped);
    }
}
