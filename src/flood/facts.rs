//! What counting needs to know about an event.

use std::hash::BuildHasher;
use std::net::IpAddr;

use ipnet::IpNet;

use super::event::{Account, FloodEvent};
use crate::address::{self, network_of};
use crate::random::HashSeed;

/// What counting needs to know about an event.
pub(super) struct Facts<'a> {
    pub(super) user: Option<&'a [u8]>,
    pub(super) user_hash: Option<u64>,
    pub(super) address: Option<IpAddr>,
    pub(super) network: Option<IpNet>,
    pub(super) condition: Option<&'a [u8]>,
    pub(super) actor: Option<&'a [u8]>,
    pub(super) actor_hash: Option<u64>,
}

impl<'a> Facts<'a> {
    /// Reads an event. `buffer` holds the JID if the event only has the account's name on `host`.
    pub(super) fn of(event: &FloodEvent<'a>, host: &str, buffer: &'a mut Vec<u8>, hasher: &HashSeed) -> Self {
        let jid = match event.account {
            Account::Unknown | Account::Name(b"") => None,
            Account::Jid(jid) => Some(jid),
            Account::Name(name) => {
                buffer.clear();
                for part in [name, b"@", host.as_bytes()] {
                    buffer.extend_from_slice(part);
                }
                Some(buffer.as_slice())
            }
        };
        // The bare JID, as clean_jid would store it.
        let user = jid.and_then(|user| user.split(|byte| *byte == b'/').next()).filter(|user| !user.is_empty() && *user != b"@");
        let address = event.address.and_then(|text| address::parse(std::str::from_utf8(text).ok()?));
        let bare = |jid: &'a [u8]| jid.split(|byte| *byte == b'/').next().filter(|jid| !jid.is_empty());
        let actor = event.actor.and_then(bare);
        Self {
            user,
            user_hash: user.map(|user| hasher.hash_one(user)),
            address,
            network: address.and_then(network_of),
            condition: event.condition,
            actor,
            actor_hash: actor.map(|actor| hasher.hash_one(actor)),
        }
    }

    /// The hash of the actor. If there is none, that of the account.
    pub(super) fn who_hash(&self) -> Option<u64> {
        self.actor_hash.or(self.user_hash)
    }

    /// The hash of the group that the peer belongs to. That is its network, unless the address is not public, such as that of a
    /// proxy. Without an address it is the actor's server, unless that is `host`.
    pub(super) fn group_hash(&self, host: &str, hasher: &HashSeed) -> Option<u64> {
        if let Some(address) = self.address {
            return self.network.filter(|_| address::is_public(address)).map(|network| hasher.hash_one(network));
        }
        let domain = self.actor.and_then(|actor| actor.rsplit(|byte| *byte == b'@').next().filter(|domain| domain.len() < actor.len()));
        domain.filter(|domain| *domain != host.as_bytes()).map(|domain| hasher.hash_one(domain))
    }
}
