//! Which requests a treatment lets pass, compared exactly (spec §2.14-§2.16).
//!
//! A request has *aspects* (method, path, a header, ...), and an item of a rule set is one test for each of some aspects.
//! Strings that pass the same tests of an aspect are alike, so one of each kind ([`language::Atom`](crate::language::Atom))
//! stands for all: the combinations of kinds over all aspects are every request that can make a difference.
//! What cannot be read or is too large is [`More::Unknown`], never a guess.

mod aspect;
mod items;

use std::collections::HashMap;
use std::sync::Arc;

use super::ports::Treatment;
use crate::language::Budget;
use crate::resolve::{Parser, Ruleset};
use aspect::Tests;
use items::Set;

/// Steps of all comparisons of one run.
const STEPS: usize = 1 << 30;
/// Steps of one comparison.
const STEPS_ONCE: usize = 1 << 22;
/// Combinations of kinds of one comparison.
const COMBINATIONS_MAX: usize = 1 << 16;

/// What one side lets pass that the other does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum More {
    /// Nothing.
    Nothing,
    /// This request among others, one of the shortest.
    Request(String),
    /// Nobody can tell, because of this.
    Unknown(String),
}

/// Compares treatments; each two of them once.
#[derive(Debug)]
pub struct Requests {
    budget: Budget,
    known: HashMap<[Treatment; 2], [More; 2]>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { budget: Budget::new(STEPS, STEPS_ONCE), known: HashMap::new() }
    }
}

impl Requests {
    /// What the first lets pass and the second does not, then the other way round; authentication aside.
    pub fn compare(&mut self, one: &Treatment, other: &Treatment) -> [More; 2] {
        if one.l7 == other.l7 {
            return [More::Nothing, More::Nothing];
        }
        let key = [one.clone(), other.clone()];
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let said = self.tell(one, other).unwrap_or_else(|why| {
            // Without a proxy everything passes, whatever the other one's does.
            let beyond = |this: &Treatment| if this.l7.is_empty() { More::Nothing } else { More::Unknown(why.clone()) };
            [beyond(other), beyond(one)]
        });
        self.known.insert(key, said.clone());
        said
    }

    fn tell(&mut self, one: &Treatment, other: &Treatment) -> Result<[More; 2], String> {
        let protocol = protocol(one.l7.iter().chain(&other.l7))?;
        let mut tests = Tests::new(protocol);
        let mut sets = |treatment: &Treatment| -> Vec<Set> {
            treatment.l7.iter().map(|ruleset| items::set(ruleset, &mut tests)).collect()
        };
        let (one, other) = (sets(one), sets(other));
        let kinds = tests.kinds(&mut self.budget)?;
        let count = kinds.combinations().filter(|count| *count <= COMBINATIONS_MAX);
        let count = count.ok_or("the rules combine too many methods, paths, hosts and headers")?;
        let mut best: [Option<(usize, usize)>; 2] = [None, None];
        for number in 0..count {
            let request = kinds.combination(number);
            // Each proxy on the way has to agree.
            let passes = |sets: &[Set]| sets.iter().all(|set| set.contains(&kinds, &request));
            let (first, second) = (passes(&one), passes(&other));
            for (best, found) in best.iter_mut().zip([first && !second, second && !first]) {
                let candidate = (kinds.length(&request), number);
                if found && best.is_none_or(|shortest| candidate < shortest) {
                    *best = Some(candidate);
                }
            }
        }
        let text = |(_, number)| More::Request(kinds.text(&kinds.combination(number)));
        Ok(best.map(|best| best.map_or(More::Nothing, text)))
    }
}

/// What requests are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// HTTP, perhaps within TLS.
    Http,
    /// Kafka, perhaps within TLS.
    Kafka,
    /// Queries of DNS.
    Dns,
    /// TLS, of which the name of the server alone counts.
    Tls,
}

/// The one protocol that all proxies on the way read.
fn protocol<'a>(rulesets: impl Iterator<Item = &'a Arc<Ruleset>>) -> Result<Protocol, String> {
    let mut found = None;
    for ruleset in rulesets {
        let own = match &ruleset.parser {
            Parser::Http => Protocol::Http,
            Parser::Kafka => Protocol::Kafka,
            Parser::Dns => Protocol::Dns,
            Parser::Tls => Protocol::Tls,
            Parser::Proto(_) | Parser::Listener(_) => {
                return Err(format!("only the proxy knows what `{}` lets pass", ruleset.parser));
            }
        };
        found = match (found, own) {
            (None, own) => Some(own),
            (Some(found), own) if found == own => Some(own),
            (Some(Protocol::Tls), http_or_kafka @ (Protocol::Http | Protocol::Kafka))
            | (Some(http_or_kafka @ (Protocol::Http | Protocol::Kafka)), Protocol::Tls) => Some(http_or_kafka),
            (Some(_), _) => return Err("the proxies read different protocols".into()),
        };
    }
    Ok(found.unwrap_or(Protocol::Tls))
}

#[cfg(test)]
mod tests;
