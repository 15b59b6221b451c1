//! Pairs of parties, of which most are never looked at: their ends are joined when somebody does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use ciliumc_abi::identity::IdentityIndex;

use super::ports::{Outcome, Ports};
use super::{Connectivity, Party};
use crate::ir::Direction;

/// What may pass between two parties.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What the source and what the destination let pass; one where only one end has a policy.
    ends: Ends,
    both: OnceLock<Arc<Ports>>,
}

#[derive(Debug, Clone)]
enum Ends {
    One(Arc<Ports>),
    Two([Arc<Ports>; 2]),
}

/// Addresses of the functions of a pair: pairs with the same ones are alike.
pub type PairKey = [*const Ports; 2];

impl Pair {
    /// Of one function.
    pub fn one(ports: Arc<Ports>) -> Self {
        Self { ends: Ends::One(ports), both: OnceLock::new() }
    }

    /// Of what the source lets out and the destination lets in.
    pub fn two(egress: Arc<Ports>, ingress: Arc<Ports>) -> Self {
        Self { ends: Ends::Two([egress, ingress]), both: OnceLock::new() }
    }

    /// What both ends let pass.
    pub fn ports(&self) -> &Arc<Ports> {
        match &self.ends {
            Ends::One(ports) => ports,
            Ends::Two([egress, ingress]) => self.both.get_or_init(|| Arc::new(egress.combine(ingress, Outcome::both))),
        }
    }

    /// Whether nothing passes; nothing is joined for that.
    pub fn is_empty(&self) -> bool {
        match (&self.ends, self.both.get()) {
            (Ends::One(ports), _) | (Ends::Two(_), Some(ports)) => ports.is_empty(),
            (Ends::Two([egress, ingress]), None) => {
                let passes = |outcome: &Outcome| outcome.passes.is_some();
                !egress.zip(ingress).iter().any(|(.., a, b)| passes(a) && passes(b))
            }
        }
    }

    /// What stands for the pair where pairs are told apart.
    pub fn key(&self) -> PairKey {
        let [first, second] = self.ends();
        [Arc::as_ptr(first), Arc::as_ptr(second)]
    }

    /// What the source and what the destination let pass; twice the same where only one end has a policy, or the ends are
    /// not known apart.
    pub fn ends(&self) -> [&Arc<Ports>; 2] {
        match &self.ends {
            Ends::One(ports) => [ports, ports],
            Ends::Two([egress, ingress]) => [egress, ingress],
        }
    }
}

/// Finds pairs of two versions that let the same pass end by end, by whatever rules.
#[derive(Debug, Default)]
pub struct Alike(HashMap<[*const Ports; 2], bool>);

impl Alike {
    /// Whether they surely do. The functions have to live as long as this does.
    pub fn are(&mut self, old: &Pair, new: &Pair) -> bool {
        let is_one = |pair: &Pair| matches!(pair.ends, Ends::One(_));
        is_one(old) == is_one(new) && old.ends().into_iter().zip(new.ends()).all(|(old, new)| self.end(old, new))
    }

    fn end(&mut self, old: &Arc<Ports>, new: &Arc<Ports>) -> bool {
        let alike = || old.lets_the_same_pass(new);
        *self.0.entry([Arc::as_ptr(old), Arc::as_ptr(new)]).or_insert_with(alike)
    }
}

/// One direction of a policy: what each row of peers may do.
#[derive(Debug)]
pub struct Rows {
    /// Row of each identity, by its position among the known ones; those behind the end have row 0.
    pub of: Vec<usize>,
    /// By row.
    pub ports: Vec<Arc<Ports>>,
}

impl Rows {
    /// One function for every peer.
    pub fn constant(ports: Arc<Ports>) -> Self {
        Self { of: Vec::new(), ports: vec![ports] }
    }

    fn at(&self, position: usize) -> Option<&Arc<Ports>> {
        self.ports.get(self.of.get(position).copied().unwrap_or_default())
    }
}

