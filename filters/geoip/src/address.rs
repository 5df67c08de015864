//! Addresses: which are anybody's, and which only their own network knows.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Somewhere in the world.
    Public,
    /// Private, local, of a group, or reserved for what is not the Internet.
    Private,
}

impl Address {
    /// Reads one; `None` where the text is none.
    pub fn of(text: &[u8]) -> Option<Self> {
        let address: IpAddr = core::str::from_utf8(text).ok()?.parse().ok()?;
        let is_private = match address.to_canonical() {
            IpAddr::V4(address) => is_private_v4(address),
            IpAddr::V6(address) => is_private_v6(address),
        };
        Some(if is_private { Self::Private } else { Self::Public })
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    // 0/8, 100.64/10 (carriers' own), 240/4
    let is_other = a == 0 || (a == 100 && (64..128).contains(&b)) || a >= 240;
    address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast() || is_other
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    let is_own = first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0;
    address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_own
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_told_apart() {
        for (text, expected) in [
            ("81.2.69.142", Some(Address::Public)),
            ("2001:218::1", Some(Address::Public)),
            ("::ffff:81.2.69.142", Some(Address::Public)),
            ("172.32.0.1", Some(Address::Public)),
            ("100.128.0.1", Some(Address::Public)),
            ("10.1.2.3", Some(Address::Private)),
            ("172.16.0.1", Some(Address::Private)),
            ("192.168.1.1", Some(Address::Private)),
            ("127.0.0.1", Some(Address::Private)),
            ("169.254.0.1", Some(Address::Private)),
            ("100.64.0.1", Some(Address::Private)),
            ("0.0.0.0", Some(Address::Private)),
            ("255.255.255.255", Some(Address::Private)),
            ("224.0.0.1", Some(Address::Private)),
            ("::1", Some(Address::Private)),
            ("::ffff:10.0.0.1", Some(Address::Private)),
            ("fe80::1", Some(Address::Private)),
            ("fd00::1", Some(Address::Private)),
            ("example.com", None),
            ("1.2.3", None),
            ("1.2.3.4:80", None),
            ("", None),
        ] {
            assert_eq!(Address::of(text.as_bytes()), expected, "{text}");
        }
    }
}
