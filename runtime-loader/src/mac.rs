//! MAC addresses, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A MAC address of an Ethernet interface: `02:42:ac:11:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no MAC address; write it as 02:42:ac:11:00:02");
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .ok_or_else(wrong)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        // The lowest bit of the first byte is that of a group.
        if parts.next().is_some() || octets == [0; 6] || octets[0] & 1 != 0 {
            return Err(wrong());
        }
        Ok(Self(octets))
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let mac: Mac = "02:42:AC:11:00:0f".parse().unwrap();
        assert_eq!(mac, Mac([2, 0x42, 0xac, 0x11, 0, 15]));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:0f");
        for wrong in
            ["", "02:42:ac:11:00", "02:42:ac:11:00:0f:00", "2:42:ac:11:00:0f", "02:42:ac:11:00:xx", "+2:42:ac:11:00:0f"]
        {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
        for nobody in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
            assert!(nobody.parse::<Mac>().is_err(), "{nobody}");
        }
    }
}
