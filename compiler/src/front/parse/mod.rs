//! The small languages inside of strings: selector keys, label values, CIDRs, ports and DNS names.
//!
//! Each parser takes the whole string, and its error names the offending part by byte offset.

pub mod flow;
pub mod fqdn;

mod cidr;
mod label;
mod port;
mod re2;

use nom::character::complete::digit1;
use nom::combinator::all_consuming;
use nom::error::{ErrorKind, ParseError};
use nom::{IResult, Parser};

pub use cidr::{Cidr, cidr, ip_address};
pub use label::{cilium_key, dns_label, dns_subdomain, label_value, qualified_name};
pub use port::{Port, PortWrong, port, port_name, protocol};
pub use re2::re2;

/// What is wrong with a part of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// First byte of the part.
    pub offset: usize,
    /// Length of the part, 0 when something is missing.
    pub len: usize,
    /// One lower-case line about it.
    pub message: String,
}

impl Wrong {
    pub(super) fn new(offset: usize, len: usize, message: impl Into<String>) -> Self {
        Self { offset, len, message: message.into() }
    }

    /// What stands behind the first `limit` bytes, with the whole of a character that the limit cuts.
    pub(super) fn beyond(text: &str, limit: usize, message: impl Into<String>) -> Self {
        let offset = text.floor_char_boundary(limit);
        Self::new(offset, text.len() - offset, message)
    }

    pub(super) fn whole(text: &str, message: impl Into<String>) -> Self {
        Self::new(0, text.len(), message)
    }
}

/// Where a nom parser gave up; the message is added by whoever knows what was expected.
#[derive(Debug)]
pub(super) struct At<'i> {
    pub(super) rest: &'i str,
    pub(super) message: Option<&'static str>,
}

impl<'i> ParseError<&'i str> for At<'i> {
    fn from_error_kind(rest: &'i str, _: ErrorKind) -> Self {
        Self { rest, message: None }
    }

    fn append(_: &'i str, _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Step<'i, T> = IResult<&'i str, T, At<'i>>;

/// Names what a parser expects and stops at its place.
pub(super) fn expect<'i, T>(
    message: &'static str,
    mut parser: impl Parser<&'i str, Output = T, Error = At<'i>>,
) -> impl FnMut(&'i str) -> Step<'i, T> {
    move |input| {
        parser.parse(input).map_err(|error| match error {
            nom::Err::Error(at) | nom::Err::Failure(at) => {
                nom::Err::Failure(At { rest: at.rest, message: at.message.or(Some(message)) })
            }
            nom::Err::Incomplete(needed) => nom::Err::Incomplete(needed),
        })
    }
}

/// Runs a parser over the whole text. `otherwise` is the message where the parser has none.
pub(super) fn whole<'i, T>(
    text: &'i str,
    otherwise: &str,
    parser: impl Parser<&'i str, Output = T, Error = At<'i>>,
) -> Result<T, Wrong> {
    match all_consuming(parser).parse(text) {
        Ok((_, value)) => Ok(value),
        Err(nom::Err::Error(at) | nom::Err::Failure(at)) => {
            let offset = text.len() - at.rest.len();
            Err(Wrong::new(offset, at.rest.len(), at.message.unwrap_or(otherwise)))
        }
        Err(nom::Err::Incomplete(_)) => Err(Wrong::whole(text, otherwise)),
    }
}

/// Decimal digits without a leading zero, at most 2^32 - 1.
pub(super) fn decimal(input: &str) -> Step<'_, u32> {
    let (after, digits) = digit1(input)?;
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(nom::Err::Failure(At { rest: input, message: Some("a number has no leading zeros here") }));
    }
    Ok((after, digits.parse().unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = cilium_key(&text);
            let _ = label_value(&text);
            let _ = cidr(&text);
            let _ = port(&text);
            let _ = dns_subdomain(&text);
            let _ = fqdn::name(&text);
            let _ = fqdn::pattern(&text);
        }

        #[test]
        fn errors_stay_inside(text in "[a-c0-9./:=$ é-]{0,20}") {
            let wrongs = [
                cidr(&text).err(),
                cilium_key(&text).err(),
                label_value(&text).err(),
                qualified_name("", &text).err(),
                fqdn::name(&text).err(),
                fqdn::pattern(&text).err(),
            ];
            for wrong in wrongs.into_iter().flatten() {
                prop_assert!(wrong.offset + wrong.len <= text.len(), "{wrong:?}");
                prop_assert!(text.is_char_boundary(wrong.offset));
            }
        }
    }
}
