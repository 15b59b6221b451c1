//! Documents to objects: what is read, skipped or refused.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::diag::{Diagnostic, ObjectRef, Span};

use super::admin::admin_policy;
use super::cnp::{Scope, cilium_policy, is_raw_rule, raw_rules, raw_rules_ref};
use super::decode::Ctx;
use super::holders::Holders;
use super::kinds::{Class, Reader, classify};
use super::meta::{DEFAULT_NAMESPACE, object_ref};
use super::objects::{Custom, Objects};
use super::twice::{Fate, fates};
use super::workload::workload;
use super::yaml::{Document, Entry, Kind, Node};
use super::{FrontOptions, cluster, codes, np, policy_test};

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

/// Reads all documents.
pub fn read(documents: &[Document<'_>], options: &FrontOptions) -> (Objects, Vec<Diagnostic>, Vec<DocumentSummary>) {
    let mut reader = Documents {
        namespace: options.default_namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
        candidates: Vec::new(),
        skipped: BTreeMap::new(),
        diagnostics: Vec::new(),
        summaries: Vec::new(),
        custom: Vec::new(),
    };
    for document in documents {
        reader.document(document);
    }
    reader.finish()
}

/// An object that is going to be read.
pub struct Candidate<'d, 'a> {
    /// The object as written.
    pub node: &'d Node<'a>,
    /// How it is read.
    pub reader: Reader,
    /// Its kind, namespace and name.
    pub object: ObjectRef,
    /// Errors of the notation inside of it.
    problems: Vec<Diagnostic>,
    /// Index of its summary.
    summary: usize,
}

/// A document or an item, and what it says it is.
struct Item<'d, 'a> {
    node: &'d Node<'a>,
    api_version: &'d str,
    kind: &'d str,
    /// Errors of the notation inside of it.
    problems: Vec<Diagnostic>,
}

struct Documents<'d, 'a, 'o> {
    namespace: &'o str,
    candidates: Vec<Candidate<'d, 'a>>,
    /// Places of what was skipped, by apiVersion and kind.
    skipped: BTreeMap<(String, String), Vec<Span>>,
    diagnostics: Vec<Diagnostic>,
    summaries: Vec<DocumentSummary>,
    custom: Vec<Custom>,
}

