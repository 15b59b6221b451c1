//! Findings that are known already (schema `ciliumc/baseline/v1`).
//!
//! An entry is a fingerprint (code, object and content, see [`crate::diag::fingerprint`]) and how often it occurs, so lines
//! that move and files that are renamed change nothing. Code, object and message stand there for people.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::diag::fingerprint::fingerprint;
use crate::diag::render;
use crate::diag::{Diagnostic, Severity};
use crate::driver::Failure;
use crate::source::{self, SourceMap};

/// What the file says it is.
const SCHEMA: &str = "ciliumc/baseline/v1";

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    schema: String,
    findings: Vec<Entry>,
}

/// One kind of finding at one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Code.
    pub code: String,
    /// Kind, namespace and name; empty for what is about no object.
    pub object: String,
    /// The first message.
    pub message: String,
    fingerprint: String,
    /// How often.
    pub count: usize,
}

/// Findings beside a baseline.
pub struct Compared {
    /// What it does not have, and what it cannot excuse: errors.
    pub new: Vec<Diagnostic>,
    /// What it has.
    pub known: Vec<Diagnostic>,
    /// What it has and nothing is found of any more, with the number that is missing.
    pub stale: Vec<Entry>,
}

impl Baseline {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = source::optional(path).map_err(Failure::Input)?;
        let text = text.ok_or_else(|| {
            Failure::Input(format!("{shown}: there is no such baseline; write one with --write-baseline"))
        })?;
        let unreadable = |what: String| Failure::Input(format!("{shown}: no baseline: {what}; write it anew"));
        let baseline: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        match baseline.schema.as_str() {
            SCHEMA => Ok(baseline),
            other => Err(unreadable(format!("its schema is {other:?}, not {SCHEMA:?}"))),
        }
    }

    /// Everything that a baseline can excuse.
    pub fn of(diagnostics: &[Diagnostic], sources: &SourceMap) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for diagnostic in render::sorted(diagnostics, sources).into_iter().filter(|d| d.severity != Severity::Error) {
            let fingerprint = fingerprint(diagnostic, sources);
            let entry = entries.entry(fingerprint.clone()).or_insert_with(|| Entry {
                code: diagnostic.code.to_string(),
                object: diagnostic.object.as_ref().map(ToString::to_string).unwrap_or_default(),
                message: diagnostic.message.clone(),
                fingerprint,
                count: 0,
            });
            entry.count += 1;
        }
        let mut findings: Vec<Entry> = entries.into_values().collect();
        findings.sort_unstable();
        Self { schema: SCHEMA.to_owned(), findings }
    }

    /// How many findings it holds.
    pub fn len(&self) -> usize {
        self.findings.iter().map(|entry| entry.count).sum()
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::Bug(format!("baseline: {error}")))?;
        Ok(text + "\n")
    }

    /// Parts findings into new ones and known ones.
    pub fn compare(self, diagnostics: Vec<Diagnostic>, sources: &SourceMap) -> Compared {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &self.findings {
            *left.entry(&entry.fingerprint).or_default() += entry.count;
        }
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for diagnostic in diagnostics {
            let fingerprint = fingerprint(&diagnostic, sources);
            match left.get_mut(fingerprint.as_str()).filter(|n| **n > 0 && diagnostic.severity != Severity::Error) {
                Some(n) => {
                    *n -= 1;
                    known.push(diagnostic);
                }
                None => new.push(diagnostic),
            }
        }
        let mut stale = Vec::new();
        for entry in &self.findings {
            // Entries of one fingerprint are one.
            if let Some(count) = left.remove(entry.fingerprint.as_str()).filter(|count| *count > 0) {
                stale.push(Entry { count, ..entry.clone() });
            }
        }
        Compared { new, known, stale }
    }
}
