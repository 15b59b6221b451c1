//! `provenance.json`: from a cause in an event back to file and line.

use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Every rule that can decide, by rule id.
    pub rules: Vec<Rule>,
    /// By cause number: the ids of the rules that decided. Entry 0 is empty: no rule.
    pub causes: Vec<Vec<u32>>,
}

/// One element of one policy object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Kind of the object, as written.
    pub kind: String,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Path inside the object: `spec.ingress[0]`.
    pub path: String,
    /// File as it was given or found.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Text of `spec.log.value`, if the policy carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}