/// A party with policies of its own.
#[derive(Debug, Clone)]
pub struct End {
    /// Its identity.
    pub identity: IdentityIndex,
    /// Policies towards it, of which each is that of some of its pods.
    pub ingress: Vec<Arc<Rows>>,
    /// Policies from it.
    pub egress: Vec<Arc<Rows>>,
    /// Whether its pods talk to each other.
    pub has_replicas: bool,
}

/// Everyone with everyone. `known` are all identities, sorted; `open` is what passes where no policy says anything.
pub fn connect(
    workloads: &BTreeMap<Party, End>,
    others: &[(Party, IdentityIndex)],
    known: &[IdentityIndex],
    open: &Arc<Ports>,
) -> BTreeMap<Party, BTreeMap<Party, Pair>> {
    let mut ctx = Ctx { open, either: HashMap::new() };
    let position = |index: &IdentityIndex| known.binary_search(index).unwrap_or(usize::MAX);
    let ends: Vec<(&Party, &End, usize)> =
        workloads.iter().map(|(party, end)| (party, end, position(&end.identity))).collect();
    let others: Vec<(&Party, usize)> = others.iter().map(|(party, index)| (party, position(index))).collect();
    let mut pairs: BTreeMap<Party, BTreeMap<Party, Pair>> = BTreeMap::new();
    for &(source, from, source_at) in &ends {
        let inside = ends.iter().filter(|(party, ..)| *party != source || from.has_replicas);
        let mut to: Vec<(Party, Pair)> = Vec::with_capacity(ends.len() + others.len());
        for &(destination, end, at) in inside {
            let pair = Pair::two(ctx.end(&from.egress, at), ctx.end(&end.ingress, source_at));
            to.push((destination.clone(), pair));
        }
        to.extend(others.iter().map(|&(other, at)| (other.clone(), Pair::one(ctx.end(&from.egress, at)))));
        pairs.insert(source.clone(), to.into_iter().collect());
    }
    for &(other, at) in &others {
        let to = ends.iter().map(|&(party, end, _)| (party.clone(), Pair::one(ctx.end(&end.ingress, at))));
        pairs.insert(other.clone(), to.collect());
    }
    pairs
}

struct Ctx<'a> {
    open: &'a Arc<Ports>,
    /// What one of two policies lets pass, by their functions, which live as long as the rows.
    either: HashMap<PairKey, (Arc<Ports>, [Arc<Ports>; 2])>,
}

impl Ctx<'_> {
    /// What the policies of pods let pass from or to a peer, on whatever node they run.
    fn end(&mut self, policies: &[Arc<Rows>], peer: usize) -> Arc<Ports> {
        let mut out: Option<Arc<Ports>> = None;
        for ports in policies.iter().filter_map(|rows| rows.at(peer)) {
            out = Some(match out {
                None => ports.clone(),
                Some(all) if Arc::ptr_eq(&all, ports) => all,
                Some(all) => self.either(all, ports.clone()),
            });
        }
        out.unwrap_or_else(|| self.open.clone())
    }

    fn either(&mut self, a: Arc<Ports>, b: Arc<Ports>) -> Arc<Ports> {
        let key = [Arc::as_ptr(&a), Arc::as_ptr(&b)];
        let known = self.either.entry(key).or_insert_with(|| {
            let either = Arc::new(a.combine(&b, Outcome::either));
            // The arguments are kept, so that their addresses stay theirs.
            (either, [a, b])
        });
        known.0.clone()
    }
}

impl Connectivity {
    /// What may pass from one party to another; `None` where there is no such pair.
    pub fn between(&self, source: &Party, destination: &Party) -> Option<&Arc<Ports>> {
        Some(self.pairs.get(source)?.get(destination)?.ports())
    }

    /// Who is no workload, as the source of ingress or the destination of egress.
    pub fn outside(&self, direction: Direction) -> &[Party] {
        self.others.get(&direction).map(Vec::as_slice).unwrap_or_default()
    }
}
