//! What a bundle lets pass, read from its tables: what nodes would do, whatever it was made of.
//!
//! A bundle knows endpoints and the labels of identities, and neither owners nor texts. Parties are the pods of one
//! namespace with the same labels and the same policy; rules are known by object, path, file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc_abi::action::Action;
use ciliumc_abi::identity::IdentityIndex;
use ciliumc_abi::ipcache::Record;
use ciliumc_abi::manifest::{self, Manifest};
use ciliumc_abi::provenance::Provenance;
use ciliumc_abi::table::{MODE_ALLOW_ALL, MODE_DENY_ALL};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::cilium::Names;
use super::outside::{self, World};
use super::pairs::{self, End, Rows};
use super::ports::Transport;
use super::{Connectivity, Party, RuleIndex, RuleRef, factored};
use crate::bundle::read::{Opened, ReadError};
use crate::diag::{FileId, ObjectRef, Span};
use crate::ir::labels::{Label, LabelSet};
use crate::ir::{CLUSTER_KEY, Direction, NAMESPACE_KEY, NAMESPACE_LABELS, RuleId};
use crate::lower::factor::ActionKey;
use crate::lower::unfactor;
use crate::resolve::{AuthType, Identity, Place};
use crate::source::SourceMap;

/// Kind of a party that stands for the pods with its labels.
pub const KIND: &str = "Labels";

/// Key of the label with the name of the service account.
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";

/// Who may talk to whom, and files whose names and lines the rules are at.
pub fn connect(opened: &Opened) -> Result<(Connectivity, SourceMap), ReadError> {
    let manifest = &opened.manifest;
    let identities: BTreeMap<IdentityIndex, Identity> = manifest.identities.iter().map(identity).collect();
    let known: Vec<IdentityIndex> = identities.keys().copied().collect();
    let passes = |transport: &Transport| manifest.datapath.sctp || *transport != Transport::Sctp;
    let transports: Vec<Transport> = Transport::ALL.into_iter().filter(passes).collect();
    let rows = Ctx { opened, known: &known, transports: &transports }.rows()?;

    let mut workloads: BTreeMap<Party, End> = BTreeMap::new();
    let mut labels: BTreeMap<Party, LabelSet> = BTreeMap::new();
    for (group, first) in groups(manifest) {
        let Some(identity) = identities.get(&group.identity) else { continue };
        let mut party = party(group.namespace, &identity.labels, None);
        if workloads.contains_key(&party) {
            party = self::party(group.namespace, &identity.labels, Some(first));
        }
        let of = |direction| group.classes.iter().filter_map(|class| rows.get(&(*class, direction)).cloned()).collect();
        let (ingress, egress) = (of(Direction::Ingress), of(Direction::Egress));
        workloads.insert(party.clone(), End { identity: group.identity, ingress, egress, has_replicas: true });
        labels.insert(party, identity.labels.clone());
    }
    let others = outside::parties(&world(opened, &identities));
    let open = factored::constant(&transports, true, BTreeSet::new());
    let pairs = pairs::connect(&workloads, &others, &known, &open);
    let others: Vec<Party> = others.into_iter().map(|(party, _)| party).collect();
    let (rules, sources) = rules(&opened.provenance);
    let connectivity = Connectivity {
        rules,
        workloads: workloads.into_keys().collect(),
        labels,
        others: Direction::ALL.map(|direction| (direction, others.clone())).into(),
        pairs,
    };
    Ok((connectivity, sources))
}

/// Pods that nothing in the bundle tells apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    namespace: &'a str,
    identity: IdentityIndex,
    classes: BTreeSet<u32>,
}

/// Each with the name of its first endpoint.
fn groups(manifest: &Manifest) -> BTreeMap<Group<'_>, &str> {
    let mut out = BTreeMap::new();
    for (name, endpoint) in &manifest.endpoints {
        let classes = endpoint.classes.values().copied().collect();
        // The first address speaks for an endpoint, as where policies are read.
        let located = endpoint.addresses.first().map(|address| manifest.index_at(*address, endpoint.identity.0));
        let identity = located.map_or(endpoint.identity, IdentityIndex);
        let group = Group { namespace: &endpoint.namespace, identity, classes };
        out.entry(group).or_insert(name.as_str());
    }
    out
}

/// The labels that the user gave; those of namespace and cluster say nothing beside the namespace.
fn party(namespace: &str, labels: &LabelSet, like: Option<&str>) -> Party {
    let derived = |label: &&Label| {
        let is_default = label.key == SERVICE_ACCOUNT && label.value == "default";
        is_default
            || [NAMESPACE_KEY, CLUSTER_KEY].contains(&label.key.as_str())
            || label.key.starts_with(NAMESPACE_LABELS)
    };
    let own = labels.iter().filter(|label| !derived(label)).map(|label| match (label.source.as_str(), &label.value) {
        ("k8s", value) => format!("{}={value}", label.key),
        _ => label.to_string(),
    });
    let own = own.collect::<Vec<_>>().join(",");
    let name = if own.is_empty() { "no labels".to_owned() } else { own };
    let name = like.map_or(name.clone(), |like| format!("{name} (as {like})"));
    Party::Workload { namespace: namespace.into(), name, kind: KIND.into() }
}

