//! Events that were counted and not stored.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::distinct::Distinct;
use super::summary::{SAMPLES, Sample, Summary};
use super::{Account, Event};
use crate::address::{self, network_of};
use crate::location::Location;
use crate::text::{Kind, clean, clean_jid};

/// Longest text of a sample, in bytes.
const SAMPLE_LIMIT: usize = 255;

/// What is needed of an event to count it.
pub(super) struct Facts<'a> {
    user: Option<&'a [u8]>,
    pub(super) user_hash: Option<u64>,
    pub(super) address: Option<IpAddr>,
    pub(super) network: Option<IpNet>,
    condition: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    /// `buffer` takes the JID of an account that is known by its name on `host`.
    pub(super) fn of(event: &Event<'a>, host: &str, buffer: &'a mut Vec<u8>, hasher: &RandomState) -> Self {
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
        // The bare JID, as it would be stored; see clean_jid.
        let user = jid.and_then(|user| user.split(|byte| *byte == b'/').next()).filter(|user| !user.is_empty() && *user != b"@");
        let address = event.address.and_then(|text| address::parse(std::str::from_utf8(text).ok()?));
        Self {
            user,
            user_hash: user.map(|user| hasher.hash_one(user)),
            address,
            network: address.and_then(network_of),
            condition: event.condition,
        }
    }
}

/// How much of an address is to be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The address itself.
    Address,
    /// The network that it lies in.
    Network,
    /// The network alone, without its place.
    NetworkAlone,
}

/// What is stored of an address, as the host's policy has it, and its place.
pub type Described = (Option<String>, Option<Location>);

/// The account that all events of a count concern.
#[derive(Clone, Debug)]
enum Who {
    One { hash: Option<u64>, jid: Option<String> },
    Various,
}

/// Where all events of a count came from.
#[derive(Clone, Debug)]
enum Origin {
    Address(Option<IpAddr>),
    /// The network of this address.
    Network(IpAddr),
    Various,
    /// As another process has described it.
    Stored(Option<String>, Option<Location>),
}

impl Origin {
    fn network(&self) -> Option<IpNet> {
        match self {
            Self::Address(address) => address.and_then(network_of),
            Self::Network(address) => network_of(*address),
            Self::Various | Self::Stored(..) => None,
        }
    }

    fn join(&mut self, other: &Self) {
        *self = match (&*self, other) {
            (Self::Address(a), Self::Address(b)) if a == b => return,
            (Self::Stored(a, _), Self::Stored(b, _)) if a == b => return,
            (Self::Address(Some(a)) | Self::Network(a), other) if network_of(*a) == other.network() => Self::Network(*a),
            _ => Self::Various,
        };
    }
}

#[derive(Clone, Debug)]
struct Seen {
    hash: u64,
    sample: Sample,
    /// What the sample's network is made from, once it is asked for.
    address: Option<IpAddr>,
}

/// A number of events that are one outcome, under the id of the entry that will say so.
#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) id: Uuid,
    pub(super) outcome: usize,
    pub(super) number: u64,
    first: f64,
    last: f64,
    who: Who,
    origin: Origin,
    accounts: Distinct,
    networks: Distinct,
    samples: Vec<Seen>,
    /// Whether a process that has died began it: then there may have been more.
    restored: bool,
}

impl Count {
    pub(super) fn new(id: Uuid, outcome: usize, facts: &Facts<'_>, now: f64) -> Self {
        let jid = facts.user.and_then(clean_jid).map(std::borrow::Cow::into_owned);
        Self {
            id,
            outcome,
            number: 0,
            first: now,
            last: now,
            who: Who::One { hash: facts.user_hash, jid },
            origin: Origin::Address(facts.address),
            accounts: Distinct::default(),
            networks: Distinct::default(),
            samples: Vec::new(),
            restored: false,
        }
    }

