//! Network addresses, and how much of them is stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The IPv4 prefix that stands in where only an IPv6 prefix is configured.
pub const FALLBACK_IPV4_PREFIX: u8 = 24;
/// The IPv6 prefix that stands in where only an IPv4 prefix is configured.
pub const FALLBACK_IPV6_PREFIX: u8 = 48;

/// Reads an address as a connection or an HTTP header gives it.
///
/// A zone (`fe80::1%eth0`) is left out, and an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address.
/// Gives nothing for what is no address, such as the path of an admin socket.
///
/// ```
/// use audit_core::address::parse;
/// assert_eq!(parse("::ffff:203.0.113.80"), parse("203.0.113.80"));
/// assert_eq!(parse("/var/lib/prosody/prosody.sock"), None);
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Which addresses are stored, and how many of their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    stored: bool,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

impl Default for Policy {
    /// Whole addresses are stored.
    fn default() -> Self {
        Self { stored: true, ipv4_prefix: 32, ipv6_prefix: 128 }
    }
}

impl Policy {
    /// No address is stored.
    pub const NONE: Self = Self { stored: false, ipv4_prefix: 0, ipv6_prefix: 0 };

    /// The policy for configured prefixes, in bits; more bits than an address has count as all of them.
    ///
    /// An operator who set a prefix for one family only did not mean to store the other in full: it gets
    /// [`FALLBACK_IPV4_PREFIX`] or [`FALLBACK_IPV6_PREFIX`].
    #[must_use]
    pub fn new(ipv4_prefix: Option<u8>, ipv6_prefix: Option<u8>) -> Self {
        let (ipv4_prefix, ipv6_prefix) = match (ipv4_prefix, ipv6_prefix) {
            (None, None) => (32, 128),
            (Some(v4), None) => (v4, FALLBACK_IPV6_PREFIX),
            (None, Some(v6)) => (FALLBACK_IPV4_PREFIX, v6),
            (Some(v4), Some(v6)) => (v4, v6),
        };
        Self { stored: true, ipv4_prefix: ipv4_prefix.min(32), ipv6_prefix: ipv6_prefix.min(128) }
    }

    /// What is stored of `address`: the address, `network/prefix`, or nothing.
    ///
    /// ```
    /// use audit_core::address::{Policy, parse};
    /// let address = parse("203.0.113.80").unwrap();
    /// assert_eq!(Policy::default().apply(address).as_deref(), Some("203.0.113.80"));
    /// assert_eq!(Policy::new(Some(24), None).apply(address).as_deref(), Some("203.0.113.0/24"));
    /// ```
    #[must_use]
    pub fn apply(self, address: IpAddr) -> Option<String> {
        if !self.stored {
            return None;
        }
        let address = address.to_canonical();
        let (prefix, whole) = match address {
            IpAddr::V4(_) => (self.ipv4_prefix, 32),
            IpAddr::V6(_) => (self.ipv6_prefix, 128),
        };
        if prefix >= whole {
            return Some(address.to_string());
        }
        network(address, prefix).map(|network| network.to_string())
    }

    /// What is stored of the network that `address` lies in, see [`network_of`]: never more than of the address.
    #[must_use]
    pub fn apply_to_network(self, address: IpAddr) -> Option<String> {
        let coarse = Self {
            ipv4_prefix: self.ipv4_prefix.min(FALLBACK_IPV4_PREFIX),
            ipv6_prefix: self.ipv6_prefix.min(FALLBACK_IPV6_PREFIX),
            ..self
        };
        coarse.apply(address)
    }
}

/// The network that one peer is taken to have for itself: an IPv4 `/24`, an IPv6 `/48`.
///
/// ```
/// use audit_core::address::{network_of, parse};
/// assert_eq!(network_of(parse("203.0.113.80").unwrap()).unwrap().to_string(), "203.0.113.0/24");
/// ```
#[must_use]
pub fn network_of(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    network(address, if address.is_ipv4() { FALLBACK_IPV4_PREFIX } else { FALLBACK_IPV6_PREFIX })
}

/// The network of `prefix` bits that `address` lies in.
fn network(address: IpAddr, prefix: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, prefix).ok().map(|network| IpNet::V4(network.trunc())),
        IpAddr::V6(address) => Ipv6Net::new(address, prefix).ok().map(|network| IpNet::V6(network.trunc())),
    }
}

