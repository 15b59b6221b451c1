//! CL040: a policy whose time is over.

use crate::front::objects::Meta;
use crate::lint::Finding;
use crate::lint::facts::Facts;

/// Key of the annotation: `YYYY-MM-DD`, the last day.
const EXPIRES: &str = "ciliumc.io/expires";

pub fn check(facts: &Facts<'_>) -> Vec<Finding> {
    facts.metas().filter_map(|meta| finding(facts, meta)).collect()
}

fn finding(facts: &Facts<'_>, meta: &Meta) -> Option<Finding> {
    let (_, day) = meta.annotations.iter().find(|(key, _)| key == EXPIRES)?;
    let message = match facts.today {
        _ if !is_day(day) => format!("`{EXPIRES}: {day}` is no day"),
        Some(today) if day < today => format!("this has expired: its last day was {day}"),
        Some(_) | None => return None,
    };
    Some(Finding::new(meta.span, &meta.object, message).hint("write YYYY-MM-DD, the last day; or remove the object"))
}

/// `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let within = |text: &str, max: u8| text.parse::<u8>().is_ok_and(|n| (1..=max).contains(&n));
    matches!(parts.as_slice(), [y, m, d] if digits(y, 4) && digits(m, 2) && digits(d, 2) && within(m, 12) && within(d, 31))
}
