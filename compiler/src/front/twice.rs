//! Objects that were written more than once.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span};

use super::codes;
use super::document::{Candidate, head};
use super::yaml::{Entry, Node, same};

/// What happens to an object because of others of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Read,
    /// It is equal to an earlier one, which counts for both.
    Repeated,
    /// It differs from another: all of the name are refused, so that the order of files decides nothing.
    Conflict,
}

/// Compares objects of one kind, namespace and name; reports those that differ.
pub fn fates(candidates: &[Candidate<'_, '_>], diagnostics: &mut Vec<Diagnostic>) -> Vec<Fate> {
    let mut names: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (candidate, index) in candidates.iter().zip(0..) {
        // Without a name nothing can be told apart; that it is missing is reported elsewhere.
        if !candidate.object.name.is_empty() {
            names.entry(&candidate.object).or_default().push(index);
        }
    }
    let mut fates = vec![Fate::Read; candidates.len()];
    for indices in names.values() {
        let [first, others @ ..] = indices.as_slice() else {
            continue;
        };
        for other in others {
            let (first_candidate, candidate) = (&candidates[*first], &candidates[*other]);
            if same_object(first_candidate.node, candidate.node) {
                fates[*other] = Fate::Repeated;
                continue;
            }
            fates[*first] = Fate::Conflict;
            fates[*other] = Fate::Conflict;
            let message = format!("{} is written twice, and the two differ", candidate.object);
            diagnostics.push(
                Diagnostic::error(codes::CONFLICT, name_span(candidate.node), message)
                    .related(name_span(first_candidate.node), "first here")
                    .hint("keep one of the two, or leave one file out with --exclude")
                    .object(candidate.object.clone()),
            );
        }
    }
    fates
}

/// Equal but for the namespace, which may be written or be the default.
fn same_object(left: &Node<'_>, right: &Node<'_>) -> bool {
    let equal_meta = match (left.get("metadata"), right.get("metadata")) {
        (Some(left), Some(right)) => same_without(left, right, "namespace"),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    equal_meta && same_without(left, right, "metadata")
}

/// Two mappings are equal but for one field.
fn same_without(left: &Node<'_>, right: &Node<'_>, except: &str) -> bool {
    fn rest<'n, 'a>(node: &'n Node<'a>, except: &str) -> Option<Vec<&'n Entry<'a>>> {
        Some(node.entries()?.iter().filter(|entry| entry.key.key_text() != except).collect())
    }
    match (rest(left, except), rest(right, except)) {
        (Some(fields), Some(others)) => {
            let equal =
                |entry: &Entry<'_>| right.get(&entry.key.key_text()).is_some_and(|value| same(&entry.value, value));
            fields.len() == others.len() && fields.into_iter().all(equal)
        }
        _ => same(left, right),
    }
}

fn name_span(node: &Node<'_>) -> Span {
    node.get("metadata").and_then(|meta| meta.get("name")).map_or_else(|| head(node), |name| name.span)
}
