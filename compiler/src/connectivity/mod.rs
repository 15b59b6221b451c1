//! Who may talk to whom, and what changes between two inputs.
//!
//! In: what `front` read ([`kubernetes`]), or a resolved cluster ([`cilium`]). Out: a [`Connectivity`], one function of
//! protocol and port for each pair of parties, with the rules behind it; and for two of them what was gained and lost
//! ([`diff`]).
//!
//! This module does not print, and knows nothing of nodes' tables.

pub mod align;
pub mod bundle;
pub mod cilium;
pub mod diff;
mod edits;
mod factored;
pub mod graph;
pub mod kubernetes;
pub mod names;
pub mod np_guard;
mod outside;
pub mod pairs;
pub mod ports;
mod range;
pub mod requests;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::diag::{ObjectRef, Span};
use crate::front::objects::Owner;
use crate::ir::labels::LabelSet;
use crate::ir::{Direction, RuleAction};
use pairs::Pair;
use ports::Ports;

/// One end of flows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// Pods that one object makes, or a pod that nothing makes. In a bundle, pods of a namespace with the same labels: the
    /// name is their labels, the kind [`bundle::KIND`].
    Workload {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Kind.
        kind: String,
    },
    /// What is no pod and has a word in Cilium: `host`, `remote-node`, ...
    Entity(String),
    /// Addresses outside of the cluster, inclusive.
    Range(Ipv4Addr, Ipv4Addr),
    /// Addresses outside of the cluster: those of a prefix that are in no longer one.
    Net(IpNet),
    /// Addresses of DNS names, which are not known: those of the names that these selectors select and no narrower one of
    /// the report.
    Names {
        /// The narrowest selectors, joined by `+`.
        names: String,
        /// One of the names.
        example: String,
    },
}

impl Party {
    /// The owner of a pod stands for it, for its replicas are alike; a static pod's is its node, which does not. An owner
    /// without kind leaves the kind as it is.
    fn workload(namespace: &str, name: &str, kind: &str, owner: Option<&Owner>) -> Self {
        let (name, kind) = match owner {
            Some(owner) if kind == "Pod" && owner.kind != "Node" && !owner.name.is_empty() => {
                (owner.name.as_str(), if owner.kind.is_empty() { kind } else { &owner.kind })
            }
            Some(_) | None => (name, kind),
        };
        Self::Workload { namespace: namespace.into(), name: name.into(), kind: kind.into() }
    }

    /// Whether it is made of pods.
    pub fn is_workload(&self) -> bool {
        matches!(self, Self::Workload { .. })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload { namespace, name, kind } => write!(f, "{namespace}/{name}[{kind}]"),
            Self::Entity(word) => f.write_str(word),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Net(net) => write!(f, "{net}"),
            Self::Names { names, .. } => write!(f, "fqdn:{names}"),
        }
    }
}

/// Position in [`Connectivity::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// A rule, or what isolates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// Policy.
    pub object: ObjectRef,
    /// Path in it.
    pub path: String,
    /// Whether it allows or denies; what only isolates allows nobody. A bundle does not tell.
    pub action: Option<RuleAction>,
    /// Where it was written.
    pub span: Span,
    /// The policy that it belongs to.
    pub policy: Span,
    /// It binds hosts of nodes, which are no parties with policies of their own: no pair tells what it does.
    pub of_hosts: bool,
}

/// Who may talk to whom.
#[derive(Debug, Clone)]
pub struct Connectivity {
    /// Rules, for explanations.
    pub rules: Vec<RuleRef>,
    /// Workloads.
    pub workloads: BTreeSet<Party>,
    /// Labels that policies see in the pods of a workload.
    pub labels: BTreeMap<Party, LabelSet>,
    /// What is no workload: as source of ingress, and as destination of egress.
    pub others: BTreeMap<Direction, Vec<Party>>,
    /// By source, then by destination; at least one of them is a workload.
    pub pairs: BTreeMap<Party, BTreeMap<Party, Pair>>,
}

impl Connectivity {
    /// A rule.
    pub fn rule(&self, index: RuleIndex) -> Option<&RuleRef> {
        self.rules.get(index.0 as usize)
    }

    /// Every pair.
    pub fn pairs(&self) -> impl Iterator<Item = (&Party, &Party, &Arc<Ports>)> {
        self.unjoined().map(|(source, destination, pair)| (source, destination, pair.ports()))
    }

    fn unjoined(&self) -> impl Iterator<Item = (&Party, &Party, &Pair)> {
        self.pairs.iter().flat_map(|(source, to)| to.iter().map(move |(destination, pair)| (source, destination, pair)))
    }

    /// Pairs between which something may pass.
    pub fn connected(&self) -> impl Iterator<Item = (&Party, &Party, &Arc<Ports>)> {
        let connected = self.unjoined().filter(|(_, _, pair)| !pair.is_empty());
        connected.map(|(source, destination, pair)| (source, destination, pair.ports()))
    }
}
