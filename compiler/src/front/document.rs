//! Documents to objects: what is read, skipped or refused, and what was written twice.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, ObjectRef, Span};

use super::cnp::{Scope, cilium_policy};
use super::decode::Ctx;
use super::meta::{DEFAULT_NAMESPACE, object_ref};
use super::names::nearest;
use super::objects::Objects;
use super::workload::{WorkloadKind, workload};
use super::yaml::{Document, Kind, Node, same};
use super::{FrontOptions, cluster, codes, np};

/// What became of a document, or of an item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSummary {
    /// Where it was written.
    pub span: Span,
    /// `apiVersion`, empty when absent.
    pub api_version: String,
    /// The object, where there is one.
    pub object: Option<ObjectRef>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is among the objects.
    Read,
    /// The same object was read before.
    Repeated,
    /// It decides nothing.
    Skipped,
    /// It has an error.
    Refused,
}

/// How a kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Namespace,
    Workload(WorkloadKind),
    Node,
    CiliumNode,
    Service,
    Slice,
    Endpoints,
    Config,
    NetworkPolicy,
    Cilium(Scope),
}

/// The kinds we read, with the only apiVersion that we read of each.
const KINDS: [(&str, &str, Reader); 18] = [
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
    ("cilium.io/v2", "CiliumNetworkPolicy", Reader::Cilium(Scope::Namespaced)),
    ("cilium.io/v2", "CiliumClusterwideNetworkPolicy", Reader::Cilium(Scope::Cluster)),
];

/// Groups in which an unknown kind may be a policy.
const POLICY_GROUPS: [&str; 2] = ["cilium.io", "policy.networking.k8s.io"];

/// Kinds of the policy groups that change verdicts, but are not supported yet.
const UNSUPPORTED: [&str; 9] = [
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
    "CiliumCIDRGroup",
    "CiliumLocalRedirectPolicy",
    "CiliumEnvoyConfig",
    "CiliumClusterwideEnvoyConfig",
    "CiliumEgressGatewayPolicy",
    "CiliumNodeConfig",
];

