//! What is accepted, and probably not what was meant.
//!
//! In: what was written, what it means and whom it selects. Out: warnings and remarks, never an error. A lint is silent
//! where the input plainly lacks what it would take to know. It does not ask how verdicts are stored on nodes.
//!
//! One file for each lint in `rules`; [`LINTS`] is the table. An object excuses itself from a lint by the annotation
//! `ciliumc.io/ignore: CL003 reason` (see [`ignore`]).

mod cover;
mod edits;
mod emptiness;
mod facts;
pub mod ignore;
mod rules;

pub use facts::Day;

use facts::Facts;

use crate::diag::{Code, Diagnostic, Edit, ObjectRef, Severity, Span};
use crate::front::objects::Objects;
use crate::ir::{Cluster, RuleId};
use crate::resolve::Resolved;
use crate::source::SourceMap;

/// A row of the table.
pub struct Lint {
    /// `CLnnn`.
    pub code: Code,
    /// Warning or info.
    pub severity: Severity,
    /// Finds every place.
    check: fn(&Facts<'_>) -> Vec<Finding>,
}

/// What a lint found; code and severity stand in the table.
struct Finding {
    span: Span,
    message: String,
    hint: Option<String>,
    related: Vec<(Span, String)>,
    object: ObjectRef,
    edit: Option<Edit>,
}

impl Finding {
    fn new(span: Span, object: &ObjectRef, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None, related: Vec::new(), object: object.clone(), edit: None }
    }

    /// At a rule of the cluster.
    fn at_rule(facts: &Facts<'_>, rule: RuleId, message: impl Into<String>) -> Self {
        Self::new(facts.cluster.rule(rule).span, &facts.cluster.policy_of(rule).object, message)
    }

    fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    fn edit(mut self, edit: Option<Edit>) -> Self {
        self.edit = edit;
        self
    }

    fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }
}

const fn warning(code: &'static str, check: fn(&Facts<'_>) -> Vec<Finding>) -> Lint {
    Lint { code: Code(code), severity: Severity::Warning, check }
}

const fn info(code: &'static str, check: fn(&Facts<'_>) -> Vec<Finding>) -> Lint {
    Lint { code: Code(code), severity: Severity::Info, check }
}

/// Every lint, by code.
pub const LINTS: &[Lint] = &[
    warning("CL001", rules::no_subject::check),
    warning("CL002", rules::no_peer::check),
    warning("CL003", rules::near_miss::check),
    warning("CL004", rules::no_namespace::check),
    warning("CL005", rules::own_namespace::check),
    warning("CL006", rules::and_or::check),
    info("CL007", rules::redundant_rule::check),
    warning("CL008", rules::redundant_policy::check),
    warning("CL009", rules::overshadowed::check),
    info("CL010", rules::idle_deny::check),
    warning("CL011", rules::moot_l7::check),
    info("CL012", rules::inner_l7::check),
    warning("CL013", rules::http_path::check),
    warning("CL014", rules::no_dns::check),
    warning("CL015", rules::fqdn_without_dns::check),
    warning("CL016", rules::fqdn_without_dns::check_covered),
    warning("CL017", rules::fqdn_in_cluster::check),
    warning("CL018", rules::cidr_of_cluster::check),
    warning("CL019", rules::except::check),
    warning("CL020", rules::cidr_form::check),
    warning("CL021", rules::half_open::check),
    info("CL022", rules::closed_port::check),
    warning("CL023", rules::closed_port::check_service),
    warning("CL024", rules::named_port::check),
    warning("CL025", rules::dns_protocol::check),
    warning("CL026", rules::policy_types::check),
    info("CL027", rules::empty_namespace::check),
    warning("CL028", rules::duplicate::check),
    info("CL029", rules::unprotected::check),
    info("CL030", rules::world_open::check),
    warning("CL031", rules::empty_list::check),
    info("CL032", rules::silent_isolation::check),
    info("CL033", rules::later_release::check),
    warning("CL034", rules::service_address::check),
    warning("CL035", rules::probes::check),
    warning("CL036", rules::host_network::check),
    warning("CL037", rules::key_source::check),
    warning("CL038", rules::unequal_pods::check),
    warning("CL039", rules::map_pressure::check),
    warning("CL040", rules::expired::check),
];

/// The input has no endpoint: no lint about whom a selector means can say anything.
const NO_ENDPOINTS: Code = Code("CL000");

/// What is to be looked at.
pub struct Input<'a> {
    /// The texts.
    pub sources: &'a SourceMap,
    /// What was written.
    pub objects: &'a Objects,
    /// What it means.
    pub cluster: &'a Cluster,
    /// Whom it selects.
    pub resolved: &'a Resolved,
    /// What earlier stages reported: it is not said twice.
    pub reported: &'a [Diagnostic],
    /// Today, where it is known.
    pub today: Option<&'a Day>,
}

/// What the lints found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What nobody excuses.
    pub found: Vec<Diagnostic>,
    /// What annotations excuse, each with the reason.
    pub excused: Vec<(Diagnostic, String)>,
}

/// Runs every lint.
pub fn run(input: &Input<'_>) -> Findings {
    let facts = Facts::new(input);
    let mut out = Vec::new();
    for lint in LINTS {
        out.extend((lint.check)(&facts).into_iter().map(|finding| Diagnostic {
            code: lint.code,
            severity: lint.severity,
            span: Some(finding.span),
            message: finding.message,
            related: finding.related,
            hint: finding.hint,
            object: Some(finding.object),
            edit: finding.edit,
        }));
    }
    let mut out = ignore::apply(facts.metas(), out);
    if input.cluster.endpoints.is_empty() && !input.cluster.policies.is_empty() {
        let message = "the input has no endpoint, so nothing is said about whom policies select";
        let hint = "add the pods or workloads, for example the output of `kubectl get pods -A -o yaml`";
        out.found.push(Diagnostic::info(NO_ENDPOINTS, None, message).hint(hint));
    }
    out
}
