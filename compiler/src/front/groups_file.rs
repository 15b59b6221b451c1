//! The file of `--groups`: what no Kubernetes object tells.
//!
//! ```yaml
//! groups:                       # what the provider answers for a group; an answer may be empty
//! - aws: {securityGroupsIds: [sg-1]}    # as in the policy
//!   addresses: [192.0.2.1, "2001:db8::1"]
//! apiServers: [192.0.2.9]       # beyond the backends of default/kubernetes
//! dns:                          # what the DNS proxy would have learnt
//! - {name: www.example.com, addresses: [198.51.100.7]}
//! ```

use std::net::IpAddr;

use crate::diag::{Diagnostic, FileId};

use super::cnp::aws_group;
use super::codes;
use super::decode::Ctx;
use super::objects::{Answers, Group};
use super::parse::fqdn;
use super::workload::address;
use super::yaml::{self, Node};

/// Reads the file. With an error in it, it answers nothing.
pub fn read(file: FileId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Answers {
    let mut ctx = Ctx::new(None);
    let arena = yaml::Arena::new();
    let parsed = yaml::parse(file, text, &arena);
    parsed.fatal.into_iter().for_each(|problem| ctx.report(problem));
    let mut answers = Answers::default();
    for document in &parsed.documents {
        document.problems.iter().cloned().for_each(|problem| ctx.report(problem));
        if !document.root.is_null() {
            document_into(&mut ctx, &document.root, &mut answers);
        }
    }
    let failed = ctx.failed();
    diagnostics.extend(ctx.into_diagnostics());
    if failed { Answers::default() } else { answers }
}

fn document_into(ctx: &mut Ctx, root: &Node<'_>, answers: &mut Answers) {
    let Some(fields) = ctx.fields("the groups file", root) else { return };
    for item in fields.get("groups").and_then(|node| ctx.items("groups", node)).unwrap_or_default() {
        answers.groups.extend(group_answer(ctx, item));
    }
    let api_servers = fields.get("apiServers").map(|node| addresses(ctx, "apiServers", node));
    answers.api_servers.extend(api_servers.unwrap_or_default());
    for item in fields.get("dns").and_then(|node| ctx.items("dns", node)).unwrap_or_default() {
        answers.dns.extend(dns_answer(ctx, item));
    }
    fields.finish(ctx, "the groups file");
}

fn group_answer(ctx: &mut Ctx, node: &Node<'_>) -> Option<(Group, Vec<IpAddr>)> {
    let fields = ctx.fields("groups", node)?;
    let group = match fields.get("aws") {
        Some(node) => aws_group(ctx, node),
        None => ctx.missing(codes::MISSING, "aws", node.span),
    };
    let addresses = match fields.get("addresses") {
        Some(node) => Some(addresses(ctx, "addresses", node)),
        None => ctx.missing(codes::MISSING, "addresses", node.span),
    };
    fields.finish(ctx, "a group with its addresses");
    Some((group?, addresses?))
}

fn dns_answer(ctx: &mut Ctx, node: &Node<'_>) -> Option<(String, Vec<IpAddr>)> {
    let fields = ctx.fields("dns", node)?;
    let name = match fields.get("name") {
        Some(node) => {
            let text = ctx.text("name", node)?;
            fqdn::name(text).map_err(|wrong| ctx.wrong(codes::FQDN, node, "name", &wrong)).ok()
        }
        None => ctx.missing(codes::MISSING, "name", node.span),
    };
    let addresses = match fields.get("addresses") {
        Some(node) => Some(addresses(ctx, "addresses", node)),
        None => ctx.missing(codes::MISSING, "addresses", node.span),
    };
    fields.finish(ctx, "a name with its addresses");
    Some((name?, addresses?))
}

fn addresses(ctx: &mut Ctx, name: &str, node: &Node<'_>) -> Vec<IpAddr> {
    let items = ctx.items(name, node).unwrap_or_default();
    items.iter().filter_map(|item| Some(address(ctx, name, item)?.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Answers, Vec<String>) {
        let mut diagnostics = Vec::new();
        let answers = read(FileId(0), text, &mut diagnostics);
        (answers, diagnostics.into_iter().map(|d| format!("{}: {}", d.code, d.message)).collect())
    }

    #[test]
    fn a_group_is_the_same_in_any_order() {
        let text = "groups:\n- aws: {region: r, securityGroupsIds: [b, a]}\n  addresses: [192.0.2.1]\n\
                    dns: [{name: A.io., addresses: []}]\napiServers: [\"2001:db8::1\"]\n";
        let (answers, problems) = read_text(text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(answers.groups[0].0.security_group_ids, ["a", "b"]);
        assert_eq!(answers.dns, [("a.io".into(), Vec::new())]);
        assert_eq!(answers.api_servers.len(), 1);
        assert_eq!(read_text("").0, Answers::default());
    }

    #[test]
    fn a_wrong_file_answers_nothing() {
        for (text, problem) in [
            ("groups: [{aws: {}, addresses: [x]}]", "E-020: "),
            ("groups: [{aws: {}}]", "F-006: `addresses` is missing"),
            ("groups: [{addresses: []}]", "F-006: `aws` is missing"),
            ("dns: [{name: \"*.io\", addresses: []}]", "E-216: "),
            ("dns: [{addresses: []}]", "F-006: `name` is missing"),
            ("apiServers: [192.0.2.1]\napiservers: []", "E-001: `apiservers` is not a field of the groups file"),
            ("- a", "F-005: `the groups file` is a list"),
            ("groups: [", "F-001: "),
        ] {
            let (answers, problems) = read_text(text);
            assert_eq!(answers, Answers::default(), "{text}");
            assert!(problems.iter().any(|p| p.starts_with(problem)), "{text}: {problems:?}");
        }
    }
}
