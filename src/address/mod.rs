//! Network addresses, and how much of them is stored.

pub mod hash_key;
pub mod location;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The IPv4 prefix to use if only an IPv6 prefix is configured.
pub const FALLBACK_IPV4_PREFIX: u8 = 24;
/// The IPv6 prefix to use if only an IPv4 prefix is configured.
pub const FALLBACK_IPV6_PREFIX: u8 = 48;
/// The largest number of characters that [`shape`] shows.
const SHAPE_LIMIT: usize = 60;

/// Reads an address in the forms of connections and of HTTP headers.
///
/// These forms are read: a plain address; an address with a port, as some proxies write it into `X-Forwarded-For`
/// (`203.0.113.7:51008`, `[2001:db8::7]:51008`, and eight groups of IPv6 followed by a ninth in decimal); an IPv6 address in
/// brackets; any of these in double quotes (RFC 7239 §4). A zone (`fe80::1%eth0`) is dropped, and an
/// IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address. `2001:db8::7:51008` can't be told from a plain address
/// and is read as one. Returns `None` for everything else.
///
/// ```
/// use audit_core::address::parse;
/// assert_eq!(parse("::ffff:203.0.113.80"), parse("203.0.113.80"));
/// assert_eq!(parse("[2001:db8::7]:51008"), parse("2001:db8::7"));
/// assert_eq!(parse("/var/lib/prosody/prosody.sock"), None);
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    plain(text).or_else(|| in_brackets(text)).or_else(|| with_port(text)).map(|address| address.to_canonical())
}

fn plain(text: &str) -> Option<IpAddr> {
    text.split_once('%').map_or(text, |(address, _zone)| address).parse().ok()
}

/// `[2001:db8::7]` or `[2001:db8::7]:51008`.
fn in_brackets(text: &str) -> Option<IpAddr> {
    let (address, rest) = text.strip_prefix('[')?.split_once(']')?;
    let is_rest = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    plain(address).filter(|address| is_rest && address.is_ipv6())
}

/// `203.0.113.7:51008`, or an IPv6 address of eight groups and a port.
fn with_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let address = plain(address).filter(|found| found.is_ipv4() || !address.contains("::"))?;
    is_port(port).then_some(address)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Whether `text` shows that a peer has no address: it is empty, or the path or name of a UNIX socket.
#[must_use]
pub fn is_local(text: &str) -> bool {
    text.is_empty() || text.starts_with(['/', '@', '\0']) || text.starts_with("unix:")
}

/// The shape of a text, for a log line: its digits and letters are replaced.
///
/// ```
/// assert_eq!(audit_core::address::shape("203.0.113.7, example"), "999.9.999.9, aaaaaaa");
/// ```
#[must_use]
pub fn shape(text: &str) -> String {
    let shown = text.chars().take(SHAPE_LIMIT).map(|c| match c {
        '0'..='9' => '9',
        ' '..='~' if !c.is_alphabetic() => c,
        c if c.is_alphabetic() => 'a',
        _ => '?',
    });
    shown.collect::<String>() + if text.chars().count() > SHAPE_LIMIT { "…" } else { "" }
}

/// What is stored of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Whole addresses.
    #[default]
    Full,
    /// This many leading bits of addresses.
    Prefix {
        /// Of an IPv4 address.
        ipv4: u8,
        /// Of an IPv6 address.
        ipv6: u8,
    },
    /// Keyed hashes instead of addresses.
    Hash,
    /// Nothing.
    None,
}

impl Policy {
    /// The policy for configured prefixes, in bits. More bits than an address has mean the whole address.
    ///
    /// If an operator sets a prefix for one family only, the other one must not be stored in full. It gets [`FALLBACK_IPV4_PREFIX`]
    /// or [`FALLBACK_IPV6_PREFIX`].
    #[must_use]
    pub fn new(ipv4_prefix: Option<u8>, ipv6_prefix: Option<u8>) -> Self {
        match (ipv4_prefix, ipv6_prefix) {
            (None, None) => Self::Full,
            (v4, v6) => Self::prefix(v4, v6),
        }
    }

    /// The policy for prefixes, with [`FALLBACK_IPV4_PREFIX`] and [`FALLBACK_IPV6_PREFIX`] if none is configured.
    #[must_use]
    pub fn prefix(ipv4_prefix: Option<u8>, ipv6_prefix: Option<u8>) -> Self {
        let ipv4 = ipv4_prefix.unwrap_or(FALLBACK_IPV4_PREFIX).min(32);
        Self::Prefix { ipv4, ipv6: ipv6_prefix.unwrap_or(FALLBACK_IPV6_PREFIX).min(128) }
    }

