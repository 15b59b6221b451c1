//! `identities.lock`: numbers that never change meaning while the file exists.
//!
//! Users commit it like `Cargo.lock`. A number whose labels are gone stays in the file; it is taken again only when its
//! range is full, the lowest first.

use std::collections::{BTreeMap, BTreeSet};

use ciliumc_abi::identity::{
    FIRST_CLUSTER_IDENTITY, FIRST_DYNAMIC_INDEX, IdentityIndex, LAST_CLUSTER_IDENTITY, LOCAL_SCOPE, NumericIdentity,
    REMOTE_NODE_SCOPE,
};
use serde::{Deserialize, Serialize};

use crate::ir::labels::LabelSet;

/// Bound of the dense indices: one byte of `id_row` each, and a table may have 16 MiB.
const INDEX_MAX: u32 = (16 << 20) - 1;

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LockError {
    /// Not YAML of the expected form.
    #[error("identities.lock does not parse: {0}")]
    Malformed(String),
    /// Written by another version.
    #[error("identities.lock has version {0}, this build reads version 1")]
    Version(u32),
    /// Two entries claim one number, or a number is outside of its range.
    #[error("identities.lock: {0}")]
    Inconsistent(String),
    /// No number left.
    #[error("no number is left for identity `{labels}`: all {count} of its range are in use")]
    Full {
        /// Canonical labels.
        labels: String,
        /// Size of the range.
        count: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    identities: Vec<Entry>,
    /// Only where rules of tiers name addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    places: Vec<PlaceEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    index: u32,
    identity: u32,
}

impl Numbers {
    fn typed(self) -> (IdentityIndex, NumericIdentity) {
        (IdentityIndex(self.index), NumericIdentity(self.identity))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    index: u32,
    identity: u32,
    labels: String,
}

/// One more index of an identity, for addresses of it that lie inside of these areas.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceEntry {
    index: u32,
    labels: String,
    inside: Vec<String>,
}

/// Canonical labels, and the areas that an address lies in.
pub type PlaceKey = (String, Vec<String>);

/// The lock, by canonical labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    entries: BTreeMap<String, Numbers>,
    places: BTreeMap<PlaceKey, u32>,
}

/// Numeric range that a label set is numbered in (spec §4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn of(labels: &LabelSet, cluster_id: u32) -> Self {
        if labels.has_reserved("remote-node") {
            return Self { first: REMOTE_NODE_SCOPE + 1, last: REMOTE_NODE_SCOPE + LOCAL_SCOPE - 1 };
        }
        let local = |source: &str| matches!(source, "cidr" | "fqdn" | "cidrgroup" | "reserved");
        if labels.has_reserved("ingress") || labels.iter().all(|l| local(&l.source)) {
            return Self { first: LOCAL_SCOPE + 1, last: 2 * LOCAL_SCOPE - 1 };
        }
        match cluster_id {
            0 => Self { first: FIRST_CLUSTER_IDENTITY, last: LAST_CLUSTER_IDENTITY },
            id => Self { first: id << 16, last: (id << 16) + 0xffff },
        }
    }

    fn contains(self, identity: u32) -> bool {
        (self.first..=self.last).contains(&identity)
    }
}

/// The highest numbers given so far: looking for them among all entries again for each new one would be quadratic.
struct Highest {
    index: u32,
    /// By the first number of a range.
    identities: BTreeMap<u32, u32>,
}

impl Highest {
    fn identity(&mut self, range: Range, entries: &BTreeMap<String, Numbers>) -> &mut u32 {
        self.identities.entry(range.first).or_insert_with(|| {
            let given = entries.values().map(|n| n.identity).filter(|&identity| range.contains(identity));
            given.max().unwrap_or(range.first - 1)
        })
    }
}