/// Kinds of the policy groups that decide no verdict: state that an agent keeps, routing, address pools.
const HARMLESS: [&str; 15] = [
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

/// Older groups of kinds we read: `extensions/v1beta1` had workloads and NetworkPolicy.
const OLD_GROUP: &str = "extensions";

/// Reads all documents.
pub fn read(documents: &[Document<'_>], options: &FrontOptions) -> (Objects, Vec<Diagnostic>, Vec<DocumentSummary>) {
    let mut reader = Documents {
        namespace: options.default_namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
        candidates: Vec::new(),
        skipped: BTreeMap::new(),
        diagnostics: Vec::new(),
        summaries: Vec::new(),
    };
    for document in documents {
        reader.document(document);
    }
    reader.finish()
}

/// An object that is going to be read.
struct Candidate<'d, 'a> {
    node: &'d Node<'a>,
    reader: Reader,
    object: ObjectRef,
    /// Errors of the notation inside of it.
    problems: Vec<Diagnostic>,
    summary: usize,
}

struct Documents<'d, 'a, 'o> {
    namespace: &'o str,
    candidates: Vec<Candidate<'d, 'a>>,
    /// Places of what was skipped, by apiVersion and kind.
    skipped: BTreeMap<(String, String), Vec<Span>>,
    diagnostics: Vec<Diagnostic>,
    summaries: Vec<DocumentSummary>,
}

impl<'d, 'a> Documents<'d, 'a, '_> {
    fn document(&mut self, document: &'d Document<'a>) {
        if document.root.is_null() {
            self.diagnostics.extend(document.problems.iter().cloned());
            return;
        }
        self.node(&document.root, &document.problems);
    }

    fn node(&mut self, node: &'d Node<'a>, problems: &[Diagnostic]) {
        let (api_version, kind) = (text(node, "apiVersion"), text(node, "kind"));
        if api_version.is_empty() && kind.is_empty() {
            self.diagnostics.extend(problems.iter().cloned());
            return self.no_object(node);
        }
        if let Some(items) = list_items(node, kind) {
            let item_of = |problem: &Diagnostic| {
                items.iter().position(|item| problem.span.is_some_and(|span| inside(span, item.span)))
            };
            // A problem of the list itself is one of all its items.
            let (own, of_items): (Vec<_>, Vec<_>) =
                problems.iter().cloned().partition(|problem| item_of(problem).is_none());
            self.diagnostics.extend(own.iter().cloned());
            for (item, index) in items.iter().zip(0usize..) {
                let here: Vec<_> = of_items.iter().filter(|problem| item_of(problem) == Some(index)).cloned().collect();
                self.node(item, &here);
            }
            return;
        }
        self.object(node, api_version, kind, problems);
    }

    fn object(&mut self, node: &'d Node<'a>, api_version: &str, kind: &str, problems: &[Diagnostic]) {
        let (group, _) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let known = KINDS.iter().find(|(known_version, known_kind, _)| {
            *known_kind == kind && (group_of(known_version) == group || group == OLD_GROUP)
        });
        let Some((known_version, _, reader)) = known else {
            return self.other(node, api_version, group, kind, problems);
        };
        let namespaced =
            !matches!(reader, Reader::Namespace | Reader::Node | Reader::CiliumNode | Reader::Cilium(Scope::Cluster));
        let object = object_ref(node, kind, namespaced, self.namespace);
        if *known_version != api_version {
            let message = format!("{kind} of apiVersion {api_version:?} is not supported");
            let diagnostic = Diagnostic::error(codes::API_VERSION, field_span(node, "apiVersion"), message);
            return self.refuse(node, api_version, object, diagnostic.hint(format!("write {known_version}")), problems);
        }
        if *reader == Reader::Config && (object.namespace != "kube-system" || object.name != "cilium-config") {
            return self.skip(node, api_version, kind, problems);
        }
        let summary = self.summary(node, api_version, Some(object.clone()), Outcome::Read);
        let problems = problems.to_vec();
        self.candidates.push(Candidate { node, reader: *reader, object, problems, summary });
    }

    /// A kind that we do not read.
    fn other(&mut self, node: &'d Node<'a>, api_version: &str, group: &str, kind: &str, problems: &[Diagnostic]) {
        if !POLICY_GROUPS.contains(&group) || HARMLESS.contains(&kind) {
            return self.skip(node, api_version, kind, problems);
        }
        let object = object_ref(node, kind, text_at(node, "metadata", "namespace").is_some(), self.namespace);
        let span = field_span(node, "kind");
        let diagnostic = if UNSUPPORTED.contains(&kind) {
            Diagnostic::error(codes::UNSUPPORTED, span, format!("kind `{kind}` is not supported yet"))
                .hint("leave it out with --exclude or --keep-going")
        } else {
            let known = KINDS
                .iter()
                .filter(|(version, ..)| POLICY_GROUPS.contains(&group_of(version)))
                .map(|(_, kind, _)| *kind);
            let hint = match nearest(kind, known.chain(UNSUPPORTED)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => {
                    "it may be a policy, so it is not skipped: leave it out with --exclude or --keep-going".to_owned()
                }
            };
            Diagnostic::error(codes::UNKNOWN_KIND, span, format!("kind {kind:?} of {api_version} is unknown"))
                .hint(hint)
        };
        self.refuse(node, api_version, object, diagnostic, problems);
    }

    fn refuse(
        &mut self,
        node: &'d Node<'a>,
        api_version: &str,
        object: ObjectRef,
        diagnostic: Diagnostic,
        problems: &[Diagnostic],
    ) {
        self.diagnostics.extend(problems.iter().cloned().map(|problem| problem.object(object.clone())));
        self.diagnostics.push(diagnostic.object(object.clone()));
        self.summary(node, api_version, Some(object), Outcome::Refused);
    }

    fn skip(&mut self, node: &'d Node<'a>, api_version: &str, kind: &str, problems: &[Diagnostic]) {
        // Equal keys in what is skipped anyway are nobody's policy.
        let _ = problems;
        let object = object_ref(node, kind, text_at(node, "metadata", "namespace").is_some(), self.namespace);
        self.summary(node, api_version, Some(object), Outcome::Skipped);
        self.skipped.entry((api_version.to_owned(), kind.to_owned())).or_default().push(field_span(node, "kind"));
    }

    /// A document without apiVersion and kind.
    fn no_object(&mut self, node: &'d Node<'a>) {
        let raw = node.items().is_some_and(|items| {
            items.iter().any(|item| item.get("endpointSelector").is_some() || item.get("nodeSelector").is_some())
        });
        let span = head(node);
        if raw {
            self.diagnostics.push(
                Diagnostic::error(codes::UNSUPPORTED, span, "a list of raw rules is not supported yet")
                    .hint("write a CiliumNetworkPolicy with `specs`"),
            );
            self.summary(node, "", None, Outcome::Refused);
        } else {
            self.diagnostics.push(Diagnostic::info(
                codes::NO_OBJECT,
                span,
                "a document without `apiVersion` and `kind` was skipped",
            ));
            self.summary(node, "", None, Outcome::Skipped);
        }
    }

    fn summary(&mut self, node: &Node<'_>, api_version: &str, object: Option<ObjectRef>, outcome: Outcome) -> usize {
        self.summaries.push(DocumentSummary { span: node.span, api_version: api_version.to_owned(), object, outcome });
        self.summaries.len() - 1
    }

    fn finish(mut self) -> (Objects, Vec<Diagnostic>, Vec<DocumentSummary>) {
        for ((api_version, kind), spans) in &self.skipped {
            let what = if spans.len() == 1 { "object was" } else { "objects were" };
            let name = if kind.is_empty() { "no kind" } else { kind };
            self.diagnostics.push(Diagnostic::info(
                codes::SKIPPED_KIND,
                spans.first().copied(),
                format!("{} {what} skipped: {name} ({api_version}) decides no verdict", spans.len()),
            ));
        }
        let mut groups: BTreeMap<(Group, &ObjectRef), Vec<usize>> = BTreeMap::new();
        for (candidate, index) in self.candidates.iter().zip(0..) {
            groups.entry((group(candidate.reader), &candidate.object)).or_default().push(index);
        }
        let mut fates = vec![Fate::Read; self.candidates.len()];
        for indices in groups.values() {
            conflicts(&self.candidates, indices, &mut fates, &mut self.diagnostics);
        }
        let mut objects = Objects::default();
        for (candidate, fate) in self.candidates.iter().zip(fates) {
            let outcome = match fate {
                Fate::Repeated => Outcome::Repeated,
                Fate::Read | Fate::Conflict => {
                    let mut ctx = Ctx::new(Some(candidate.object.clone()));
                    candidate.problems.iter().cloned().for_each(|problem| ctx.report(problem));
                    let refused = fate == Fate::Conflict;
                    let read = decode(&mut ctx, candidate, refused, &mut objects);
                    self.diagnostics.extend(ctx.into_diagnostics());
                    if read { Outcome::Read } else { Outcome::Refused }
                }
            };
            if let Some(summary) = self.summaries.get_mut(candidate.summary) {
                summary.outcome = outcome;
            }
        }
        (objects, self.diagnostics, self.summaries)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Read,
    Repeated,
    Conflict,
}

/// API group of a kind: two objects of one name in different groups are different objects.
type Group = &'static str;

fn group(reader: Reader) -> Group {
    KINDS.iter().find(|(_, _, known)| *known == reader).map_or("", |(version, ..)| group_of(version))
}

fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Decides what happens to objects of one name: equal ones count once, different ones are all refused.
fn conflicts(
    candidates: &[Candidate<'_, '_>],
    indices: &[usize],
    fates: &mut [Fate],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let [first, others @ ..] = indices else {
        return;
    };
    let first_candidate = &candidates[*first];
    // Without a name nothing can be told apart; the name is reported as missing anyway.
    if first_candidate.object.name.is_empty() {
        return;
    }
    for other in others {
        let candidate = &candidates[*other];
        if same_object(first_candidate.node, candidate.node) {
            fates[*other] = Fate::Repeated;
            continue;
        }
        fates[*first] = Fate::Conflict;
        fates[*other] = Fate::Conflict;
        let place = |node| name_span(node);
        diagnostics.push(
            Diagnostic::error(
                codes::CONFLICT,
                place(candidate.node),
                format!("{} is written twice, and the two differ", candidate.object),
            )
            .related(place(first_candidate.node), "first here")
            .hint("keep one of the two, or leave one file out with --exclude")
            .object(candidate.object.clone()),
        );
    }
}

/// Equal but for the namespace, which may be written or be the default.
fn same_object(left: &Node<'_>, right: &Node<'_>) -> bool {
    let without = |node: &Node<'_>, name: &str| -> Vec<(String, usize)> {
        let entries = node.entries().unwrap_or_default();
        let mut fields: Vec<_> =
            entries.iter().zip(0..).map(|(entry, index)| (entry.key.key_text().into_owned(), index)).collect();
        fields.retain(|(key, _)| key != name);
        fields.sort();
        fields
    };
    let equal_without = |left: &Node<'_>, right: &Node<'_>, name: &str| {
        let (left_fields, right_fields) = (without(left, name), without(right, name));
        left_fields.len() == right_fields.len()
            && left_fields.iter().zip(&right_fields).all(|((left_key, _), (right_key, _))| {
                let fields = left.get(left_key).zip(right.get(right_key));
                left_key == right_key && fields.is_some_and(|(left, right)| same(left, right))
            })
    };
    match (left.get("metadata"), right.get("metadata")) {
        (Some(left_meta), Some(right_meta)) => {
            equal_without(left, right, "metadata") && equal_without(left_meta, right_meta, "namespace")
        }
        _ => same(left, right),
    }
}