fn identity(written: &manifest::Identity) -> (IdentityIndex, Identity) {
    let label = |text: &String| {
        let (source, rest) = text.split_once(':').unwrap_or(("", text));
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        Label::new(source, key, value)
    };
    let labels = written.labels.iter().map(label).collect();
    (written.index, Identity { numeric: written.identity, labels, place: Place::new() })
}

fn world<'a>(opened: &Opened, identities: &'a BTreeMap<IdentityIndex, Identity>) -> World<'a> {
    let manifest = &opened.manifest;
    let addresses: Vec<(IpNet, IdentityIndex)> = opened.records.iter().filter_map(record).collect();
    let by_address: BTreeMap<IpNet, IdentityIndex> = addresses.iter().copied().collect();
    let endpoints = manifest.endpoints.values();
    let at = |address: &IpAddr| by_address.get(&IpNet::from(*address)).or(manifest.places.get(address)).copied();
    let addressed = endpoints.clone().flat_map(|endpoint| &endpoint.addresses).filter_map(at);
    World {
        ipv4: manifest.datapath.ipv4.then_some(manifest.datapath.world_ipv4),
        ipv6: manifest.datapath.ipv6.then_some(manifest.datapath.world_ipv6),
        endpoints: endpoints.map(|endpoint| endpoint.identity).chain(addressed).collect(),
        addresses,
        identities,
        areas: &[],
        // The tables of a bundle know addresses alone: a name is one when a node has learnt it.
        names: &NO_NAMES,
    }
}

static NO_NAMES: Names = Names::new();

fn record(record: &Record) -> Option<(IpNet, IdentityIndex)> {
    let (net, index) = match *record {
        Record::V4 { address, len, index } => (Ipv4Net::new(address, len).ok().map(IpNet::V4), index),
        Record::V6 { address, len, index } => (Ipv6Net::new(address, len).ok().map(IpNet::V6), index),
    };
    Some((net?, IdentityIndex(index)))
}

/// Rules by their ids, each on the line of its file.
fn rules(provenance: &Provenance) -> (Vec<RuleRef>, SourceMap) {
    let files: BTreeSet<&str> = provenance.rules.iter().map(|rule| rule.file.as_str()).collect();
    let files: Vec<&str> = files.into_iter().collect();
    let rules = provenance.rules.iter().map(|rule| {
        let object = ObjectRef { kind: rule.kind.clone(), namespace: rule.namespace.clone(), name: rule.name.clone() };
        let file = FileId(files.binary_search(&rule.file.as_str()).unwrap_or_default() as u32);
        let line = rule.line.saturating_sub(1);
        let span = Span { file, start: line, end: line };
        RuleRef { object, path: rule.path.clone(), action: None, span, policy: span, of_hosts: false }
    });
    (rules.collect(), SourceMap::of_lines(files.iter().copied()))
}

struct Ctx<'a> {
    opened: &'a Opened,
    known: &'a [IdentityIndex],
    transports: &'a [Transport],
}

impl Ctx<'_> {
    /// By class and direction; classes of one table share theirs.
    fn rows(&self) -> Result<BTreeMap<(u32, Direction), Arc<Rows>>, ReadError> {
        let mut out = BTreeMap::new();
        let mut known: BTreeMap<(&str, Option<&str>, u32), Arc<Rows>> = BTreeMap::new();
        for class in &self.opened.manifest.classes {
            for (direction, written) in [(Direction::Ingress, &class.ingress), (Direction::Egress, &class.egress)] {
                let key = (written.object.as_str(), written.tables.as_deref(), written.default_cause);
                let rows = match known.get(&key) {
                    Some(rows) => rows.clone(),
                    None => {
                        let rows = Arc::new(self.direction(written)?);
                        known.insert(key, rows.clone());
                        rows
                    }
                };
                out.insert((class.id, direction), rows);
            }
        }
        Ok(out)
    }

    fn direction(&self, written: &manifest::Direction) -> Result<Rows, ReadError> {
        let audit = self.opened.define(written, "POLICY_AUDIT") == Some(1);
        let constant = |passes, cause| {
            let rules = self.cause(cause).into_iter().map(|rule| RuleIndex(rule.0)).collect();
            Rows::constant(factored::constant(self.transports, passes, rules))
        };
        match (self.opened.define(written, "POLICY_MODE"), self.opened.tables(written)?) {
            (Some(MODE_ALLOW_ALL), _) => Ok(constant(true, 0)),
            (Some(MODE_DENY_ALL), _) | (_, None) => Ok(constant(audit, written.default_cause)),
            (_, Some(tables)) => {
                let function = unfactor::factored(&tables, self.known, |action| self.action(action));
                let function = function.ok_or_else(|| self.opened.damaged_tables(written))?;
                Ok(factored::rows(&function, self.known, self.transports, audit))
            }
        }
    }

    fn action(&self, action: &Action) -> ActionKey {
        let ruleset = action.l7_ruleset.checked_sub(1).and_then(|place| self.opened.rulesets.get(place as usize));
        ActionKey {
            ruleset: ruleset.cloned(),
            // A number that nobody gave is no way around authentication.
            auth: AuthType::of_number(action.auth).unwrap_or(AuthType::AlwaysFail),
            match_type: action.match_type,
            ..ActionKey::plain(action.verdict, action.reason, self.cause(action.cause))
        }
    }

    fn cause(&self, cause: u32) -> Vec<RuleId> {
        let rules = self.opened.provenance.causes.get(cause as usize).into_iter().flatten();
        rules.map(|rule| RuleId(*rule)).collect()
    }
}
