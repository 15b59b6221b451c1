//! Who is who: names of identities, addresses and rules, for each generation that an event may come from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ciliumc_abi::manifest::Manifest;
use ciliumc_abi::provenance::{Provenance, Rule};

use super::{End, Event};
use crate::error::{Context, Error};
use crate::gather::gather;
use crate::pins::Pins;
use crate::state::{self, Endpoint, KnownBy};
use crate::sys::files;

/// What the state folder says, read when an event first needs it.
#[derive(Debug, Default)]
pub struct Book {
    endpoints: BTreeMap<u16, Endpoint>,
    generations: BTreeMap<u32, Option<Chapter>>,
}

/// What is known of an end beside its identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Its number, where it is an endpoint of this node.
    pub id: Option<u16>,
    /// Name of the endpoint: `NAMESPACE/POD`, or what whoever added it calls it.
    pub name: Option<&'a str>,
    /// Name and kind of what it is an instance of, where the bundle names that and not the pod.
    pub workload: Option<(&'a str, &'a str)>,
}

/// One generation.
#[derive(Debug)]
struct Chapter {
    node: Option<String>,
    /// Kinds of the endpoints that are no pods, by name.
    workloads: BTreeMap<String, String>,
    labels: BTreeMap<u32, Vec<String>>,
    by_identity: BTreeMap<u32, String>,
    by_address: BTreeMap<IpAddr, String>,
    provenance: Provenance,
}

impl Book {
    /// A book of one generation, without a node's state.
    pub fn of(number: u32, manifest: &Manifest, provenance: Provenance, endpoints: Vec<Endpoint>) -> Self {
        let endpoints = gather(endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint)));
        Self { endpoints, generations: BTreeMap::from([(number, Some(Chapter::new(manifest, provenance, None)))]) }
    }

    /// Reads what an event needs and the book has not got. What is not there or damaged is left out: events are shown
    /// with what is known.
    pub fn prepare(&mut self, pins: &Pins, event: &Event) {
        let stale = self.endpoints.get(&event.endpoint).is_none_or(|known| known.generation != event.generation);
        if stale && let Ok(endpoints) = endpoints(pins) {
            self.endpoints = endpoints;
        }
        self.generations.entry(event.generation).or_insert_with(|| {
            let documents = state::documents(pins, event.generation).ok().flatten()?;
            let provenance = state::provenance(pins, event.generation).ok().flatten()?;
            Some(Chapter::new(&documents.manifest, provenance, documents.generation.node))
        });
    }

    /// The endpoint whose program wrote an event.
    pub fn endpoint(&self, id: u16) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// Numeric identity of an end: the record's, or that of the endpoint whose program wrote it.
    pub fn identity(&self, event: &Event, end: &End) -> Option<u32> {
        end.identity.or_else(|| self.endpoint(event.endpoint).map(|endpoint| endpoint.identity))
    }

    /// Name of an end: its endpoint on this node, its endpoint in the bundle, or the labels that tell most.
    pub fn name(&self, event: &Event, end: &End, local: bool) -> Option<String> {
        if local && let Some(endpoint) = self.endpoint(event.endpoint) {
            return Some(endpoint.name.clone());
        }
        let chapter = self.chapter(event.generation);
        if let Some(address) = end.address {
            let here = self.endpoints.values().find(|endpoint| endpoint.addresses.contains(&address));
            let here = here.map(|endpoint| &endpoint.name);
            let named = here.or_else(|| chapter.and_then(|chapter| chapter.by_address.get(&address)));
            if let Some(name) = named {
                return Some(name.clone());
            }
        }
        let (chapter, identity) = (chapter?, self.identity(event, end)?);
        if let Some(name) = chapter.by_identity.get(&identity) {
            return Some(name.clone());
        }
        let labels = chapter.labels.get(&identity)?;
        let telling = labels.iter().find(|label| label.starts_with("cidr:") || label.starts_with("reserved:"));
        telling.or_else(|| labels.first()).cloned()
    }

    /// What is known of an end by its address, or by the endpoint whose program wrote the event.
    pub fn known(&self, event: &Event, end: &End, local: bool) -> Known<'_> {
        let has = |endpoint: &&Endpoint| end.address.is_some_and(|address| endpoint.addresses.contains(&address));
        let here = self.endpoint(event.endpoint).filter(|_| local).or_else(|| self.endpoints.values().find(has));
        let chapter = self.chapter(event.generation);
        if let Some(endpoint) = here {
            let asked = match &endpoint.known_by {
                KnownBy::Name(name) => chapter.and_then(|chapter| chapter.workloads.get_key_value(name)),
                KnownBy::Labels(_) => None,
            };
            let workload = asked.map(|(name, kind)| (name.split_once('/').map_or(&**name, |(_, name)| name), &**kind));
            return Known { id: Some(endpoint.id), name: Some(&endpoint.name), workload };
        }
        let name = end.address.and_then(|address| chapter?.by_address.get(&address)).map(String::as_str);
        Known { name, ..Known::default() }
    }

    /// Name of this node in a generation's bundle.
    pub fn node(&self, generation: u32) -> Option<&str> {
        self.chapter(generation)?.node.as_deref()
    }

    /// Labels of an end.
    pub fn labels(&self, event: &Event, end: &End) -> &[String] {
        let identity = self.identity(event, end);
        let labels = self.chapter(event.generation).zip(identity).and_then(|(c, identity)| c.labels.get(&identity));
        labels.map_or(&[], Vec::as_slice)
    }

    /// The rules that decided; `None` when the generation or the cause is unknown.
    pub fn rules(&self, event: &Event) -> Option<Vec<&Rule>> {
        let provenance = &self.chapter(event.generation)?.provenance;
        let cause = match provenance.causes.get(event.cause as usize) {
            None if event.cause == 0 => return Some(Vec::new()),
            cause => cause?,
        };
        cause.iter().map(|rule| provenance.rules.get(*rule as usize)).collect()
    }

    fn chapter(&self, generation: u32) -> Option<&Chapter> {
        self.generations.get(&generation)?.as_ref()
    }
}

impl Chapter {
    fn new(manifest: &Manifest, provenance: Provenance, node: Option<String>) -> Self {
        let numeric: BTreeMap<_, _> = gather(manifest.identities.iter().map(|i| (i.index.0, i.identity.0)));
        let (mut by_identity, mut by_address) = (BTreeMap::new(), BTreeMap::new());
        for (name, endpoint) in &manifest.endpoints {
            if let Some(identity) = numeric.get(&endpoint.identity.0) {
                by_identity.entry(*identity).or_insert_with(|| name.clone());
            }
            by_address.extend(endpoint.addresses.iter().map(|address| (*address, name.clone())));
        }
        let labels = gather(manifest.identities.iter().map(|i| (i.identity.0, i.labels.clone())));
        let others = manifest.endpoints.iter().filter(|(_, endpoint)| endpoint.kind != "Pod");
        let workloads = gather(others.map(|(name, endpoint)| (name.clone(), endpoint.kind.clone())));
        Self { node, workloads, labels, by_identity, by_address, provenance }
    }
}

fn endpoints(pins: &Pins) -> Result<BTreeMap<u16, Endpoint>, Error> {
    let folder = pins.endpoint_records();
    let mut endpoints = BTreeMap::new();
    for name in files::names(&folder).context(|| format!("cannot list `{}`", folder.display()))? {
        let Some(id) = name.strip_suffix(".json").and_then(|id| id.parse().ok()) else {
            continue;
        };
        if let Some(record) = state::read(&pins.endpoint_record(id))? {
            endpoints.insert(id, record);
        }
    }
    Ok(endpoints)
}