impl<'d, 'a> Documents<'d, 'a, '_> {
    fn document(&mut self, document: &'d Document<'a>) {
        let node = &document.root;
        let problems = document.problems.clone();
        let (api_version, kind) = (text(node, "apiVersion"), text(node, "kind"));
        self.item(Item { node, api_version, kind, problems });
    }

    fn item(&mut self, item: Item<'d, 'a>) {
        if item.node.is_null() || (item.api_version.is_empty() && item.kind.is_empty()) {
            return self.no_object(item);
        }
        match list_items(item.node, item.kind) {
            Some(items) => self.list(item, items),
            None => self.object(item),
        }
    }

    fn list(&mut self, list: Item<'d, 'a>, nodes: &'d [Node<'a>]) {
        let holders = Holders::new(nodes);
        let mut of_items: Vec<Vec<Diagnostic>> = vec![Vec::new(); nodes.len()];
        for problem in list.problems {
            let mut held = false;
            for index in problem.span.into_iter().flat_map(|span| holders.of(span)) {
                of_items[index].push(problem.clone());
                held = true;
            }
            if !held {
                self.diagnostics.push(problem);
            }
        }
        // The items of a typed list, such as NetworkPolicyList, need not say what they are.
        let (version_of_all, kind_of_all) = match list.kind.strip_suffix("List") {
            None | Some("") => ("", ""),
            Some(kind) => (list.api_version, kind),
        };
        for (node, problems) in nodes.iter().zip(of_items) {
            let (mut api_version, mut kind) = (text(node, "apiVersion"), text(node, "kind"));
            if api_version.is_empty() && kind.is_empty() && node.entries().is_some() {
                (api_version, kind) = (version_of_all, kind_of_all);
            }
            self.item(Item { node, api_version, kind, problems });
        }
    }

    fn object(&mut self, item: Item<'d, 'a>) {
        let class = classify(item.api_version, item.kind);
        let namespaced = match class {
            Class::Read(reader) | Class::OtherVersion(reader, _) => reader.is_namespaced(),
            // Of other kinds nobody knows; a namespace that is written is one.
            Class::Unsupported | Class::Unknown(_) | Class::NoKind | Class::Skipped => {
                item.node.get("metadata").is_some_and(|meta| meta.get("namespace").is_some())
            }
        };
        let object = object_ref(item.node, item.kind, namespaced, self.namespace);
        let (version, kind) = (item.api_version, item.kind);
        let at_kind = field_span(item.node, "kind");
        let leave_out = "leave it out with --exclude or --keep-going";
        match class {
            Class::Read(Reader::Config) if (object.namespace.as_str(), object.name.as_str()) != CONFIG => {
                self.skip(&item, object);
            }
            Class::Read(reader) => {
                let summary = self.summary(&item, Some(object.clone()), Outcome::Read);
                self.candidates.push(Candidate { node: item.node, reader, object, problems: item.problems, summary });
            }
            Class::Skipped => self.skip(&item, object),
            Class::OtherVersion(_, known) => {
                let message = if version.is_empty() {
                    format!("`apiVersion` of a {kind} is missing")
                } else {
                    format!("{kind} of apiVersion {version:?} is not supported")
                };
                let diagnostic = Diagnostic::error(codes::API_VERSION, field_span(item.node, "apiVersion"), message);
                self.refuse(item, object, diagnostic.hint(format!("write {known}")));
            }
            Class::Unsupported => {
                let message = format!("kind `{kind}` is not supported");
                self.refuse(item, object, Diagnostic::error(codes::UNSUPPORTED, at_kind, message).hint(leave_out));
            }
            Class::Unknown(near) => {
                let hint = match near {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("it may be a policy, so it is not skipped; {leave_out}"),
                };
                let message = format!("kind {kind:?} of {version} is unknown");
                self.refuse(item, object, Diagnostic::error(codes::UNKNOWN_KIND, at_kind, message).hint(hint));
            }
            Class::NoKind => {
                let message = format!("`kind` of an object of {version} is missing");
                self.refuse(item, object, Diagnostic::error(codes::MISSING, at_kind, message).hint(leave_out));
            }
        }
    }

    fn refuse(&mut self, item: Item<'d, 'a>, object: ObjectRef, diagnostic: Diagnostic) {
        self.summary(&item, Some(object.clone()), Outcome::Refused);
        let all = item.problems.into_iter().chain([diagnostic]);
        self.diagnostics.extend(all.map(|diagnostic| diagnostic.object(object.clone())));
    }

    fn skip(&mut self, item: &Item<'d, 'a>, object: ObjectRef) {
        // Equal keys in what decides nothing are nobody's policy, but for those that say what it is.
        let says = |span: &Span| ["apiVersion", "kind"].iter().any(|name| key_span(item.node, name) == Some(*span));
        let doubtful = item.problems.iter().filter(|problem| problem.related.iter().any(|(span, _)| says(span)));
        self.diagnostics.extend(doubtful.cloned().map(|problem| problem.object(object.clone())));
        self.custom.extend(custom(item, &object));
        self.summary(item, Some(object), Outcome::Skipped);
        let key = (item.api_version.to_owned(), item.kind.to_owned());
        self.skipped.entry(key).or_default().push(field_span(item.node, "kind"));
    }

    /// A document without apiVersion and kind.
    fn no_object(&mut self, item: Item<'d, 'a>) {
        if item.node.is_null() {
            self.diagnostics.extend(item.problems);
            return;
        }
        if item.node.get(policy_test::MARK).is_some() {
            let object = ObjectRef { kind: policy_test::MARK.into(), namespace: String::new(), name: String::new() };
            let summary = self.summary(&item, None, Outcome::Read);
            let (node, problems) = (item.node, item.problems);
            self.candidates.push(Candidate { node, reader: Reader::Tests, object, problems, summary });
            return;
        }
        let reader = Reader::Cilium(Scope::Raw);
        if item.node.items().is_some_and(|items| items.iter().any(is_raw_rule)) {
            let object = raw_rules_ref(item.node);
            let summary = self.summary(&item, Some(object.clone()), Outcome::Read);
            self.candidates.push(Candidate { node: item.node, reader, object, problems: item.problems, summary });
            return;
        }
        self.diagnostics.extend(item.problems.iter().cloned());
        let span = head(item.node);
        if is_raw_rule(item.node) {
            let message = "a rule that is neither in a policy nor in a list of rules";
            let hint = "write a CiliumNetworkPolicy, or a list of raw rules";
            self.diagnostics.push(Diagnostic::error(codes::MISSING, span, message).hint(hint));
            self.summary(&item, None, Outcome::Refused);
        } else {
            let message = "a document without `apiVersion` and `kind` was skipped";
            self.diagnostics.push(Diagnostic::info(codes::NO_OBJECT, span, message));
            self.summary(&item, None, Outcome::Skipped);
        }
    }

    fn summary(&mut self, item: &Item<'_, '_>, object: Option<ObjectRef>, outcome: Outcome) -> usize {
        let api_version = item.api_version.to_owned();
        self.summaries.push(DocumentSummary { span: item.node.span, api_version, object, outcome });
        self.summaries.len() - 1
    }

    fn finish(mut self) -> (Objects, Vec<Diagnostic>, Vec<DocumentSummary>) {
        for ((api_version, kind), spans) in &self.skipped {
            let what = if spans.len() == 1 { "object was" } else { "objects were" };
            let name = if kind.is_empty() { "no kind" } else { kind };
            let message = format!("{} {what} skipped: {name} ({api_version}) decides no verdict", spans.len());
            self.diagnostics.push(Diagnostic::info(codes::SKIPPED_KIND, spans.first().copied(), message));
        }
        let fates = fates(&self.candidates, &mut self.diagnostics);
        // Objects do not know each other here, so they are read on whatever thread is free.
        let decoded: Vec<_> = self.candidates.par_chunks(CHUNK).zip(fates.par_chunks(CHUNK)).map(decode_all).collect();
        let mut objects = Objects { custom: self.custom, ..Objects::default() };
        for (decoded, candidates) in decoded.into_iter().zip(self.candidates.chunks(CHUNK)) {
            append(&mut objects, decoded.objects);
            self.diagnostics.extend(decoded.diagnostics);
            for (candidate, outcome) in candidates.iter().zip(decoded.outcomes) {
                if let Some(summary) = self.summaries.get_mut(candidate.summary) {
                    summary.outcome = outcome;
                }
            }
        }
        (objects, self.diagnostics, self.summaries)
    }
}

