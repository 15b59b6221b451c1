//! Ports, port names and protocols.

use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{cut, recognize};
use nom::multi::separated_list1;

use super::{Wrong, whole};
use crate::front::objects::Protocol;

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
        return Err(Wrong::beyond(text, 15, format!("a port name of {} characters, the limit is 15", text.len())));
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
    use super::*;

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
}
