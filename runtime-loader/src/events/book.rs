//! Who is who: names of identities, addresses and rules, for each generation that an event may come from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ciliumc_abi::manifest::Manifest;
use ciliumc_abi::provenance::{Provenance, Rule};

use super::{End, Event};
use crate::error::{Context, Error};
use crate::gather::gather;
use crate::pins::Pins;
use crate::state::{self, Endpoint};
use crate::sys::files;

/// What the state folder says, read when an event first needs it.
#[derive(Debug, Default)]
pub struct Book {
    endpoints: BTreeMap<u16, Endpoint>,
    generations: BTreeMap<u32, Option<Chapter>>,
}

/// One generation.
#[derive(Debug)]
struct Chapter {
    labels: BTreeMap<u32, Vec<String>>,
    by_identity: BTreeMap<u32, String>,
    by_address: BTreeMap<IpAddr, String>,
    provenance: Provenance,
}

impl Book {
    /// A book of one generation, without a node's state.
    pub fn of(number: u32, manifest: &Manifest, provenance: Provenance, endpoints: Vec<Endpoint>) -> Self {
        let endpoints = gather(endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint)));
        Self { endpoints, generations: BTreeMap::from([(number, Some(Chapter::new(manifest, provenance)))]) }
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
            Some(Chapter::new(&documents.manifest, provenance))
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
    fn new(manifest: &Manifest, provenance: Provenance) -> Self {
        let numeric: BTreeMap<_, _> = gather(manifest.identities.iter().map(|i| (i.index.0, i.identity.0)));
        let (mut by_identity, mut by_address) = (BTreeMap::new(), BTreeMap::new());
        for (name, endpoint) in &manifest.endpoints {
            if let Some(identity) = numeric.get(&endpoint.identity.0) {
                by_identity.entry(*identity).or_insert_with(|| name.clone());
            }
            by_address.extend(endpoint.addresses.iter().map(|address| (*address, name.clone())));
        }
        let labels = gather(manifest.identities.iter().map(|i| (i.identity.0, i.labels.clone())));
        Self { labels, by_identity, by_address, provenance }
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