/// Whether `address` can be looked up in a database of places: loopback, private and local addresses are in none.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !(address.is_private() || address.is_loopback() || address.is_link_local() || address.is_unspecified() || address.is_broadcast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || address.is_unique_local() || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(policy: Policy, text: &str) -> Option<String> {
        parse(text).and_then(|address| policy.apply(address))
    }

    #[test]
    fn an_address_is_stored_as_the_policy_says() {
        let full = Policy::default();
        let rows: &[(Policy, &str, Option<&str>)] = &[
            (full, "203.0.113.80", Some("203.0.113.80")),
            (full, "2001:DB8:0:1:2:3:4:5", Some("2001:db8:0:1:2:3:4:5")),
            (full, "2001:db8:0:0:0:0:0:1", Some("2001:db8::1")),
            (full, "::ffff:203.0.113.80", Some("203.0.113.80")),
            (full, "fe80::1%eth0", Some("fe80::1")),
            (full, "/var/lib/prosody/prosody.sock", None),
            (full, "", None),
            (full, "203.0.113.80 ", None),
            (Policy::new(Some(24), None), "203.0.113.80", Some("203.0.113.0/24")),
            (Policy::new(Some(24), None), "::ffff:203.0.113.80", Some("203.0.113.0/24")),
            (Policy::new(Some(24), None), "2001:db8:1:2::5", Some("2001:db8:1::/48")),
            (Policy::new(None, Some(64)), "2001:db8:1:2::5", Some("2001:db8:1:2::/64")),
            (Policy::new(None, Some(64)), "203.0.113.80", Some("203.0.113.0/24")),
            (Policy::new(Some(13), Some(33)), "203.0.113.80", Some("203.0.0.0/13")),
            (Policy::new(Some(13), Some(33)), "2001:db8:ffff::1", Some("2001:db8:8000::/33")),
            (Policy::new(Some(0), Some(0)), "203.0.113.80", Some("0.0.0.0/0")),
            (Policy::new(Some(0), Some(0)), "2001:db8::1", Some("::/0")),
            (Policy::new(Some(32), Some(128)), "203.0.113.80", Some("203.0.113.80")),
            (Policy::NONE, "203.0.113.80", None),
        ];
        for (policy, text, expected) in rows {
            assert_eq!(stored(*policy, text).as_deref(), *expected, "{text} under {policy:?}");
        }
    }

    #[test]
    fn of_a_network_never_more_is_stored_than_of_its_addresses() {
        for (policy, text, expected) in [
            (Policy::default(), "203.0.113.80", Some("203.0.113.0/24")),
            (Policy::default(), "::ffff:203.0.113.80", Some("203.0.113.0/24")),
            (Policy::default(), "2001:db8:1:2::5", Some("2001:db8:1::/48")),
            (Policy::new(Some(28), Some(64)), "203.0.113.80", Some("203.0.113.0/24")),
            (Policy::new(Some(16), Some(32)), "203.0.113.80", Some("203.0.0.0/16")),
            (Policy::new(Some(16), Some(32)), "2001:db8:1:2::5", Some("2001:db8::/32")),
            (Policy::NONE, "203.0.113.80", None),
        ] {
            assert_eq!(parse(text).and_then(|address| policy.apply_to_network(address)).as_deref(), expected, "{text} under {policy:?}");
        }
    }

    #[test]
    fn only_public_addresses_are_looked_up() {
        for (text, public) in [
            ("203.0.113.80", true),
            ("8.8.8.8", true),
            ("2a00:1450::1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("::ffff:192.168.0.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_public(parse(text).unwrap()), public, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_never_keeps_a_bit_beyond_it(bits in any::<u32>(), other in any::<u32>(), prefix in 0u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let (a, b) = (Ipv4Addr::from(bits), Ipv4Addr::from((bits & mask) | (other & !mask)));
            let policy = Policy::new(Some(prefix), Some(0));
            prop_assert_eq!(policy.apply(IpAddr::V4(a)), if prefix == 32 { Some(a.to_string()) } else { policy.apply(IpAddr::V4(b)) });
        }

        #[test]
        fn a_v6_prefix_never_keeps_a_bit_beyond_it(bits in any::<u128>(), other in any::<u128>(), prefix in 0u8..=127) {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let (a, b) = (Ipv6Addr::from(bits), Ipv6Addr::from((bits & mask) | (other & !mask)));
            prop_assume!(a.to_ipv4_mapped().is_none() && b.to_ipv4_mapped().is_none());
            let policy = Policy::new(Some(0), Some(prefix));
            prop_assert_eq!(policy.apply(IpAddr::V6(a)), policy.apply(IpAddr::V6(b)));
        }
    }
}
