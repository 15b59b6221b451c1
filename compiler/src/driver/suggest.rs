//! The smallest edit that lets a flow pass, tried out.

use super::{Analysis, Failure, question};
use crate::connectivity::cilium;
use crate::connectivity::pairs::Alike;
use crate::connectivity::{Connectivity, Party};
use crate::eval::flow::{self, End, Judgement};
use crate::eval::{Reason, Verdict, near};
use crate::front::FrontOptions;
use crate::ir::EndName;
use crate::source::SourceMap;
use crate::suggest::{self, Denied, Edit, Peer};

/// Edits that are tried for one end: each is an analysis.
const TRIED_MAX: usize = 6;

/// Edits that let a flow pass.
#[derive(Debug)]
pub struct Suggestion {
    /// What to insert, at most once for each end.
    pub edits: Vec<Edit>,
    /// The input with the edits.
    pub sources: SourceMap,
    /// Who may talk to whom before.
    pub before: Connectivity,
    /// And after.
    pub after: Connectivity,
}

/// A flow that is denied.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Both ends as written.
    pub names: &'a [EndName; 2],
    /// Both ends.
    pub ends: [End; 2],
    /// What they decide.
    pub judgement: &'a Judgement,
}

/// Finds edits, or says why none helps.
pub fn suggest(
    sources: &SourceMap,
    options: &FrontOptions,
    analysis: &Analysis,
    question: Question<'_>,
) -> Result<Result<Suggestion, String>, Failure> {
    let before = connect(analysis, question.names);
    let mut edits = Vec::new();
    let mut edited = sources.clone();
    let mut after = None;
    for side in question.judgement.sides().filter(|side| side.decision.verdict == Verdict::Deny) {
        if side.asked.endpoint().is_none() {
            let name = side.asked.name(&analysis.cluster);
            return Ok(Err(format!("{name} drops it, and what an edit of a host policy opens is not compared")));
        }
        let other = usize::from(side.direction == crate::ir::Direction::Egress);
        let Some(peer) = peer(analysis, question.ends[other], &question.names[other]) else {
            return Ok(Err("no policy can name that peer".into()));
        };
        let examined = near::examine(&analysis.cluster, &analysis.resolved, side, question.judgement.l4);
        let denied = Denied { side, examined: &examined, peer: &peer, l4: question.judgement.l4 };
        let candidates = suggest::edits(sources, &analysis.cluster, &analysis.resolved, &denied);
        let mut best: Option<(usize, Edit, SourceMap, Connectivity)> = None;
        for edit in candidates.into_iter().take(TRIED_MAX) {
            // Behind an edit in front of it in the same file, offsets are others: they are applied from the last.
            let Some(tried) = apply(sources, edits.iter().chain([&edit])) else { continue };
            let analysis = question::analyse_for(&tried, options, &[], question.names)?;
            if analysis.has_errors() || !passes(&analysis, question, side.direction) {
                continue;
            }
            let connectivity = connect(&analysis, question.names);
            let opened = opened(&before, &connectivity);
            if best.as_ref().is_none_or(|(least, ..)| opened < *least) {
                best = Some((opened, edit, tried, connectivity));
            }
        }
        let Some((_, edit, tried, connectivity)) = best else {
            let name = side.asked.name(&analysis.cluster);
            let why = match side.decision.reason {
                Reason::DenyRule => ": a rule denies it, and has to go",
                Reason::NotEnforced
                | Reason::AllowRule
                | Reason::LocalHost
                | Reason::DefaultAllow
                | Reason::DefaultDeny
                | Reason::UnknownPeer
                | Reason::Conflict
                | Reason::ProtocolDisabled
                | Reason::HostIcmp6 => "",
            };
            return Ok(Err(format!("nothing that is added lets it pass {name}{why}")));
        };
        edits.push(edit);
        edited = tried;
        after = Some(connectivity);
    }
    Ok(match after {
        Some(after) => Ok(Suggestion { edits, sources: edited, before, after }),
        None => Err("no end drops the flow; what a proxy refuses is for its rules to say".into()),
    })
}

fn apply<'e>(sources: &SourceMap, edits: impl Iterator<Item = &'e Edit>) -> Option<SourceMap> {
    let mut edits: Vec<&Edit> = edits.collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.offset));
    edits.into_iter().try_fold(sources.clone(), |sources, edit| sources.inserted(edit.file, edit.offset, &edit.text))
}

/// Whether the end that denied lets the flow pass now.
fn passes(analysis: &Analysis, question: Question<'_>, direction: crate::ir::Direction) -> bool {
    let find = |name: &EndName| flow::find(&analysis.cluster, &analysis.objects.answers.dns, name).unwrap_or_default();
    let (from, to) = (find(&question.names[0]), find(&question.names[1]));
    // The same ends are there in the same order: only policies were edited.
    let is_same = |end: &End, wanted: &End| end == wanted;
    let source = from.iter().find(|end| is_same(end, &question.ends[0]));
    let destination = to.iter().find(|end| is_same(end, &question.ends[1]));
    let (Some(&source), Some(&destination)) = (source, destination) else { return false };
    let judged = flow::judge(&analysis.cluster, &analysis.resolved, source, destination, question.judgement.l4);
    judged.is_ok_and(|judgement| {
        let mut sides = judgement.sides().filter(|side| side.direction == direction);
        sides.all(|side| matches!(side.decision.verdict, Verdict::Allow | Verdict::Redirect))
    })
}

/// How many ports of how many pairs pass that did not before, and the other way round.
fn opened(before: &Connectivity, after: &Connectivity) -> usize {
    let (mut count, mut alike) = (0, Alike::default());
    let pairs = after.pairs.iter().flat_map(|(source, to)| to.iter().map(move |(to, pair)| (source, to, pair)));
    for (source, destination, pair) in pairs {
        let old = before.pairs.get(source).and_then(|to| to.get(destination));
        if old.is_some_and(|old| alike.are(old, pair)) {
            continue;
        }
        let new = pair.ports().passing_ranges();
        let old = old.map(|old| old.ports().passing_ranges()).unwrap_or_default();
        if new != old {
            let size = |ranges: &std::collections::BTreeMap<_, Vec<(u16, u16)>>| {
                ranges.values().flatten().map(|(first, last)| usize::from(last - first) + 1).sum::<usize>()
            };
            count += size(&new).abs_diff(size(&old)).max(1);
        }
    }
    count
}

/// Who may talk to whom. The addresses of a name that the question is about are called by that name.
fn connect(analysis: &Analysis, asked: &[EndName; 2]) -> Connectivity {
    let mut names = cilium::Names::new();
    for (name, addresses) in &analysis.objects.answers.dns {
        if asked.contains(&EndName::Fqdn(name.clone())) {
            let party = || Party::Names { names: name.clone(), example: name.clone() };
            names.extend(addresses.iter().map(|address| (*address, party())));
        }
    }
    cilium::connect(&analysis.cluster, &analysis.resolved, &names)
}

/// Who an end is, in the words of a policy.
fn peer(analysis: &Analysis, end: End, name: &EndName) -> Option<Peer> {
    match (end, name) {
        (End::Endpoint(endpoint), _) => Some(suggest::pods(&analysis.cluster, &analysis.resolved, endpoint)),
        (End::Address(_), EndName::Fqdn(name)) => Some(Peer::Fqdn(name.clone())),
        (End::Address(address), _) => Some(Peer::Address(address)),
        (End::Entity(_), EndName::Entity(word)) => Some(Peer::Entity(word.clone())),
        (End::Entity(_) | End::HostPod(_) | End::Node(_), _) => None,
    }
}