    /// A count that another process began. `offset` is what UNIX time has more than this process's clock.
    pub(super) fn restored(summary: Summary, outcome: usize, hasher: &RandomState, offset: f64) -> Option<Self> {
        let samples = summary.samples.into_iter().take(SAMPLES);
        Some(Self {
            id: Uuid::parse_str(&summary.id).ok()?,
            outcome,
            number: summary.count,
            first: summary.first - offset,
            last: summary.last - offset,
            who: if summary.user.is_none() && summary.accounts > 0 {
                Who::Various
            } else {
                Who::One { hash: summary.user.as_ref().map(|user| hasher.hash_one(user.as_bytes())), jid: summary.user }
            },
            origin: Origin::Stored(summary.remote_ip, summary.location),
            accounts: Distinct::restored(summary.accounts, summary.distinct_at_least),
            networks: Distinct::restored(summary.networks, summary.distinct_at_least),
            samples: samples.map(|sample| Seen { hash: 0, sample, address: None }).collect(),
            restored: true,
        })
    }

    pub(super) fn add(&mut self, facts: &Facts<'_>, now: f64, hasher: &RandomState, pool: &mut usize) {
        self.number = self.number.saturating_add(1);
        self.first = self.first.min(now);
        self.last = self.last.max(now);
        if matches!(self.who, Who::One { hash, .. } if hash != facts.user_hash) {
            self.who = Who::Various;
        }
        if !matches!(&self.origin, Origin::Address(address) if *address == facts.address) {
            self.origin.join(&Origin::Address(facts.address));
        }
        if let Some(hash) = facts.user_hash {
            self.accounts.insert(hash, pool);
        }
        if let Some(network) = facts.network {
            self.networks.insert(hasher.hash_one(network), pool);
        }
        if self.samples.len() < SAMPLES {
            let hash = hasher.hash_one((facts.user_hash, facts.network, facts.condition));
            if self.samples.iter().all(|seen| seen.hash != hash) {
                let user = facts.user.and_then(clean_jid).map(|user| shortened(user.into_owned()));
                let condition = facts.condition.filter(|text| !text.is_empty());
                let condition = condition.map(|text| shortened(clean(text, Kind::Attribute).into_owned()));
                self.samples.push(Seen { hash, sample: Sample { user, network: None, condition }, address: facts.address });
            }
        }
    }

    /// Takes what another one has counted. Its id is forgotten.
    pub(super) fn absorb(&mut self, other: Self, pool: &mut usize) {
        self.number = self.number.saturating_add(other.number);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        let same = matches!((&self.who, &other.who), (Who::One { hash: a, .. }, Who::One { hash: b, .. }) if a == b);
        if !same {
            self.who = Who::Various;
        }
        self.origin.join(&other.origin);
        self.accounts.absorb(other.accounts, pool);
        self.networks.absorb(other.networks, pool);
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.into_iter().take(room));
        self.restored |= other.restored;
    }

    /// The network that all of it came from, where that is one.
    pub(super) fn network(&self) -> Option<IpNet> {
        self.origin.network()
    }

    /// How many hashes it holds of those that all counts share.
    pub(super) fn pooled(&self) -> usize {
        self.accounts.pooled().saturating_add(self.networks.pooled())
    }

    /// The entry that says what was counted, but for its type and source.
    pub(super) fn summary(&self, offset: f64, describe: &dyn Fn(IpAddr, Part) -> Described) -> Summary {
        let (remote_ip, location) = match &self.origin {
            Origin::Address(Some(address)) => describe(*address, Part::Address),
            Origin::Network(address) => describe(*address, Part::Network),
            Origin::Stored(remote_ip, location) => (remote_ip.clone(), location.clone()),
            Origin::Address(None) | Origin::Various => (None, None),
        };
        let ((accounts, more_accounts), (networks, more_networks)) = (self.accounts.number(), self.networks.number());
        let samples = self.samples.iter().map(|seen| {
            let network = seen.address.map_or_else(|| seen.sample.network.clone(), |address| describe(address, Part::NetworkAlone).0);
            Sample { network, ..seen.sample.clone() }
        });
        Summary {
            id: self.id.hyphenated().to_string(),
            user: if let Who::One { jid, .. } = &self.who { jid.clone() } else { None },
            remote_ip,
            location,
            count: self.number,
            first: self.first + offset,
            last: self.last + offset,
            accounts,
            networks,
            at_least: self.restored,
            distinct_at_least: more_accounts || more_networks,
            samples: samples.collect(),
            ..Summary::default()
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > SAMPLE_LIMIT {
        let mut end = SAMPLE_LIMIT.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