/// Reads one object; true when it was taken.
fn decode(ctx: &mut Ctx, candidate: &Candidate<'_, '_>, refused: bool, objects: &mut Objects) -> bool {
    let (node, object) = (candidate.node, &candidate.object);
    macro_rules! take {
        ($list:ident, $read:expr) => {{
            let read = $read;
            let taken = read.filter(|_| !refused && !ctx.failed());
            let is_taken = taken.is_some();
            objects.$list.extend(taken);
            is_taken
        }};
    }
    match candidate.reader {
        Reader::Namespace => take!(namespaces, cluster::namespace(ctx, node, object)),
        Reader::Workload(kind) => take!(workloads, workload(ctx, node, object, kind)),
        Reader::Node => take!(nodes, cluster::node(ctx, node, object)),
        Reader::CiliumNode => take!(nodes, cluster::cilium_node(ctx, node, object)),
        Reader::Service => take!(services, cluster::service(ctx, node, object)),
        Reader::Slice => take!(slices, cluster::slice(ctx, node, object)),
        Reader::Endpoints => take!(slices, cluster::endpoints(ctx, node, object)),
        Reader::NetworkPolicy => take!(network_policies, np::network_policy(ctx, node, object)),
        Reader::Cilium(scope) => take!(cilium_policies, cilium_policy(ctx, node, object, scope)),
        Reader::Config => {
            let read = cluster::config(ctx, node, object).filter(|_| !refused && !ctx.failed());
            let is_taken = read.is_some();
            objects.config.extend(read.into_iter().flatten());
            is_taken
        }
    }
}

