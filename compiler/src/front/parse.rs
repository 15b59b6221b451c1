//! The small languages inside of strings: selector keys, label values, CIDRs, ports and names.
//!
//! Each parser takes the whole string, and its error names the offending part by byte offset.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, cut, opt, recognize, rest, verify};
use nom::error::{ErrorKind, ParseError};
use nom::multi::separated_list1;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::objects::{KeySource, Protocol};

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
    fn new(offset: usize, len: usize, message: impl Into<String>) -> Self {
        Self { offset, len, message: message.into() }
    }

    fn whole(text: &str, message: impl Into<String>) -> Self {
        Self::new(0, text.len(), message)
    }
}

/// Where a nom parser gave up; the message is added by whoever knows what was expected.
#[derive(Debug)]
struct At<'i> {
    rest: &'i str,
    message: Option<&'static str>,
}

impl<'i> ParseError<&'i str> for At<'i> {
    fn from_error_kind(rest: &'i str, _: ErrorKind) -> Self {
        Self { rest, message: None }
    }

    fn append(_: &'i str, _: ErrorKind, other: Self) -> Self {
        other
    }
}

type Step<'i, T> = IResult<&'i str, T, At<'i>>;

/// Names what a parser expects and stops at its place.
fn expect<'i, T>(
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
fn whole<'i, T>(
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

/// A selector key of the Cilium API: `[source:]key`, `$key` and `reserved.key` for source `reserved`; what follows
/// `=` is discarded. The result is valid as a qualified name with its source in front.
pub fn cilium_key(text: &str) -> Result<(KeySource, String), Wrong> {
    let until_equals = |input| take_while(|c| c != '=')(input);
    let dollar = preceded(char('$'), until_equals).map(|key| ("reserved", key));
    let prefixed = (terminated(take_while(|c| c != ':'), char(':')), until_equals);
    let dotted = preceded(tag("reserved."), until_equals).map(|key| ("reserved", key));
    let bare = until_equals.map(|key| ("", key));
    let parser = terminated(alt((dollar, prefixed, dotted, bare)), rest);
    let (source, key) = whole(text, "not a selector key", parser)?;
    let offset = text.find(key).unwrap_or(0);
    if key.is_empty() {
        return Err(Wrong::whole(text, "the key is empty"));
    }
    let (source, dotted) = match source {
        "" | "any" => (KeySource::Any, "any"),
        source => (KeySource::Only(source.to_owned()), source),
    };
    qualified_name(dotted, key).map_err(|wrong| Wrong { offset: wrong.offset + offset, ..wrong })?;
    Ok((source, key.to_owned()))
}

/// A key of a Kubernetes label: `[dns-prefix/]name`. With a `source`, lengths count as if it stood in front with a dot,
/// as Cilium has it.
pub fn qualified_name(source: &str, key: &str) -> Result<(), Wrong> {
    let source_len = if source.is_empty() { 0 } else { source.len() + 1 };
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let name_offset = key.len() - name.len();
    if let Some(prefix) = prefix {
        if prefix.len() + source_len > 253 {
            return Err(Wrong::new(
                0,
                prefix.len(),
                "the prefix of the key is longer than 253 characters with its source",
            ));
        }
        dns_subdomain(prefix)
            .map_err(|wrong| Wrong { message: format!("in the prefix of the key: {}", wrong.message), ..wrong })?;
    }
    let counted = name.len() + if prefix.is_some() { 0 } else { source_len };
    if counted > 63 {
        return Err(Wrong::new(
            name_offset,
            name.len(),
            format!("the name of the key has {counted} characters with its source, the limit is 63"),
        ));
    }
    whole(name, "a key has letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit", label_word)
        .map_err(|wrong| Wrong { offset: wrong.offset + name_offset, ..wrong })
        .map(drop)
}

/// A label value: empty, or up to 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
pub fn label_value(text: &str) -> Result<(), Wrong> {
    if text.len() > 63 {
        return Err(Wrong::new(
            63,
            text.len() - 63,
            format!("the value has {} characters, the limit is 63", text.len()),
        ));
    }
    let message = "a value has letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit";
    whole(text, message, opt(label_word)).map(drop)
}

