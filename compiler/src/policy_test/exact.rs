//! `expectExactly`: what passes is what is listed, no more and no less.

use std::collections::BTreeSet;

use super::universe::Selected;
use super::{Ctx, Fault, NOBODY, What, is_forced, push};
use crate::diag::Diagnostic;
use crate::eval::Verdict;
use crate::eval::flow::{End, Judgement};
use crate::front::objects::{SurfaceRow, Test};
use crate::ir::{Ends, PortSpan};

impl Ctx<'_> {
    /// Verdicts asked for and faults; none when a row means nobody.
    pub(super) fn exactly(
        &mut self,
        test: &Test,
        rows: &[SurfaceRow],
        from: &[Selected],
        to: &[Selected],
    ) -> Option<(usize, Vec<Fault>)> {
        let mut listed: Vec<(BTreeSet<End>, Option<&[PortSpan]>)> = Vec::new();
        let mut failed = false;
        // Addresses that are a part of an identity are asked beside the rest of it.
        let mut parts: Vec<Selected> = Vec::new();
        for row in rows {
            let part = || self.universe.select(&row.end.value).unwrap_or_default();
            match self.universe.whole(&row.end.value) {
                Ok(ends) if !ends.is_empty() => listed.push((ends, row.ports.as_deref())),
                Ok(_) if part().iter().any(|one| matches!(one.end, End::Address(_))) => {
                    listed.push((part().iter().map(|one| one.end).collect(), row.ports.as_deref()));
                    parts.extend(part());
                }
                Ok(_) => {
                    failed = true;
                    let message = "nobody in the input is meant by this row, or only some addresses of an identity";
                    let hint = "name the prefix as the policies do";
                    self.report.diagnostics.push(Diagnostic::error(NOBODY, row.end.span, message).hint(hint));
                }
                Err((span, message)) => {
                    failed = true;
                    self.report.diagnostics.push(Diagnostic::error(NOBODY, span, message));
                }
            }
        }
        if failed {
            return None;
        }
        // The end that is listed is the one that the test does not name.
        let open_is_source = matches!(test.from.value, Ends::Any);
        let with_parts = |ends: &[Selected], is_open| [ends, if is_open { parts.as_slice() } else { &[] }].concat();
        let (from, to) = (with_parts(from, open_is_source), with_parts(to, !open_is_source));
        let cuts: Vec<PortSpan> =
            listed.iter().flat_map(|(_, ports)| ports.iter().copied().flatten()).copied().collect();
        let mut asked = 0;
        let mut faults = Vec::new();
        for (source, destination) in self.pairs(&from, &to) {
            let open = if open_is_source { source.end } else { destination.end };
            let mut here = Vec::new();
            for (ports, judged) in self.judge(source.end, destination.end, test.ports.as_deref(), &cuts) {
                asked += 1;
                let is_listed = listed.iter().any(|(ends, spans)| {
                    let covers = |span: &PortSpan| {
                        span.transport == ports.transport && span.first <= ports.first && ports.last <= span.last
                    };
                    ends.contains(&open) && spans.is_none_or(|spans| spans.iter().any(covers))
                });
                let what = match &judged {
                    Err(unknown) => Some(What::Unknown(unknown.to_string())),
                    Ok(judgement) => match (passes(judgement), is_listed) {
                        // No policy can keep the local host out, so nobody has to list it.
                        (true, false) if !is_forced(judgement) => Some(What::Unexpected),
                        (false, true) => Some(What::Missing),
                        (true, _) | (false, false) => None,
                    },
                };
                if let Some(what) = what {
                    push(&mut here, source, destination, ports, what, judged.ok());
                }
            }
            faults.append(&mut here);
        }
        Some((asked, faults))
    }
}

fn passes(judgement: &Judgement) -> bool {
    matches!(judgement.verdict(), Verdict::Allow | Verdict::Redirect)
}
