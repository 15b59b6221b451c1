//! Codes of this stage. `E-` and `W-` are the language's own; `F-` are ours: notation, shape of documents, and
//! constructs that are not supported.

use crate::diag::Code;

/// The text is not YAML.
pub const YAML: Code = Code("F-001");
/// A mapping has a key twice.
pub const DUPLICATE_KEY: Code = Code("F-002");
/// Nested too deeply.
pub const TOO_DEEP: Code = Code("F-003");
/// An alias inside of its own target, or aliases that expand to too much.
pub const ALIAS: Code = Code("F-004");
/// A value of the wrong type.
pub const TYPE: Code = Code("F-005");
/// A required field is missing.
pub const MISSING: Code = Code("F-006");
/// A name, label or annotation that the API refuses.
pub const BAD_NAME: Code = Code("F-007");
/// A value of the right type that is not one of the possible ones.
pub const BAD_VALUE: Code = Code("F-008");
/// The selector of a workload does not select its own pods.
pub const SELECTOR_MISMATCH: Code = Code("F-009");
/// A kind of a policy group that this version does not know.
pub const UNKNOWN_KIND: Code = Code("F-010");
/// Objects of a kind that decides nothing were skipped.
pub const SKIPPED_KIND: Code = Code("F-011");
/// A document that is no Kubernetes object was skipped.
pub const NO_OBJECT: Code = Code("F-012");
/// A kind we read, in a version we do not.
pub const API_VERSION: Code = Code("F-013");
/// The same object twice, and the two differ.
pub const CONFLICT: Code = Code("F-014");
/// A name that the API server refuses, but that does no harm here.
pub const ODD_NAME: Code = Code("F-015");
/// A container port without a number, which was left out.
pub const NO_PORT_NUMBER: Code = Code("F-016");
/// A field that has no effect beside another.
pub const IGNORED: Code = Code("F-017");
/// A host that is no regular expression: Cilium accepts it, the proxy does not.
pub const HOST_REGEX: Code = Code("F-018");
/// A peer of a tier policy by a field that this version does not know.
pub const TIER_UNKNOWN_PEER: Code = Code("F-019");
/// A kind that is not supported.
pub const UNSUPPORTED: Code = Code("F-100");

/// A document of tests in another schema, or for another release.
pub const TEST_VERSION: Code = Code("F-501");
/// An end or a port of a test that cannot be read.
pub const TEST_END: Code = Code("F-502");
/// A test that does not say what it expects, or says it twice.
pub const TEST_SHAPE: Code = Code("F-503");

/// Unknown field.
pub const UNKNOWN_FIELD: Code = Code("E-001");
/// Unknown field of a raw rule, which Cilium ignores.
pub const RAW_FIELD: Code = Code("W-001");
/// Malformed selector.
pub const SELECTOR: Code = Code("E-010");
/// CIDR does not parse.
pub const CIDR: Code = Code("E-020");

/// NetworkPolicy: `policyTypes`.
pub const NP_TYPES: Code = Code("E-101");
/// NetworkPolicy: peer empty or mixed.
pub const NP_PEER: Code = Code("E-102");
/// NetworkPolicy: `except` is not a strict subset.
pub const NP_EXCEPT: Code = Code("E-103");
/// NetworkPolicy: bad port.
pub const NP_PORT: Code = Code("E-104");
/// NetworkPolicy: bad `endPort`.
pub const NP_END_PORT: Code = Code("E-105");
/// NetworkPolicy: bad protocol.
pub const NP_PROTOCOL: Code = Code("E-106");
/// NetworkPolicy: `policyTypes` omits a direction that has rules.
pub const NP_TYPES_OMIT: Code = Code("W-101");
/// NetworkPolicy: a namespace selector of negative requirements only.
pub const NP_NEGATIVE: Code = Code("W-102");