fn label_word(input: &str) -> Step<'_, &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let word = take_while1(inside).parse(input)?;
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !ends(word.1.chars().next()) {
        return Err(nom::Err::Failure(At { rest: input, message: None }));
    }
    if !ends(word.1.chars().next_back()) {
        let last = &input[word.1.len() - 1..];
        return Err(nom::Err::Failure(At { rest: last, message: None }));
    }
    Ok(word)
}

/// A DNS-1123 subdomain, as names of objects and prefixes of keys are.
pub fn dns_subdomain(text: &str) -> Result<(), Wrong> {
    if text.len() > 253 {
        return Err(Wrong::new(253, text.len() - 253, format!("{} characters, the limit is 253", text.len())));
    }
    let message =
        "lower-case letters, digits, `-` and `.` make a name, with a letter or digit at both ends of each part";
    whole(text, message, recognize(separated_list1(char('.'), cut(dns_word)))).map(drop)
}

/// A DNS-1123 label, as names of namespaces are.
pub fn dns_label(text: &str) -> Result<(), Wrong> {
    if text.len() > 63 {
        return Err(Wrong::new(63, text.len() - 63, format!("{} characters, the limit is 63", text.len())));
    }
    let message = "lower-case letters, digits and `-` make a name, with a letter or digit at both ends";
    whole(text, message, dns_word).map(drop)
}

fn dns_word(input: &str) -> Step<'_, &str> {
    verify(take_while1(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), |word: &str| {
        !word.starts_with('-') && !word.ends_with('-')
    })
    .parse(input)
}

/// A prefix as written: the address with its host bits, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address before the slash.
    pub address: IpAddr,
    /// The prefix, host bits masked off.
    pub net: IpNet,
}

/// `address/len`. Leading zeros are refused, so are zones and IPv4 addresses mapped into IPv6.
pub fn cidr(text: &str) -> Result<Cidr, Wrong> {
    let address = take_while(|c| c != '/');
    let length =
        preceded(expect("`/` and a prefix length are missing", char('/')), expect("not a prefix length", cut(decimal)));
    let (address_text, length) = whole(text, "not a prefix length", (address, length))?;
    let address = ip_address(address_text)?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let too_long = || {
        let offset = address_text.len() + 1;
        Wrong::new(offset, text.len() - offset, format!("the prefix length is above {max}"))
    };
    let length = u8::try_from(length).map_err(|_| too_long())?;
    let net = IpNet::new(address, length).map_err(|_| too_long())?;
    Ok(Cidr { address, net: net.trunc() })
}

/// An IPv4 or IPv6 address, without zone, without leading zeros, not mapped.
pub fn ip_address(text: &str) -> Result<IpAddr, Wrong> {
    if text.is_empty() {
        return Err(Wrong::whole(text, "the address is missing"));
    }
    if !text.contains(':') {
        return whole(text, "not an IPv4 address", ipv4).map(IpAddr::V4);
    }
    if let Some(zone) = text.find('%') {
        return Err(Wrong::new(zone, text.len() - zone, "an address has no zone here"));
    }
    let address: Ipv6Addr = text.parse().map_err(|_| Wrong::whole(text, "not an IPv6 address"))?;
    match address.to_ipv4_mapped() {
        Some(mapped) => Err(Wrong::whole(text, format!("an IPv4 address mapped into IPv6; write {mapped}"))),
        None => Ok(IpAddr::V6(address)),
    }
}

fn ipv4(input: &str) -> Step<'_, Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut input = input;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            input = expect("an IPv4 address has four numbers with dots between", char('.')).parse(input)?.0;
        }
        let (after, number) = expect("an IPv4 address has four numbers with dots between", decimal).parse(input)?;
        *octet = u8::try_from(number).map_err(|_| {
            nom::Err::Failure(At { rest: input, message: Some("a number of an IPv4 address is above 255") })
        })?;
        input = after;
    }
    Ok((input, Ipv4Addr::from(octets)))
}

/// Decimal digits without a leading zero, at most 2^32 - 1.
fn decimal(input: &str) -> Step<'_, u32> {
    let (after, digits) = digit1(input)?;
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(nom::Err::Failure(At { rest: input, message: Some("a number has no leading zeros here") }));
    }
    Ok((after, digits.parse().unwrap_or(u32::MAX)))
}

