//! Resolved policy to verdict tables.
//!
//! In: a [`Resolved`]. Out: a [`Lowered`]: for each class and direction a [`Shape`] (what the C is specialised to) and,
//! unless the shape is a constant, a set of tables (what the maps hold).
//!
//! For one class and direction the verdict is a finite function of (peer, protocol, port). [`factor`] computes it
//! exactly and merges equal rows and columns; [`tables`] lays the result out as pages. This module sees no label and
//! knows nothing of `eval`: the two are held against each other by tests and by `validate`.

mod decide;
pub mod factor;
pub mod shape;
pub mod tables;
pub mod text;
mod tiers;
pub mod unfactor;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ciliumc_abi::identity::IdentityIndex;

use crate::ir::options::Options;
use crate::ir::{Direction, RuleId};
use crate::resolve::{Class, DirectionPolicy, Holder, Resolved, Ruleset};
use factor::Factored;
use shape::{NodeConfig, PolicyMode, Program, Shape};
use tables::{Numbers, Tables};

/// Bound of one class table.
pub const TABLE_BYTES_MAX: usize = 16 << 20;

/// Index into [`Lowered::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TablesIndex(pub u32);

/// Everything the objects and maps are made from.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// What all objects of the cluster are built with.
    pub node: NodeConfig,
    /// By cause number: the rules that decide. Entry 0 is empty.
    pub causes: Vec<Vec<RuleId>>,
    /// Distinct L7 rule sets. The first has number 1: 0 in an action is none.
    pub rulesets: Vec<Arc<Ruleset>>,
    /// Distinct tables.
    pub tables: Vec<Tables>,
    /// By [`crate::resolve::ClassIndex`]; of hosts by [`crate::resolve::VariantIndex`].
    pub classes: Vec<LoweredClass>,
    /// The same of the hosts of nodes, under the host firewall alone. Nodes have no program that reads them, so they are
    /// apart: no cause, table or shape of a bundle depends on a host policy.
    pub hosts: Option<Box<Lowered>>,
}

impl Lowered {
    /// One direction of whoever has a policy, beside the tables and causes that it is about.
    pub fn of(&self, holder: Holder, direction: Direction) -> Option<(&Self, &LoweredDirection)> {
        let (lowered, place) = match holder {
            Holder::Class(class) => (self, class.0),
            Holder::Host(variant) => (self.hosts.as_deref()?, variant.0),
        };
        Some((lowered, lowered.classes.get(place as usize)?.direction(direction)))
    }

    /// The L7 rule set of a number that an action holds.
    pub fn ruleset(&self, number: u32) -> Option<&Arc<Ruleset>> {
        self.rulesets.get(number.checked_sub(1)? as usize)
    }
}

/// One class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoweredClass {
    /// Program `to_container`.
    pub ingress: LoweredDirection,
    /// Program `from_container`.
    pub egress: LoweredDirection,
}

