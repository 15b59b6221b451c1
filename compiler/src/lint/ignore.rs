//! Annotations that excuse an object from lints.
//!
//! `ciliumc.io/ignore: CL003 a pod of the next release, CL014 it asks no names`: codes, each with its reason; codes that
//! share one may stand before it, `CL003, CL014 reason`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, LINTS};
use crate::diag::{Code, Diagnostic, ObjectRef};
use crate::front::objects::Meta;

/// Key of the annotation.
pub const ANNOTATION: &str = "ciliumc.io/ignore";

/// The annotation gives no reason, or names what is no lint.
const BAD_IGNORE: Code = Code("CL041");

/// Nothing was found that the annotation excuses.
const UNUSED_IGNORE: Code = Code("CL042");

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ignore {
    /// Reasons by code.
    codes: BTreeMap<String, String>,
    /// What is wrong with it.
    problems: Vec<String>,
}

/// Sets apart what annotations excuse, and adds what is wrong with them.
pub fn apply<'a>(metas: impl Iterator<Item = &'a Meta>, found: Vec<Diagnostic>) -> Findings {
    let annotated = metas.filter_map(|meta| {
        let (_, text) = meta.annotations.iter().find(|(key, _)| key == ANNOTATION)?;
        Some((&meta.object, (meta, parse(text))))
    });
    let annotated: BTreeMap<&ObjectRef, (&Meta, Ignore)> = annotated.collect();
    let mut used: BTreeSet<(&ObjectRef, &str)> = BTreeSet::new();
    let mut out = Findings::default();
    for diagnostic in found {
        let ignore = diagnostic.object.as_ref().and_then(|object| annotated.get_key_value(object));
        match ignore.and_then(|(object, (_, ignore))| Some((object, ignore.codes.get(diagnostic.code.0)?))) {
            Some((object, reason)) => {
                used.insert((object, diagnostic.code.0));
                out.excused.push((diagnostic, reason.clone()));
            }
            None => out.found.push(diagnostic),
        }
    }
    for (object, (meta, ignore)) in &annotated {
        let about = |diagnostic: Diagnostic, hint: &str| diagnostic.hint(hint).object((*object).clone());
        for problem in &ignore.problems {
            let hint = "write the code and, behind it, why: `CL003 the pod comes with the next release`";
            out.found.push(about(Diagnostic::warning(BAD_IGNORE, meta.span, problem.clone()), hint));
        }
        for code in ignore.codes.keys().filter(|code| !used.contains(&(*object, code.as_str()))) {
            let message = format!("`{ANNOTATION}` excuses {code}, which finds nothing here");
            out.found.push(about(Diagnostic::info(UNUSED_IGNORE, meta.span, message), "take it out of the annotation"));
        }
    }
    out
}

fn parse(text: &str) -> Ignore {
    let mut out = Ignore::default();
    // Codes that still wait for their reason.
    let mut waiting: Vec<&str> = Vec::new();
    // Codes whose reason may go on behind a comma.
    let mut last: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (word, rest) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
        if !is_code(word) {
            // A comma inside of a reason.
            if out.codes.is_empty() {
                out.problems.push(format!("`{ANNOTATION}` begins with {word:?}, which is no code of a lint"));
                return out;
            }
            waiting.clear();
            for code in &last {
                out.codes.entry(code.clone()).and_modify(|reason| *reason += &format!(", {item}"));
            }
            continue;
        }
        if !LINTS.iter().any(|lint| lint.code.0 == word) {
            out.problems.push(format!("`{ANNOTATION}` names {word}, which is no lint"));
            continue;
        }
        out.codes.insert(word.to_owned(), String::new());
        waiting.push(word);
        if !rest.trim().is_empty() {
            last = waiting.drain(..).map(str::to_owned).collect();
            for code in &last {
                out.codes.insert(code.clone(), rest.trim().to_owned());
            }
        }
    }
    if !waiting.is_empty() {
        out.problems.push(format!("`{ANNOTATION}` gives no reason for {}", waiting.join(", ")));
    }
    out
}

fn is_code(word: &str) -> bool {
    word.strip_prefix("CL").is_some_and(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, usize) {
        let ignore = parse(text);
        (ignore.codes.into_keys().collect(), ignore.problems.len())
    }

    #[test]
    fn codes_with_reasons() {
        assert_eq!(read("CL003 next release"), (vec!["CL003".into()], 0));
        assert_eq!(read("CL003, CL014 they, too, come later"), (vec!["CL003".into(), "CL014".into()], 0));
        assert_eq!(read("CL003 one, CL014 other"), (vec!["CL003".into(), "CL014".into()], 0));
    }

    #[test]
    fn reasons_are_kept() {
        let ignore = parse("CL003, CL014 they, too, come later, CL001 why");
        let reasons: Vec<&str> = ignore.codes.values().map(String::as_str).collect();
        assert_eq!(reasons, ["why", "they, too, come later", "they, too, come later"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(read("CL003").1, 1);
        assert_eq!(read("CL003 why, CL014").1, 1);
        assert_eq!(read("CL999 why"), (vec![], 1));
        assert_eq!(read("because"), (vec![], 1));
        assert_eq!(read("").1, 1);
    }
}