/// A port of the Cilium API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// A number.
    Number(u16),
    /// A name, in lower case.
    Name(String),
}

/// Why a port is refused; the first two have codes of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortWrong {
    /// Digits with a zero in front.
    LeadingZero,
    /// Anything else.
    Bad(Wrong),
}

/// A number from 0 to 65535 without leading zeros, or a name in upper or lower case.
pub fn port(text: &str) -> Result<Port, PortWrong> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(PortWrong::LeadingZero);
        }
        return match text.parse() {
            Ok(number) => Ok(Port::Number(number)),
            Err(_) => Err(PortWrong::Bad(Wrong::whole(text, "a port is at most 65535"))),
        };
    }
    let name = text.to_ascii_lowercase();
    port_name(&name).map(|()| Port::Name(name)).map_err(PortWrong::Bad)
}

/// An IANA service name: 1 to 15 of `[a-z0-9-]`, a letter among them, no `-` at an end or beside another.
pub fn port_name(text: &str) -> Result<(), Wrong> {
    if text.is_empty() {
        return Err(Wrong::whole(text, "the port is empty"));
    }
    if text.len() > 15 {
        return Err(Wrong::new(
            15,
            text.len() - 15,
            format!("a port name of {} characters, the limit is 15", text.len()),
        ));
    }
    let word = take_while1(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let message = "a port name has letters, digits and single `-` between them";
    whole(text, message, recognize(separated_list1(char('-'), cut(word))))?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Ok(())
    } else {
        Err(Wrong::whole(text, "a port name needs a letter"))
    }
}

