//! Pods and what makes pods.

use std::net::IpAddr;

use crate::diag::{Diagnostic, ObjectRef, Spanned};

use super::codes;
use super::decode::{Ctx, Fields, spanned};
use super::meta::{labels, meta};
use super::objects::{ContainerPort, Operator, Protocol, Requirement, Selector, Workload};
use super::parse;
use super::selector::{Keys, match_labels, selector};
use super::yaml::Node;

/// The kinds of this module: they differ in where the pod template is and in what says how many pods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// The pod itself.
    Pod,
    /// Deployment, StatefulSet, ReplicaSet: selector, template and replicas.
    Replicated,
    /// DaemonSet: selector and template.
    Daemon,
    /// ReplicationController: its selector is a plain mapping and may be absent.
    Controller,
    /// Job: template; the API server makes the selector.
    Job,
    /// CronJob: a template of jobs.
    CronJob,
}

/// Reads a workload.
pub fn workload(ctx: &mut Ctx, root: &Node<'_>, object: &ObjectRef, kind: WorkloadKind) -> Option<Workload> {
    let meta = meta(ctx, root, object, false);
    let Some(spec) = root.get("spec").filter(|spec| !spec.is_null()) else {
        return ctx.missing(codes::MISSING, "spec", root.span);
    };
    let spec = ctx.fields("spec", spec)?;
    let mut zero_replicas = false;
    let mut own_selector = None;
    let template = match kind {
        WorkloadKind::Pod => None,
        WorkloadKind::Replicated | WorkloadKind::Daemon => {
            zero_replicas = kind == WorkloadKind::Replicated && is_zero(ctx, &spec, "replicas");
            own_selector = match spec.get("selector") {
                Some(node) => selector(ctx, "selector", node, Keys::Workload),
                None => partial(ctx, "spec.selector", &spec),
            };
            Some(template(ctx, &spec)?)
        }
        WorkloadKind::Controller => {
            zero_replicas = is_zero(ctx, &spec, "replicas");
            own_selector = spec.get("selector").map(|node| {
                let requirements = match_labels(ctx, node, Keys::Workload);
                Selector { requirements, span: node.span }
            });
            Some(template(ctx, &spec)?)
        }
        WorkloadKind::Job => {
            zero_replicas = nothing_to_run(ctx, &spec);
            Some(template(ctx, &spec)?)
        }
        WorkloadKind::CronJob => {
            let Some(job) = spec.get("jobTemplate") else {
                return partial(ctx, "spec.jobTemplate", &spec);
            };
            let job = ctx.fields("jobTemplate", job)?;
            let Some(job_spec) = job.get("spec") else {
                return partial(ctx, "spec.jobTemplate.spec", &job);
            };
            let job_spec = ctx.fields("spec", job_spec)?;
            let suspended = truth(ctx, &spec, "suspend");
            zero_replicas = suspended | nothing_to_run(ctx, &job_spec);
            Some(template(ctx, &job_spec)?)
        }
    };
    let (pod_labels, pod_spec) = match &template {
        None => (meta.as_ref().map(|meta| meta.labels.clone()).unwrap_or_default(), spec),
        Some(template) => {
            let labels = template_labels(ctx, template);
            let Some(pod_spec) = template.get("spec") else {
                return partial(ctx, "spec.template.spec", template);
            };
            (labels, ctx.fields("spec", pod_spec)?)
        }
    };
    if let Some(selector) = &own_selector {
        own_pods(ctx, selector, &pod_labels);
    }
    let ports = ports(ctx, &pod_spec);
    let service_account = pod_spec.get("serviceAccountName").or_else(|| pod_spec.get("serviceAccount"));
    let service_account =
        service_account.and_then(|node| ctx.text("serviceAccountName", node)).filter(|name| !name.is_empty());
    let service_account = service_account.map(str::to_owned);
    let host_network = truth(ctx, &pod_spec, "hostNetwork");
    let node_name =
        pod_spec.get("nodeName").and_then(|node| Some(spanned(node, ctx.text("nodeName", node)?.to_owned())));
    let (addresses, finished) = match kind {
        WorkloadKind::Pod => status(ctx, root),
        _ => (Vec::new(), false),
    };
    Some(Workload {
        meta: meta?,
        pod_labels,
        selector: own_selector,
        zero_replicas,
        service_account,
        host_network,
        node_name: node_name.filter(|name| !name.value.is_empty()),
        ports,
        addresses,
        finished,
    })
}

/// A required part of a workload is missing, as in a patch for `kustomize`.
fn partial<T>(ctx: &mut Ctx, name: &str, fields: &Fields<'_, '_>) -> Option<T> {
    ctx.report(
        Diagnostic::error(codes::MISSING, fields.node.span, format!("`{name}` is missing"))
            .hint("a partial object, such as a patch of kustomize, is no workload: leave the file out with --exclude"),
    );
    None
}

fn template<'n, 'a>(ctx: &mut Ctx, spec: &Fields<'n, 'a>) -> Option<Fields<'n, 'a>> {
    match spec.get("template") {
        Some(node) => ctx.fields("template", node),
        None => partial(ctx, "spec.template", spec),
    }
}

fn template_labels(ctx: &mut Ctx, template: &Fields<'_, '_>) -> Vec<(String, String)> {
    let Some(meta) = template.get("metadata") else {
        return Vec::new();
    };
    let Some(meta) = ctx.fields("metadata", meta) else {
        return Vec::new();
    };
    meta.get("labels").map(|node| labels(ctx, "labels", node)).unwrap_or_default()
}