/// Items of `kind: List` and of every `...List` that has items.
fn list_items<'d, 'a>(node: &'d Node<'a>, kind: &str) -> Option<&'d [Node<'a>]> {
    if !kind.ends_with("List") {
        return None;
    }
    let items = node.get("items")?;
    if items.is_null() { Some(&[]) } else { items.items() }
}

fn inside(inner: Span, outer: Span) -> bool {
    inner.file == outer.file && inner.start >= outer.start && inner.end <= outer.end
}

fn text<'n>(node: &'n Node<'_>, name: &str) -> &'n str {
    node.get(name).and_then(Node::str).unwrap_or_default()
}

fn text_at<'n>(node: &'n Node<'_>, outer: &str, inner: &str) -> Option<&'n str> {
    node.get(outer)?.get(inner)?.str().filter(|text| !text.is_empty())
}

fn field_span(node: &Node<'_>, name: &str) -> Span {
    node.get(name).map_or_else(|| head(node), |value| value.span)
}

fn name_span(node: &Node<'_>) -> Span {
    node.get("metadata").and_then(|meta| meta.get("name")).map_or_else(|| head(node), |name| name.span)
}

/// The first key or item: a whole document is too much to show.
fn head(node: &Node<'_>) -> Span {
    match &node.kind {
        Kind::Mapping(entries) => entries.first().map_or(node.span, |entry| entry.key.span),
        Kind::Sequence(items) => items.first().map_or(node.span, head),
        Kind::Scalar(_) => node.span,
    }
}