impl Lock {
    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let document: Document = serde_yaml::from_str(text).map_err(|e| LockError::Malformed(e.to_string()))?;
        if document.version != 1 {
            return Err(LockError::Version(document.version));
        }
        let mut lock = Self::default();
        let (mut indices, mut identities) = (BTreeSet::new(), BTreeSet::new());
        for entry in document.identities {
            if !(FIRST_DYNAMIC_INDEX..=INDEX_MAX).contains(&entry.index) || !indices.insert(entry.index) {
                return Err(LockError::Inconsistent(format!("index {} is reserved or given twice", entry.index)));
            }
            if entry.identity < FIRST_CLUSTER_IDENTITY || !identities.insert(entry.identity) {
                let message = format!("identity {} is reserved or given twice", entry.identity);
                return Err(LockError::Inconsistent(message));
            }
            if lock
                .entries
                .insert(entry.labels.clone(), Numbers { index: entry.index, identity: entry.identity })
                .is_some()
            {
                return Err(LockError::Inconsistent(format!("labels `{}` stand twice", entry.labels)));
            }
        }
        for PlaceEntry { index, labels, inside } in document.places {
            if !(FIRST_DYNAMIC_INDEX..=INDEX_MAX).contains(&index) || !indices.insert(index) {
                return Err(LockError::Inconsistent(format!("index {index} is reserved or given twice")));
            }
            if lock.places.insert((labels.clone(), inside), index).is_some() {
                return Err(LockError::Inconsistent(format!("one place of labels `{labels}` stands twice")));
            }
        }
        Ok(lock)
    }

    /// The file's text: sorted by index, so that a new identity is a line at the end of a diff.
    pub fn to_text(&self) -> String {
        let mut identities: Vec<Entry> = self
            .entries
            .iter()
            .map(|(labels, &Numbers { index, identity })| Entry { index, identity, labels: labels.clone() })
            .collect();
        identities.sort_by_key(|entry| entry.index);
        let mut places: Vec<PlaceEntry> = self
            .places
            .iter()
            .map(|((labels, inside), &index)| PlaceEntry { index, labels: labels.clone(), inside: inside.clone() })
            .collect();
        places.sort_by_key(|entry| entry.index);
        let document = Document { version: 1, identities, places };
        let banner = "# Written by `ciliumc build`. Commit this file: no number in it ever changes its meaning.\n";
        // A tree of numbers and strings always serialises.
        banner.to_string() + &serde_yaml::to_string(&document).unwrap_or_default()
    }

    /// Numbers for every label set: those of the lock, then new ones in the order of the canonical text.
    pub fn allocate(
        &mut self,
        wanted: &BTreeMap<String, LabelSet>,
        cluster_id: u32,
    ) -> Result<BTreeMap<String, (IdentityIndex, NumericIdentity)>, LockError> {
        let mut out = BTreeMap::new();
        let mut new = Vec::new();
        for (text, labels) in wanted {
            let range = Range::of(labels, cluster_id);
            match self.entries.get(text) {
                // A number from before the cluster id changed is not one of this cluster.
                Some(numbers) if range.contains(numbers.identity) => {
                    out.insert(text.clone(), numbers.typed());
                }
                _ => new.push((text, range)),
            }
        }
        for (text, _) in &new {
            self.entries.remove(*text);
        }
        let mut highest = Highest { index: self.highest_index(), identities: BTreeMap::new() };
        for (text, range) in new {
            let numbers = self.next(text, range, wanted, &mut highest)?;
            self.entries.insert(text.clone(), numbers);
            out.insert(text.clone(), numbers.typed());
        }
        Ok(out)
    }

    /// Indices for places of identities, besides the identities' own; new ones in the order of the keys.
    pub fn allocate_places<'k>(
        &mut self,
        wanted: impl Iterator<Item = &'k PlaceKey> + Clone,
    ) -> Result<BTreeMap<PlaceKey, IdentityIndex>, LockError> {
        let mut out = BTreeMap::new();
        let mut highest = self.highest_index();
        for key in wanted.clone() {
            let index = match self.places.get(key) {
                Some(index) => *index,
                None if highest < INDEX_MAX => {
                    highest += 1;
                    highest
                }
                None => self.retired_place(key, wanted.clone())?,
            };
            self.places.insert(key.clone(), index);
            out.insert(key.clone(), IdentityIndex(index));
        }
        Ok(out)
    }

    /// As with identities: the lowest retired one is taken again.
    fn retired_place<'k>(
        &mut self,
        key: &PlaceKey,
        wanted: impl Iterator<Item = &'k PlaceKey>,
    ) -> Result<u32, LockError> {
        let wanted: BTreeSet<&PlaceKey> = wanted.collect();
        let retired = self.places.iter().filter(|(key, _)| !wanted.contains(key)).min_by_key(|(_, index)| **index);
        match retired.map(|(key, index)| (key.clone(), *index)) {
            Some((retired, index)) => {
                self.places.remove(&retired);
                Ok(index)
            }
            None => Err(LockError::Full { labels: key.0.clone(), count: INDEX_MAX - FIRST_DYNAMIC_INDEX + 1 }),
        }
    }

    fn highest_index(&self) -> u32 {
        let taken = self.entries.values().map(|numbers| numbers.index).chain(self.places.values().copied());
        taken.max().unwrap_or(FIRST_DYNAMIC_INDEX - 1)
    }

    fn next(
        &mut self,
        text: &str,
        range: Range,
        wanted: &BTreeMap<String, LabelSet>,
        highest: &mut Highest,
    ) -> Result<Numbers, LockError> {
        let index = highest.index + 1;
        let highest_identity = highest.identity(range, &self.entries);
        if *highest_identity < range.last && index <= INDEX_MAX {
            *highest_identity += 1;
            let identity = *highest_identity;
            highest.index = index;
            return Ok(Numbers { index, identity });
        }
        // The range is full: the lowest retired number of it is taken again, index and all.
        let retired = self
            .entries
            .iter()
            .filter(|(labels, n)| range.contains(n.identity) && !wanted.contains_key(*labels))
            .min_by_key(|(_, n)| n.identity)
            .map(|(labels, numbers)| (labels.clone(), *numbers));
        match retired {
            Some((labels, numbers)) => {
                self.entries.remove(&labels);
                Ok(numbers)
            }
            None => Err(LockError::Full { labels: text.to_string(), count: range.last - range.first + 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::labels::Label;

    fn wanted(apps: &[&str]) -> BTreeMap<String, LabelSet> {
        let sets = apps.iter().map(|app| LabelSet::from_iter([Label::k8s("app", *app)]));
        sets.map(|set| (set.canonical(), set)).collect()
    }

    #[test]
    fn numbers_follow_the_text_and_stay() {
        let mut lock = Lock::default();
        let first = lock.allocate(&wanted(&["b", "c"]), 0).unwrap();
        assert_eq!(first["k8s:app=b;"], (IdentityIndex(256), NumericIdentity(256)));
        let mut lock = Lock::parse(&lock.to_text()).unwrap();
        let second = lock.allocate(&wanted(&["a", "c"]), 0).unwrap();
        assert_eq!(second["k8s:app=c;"], first["k8s:app=c;"]);
        // `b` is retired, not reused.
        assert_eq!(second["k8s:app=a;"], (IdentityIndex(258), NumericIdentity(258)));
        assert!(lock.to_text().contains("k8s:app=b;"));
    }

    #[test]
    fn a_full_range_takes_the_lowest_retired_number() {
        let mut lock = Lock::default();
        lock.entries.insert("gone".into(), Numbers { index: 300, identity: 500 });
        lock.entries.insert("gone-too".into(), Numbers { index: 301, identity: LAST_CLUSTER_IDENTITY });
        let numbers = lock.allocate(&wanted(&["a"]), 0).unwrap();
        assert_eq!(numbers["k8s:app=a;"], (IdentityIndex(300), NumericIdentity(500)));
        assert!(!lock.entries.contains_key("gone"));
    }

    #[test]
    fn local_scopes_have_the_flag() {
        let cidr = LabelSet::from_iter([Label::cidr("10.0.0.0/8".parse().unwrap()), Label::reserved("world-ipv4")]);
        let wanted = BTreeMap::from([(cidr.canonical(), cidr.clone())]);
        let numbers = Lock::default().allocate(&wanted, 0).unwrap();
        assert_eq!(numbers[&cidr.canonical()].1, NumericIdentity((1 << 24) + 1));
    }

    #[test]
    fn places_have_indices_of_their_own() {
        let mut lock = Lock::default();
        lock.allocate(&wanted(&["a"]), 0).unwrap();
        let key = |inside: &str| ("k8s:app=a;".to_string(), vec![inside.to_string()]);
        let one = [key("10.0.0.0/8")];
        assert_eq!(lock.allocate_places(one.iter()).unwrap()[&one[0]], IdentityIndex(257));
        let mut lock = Lock::parse(&lock.to_text()).unwrap();
        // An identity that comes later takes no index of a place, nor the other way round.
        let numbers = lock.allocate(&wanted(&["0", "a"]), 0).unwrap();
        assert_eq!(numbers["k8s:app=0;"], (IdentityIndex(258), NumericIdentity(257)));
        let two = [key("1.0.0.0/8"), key("10.0.0.0/8")];
        let indices = lock.allocate_places(two.iter()).unwrap();
        assert_eq!((indices[&two[0]], indices[&two[1]]), (IdentityIndex(259), IdentityIndex(257)));
    }

    #[test]
    fn a_bad_lock_is_refused() {
        for bad in [
            "version: 1\nidentities: []\nplaces: [{index: 3, labels: a, inside: []}]\n",
            "version: 1\nidentities: [{index: 300, identity: 300, labels: a}]\nplaces: [{index: 300, labels: a, inside: []}]\n",
            "version: 1\nidentities: []\nplaces: [{index: 300, labels: a, inside: [x]}, {index: 301, labels: a, inside: [x]}]\n",
            "x",
            "version: 2\nidentities: []\n",
            "version: 1\nidentities: [{index: 3, identity: 300, labels: a}]\n",
            "version: 1\nidentities: [{index: 300, identity: 1, labels: a}]\n",
            "version: 1\nidentities: [{index: 300, identity: 300, labels: a}, {index: 300, identity: 301, labels: b}]\n",
            "version: 1\nidentities: [{index: 300, identity: 300, labels: a}, {index: 301, identity: 301, labels: a}]\n",
        ] {
            assert!(Lock::parse(bad).is_err(), "{bad}");
        }
    }
}