/// A policy without a name.
pub const NO_NAME: Code = Code("E-201");
/// A cluster-wide policy with a namespace.
pub const NAMESPACE: Code = Code("E-202");
/// Neither `spec` nor `specs`.
pub const NO_SPEC: Code = Code("E-203");
/// Subject missing or doubled.
pub const SUBJECT: Code = Code("E-204");
/// `nodeSelector` in a CiliumNetworkPolicy.
pub const NODE_SUBJECT: Code = Code("E-205");
/// No direction has an element.
pub const NO_ELEMENT: Code = Code("E-206");
/// `reserved:init` as subject of a CiliumNetworkPolicy.
pub const INIT_SUBJECT: Code = Code("E-207");
/// L7 rules that are not possible for nodes.
pub const HOST_L7: Code = Code("E-208");
/// Two L3 kinds in one element.
pub const TWO_L3: Code = Code("E-210");
/// Unknown entity.
pub const ENTITY: Code = Code("E-211");
/// Not exactly one CIDR form.
pub const CIDR_FORM: Code = Code("E-212");
/// `except` outside of `cidr`.
pub const EXCEPT: Code = Code("E-213");
/// Not exactly one of a name and a pattern.
pub const FQDN_FORM: Code = Code("E-215");
/// A bad name, or a bad pattern of names.
pub const FQDN: Code = Code("E-216");
/// Too many ports.
pub const PORTS_COUNT: Code = Code("E-220");
/// Bad port.
pub const PORT: Code = Code("E-221");
/// Bad protocol.
pub const PROTOCOL: Code = Code("E-222");
/// An empty, bad or doubled server name.
pub const SERVER_NAME: Code = Code("E-223");
/// `listener` on ingress.
pub const LISTENER_INGRESS: Code = Code("E-224");
/// L7 rules with port 0.
pub const L7_PORT_ZERO: Code = Code("E-225");
/// DNS rules with a range of ports.
pub const DNS_RANGE: Code = Code("E-226");
/// Leading zero in a port.
pub const LEADING_ZERO: Code = Code("E-227");
/// `endPort` with a name.
pub const NAMED_RANGE: Code = Code("E-228");
/// Too many ICMP types.
pub const ICMP_COUNT: Code = Code("E-229");
/// Bad ICMP family.
pub const ICMP_FAMILY: Code = Code("E-230");
/// Unknown ICMP type.
pub const ICMP_TYPE: Code = Code("E-231");
/// `icmps` with `toPorts`.
pub const ICMP_WITH_PORTS: Code = Code("E-232");
/// A cluster-wide policy names a CiliumEnvoyConfig.
pub const LISTENER_KIND: Code = Code("E-233");
/// Server names or TLS contexts without TCP.
pub const TLS_PROTOCOL: Code = Code("E-234");
/// Bad authentication mode.
pub const AUTHENTICATION: Code = Code("E-235");
/// Not exactly one kind of L7 rules.
pub const L7_KINDS: Code = Code("E-240");
/// `l7` without `l7proto`.
pub const L7_WITHOUT_PROTO: Code = Code("E-241");
/// DNS rules on ingress.
pub const DNS_INGRESS: Code = Code("E-243");
/// L7 rules other than DNS without explicit TCP.
pub const L7_PROTOCOL: Code = Code("E-244");
/// DNS rules without a port.
pub const DNS_WITHOUT_PORT: Code = Code("E-245");
/// Server names beside L7 rules, without termination of TLS.
pub const SNI_AND_L7: Code = Code("E-246");
/// `listener` beside L7 rules.
pub const LISTENER_AND_L7: Code = Code("E-247");
/// A bad regular expression.
pub const L7_REGEX: Code = Code("E-248");
/// A header or a secret without a name.
pub const L7_NO_NAME: Code = Code("E-249");
/// Kafka: `role` with `apiKey`.
pub const KAFKA_ROLE_AND_KEY: Code = Code("E-250");
/// Kafka: unknown role or API key.
pub const KAFKA_KEY: Code = Code("E-251");
/// Kafka: bad `apiVersion`.
pub const KAFKA_VERSION: Code = Code("E-252");
/// Kafka: bad topic.
pub const KAFKA_TOPIC: Code = Code("E-253");
/// An empty key in `l7`.
pub const L7_EMPTY_KEY: Code = Code("E-254");
/// A port item without ports.
pub const NO_PORTS: Code = Code("W-203");
/// `fromRequires` or `toRequires`.
pub const REQUIRES: Code = Code("W-204");
/// `except` covers all of `cidr`.
pub const EXCEPT_COVERS: Code = Code("W-205");
/// A prefix of a CIDR group does not parse.
pub const GROUP_CIDR: Code = Code("W-206");
/// Inverted range.
pub const INVERTED_RANGE: Code = Code("W-208");

/// Tiers: name of the BaselineAdminNetworkPolicy.
pub const TIER_NAME: Code = Code("E-301");
/// Tiers: `tier`.
pub const TIER: Code = Code("E-302");
/// Tiers: `priority`.
pub const TIER_PRIORITY: Code = Code("E-303");
/// Tiers: `subject`.
pub const TIER_SUBJECT: Code = Code("E-304");
/// Tiers: too many rules.
pub const TIER_RULES: Code = Code("E-305");
/// Tiers: name of a rule.
pub const TIER_RULE_NAME: Code = Code("E-306");
/// Tiers: `action`.
pub const TIER_ACTION: Code = Code("E-307");
/// Tiers: no peers, or too many.
pub const TIER_PEERS: Code = Code("E-308");
/// Tiers: a peer has not exactly one kind.
pub const TIER_PEER: Code = Code("E-309");
/// Tiers: `domainNames` where they cannot be.
pub const TIER_NAMES: Code = Code("E-310");
/// Tiers: a named port with peers that are no pods.
pub const TIER_NAMED_PORT: Code = Code("E-311");
/// Tiers: bad port or range.
pub const TIER_PORT: Code = Code("E-312");