impl LoweredClass {
    /// One direction.
    pub fn direction(&self, direction: Direction) -> &LoweredDirection {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// One direction of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoweredDirection {
    /// What its object is specialised to.
    pub shape: Shape,
    /// Its tables, unless the shape reads none.
    pub tables: Option<TablesIndex>,
    /// Cause of drops that no table decides.
    pub default_cause: u32,
}

/// Why a policy has no tables.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LowerError {
    /// More cells than a table may have.
    #[error(
        "the {direction} policy of identity {identity} needs {rows} rows of {classes} port classes, more than 16 MiB: \
         rows come from peers that different sets of rules select, port classes from different sets of ports"
    )]
    TooLarge {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// Identity of the class.
        identity: IdentityIndex,
        /// Distinct rows.
        rows: usize,
        /// Distinct port classes.
        classes: usize,
    },
    /// More than 16 bits can number.
    #[error("the {direction} policy of identity {identity} needs {count} {what}, more than 65536")]
    TooMany {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// Identity of the class.
        identity: IdentityIndex,
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

/// Lowers every class, and under the host firewall every host.
pub fn lower(options: &Options, resolved: &Resolved) -> Result<Lowered, LowerError> {
    let hosts = match options.host_firewall {
        true => Some(Box::new(lower_classes(options, resolved, &resolved.hosts)?)),
        false => None,
    };
    Ok(Lowered { hosts, ..lower_classes(options, resolved, &resolved.classes)? })
}

fn lower_classes(options: &Options, resolved: &Resolved, of: &[Class]) -> Result<Lowered, LowerError> {
    let known: Vec<IdentityIndex> = resolved.identities.keys().copied().collect();
    let index_end = known.last().map_or(1, |last| last.0 + 1);

    // Classes of one policy share one factoring: many identities are selected by exactly the same rules.
    let mut distinct: Vec<(&DirectionPolicy, Factored)> = Vec::new();
    let mut known_policies: HashMap<&DirectionPolicy, usize> = HashMap::new();
    let mut places = Vec::new();
    for class in of {
        let mut place = |direction: Direction| {
            let policy = class.policy(direction);
            *known_policies.entry(policy).or_insert_with(|| {
                distinct.push((policy, factor::factor(policy, &known)));
                distinct.len() - 1
            })
        };
        places.push((place(Direction::Ingress), place(Direction::Egress)));
    }

    let mut causes: BTreeSet<Vec<RuleId>> = BTreeSet::from([Vec::new()]);
    for (_, factored) in &distinct {
        causes.insert(factored.default_action.rules.clone());
        causes.extend(factored.actions().map(|action| action.rules.clone()));
    }
    let causes: Vec<Vec<RuleId>> = causes.into_iter().collect();
    let rulesets = distinct.iter().flat_map(|(_, factored)| factored.actions());
    let rulesets: BTreeSet<Arc<Ruleset>> = rulesets.filter_map(|action| action.ruleset.clone()).collect();
    let rulesets: Vec<Arc<Ruleset>> = rulesets.into_iter().collect();
    let numbers = Numbers { causes: &causes, rulesets: &rulesets };

    let mut tables: Vec<Tables> = Vec::new();
    let mut known_tables: BTreeMap<Tables, TablesIndex> = BTreeMap::new();
    let mut classes = Vec::new();
    for (class, (ingress, egress)) in of.iter().zip(places) {
        let mut direction = |direction: Direction, place: usize| {
            let (policy, factored) = &distinct[place];
            let program = match direction {
                Direction::Ingress => Program::ToContainer,
                Direction::Egress => Program::FromContainer,
            };
            let default_cause = numbers.cause(&factored.default_action);
            let constant = |mode| LoweredDirection {
                shape: Shape { audit: policy.audit && mode != PolicyMode::AllowAll, ..Shape::constant(program, mode) },
                tables: None,
                default_cause,
            };
            match factored.mode {
                PolicyMode::AllowAll | PolicyMode::DenyAll => Ok(constant(factored.mode)),
                PolicyMode::L3Only | PolicyMode::Tables => {
                    let built =
                        tables::layout(factored, index_end, &numbers).map_err(|e| e.of(direction, class.identity))?;
                    let shape = Shape {
                        row: built.row_width,
                        class: built.class_width,
                        action: built.action_width,
                        class_shift: built.class_shift,
                        ..constant(factored.mode).shape
                    };
                    let index = *known_tables.entry(built).or_insert_with_key(|built| {
                        tables.push(built.clone());
                        TablesIndex(tables.len() as u32 - 1)
                    });
                    Ok(LoweredDirection { shape, tables: Some(index), default_cause })
                }
            }
        };
        classes.push(LoweredClass {
            ingress: direction(Direction::Ingress, ingress)?,
            egress: direction(Direction::Egress, egress)?,
        });
    }
    Ok(Lowered { node: NodeConfig::from(options), causes, rulesets, tables, classes, hosts: None })
}

/// Input of the tests of this module.
#[cfg(test)]
mod fixture {
    use crate::driver::{self, Analysis};
    use crate::front::FrontOptions;
    use crate::resolve::Lock;
    use crate::source::SourceMap;

    /// Pods `a`, `b` and `c`, and a policy of `a` with these fields of its `spec`.
    pub fn policy_of_a(fields: &str) -> Analysis {
        let pod = |name| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: ns, labels: {{app: {name}}}}}\n\
                 spec: {{containers: [{{name: c, image: x}}]}}\n---\n"
            )
        };
        let text = ["a", "b", "c"].map(pod).concat()
            + "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: ns}\nspec:\n  \
               endpointSelector: {matchLabels: {app: a}}"
            + fields;
        let sources = SourceMap::from_texts([("a.yaml", text)]);
        driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap()
    }
}