/// The API server refuses a workload whose selector does not match its own pods.
fn own_pods(ctx: &mut Ctx, selector: &Selector, labels: &[(String, String)]) {
    if ctx.failed() {
        return;
    }
    if let Some(unmet) = selector.requirements.iter().find(|requirement| !holds(requirement, labels)) {
        ctx.error(
            codes::SELECTOR_MISMATCH,
            unmet.span,
            format!("the selector does not match the labels of its own pods: `{}`", unmet.key),
        );
    }
}

fn holds(requirement: &Requirement, labels: &[(String, String)]) -> bool {
    let value = labels.iter().find(|(key, _)| *key == requirement.key).map(|(_, value)| value);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator {
        Operator::In => listed,
        Operator::NotIn => !listed,
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

fn is_zero(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str) -> bool {
    let Some(node) = fields.get(name) else {
        return false;
    };
    match ctx.integer(name, node) {
        Some(number) if number < 0 => {
            ctx.error(codes::BAD_VALUE, node.span, format!("`{name}` is {number}, it cannot be negative"));
            false
        }
        Some(number) => number == 0,
        None => false,
    }
}

fn truth(ctx: &mut Ctx, fields: &Fields<'_, '_>, name: &'static str) -> bool {
    fields.get(name).and_then(|node| ctx.boolean(name, node)).unwrap_or(false)
}

/// A Job that runs no pod as it stands.
fn nothing_to_run(ctx: &mut Ctx, spec: &Fields<'_, '_>) -> bool {
    let none = [is_zero(ctx, spec, "parallelism"), is_zero(ctx, spec, "completions"), truth(ctx, spec, "suspend")];
    none.contains(&true)
}

/// Ports of the containers that keep running.
fn ports(ctx: &mut Ctx, spec: &Fields<'_, '_>) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    let containers = match spec.get("containers") {
        Some(node) => ctx.items("containers", node).unwrap_or_default(),
        None => &[],
    };
    if containers.is_empty() && !ctx.failed() {
        partial::<()>(ctx, "containers", spec);
    }
    for node in containers {
        container_ports(ctx, node, &mut ports);
    }
    let init = spec.get("initContainers").and_then(|node| ctx.items("initContainers", node)).unwrap_or_default();
    for node in init {
        // A sidecar: an init container that is started again whenever it ends.
        if node.get("restartPolicy").and_then(Node::str) == Some("Always") {
            container_ports(ctx, node, &mut ports);
        }
    }
    ports
}

fn container_ports(ctx: &mut Ctx, node: &Node<'_>, ports: &mut Vec<ContainerPort>) {
    let Some(container) = ctx.fields("containers", node) else {
        return;
    };
    let Some(items) = container.get("ports").and_then(|node| ctx.items("ports", node)) else {
        return;
    };
    for item in items {
        ports.extend(container_port(ctx, item));
    }
}

fn container_port(ctx: &mut Ctx, node: &Node<'_>) -> Option<ContainerPort> {
    let fields = ctx.fields("ports", node)?;
    let name = match fields.get("name") {
        Some(node) => {
            let name = ctx.text("name", node)?;
            if let Err(wrong) = parse::port_name(name) {
                ctx.wrong(codes::BAD_NAME, node, "port name", &wrong);
            }
            Some(name.to_owned())
        }
        None => None,
    };
    let protocol = match fields.get("protocol") {
        Some(node) => {
            let text = ctx.text("protocol", node)?;
            parse::protocol(text).or_else(|| {
                ctx.error(codes::BAD_VALUE, node.span, format!("protocol {text:?} is not TCP, UDP or SCTP"));
                None
            })?
        }
        None => Protocol::Tcp,
    };
    let Some(port) = fields.get("containerPort") else {
        ctx.report(
            Diagnostic::warning(
                codes::NO_PORT_NUMBER,
                node.span,
                "a container port without `containerPort` was left out",
            )
            .hint("check the spelling of `containerPort`"),
        );
        return None;
    };
    let number = ctx.integer("containerPort", port)?;
    match u16::try_from(number) {
        Ok(number) if number > 0 => Some(ContainerPort { name, port: number, protocol }),
        _ => {
            ctx.error(codes::BAD_VALUE, port.span, format!("containerPort {number} is not between 1 and 65535"));
            None
        }
    }
}

/// Addresses of a pod, and whether it has ended.
fn status(ctx: &mut Ctx, root: &Node<'_>) -> (Vec<Spanned<IpAddr>>, bool) {
    let Some(status) = root.get("status").filter(|status| !status.is_null()) else {
        return (Vec::new(), false);
    };
    let Some(status) = ctx.fields("status", status) else {
        return (Vec::new(), false);
    };
    let finished = status.get("phase").and_then(Node::str).is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    let mut addresses = Vec::new();
    if let Some(list) = status.get("podIPs").and_then(|node| ctx.items("podIPs", node)) {
        for item in list {
            if let Some(node) = ctx.fields("podIPs", item).and_then(|fields| fields.get("ip")) {
                addresses.extend(address(ctx, "ip", node));
            }
        }
    }
    if addresses.is_empty()
        && let Some(node) = status.get("podIP").filter(|node| node.str() != Some(""))
    {
        addresses.extend(address(ctx, "podIP", node));
    }
    (addresses, finished)
}

/// Reads an IP address.
pub fn address(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Option<Spanned<IpAddr>> {
    let text = ctx.text(name, node)?;
    match parse::ip_address(text) {
        Ok(address) => Some(spanned(node, address)),
        Err(wrong) => {
            ctx.wrong(codes::CIDR, node, "address", &wrong);
            None
        }
    }
}