/// An object with labels of a kind that is not Kubernetes' own: its group is a domain, and none of theirs.
fn custom(item: &Item<'_, '_>, object: &ObjectRef) -> Option<Custom> {
    let (group, _) = item.api_version.split_once('/')?;
    if !group.contains('.') || group.ends_with(".k8s.io") {
        return None;
    }
    let labels = item.node.get("metadata")?.get("labels")?.entries()?.iter();
    let label = |entry: &Entry<'_>| Some((entry.key.key_text().into_owned(), entry.value.str()?.to_owned()));
    Some(Custom { object: object.clone(), labels: labels.filter_map(label).collect() })
}

/// Namespace and name of the ConfigMap that holds the agent's options.
const CONFIG: (&str, &str) = ("kube-system", "cilium-config");

/// Objects that are read in one go.
const CHUNK: usize = 64;

/// What some candidates gave.
#[derive(Default)]
struct Decoded {
    /// The objects without an error.
    objects: Objects,
    diagnostics: Vec<Diagnostic>,
    /// Of each candidate.
    outcomes: Vec<Outcome>,
}

fn decode_all((candidates, fates): (&[Candidate<'_, '_>], &[Fate])) -> Decoded {
    let mut decoded = Decoded::default();
    for (candidate, fate) in candidates.iter().zip(fates) {
        let outcome = decode(candidate, *fate, &mut decoded);
        decoded.outcomes.push(outcome);
    }
    decoded
}