/// `TCP`, `UDP` or `SCTP`.
pub fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_sources() {
        let only = |source: &str, key: &str| Ok((KeySource::Only(source.into()), key.into()));
        assert_eq!(cilium_key("app"), Ok((KeySource::Any, "app".into())));
        assert_eq!(cilium_key("any:app"), Ok((KeySource::Any, "app".into())));
        assert_eq!(cilium_key("k8s:a.b/c"), only("k8s", "a.b/c"));
        assert_eq!(cilium_key("reserved:host"), only("reserved", "host"));
        assert_eq!(cilium_key("$host"), only("reserved", "host"));
        assert_eq!(cilium_key("reserved.host"), only("reserved", "host"));
        assert_eq!(cilium_key("a=b"), Ok((KeySource::Any, "a".into())));
        assert_eq!(cilium_key("k8s:a=b:c"), only("k8s", "a"));
    }

    #[test]
    fn bad_keys_point_at_the_part() {
        let wrong = |text: &str| cilium_key(text).map_err(|wrong| (wrong.offset, wrong.len)).unwrap_err();
        assert_eq!(wrong(""), (0, 0));
        assert_eq!(wrong("k8s:"), (0, 4));
        assert_eq!(wrong("=x"), (0, 2));
        assert_eq!(wrong("a b"), (1, 2));
        assert_eq!(wrong("k8s:a b"), (5, 2));
        assert_eq!(wrong("a/b/c"), (3, 2));
        assert_eq!(wrong("A/b").0, 0);
        assert_eq!(wrong("-a"), (0, 2));
        assert_eq!(wrong("a-"), (1, 1));
    }

    #[test]
    fn the_source_counts_in_the_length() {
        assert!(cilium_key(&"k".repeat(59)).is_ok());
        assert!(cilium_key(&"k".repeat(60)).is_err());
        assert!(cilium_key(&format!("p/{}", "k".repeat(63))).is_ok());
        assert!(cilium_key(&format!("p/{}", "k".repeat(64))).is_err());
        assert!(qualified_name("", &"k".repeat(63)).is_ok());
        assert!(qualified_name("", &"k".repeat(64)).is_err());
    }

    #[test]
    fn values() {
        assert!(label_value("").is_ok());
        assert!(label_value("a").is_ok());
        assert!(label_value("1.2_x-Y").is_ok());
        assert!(label_value(&"v".repeat(63)).is_ok());
        for bad in ["a b", "-a", "a-", "ä", &"v".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
        assert_eq!(label_value("ab cd").unwrap_err().offset, 2);
    }

    #[test]
    fn names() {
        for good in ["a", "a-b.c", "1"] {
            assert!(dns_subdomain(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a/b", "../a"] {
            assert!(dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(dns_label("a.b").is_err());
        assert!(dns_label("a-b").is_ok());
    }

    #[test]
    fn cidrs_are_masked() {
        let net = |text: &str| cidr(text).unwrap().net.to_string();
        assert_eq!(net("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(net("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(net("fd00::1/8"), "fd00::/8");
        assert_eq!(net("::/0"), "::/0");
        assert_eq!(cidr("10.1.2.3/8").unwrap().address.to_string(), "10.1.2.3");
    }

    #[test]
    fn bad_cidrs_point_at_the_part() {
        let wrong = |text: &str| {
            let wrong = cidr(text).unwrap_err();
            (wrong.offset, wrong.message)
        };
        assert_eq!(wrong("10.0.0.0/33"), (9, "the prefix length is above 32".into()));
        assert_eq!(wrong("fd00::/129"), (7, "the prefix length is above 128".into()));
        assert_eq!(wrong("10.0.0.1"), (8, "`/` and a prefix length are missing".into()));
        assert_eq!(wrong("010.0.0.0/8"), (0, "a number has no leading zeros here".into()));
        assert_eq!(wrong("10.0.0.0/08"), (9, "a number has no leading zeros here".into()));
        assert_eq!(wrong("10.0.0.300/32"), (7, "a number of an IPv4 address is above 255".into()));
        assert_eq!(wrong("10.0.0/8").0, 6);
        assert_eq!(wrong("10.0.0.0.1/8").0, 8);
        assert_eq!(wrong("ten/8").0, 0);
        assert_eq!(wrong("/8"), (0, "the address is missing".into()));
        assert_eq!(wrong("10.0.0.0/").0, 9);
        assert_eq!(wrong("10.0.0.0/-1").0, 9);
        assert_eq!(wrong("10.0.0.0/8x").0, 10);
        assert!(wrong("::ffff:10.0.0.0/104").1.contains("mapped"));
        assert!(wrong("fe80::1%eth0/64").1.contains("zone"));
        assert!(cidr("10.0.0.0/99999999999999").is_err());
        assert!(cidr(" 10.0.0.0/8").is_err());
    }

    #[test]
    fn ports() {
        assert_eq!(port("0"), Ok(Port::Number(0)));
        assert_eq!(port("65535"), Ok(Port::Number(65535)));
        assert_eq!(port("HTTP"), Ok(Port::Name("http".into())));
        assert_eq!(port("0x50"), Ok(Port::Name("0x50".into())));
        assert_eq!(port("80a"), Ok(Port::Name("80a".into())));
        assert_eq!(port("010"), Err(PortWrong::LeadingZero));
        for bad in
            ["", "65536", "-1", "a_b", "a--b", "-a", "a-", "abcdefghijklmnop", "8 0", "+80", "99999999999999999999"]
        {
            assert!(matches!(port(bad), Err(PortWrong::Bad(_))), "{bad}");
        }
        assert!(port_name("HTTP").is_err());
        assert!(port_name("1-2").is_err());
        assert!(port_name("abcdefghijklmno").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = cilium_key(&text);
            let _ = label_value(&text);
            let _ = cidr(&text);
            let _ = port(&text);
            let _ = dns_subdomain(&text);
        }

        #[test]
        fn errors_stay_inside(text in "[a-c0-9./:=$ é-]{0,20}") {
            let wrongs = [
                cidr(&text).err(),
                cilium_key(&text).err(),
                label_value(&text).err(),
                qualified_name("", &text).err(),
            ];
            for wrong in wrongs.into_iter().flatten() {
                prop_assert!(wrong.offset + wrong.len <= text.len(), "{wrong:?}");
                prop_assert!(text.is_char_boundary(wrong.offset));
            }
        }

        #[test]
        fn every_prefix_is_read_back(bits in any::<u32>(), len in 0u8..=32) {
            let written = format!("{}/{len}", Ipv4Addr::from(bits));
            let net = cidr(&written).unwrap().net;
            prop_assert_eq!(cidr(&net.to_string()).unwrap().net, net);
            prop_assert_eq!(net.prefix_len(), len);
        }
    }
}
