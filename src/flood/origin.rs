//! Who caused the events of a count, and where they came from.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::location::Location;
use crate::address::network_of;
use crate::entry::text::clean_jid;

/// The account or the actor of all events of a count.
#[derive(Clone, Debug)]
pub(super) enum Who {
    One { hash: Option<u64>, jid: Option<String> },
    Various,
}

impl Who {
    pub(super) fn of(hash: Option<u64>, name: Option<&[u8]>) -> Self {
        Self::One { hash, jid: name.and_then(clean_jid).map(std::borrow::Cow::into_owned) }
    }

    pub(super) fn is_hash(&self, other: Option<u64>) -> bool {
        matches!(self, Self::One { hash, .. } if *hash == other)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        matches!(other, Self::One { hash, .. } if self.is_hash(*hash))
    }

    pub(super) fn join(&mut self, other: Option<u64>) {
        if !self.is_hash(other) {
            *self = Self::Various;
        }
    }

    pub(super) fn jid(&self) -> Option<String> {
        if let Self::One { jid, .. } = self { jid.clone() } else { None }
    }
}

/// The address or network of all events of a count.
#[derive(Clone, Debug)]
pub(super) enum PeerOrigin {
    Address(Option<IpAddr>),
    /// The network of this address.
    Network(IpAddr),
    Various,
    /// The text and the location that the previous process saved.
    Stored(Option<String>, Option<Location>),
}

impl PeerOrigin {
    pub(super) fn network(&self) -> Option<IpNet> {
        match self {
            Self::Address(address) => address.and_then(network_of),
            Self::Network(address) => network_of(*address),
            Self::Various | Self::Stored(..) => None,
        }
    }

    /// Whether both are in the same network, or both have none.
    pub(super) fn is_of_network(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Various, _) | (_, Self::Various) => false,
            (Self::Stored(a, _), Self::Stored(b, _)) => a == b,
            (Self::Stored(..), _) | (_, Self::Stored(..)) => false,
            _ => self.network() == other.network(),
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        *self = match (&*self, other) {
            (Self::Address(a), Self::Address(b)) if a == b => return,
            (Self::Stored(a, _), Self::Stored(b, _)) if a == b => return,
            (Self::Address(Some(a)) | Self::Network(a), other) if network_of(*a) == other.network() => Self::Network(*a),
            _ => Self::Various,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> PeerOrigin {
        PeerOrigin::Address(text.parse().ok())
    }

    fn network(text: &str) -> PeerOrigin {
        PeerOrigin::Network(text.parse().unwrap())
    }

    fn stored(text: Option<&str>) -> PeerOrigin {
        PeerOrigin::Stored(text.map(ToOwned::to_owned), None)
    }

    /// Two origins, whether they are of one network, and what they are together.
    #[test]
    fn what_two_origins_are_together() {
        let various = || PeerOrigin::Various;
        for (one, other, is_of_network, expected) in [
            (address("203.0.113.1"), address("203.0.113.1"), true, address("203.0.113.1")),
            (address("203.0.113.1"), address("203.0.113.2"), true, network("203.0.113.1")),
            (address("203.0.113.1"), address("198.51.100.7"), false, various()),
            (address("203.0.113.1"), address("none"), false, various()),
            (address("none"), address("none"), true, address("none")),
            (network("203.0.113.1"), address("203.0.113.2"), true, network("203.0.113.1")),
            (network("203.0.113.1"), network("198.51.100.7"), false, various()),
            (various(), various(), false, various()),
            (various(), address("none"), false, various()),
            (address("none"), various(), false, various()),
            (stored(Some("203.0.113.0/24")), stored(Some("203.0.113.0/24")), true, stored(Some("203.0.113.0/24"))),
            (stored(Some("203.0.113.0/24")), stored(Some("198.51.100.0/24")), false, various()),
            (stored(None), stored(None), true, stored(None)),
            (stored(None), address("none"), false, various()),
            (address("none"), stored(None), false, various()),
        ] {
            let name = format!("{one:?} and {other:?}");
            assert_eq!(one.is_of_network(&other), is_of_network, "{name}");
            let mut both = one;
            both.join(&other);
            assert_eq!(format!("{both:?}"), format!("{expected:?}"), "{name}");
        }
    }
}