/// Reads one object and reports what is wrong with it, also when it is refused already.
fn decode(candidate: &Candidate<'_, '_>, fate: Fate, decoded: &mut Decoded) -> Outcome {
    if fate == Fate::Repeated {
        return Outcome::Repeated;
    }
    let mut ctx = Ctx::new(Some(candidate.object.clone()).filter(|_| candidate.reader != Reader::Tests));
    let mut objects = Objects::default();
    candidate.problems.iter().cloned().for_each(|problem| ctx.report(problem));
    read_object(&mut ctx, candidate, &mut objects);
    let refused = fate == Fate::Conflict || ctx.failed();
    decoded.diagnostics.extend(ctx.into_diagnostics());
    if refused {
        return Outcome::Refused;
    }
    append(&mut decoded.objects, objects);
    Outcome::Read
}

fn read_object(ctx: &mut Ctx, candidate: &Candidate<'_, '_>, objects: &mut Objects) {
    let (node, object) = (candidate.node, &candidate.object);
    match candidate.reader {
        Reader::Tests => objects.tests.extend(policy_test::test_file(ctx, node)),
        Reader::Namespace => objects.namespaces.extend(cluster::namespace(ctx, node, object)),
        Reader::Workload(kind) => objects.workloads.extend(workload(ctx, node, object, kind)),
        Reader::Node => objects.nodes.extend(cluster::node(ctx, node, object)),
        Reader::CiliumNode => objects.nodes.extend(cluster::cilium_node(ctx, node, object)),
        Reader::Service => objects.services.extend(cluster::service(ctx, node, object)),
        Reader::Slice => objects.slices.extend(cluster::slice(ctx, node, object)),
        Reader::Endpoints => objects.slices.extend(cluster::endpoints(ctx, node, object)),
        Reader::Config => objects.config.extend(cluster::config(ctx, node, object).unwrap_or_default()),
        Reader::CidrGroup => objects.cidr_groups.extend(cluster::cidr_group(ctx, node, object)),
        Reader::NetworkPolicy => objects.network_policies.extend(np::network_policy(ctx, node, object)),
        Reader::Admin(kind) => objects.admin_policies.extend(admin_policy(ctx, node, object, kind)),
        Reader::Cilium(Scope::Raw) => objects.cilium_policies.extend(raw_rules(ctx, node, object)),
        Reader::Cilium(scope) => objects.cilium_policies.extend(cilium_policy(ctx, node, object, scope)),
    }
}

fn append(all: &mut Objects, one: Objects) {
    let Objects {
        namespaces,
        workloads,
        nodes,
        services,
        slices,
        config,
        network_policies,
        cilium_policies,
        cidr_groups,
        admin_policies,
        custom,
        tests,
        assumed: _,
        answers: _,
        choices: _,
    } = one;
    all.custom.extend(custom);
    all.tests.extend(tests);
    all.namespaces.extend(namespaces);
    all.workloads.extend(workloads);
    all.nodes.extend(nodes);
    all.services.extend(services);
    all.slices.extend(slices);
    all.config.extend(config);
    all.network_policies.extend(network_policies);
    all.cilium_policies.extend(cilium_policies);
    all.cidr_groups.extend(cidr_groups);
    all.admin_policies.extend(admin_policies);
}

/// Items of `kind: List` and of every `...List` that has items.
fn list_items<'d, 'a>(node: &'d Node<'a>, kind: &str) -> Option<&'d [Node<'a>]> {
    if !kind.ends_with("List") {
        return None;
    }
    let items = node.get("items")?;
    if items.is_null() { Some(&[]) } else { items.items() }
}

fn text<'n>(node: &'n Node<'_>, name: &str) -> &'n str {
    node.get(name).and_then(Node::str).unwrap_or_default()
}

fn field_span(node: &Node<'_>, name: &str) -> Span {
    node.get(name).map_or_else(|| head(node), |value| value.span)
}

fn key_span(node: &Node<'_>, name: &str) -> Option<Span> {
    node.entries()?.iter().find(|entry| entry.key.is_key(name)).map(|entry| entry.key.span)
}

/// The first key or item: a whole document is too much to show.
pub fn head(node: &Node<'_>) -> Span {
    match &node.kind {
        Kind::Mapping(entries) => entries.first().map_or(node.span, |entry| entry.key.span),
        Kind::Sequence(items) => items.first().map_or(node.span, head),
        Kind::Scalar(_) => node.span,
    }
}
