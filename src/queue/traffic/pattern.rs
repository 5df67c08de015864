//! What a route looks at, and how names and values are compared.
//!
//! A pattern is a text in which `*` stands for anything; a peer may be a network, `10.0.0.0/8`. A condition is written
//! `field:pattern`, as in a query: `host:web-7`. Names that begin with `_` are the box's own: `_principal`, `_client`, `_peer`,
//! `_receiver`. `*` alone is everything.
//! Invariant: any bytes are compared, nothing panics; comparing takes time linear in both.

use std::fmt;
use std::net::IpAddr;

use crate::base::limits::FIELD_NAME_BYTES;

/// Longest pattern.
const PATTERN_BYTES: usize = 512;

/// What decides whether a route applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Everything.
    Always,
    /// Who signed in.
    Principal(String),
    /// What the client calls itself.
    Client(String),
    /// Where it comes from.
    Peer(Peer),
    /// A header of the record, or a dotted field of its JSON document.
    Field(String, String),
}

/// An address, or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// As text, `*` stands for anything.
    Text(String),
    /// Those whose first bits are these.
    Network(IpAddr, u8),
}

impl Peer {
    fn read(text: &str) -> Result<Self, String> {
        let Some((address, bits)) = text.split_once('/') else { return Ok(Self::Text(text.to_owned())) };
        let wrong = || format!("`{text}` is no network; write it like 10.0.0.0/8 or fd00::/8");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
        Ok(Self::Network(address, bits))
    }

    /// Whether this address is meant.
    pub fn holds(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        match self {
            Self::Text(pattern) => globs(pattern.as_bytes(), peer.to_string().as_bytes()),
            Self::Network(IpAddr::V4(network), bits) => match peer {
                IpAddr::V4(peer) => same(u128::from(network.to_bits()), u128::from(peer.to_bits()), 32 - u32::from(*bits)),
                IpAddr::V6(_) => false,
            },
            Self::Network(IpAddr::V6(network), bits) => match peer {
                IpAddr::V6(peer) => same(network.to_bits(), peer.to_bits(), 128 - u32::from(*bits)),
                IpAddr::V4(_) => false,
            },
        }
    }
}

/// Whether two numbers agree above so many of their last bits.
fn same(a: u128, b: u128, last: u32) -> bool {
    (a ^ b).checked_shr(last).unwrap_or(0) == 0
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says how to write it.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Always);
        }
        let (name, value) = text.split_once(':').ok_or_else(|| {
            format!("`{text}` is no condition; write `field:value` like host:web-7, `_peer:10.0.0.0/8`, `_client:…`, `_principal:…`, or `*` for all")
        })?;
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        if name.is_empty() || name.len() > FIELD_NAME_BYTES || value.is_empty() || value.len() > PATTERN_BYTES {
            return Err(format!("`{text}`: a field's name and a value are wanted, like host:web-7"));
        }
        Ok(match name {
            "_principal" => Self::Principal(value.to_owned()),
            "_client" => Self::Client(value.to_owned()),
            "_peer" => Self::Peer(Peer::read(value)?),
            "_receiver" => Self::Field(name.to_owned(), value.to_owned()),
            own if own.starts_with('_') => {
                return Err(format!("`{own}`: of the box's own names there are _principal, _client, _peer and _receiver"));
            }
            name => Self::Field(name.to_owned(), value.to_owned()),
        })
    }

    /// Whether a record must be looked into to know.
    pub fn is_of_records(&self) -> bool {
        matches!(self, Self::Peer(_) | Self::Field(..))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("*"),
            Self::Principal(pattern) => write!(f, "_principal:{pattern}"),
            Self::Client(pattern) => write!(f, "_client:{pattern}"),
            Self::Peer(Peer::Text(pattern)) => write!(f, "_peer:{pattern}"),
            Self::Peer(Peer::Network(address, bits)) => write!(f, "_peer:{address}/{bits}"),
            Self::Field(name, pattern) => write!(f, "{name}:{pattern}"),
        }
    }
}

/// Whether a text matches a pattern in which `*` stands for anything.
pub fn globs(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte further on in the text.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(byte) if *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((after, tried)) = star else { return false };
                star = Some((after, tried + 1));
                (at, from) = (after, tried + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, holds) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a**", "a", true),
            ("web-*", "db-1", false),
        ] {
            assert_eq!(globs(pattern.as_bytes(), text.as_bytes()), holds, "{pattern} {text}");
        }
    }

    #[test]
    fn conditions_are_written_as_in_a_query() {
        for text in [
            "*",
            "host:web-7",
            "a.b:x*",
            "_peer:10.0.0.0/8",
            "_peer:fd00::/8",
            "_peer:10.1.*",
            "_client:filebeat",
            "_principal:alice",
        ] {
            assert_eq!(Condition::read(text).unwrap().to_string(), text);
        }
        assert_eq!(Condition::read(" host:\"web 7\" "), Ok(Condition::Field("host".into(), "web 7".into())));
        for text in ["", "host", "host:", ":x", "_own:x", "_peer:10.0.0.0/33", "_peer:x/8", "_peer:10.0.0.0/"] {
            assert!(Condition::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, peer, holds) in [
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fe80::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe12::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.1.*", "10.1.4.4", true),
            ("::1", "::1", true),
        ] {
            assert_eq!(Peer::read(network).unwrap().holds(peer.parse().unwrap()), holds, "{network} {peer}");
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_a_regex(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let regex = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            prop_assert_eq!(globs(pattern.as_bytes(), text.as_bytes()), regex.is_match(&text));
        }

        #[test]
        fn any_condition_is_read_or_refused(text in ".{0,40}") {
            let _ = Condition::read(&text);
        }
    }
}
