//! An attempt, as flood control is asked about it.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use crate::address::{self, network_of};
use crate::alert::engine::Moment;
use crate::alert::host::HostAlerts;
use crate::alert::rules::{Key, Rule, Trigger};
use crate::alert::sentence::{Alert, Origin, What};
use crate::alert::tally::Counted;
use crate::entry::text::clean_jid;
use crate::flood::{Account, FloodEvent};
use crate::random::HashSeed;

/// What is needed of an attempt. Nothing is copied.
pub(super) struct Attempt<'a> {
    event: &'a FloodEvent<'a>,
    /// The hash of the account.
    pub(super) account: Option<u64>,
    address: Option<IpAddr>,
    /// The hash of the network.
    pub(super) network: Option<u64>,
}

impl<'a> Attempt<'a> {
    pub(super) fn of(event: &'a FloodEvent<'a>, host: &str, seed: &HashSeed) -> Self {
        let mut hasher = seed.build_hasher();
        let account = match event.account {
            Account::Unknown | Account::Name(b"") => None,
            Account::Name(name) => {
                [name, b"@", host.as_bytes()].iter().for_each(|part| hasher.write(part));
                Some(hasher.finish())
            }
            Account::Jid(jid) => jid.split(|byte| *byte == b'/').next().filter(|jid| !jid.is_empty() && *jid != b"@").map(|bare| {
                hasher.write(bare);
                hasher.finish()
            }),
        };
        let address = event.address.and_then(|text| address::parse(std::str::from_utf8(text).ok()?));
        let network = address.and_then(network_of).map(|network| seed.hash_one(network));
        Self { event, account, address, network }
    }

    /// The hash of what a rule counts together.
    pub(super) fn key(&self, key: Key, rule: (usize, usize), kind: &str, seed: &HashSeed) -> Option<u64> {
        let part = match key {
            Key::Account => self.account?,
            Key::Network => self.network?,
            Key::AccountAndNetwork => self.account? ^ self.network?.rotate_left(32),
            Key::Type => seed.hash_one(kind),
            Key::Host => 0,
        };
        Some(seed.hash_one((rule, part)))
    }

    /// The account as text.
    pub(super) fn name(&self, host: &str) -> Option<String> {
        match self.event.account {
            Account::Unknown | Account::Name(b"") => None,
            Account::Name(name) => clean_jid(&[name, b"@", host.as_bytes()].concat()).map(std::borrow::Cow::into_owned),
            Account::Jid(jid) => clean_jid(jid).map(std::borrow::Cow::into_owned),
        }
    }

    pub(super) fn raise(&self, host: &mut HostAlerts, rule: &Rule, kind: &str, counted: Counted, time: Moment) {
        let account = self.name(&host.name);
        let network = self.address.and_then(network_of).map(|network| network.to_string());
        let what = match rule.trigger {
            Trigger::Success => What::Guessed,
            Trigger::Accounts => What::Spraying,
            _ if rule.name == "guessing" => What::Guessing { networks: counted.origins },
            _ => What::Events { kind: kind.to_owned() },
        };
        // What differs between events of one key would be misleading.
        let shown = account.clone().filter(|_| rule.trigger != Trigger::Accounts);
        let names = match rule.key {
            Key::Account => [account, None],
            Key::Network => [network, None],
            Key::AccountAndNetwork => [account, network],
            Key::Type => [Some(kind.to_owned()), None],
            Key::Host => [None, None],
        };
        let alert = || Alert {
            rule: rule.name.clone(),
            key: rule.key,
            account: shown,
            origin: self.address.map(Origin::Peer),
            count: u64::from(counted.number),
            since: time.at(counted.since),
            at: time.unix,
            window: rule.window,
            what,
        };
        host.raise(rule, &[names[0].as_deref().unwrap_or_default(), names[1].as_deref().unwrap_or_default()], alert, time);
    }
}