    /// The text that is stored of `address`: the address or `network/prefix`. Returns `None` if nothing is stored.
    ///
    /// ```
    /// use audit_core::address::{Policy, parse};
    /// let address = parse("203.0.113.80").unwrap();
    /// assert_eq!(Policy::default().apply(address).as_deref(), Some("203.0.113.80"));
    /// assert_eq!(Policy::new(Some(24), None).apply(address).as_deref(), Some("203.0.113.0/24"));
    /// ```
    #[must_use]
    pub fn apply(self, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        match (self, address) {
            (Self::Full, _) => Some(address.to_string()),
            (Self::Prefix { ipv4, .. }, IpAddr::V4(_)) if ipv4 < 32 => network(address, ipv4).map(|network| network.to_string()),
            (Self::Prefix { ipv6, .. }, IpAddr::V6(_)) if ipv6 < 128 => network(address, ipv6).map(|network| network.to_string()),
            (Self::Prefix { .. }, _) => Some(address.to_string()),
            (Self::Hash | Self::None, _) => None,
        }
    }

    /// Applies the policy to an address or a network that was stored under another policy. The result is never more than was
    /// stored. Returns `None` if nothing is left, or the text is neither an address nor a network.
    ///
    /// ```
    /// use audit_core::address::Policy;
    /// let policy = Policy::prefix(None, None);
    /// assert_eq!(policy.narrow("203.0.113.80").as_deref(), Some("203.0.113.0/24"));
    /// assert_eq!(policy.narrow("203.0.0.0/16").as_deref(), Some("203.0.0.0/16"));
    /// ```
    #[must_use]
    pub fn narrow(self, stored: &str) -> Option<String> {
        let Some((address, prefix)) = stored.split_once('/') else { return self.apply(parse(stored)?) };
        let (address, prefix) = (parse(address)?, prefix.parse::<u8>().ok()?);
        let prefix = match (self, address) {
            (Self::Full, _) => prefix,
            (Self::Prefix { ipv4, .. }, IpAddr::V4(_)) => prefix.min(ipv4),
            (Self::Prefix { ipv6, .. }, IpAddr::V6(_)) => prefix.min(ipv6),
            (Self::Hash | Self::None, _) => return None,
        };
        network(address, prefix).map(|network| network.to_string())
    }

    /// The text that is stored of the network of `address`, see [`network_of`]. It is never more than what is stored of the
    /// address.
    #[must_use]
    pub fn apply_to_network(self, address: IpAddr) -> Option<String> {
        let coarse = match self {
            Self::Full => Self::prefix(None, None),
            Self::Prefix { ipv4, ipv6 } => Self::prefix(Some(ipv4.min(FALLBACK_IPV4_PREFIX)), Some(ipv6.min(FALLBACK_IPV6_PREFIX))),
            Self::Hash | Self::None => self,
        };
        coarse.apply(address)
    }
}

/// `text` in which each address and network is replaced by the result of `instead`.
///
/// ```
/// use audit_core::address::replaced;
/// assert_eq!(replaced("--ip=203.0.113.7,2001:db8::/32 --limit=5", |_| "***".to_owned()), "--ip=***,*** --limit=5");
/// ```
#[must_use]
pub fn replaced(text: &str, instead: impl Fn(&str) -> String) -> String {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.bytes().position(is_part) {
        let (before, after) = rest.split_at(begin);
        let length = after.bytes().position(|byte| !is_part(byte)).unwrap_or(after.len());
        let (word, behind) = after.split_at(length);
        result.push_str(before);
        let prefix = behind.strip_prefix('/').map_or(0, |digits| digits.bytes().take(3).take_while(u8::is_ascii_digit).count());
        let whole = if prefix > 0 { after.get(..length.saturating_add(prefix).saturating_add(1)).unwrap_or(word) } else { word };
        // If a letter comes before it, it is the end of a longer word that only looks like an address.
        let bare = word.trim_matches('.');
        rest = if parse(word).is_some() {
            result.push_str(&instead(whole));
            after.get(whole.len()..).unwrap_or_default()
        } else {
            let found = bare.split(':').find(|part| part.parse::<Ipv4Addr>().is_ok());
            match found {
                Some(found) => result.push_str(&word.replace(found, &instead(found))),
                None => result.push_str(word),
            }
            behind
        };
    }
    result.push_str(rest);
    result
}

/// The network that probably belongs to a single peer: an IPv4 `/24`, an IPv6 `/48`.
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

/// The network of `prefix` bits that contains `address`.
fn network(address: IpAddr, prefix: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, prefix).ok().map(|network| IpNet::V4(network.trunc())),
        IpAddr::V6(address) => Ipv6Net::new(address, prefix).ok().map(|network| IpNet::V6(network.trunc())),
    }
}

/// Whether `address` may be in a database of locations, which has no loopback, private and local addresses.
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
    fn addresses_are_found_in_a_text() {
        for (text, hidden) in [
            ("203.0.113.77", "***"),
            ("--ip=203.0.113.77,2001:db8::7 --client=*203.0.113.77*", "--ip=***,*** --client=****"),
            ("--ip=203.0.113.0/24,2001:db8::/32", "--ip=***,***"),
            ("/srv/of-203.0.113.77.json", "/srv/of-***.json"),
            ("[2001:db8::7] 203.0.113.77.", "[***] ***."),
            ("::ffff:203.0.113.77", "***"),
            ("--since=2026-11-24T18:00:00 --limit=5 --type=user-*", "--since=2026-11-24T18:00:00 --limit=5 --type=user-*"),
            ("1.2.3 deadbeef café", "1.2.3 deadbeef café"),
            ("", ""),
        ] {
            assert_eq!(replaced(text, |_| "***".to_owned()).replace("*****", "****"), hidden, "{text}");
        }
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
            (full, "203.0.113.7:51008", Some("203.0.113.7")),
            (full, "203.0.113.7:0", Some("203.0.113.7")),
            (full, "203.0.113.7:65536", None),
            (full, "203.0.113.7:", None),
            (full, "203.0.113.7:+80", None),
            (full, "[203.0.113.7]:51008", None),
            (full, "[2001:db8::7]:51008", Some("2001:db8::7")),
            (full, "[2001:DB8::7]", Some("2001:db8::7")),
            (full, "[2001:db8::7]51008", None),
            (full, "[2001:db8::7", None),
            (full, "[fe80::1%eth0]:51008", Some("fe80::1")),
            (full, "[::ffff:203.0.113.7]:51008", Some("203.0.113.7")),
            (full, "::ffff:203.0.113.7:51008", None),
            (full, "2001:db8:0:1:2:3:4:5:51008", Some("2001:db8:0:1:2:3:4:5")),
            (full, "\"[2001:db8::7]:51008\"", Some("2001:db8::7")),
            (full, "\"203.0.113.7\"", Some("203.0.113.7")),
            (full, "203.0.113.7, 198.51.100.1", None),
            (full, "203.000.113.007", None),
            (full, "unknown", None),
            (Policy::new(Some(24), None), "203.0.113.80:51008", Some("203.0.113.0/24")),
            (Policy::new(Some(24), None), "[2001:db8:1:2::5]:51008", Some("2001:db8:1::/48")),
            (Policy::None, "203.0.113.80:51008", None),
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
            (Policy::None, "203.0.113.80", None),
        ];
        for (policy, text, expected) in rows {
            assert_eq!(stored(*policy, text).as_deref(), *expected, "{text} under {policy:?}");
        }
    }

    #[test]
    fn a_socket_has_no_address_and_that_is_no_fault() {
        for local in ["", "/run/prosody/prosody.sock", "@abstract", "unix:/run/x.sock"] {
            assert!(is_local(local), "{local}");
        }
        for remote in ["203.0.113.7", "unknown", "203.0.113.7;51008", "_hidden"] {
            assert!(!is_local(remote), "{remote}");
        }
    }

    #[test]
    fn a_shape_does_not_reveal_the_text() {
        for (text, expected) in [("203.0.113.7;51008", "999.9.999.9;99999"), ("_Hidden\u{1b}ü日", "_aaaaaa?aa"), ("", "")] {
            assert_eq!(shape(text), expected);
        }
        assert_eq!(shape(&"7".repeat(200)).chars().count(), SHAPE_LIMIT + 1);
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
            (Policy::None, "203.0.113.80", None),
        ] {
            assert_eq!(parse(text).and_then(|address| policy.apply_to_network(address)).as_deref(), expected, "{text} under {policy:?}");
        }
    }

    #[test]
    fn a_stored_address_is_only_shortened_further() {
        let prefix = Policy::prefix(None, None);
        for (policy, stored, expected) in [
            (prefix, "203.0.113.80", Some("203.0.113.0/24")),
            (prefix, "203.0.113.0/24", Some("203.0.113.0/24")),
            (prefix, "203.0.113.80/28", Some("203.0.113.0/24")),
            (prefix, "203.0.0.0/13", Some("203.0.0.0/13")),
            (prefix, "2001:db8:1:2::5", Some("2001:db8:1::/48")),
            (prefix, "2001:db8:1:2::/64", Some("2001:db8:1::/48")),
            (prefix, "::ffff:203.0.113.80", Some("203.0.113.0/24")),
            (Policy::prefix(Some(0), Some(0)), "203.0.113.80", Some("0.0.0.0/0")),
            (Policy::Full, "203.0.113.0/24", Some("203.0.113.0/24")),
            (Policy::None, "203.0.113.80", None),
            (Policy::None, "203.0.113.0/24", None),
            (Policy::Hash, "203.0.113.80", None),
            (prefix, "203.0.113.80/33", Some("203.0.113.0/24")),
            (prefix, "203.0.113.80/x", None),
            (prefix, "somewhere", None),
            (prefix, "", None),
        ] {
            assert_eq!(policy.narrow(stored).as_deref(), expected, "{stored} under {policy:?}");
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
        fn a_port_does_not_change_the_address(v4 in any::<u32>(), v6 in any::<u128>(), port in any::<u16>()) {
            let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
            prop_assert_eq!(parse(&format!("{v4}:{port}")), Some(IpAddr::V4(v4)));
            prop_assert_eq!(parse(&format!("[{v6}]:{port}")), Some(IpAddr::V6(v6).to_canonical()));
        }

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
