//! A number of events that were counted and not stored.

use std::hash::BuildHasher;
use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::distinct::Distinct;
use super::facts::Facts;
use super::many::{Many, Net, Pool};
use super::origin::{PeerOrigin, Who};
use super::summary::{FloodSummary, Often, SAMPLES, Sample, shortened};
use crate::address::location::Location;
use crate::address::network_of;
use crate::entry::names::Names;
use crate::entry::text::{TextKind, clean, clean_jid};
use crate::random::HashSeed;

/// Which part of an address to describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPart {
    /// The address itself.
    Address,
    /// Its network.
    Network,
    /// Its network, without a location.
    NetworkAlone,
}

/// What the host's policy stores of an address, and the location.
pub type Described = (Option<String>, Option<Location>);

#[derive(Clone, Debug)]
struct SeenSample {
    hash: u64,
    sample: Sample,
    /// The address from which the sample's network is made when it is needed.
    address: Option<IpAddr>,
}

/// A number of events of one outcome.
#[derive(Clone, Debug)]
pub(super) struct Count {
    /// The id of the summary, once the summary has been returned to be stored.
    pub(super) id: Option<Uuid>,
    pub(super) outcome: usize,
    pub(super) number: u64,
    first: f64,
    last: f64,
    who: Who,
    origin: PeerOrigin,
    actor: Who,
    accounts: Distinct,
    networks: Distinct,
    actors: Distinct,
    many: Option<Box<Many>>,
    /// Whether the account is known to exist, if there is only one.
    exists: bool,
    samples: Vec<SeenSample>,
    /// Whether the previous process began this count. Then there may have been more events.
    restored: bool,
    /// Whether the previous process may have stored the summary.
    offered: bool,
    /// The times of the first and last event in that summary, in UNIX seconds. It must stay as it is, also if the clock jumps.
    told: Option<(f64, f64)>,
}

impl Count {
    pub(super) fn new(outcome: usize, facts: &Facts<'_>, now: f64) -> Self {
        Self {
            id: None,
            outcome,
            number: 0,
            first: now,
            last: now,
            who: Who::of(facts.user_hash, facts.user),
            origin: PeerOrigin::Address(facts.address),
            actor: Who::of(facts.actor_hash, facts.actor),
            accounts: Distinct::default(),
            networks: Distinct::default(),
            actors: Distinct::default(),
            many: None,
            exists: false,
            samples: Vec::new(),
            restored: false,
            offered: false,
            told: None,
        }
    }

    /// A count from the checkpoint of the previous process. `offset` is UNIX time minus this process's clock, in seconds. If the
    /// summary has an id, it may have been stored already.
    pub(super) fn restored(summary: FloodSummary, outcome: usize, hasher: &HashSeed, offset: f64, pool: &mut Pool) -> Option<Self> {
        let id = if summary.id.is_empty() { None } else { Some(Uuid::parse_str(&summary.id).ok()?) };
        let many = restored_many(&summary, hasher, pool);
        let has_networks = summary.often.iter().any(|often| often.network.is_some());
        let one = |name: Option<String>| Who::One { hash: name.as_ref().map(|name| hasher.hash_one(name.as_bytes())), jid: name };
        let samples = summary.samples.into_iter().take(SAMPLES);
        Some(Self {
            id,
            outcome,
            number: summary.count,
            first: summary.first - offset,
            last: summary.last - offset,
            who: if summary.user.is_none() && summary.accounts > 0 { Who::Various } else { one(summary.user) },
            origin: if has_networks { PeerOrigin::Various } else { PeerOrigin::Stored(summary.remote_ip, summary.location) },
            actor: if summary.actor.is_none() && summary.actors > 0 { Who::Various } else { one(summary.actor) },
            accounts: Distinct::restored(summary.accounts, summary.distinct_at_least),
            networks: Distinct::restored(summary.networks, summary.distinct_at_least),
            actors: Distinct::restored(summary.actors, summary.distinct_at_least),
            many,
            exists: summary.exists,
            samples: samples.map(|sample| SeenSample { hash: 0, sample, address: None }).collect(),
            restored: true,
            offered: id.is_some(),
            told: id.map(|_| (summary.first, summary.last)),
        })
    }

    /// Counts an event. Returns whether the caller should check that its account exists. That is only asked for an account that has
    /// come before.
    pub(super) fn add(&mut self, facts: &Facts<'_>, now: f64, hasher: &HashSeed, pool: &mut Pool) -> bool {
        let network_hash = facts.network.map(|network| hasher.hash_one(network));
        if self.many.is_none() && self.differs(facts) {
            self.many = Some(Box::new(self.so_far(hasher, pool)));
        }
        self.number = self.number.saturating_add(1);
        self.first = self.first.min(now);
        self.last = self.last.max(now);
        self.who.join(facts.user_hash);
        self.actor.join(facts.actor_hash);
        if !matches!(&self.origin, PeerOrigin::Address(address) if *address == facts.address) {
            self.origin.join(&PeerOrigin::Address(facts.address));
        }
        let is_known = facts.user_hash.is_some_and(|hash| self.accounts.insert(hash, &mut pool.hashes));
        if let Some(hash) = network_hash {
            self.networks.insert(hash, &mut pool.hashes);
        }
        if let Some(hash) = facts.actor_hash {
            self.actors.insert(hash, &mut pool.hashes);
        }
        // If all events are about one account, it is asked for once.
        let mut asks = self.number == 2 && self.many.is_none() && facts.user_hash.is_some();
        if let Some(many) = &mut self.many {
            if let Some((hash, name)) = facts.user_hash.zip(facts.user) {
                asks = many.add_account(hash, name, 1, pool) && is_known;
            }
            if let Some((hash, address)) = network_hash.zip(facts.address) {
                many.add_network(hash, 1, pool, || Net::Of(address));
            }
            if let Some((hash, name)) = facts.actor_hash.zip(facts.actor) {
                many.add_actor(hash, name, 1, pool);
            }
        }
        if self.samples.len() < SAMPLES {
            let hash = hasher.hash_one((facts.user_hash, facts.network, facts.condition));
            if self.samples.iter().all(|seen| seen.hash != hash) {
                let user = facts.user.and_then(clean_jid).map(|user| shortened(user.into_owned()));
                let condition = facts.condition.filter(|text| !text.is_empty());
                let condition = condition.map(|text| shortened(clean(text, TextKind::Attribute).into_owned()));
                self.samples.push(SeenSample { hash, sample: Sample { user, network: None, condition }, address: facts.address });
            }
        }
        asks
    }

    /// Notes that an account exists. It is kept apart from names that may be made up.
    pub(super) fn exists(&mut self, hash: u64, name: &[u8], pool: &mut Pool) {
        match &mut self.many {
            Some(many) => many.exists(hash, name, pool),
            None => self.exists |= self.who.is_hash(Some(hash)),
        }
    }

    /// Merges another count into this one. Neither may have an id, because its summary may be stored already.
    pub(super) fn absorb(&mut self, mut other: Self, hasher: &HashSeed, pool: &mut Pool) {
        let is_same = self.who.is(&other.who) && self.actor.is(&other.actor) && self.origin.is_of_network(&other.origin);
        if !is_same || self.many.is_some() || other.many.is_some() {
            let own = self.many.take().unwrap_or_else(|| Box::new(self.so_far(hasher, pool)));
            let others = other.many.take().unwrap_or_else(|| Box::new(other.so_far(hasher, pool)));
            self.many.insert(own).absorb(*others, pool);
        }
        self.number = self.number.saturating_add(other.number);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (own, its) in [(&mut self.who, &other.who), (&mut self.actor, &other.actor)] {
            if !own.is(its) {
                *own = Who::Various;
            }
        }
        self.origin.join(&other.origin);
        self.accounts.absorb(other.accounts, &mut pool.hashes);
        self.networks.absorb(other.networks, &mut pool.hashes);
        self.actors.absorb(other.actors, &mut pool.hashes);
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.into_iter().take(room));
        self.restored |= other.restored;
    }

    /// Whether the previous process may have stored the summary.
    pub(super) const fn is_offered(&self) -> bool {
        self.offered
    }

    /// The network of all its events. Returns `None` if there are several or none.
    pub(super) fn network(&self) -> Option<IpNet> {
        self.origin.network()
    }

    /// How much it has taken from the pool.
    pub(super) fn pooled(&self) -> Pool {
        let hashes = [self.accounts.pooled(), self.networks.pooled(), self.actors.pooled()].into_iter().fold(0, usize::saturating_add);
        Pool { hashes, names: self.many.as_ref().map_or(0, |many| many.pooled()) }
    }

    /// Whether the account, network or actor of an event differs from that of the events before.
    fn differs(&self, facts: &Facts<'_>) -> bool {
        !(self.origin.network() == facts.network && self.who.is_hash(facts.user_hash) && self.actor.is_hash(facts.actor_hash))
    }

    /// The account, network and actor of the events so far, which are all the same.
    fn so_far(&self, hasher: &HashSeed, pool: &mut Pool) -> Many {
        let mut many = Many::default();
        match &self.who {
            Who::One { hash: Some(hash), jid: Some(jid) } => {
                many.add_account(*hash, jid.as_bytes(), self.number, pool);
                if self.exists {
                    many.exists(*hash, jid.as_bytes(), pool);
                }
            }
            Who::One { hash: None, .. } => {}
            Who::One { .. } | Who::Various => many.add_unknown(self.number, pool),
        }
        if let Who::One { hash: Some(hash), jid: Some(jid) } = &self.actor {
            many.add_actor(*hash, jid.as_bytes(), self.number, pool);
        }
        match &self.origin {
            PeerOrigin::Address(Some(address)) | PeerOrigin::Network(address) => {
                if let Some(network) = network_of(*address) {
                    many.add_network(hasher.hash_one(network), self.number, pool, || Net::Of(*address));
                }
            }
            PeerOrigin::Stored(Some(text), _) => many.add_network(hasher.hash_one(text), self.number, pool, || Net::Stored(text.clone())),
            PeerOrigin::Address(None) | PeerOrigin::Various | PeerOrigin::Stored(None, _) => {}
        }
        many
    }

    /// The summary, without the type and the source.
    pub(super) fn summary(&self, offset: f64, describe: &dyn Fn(IpAddr, AddressPart) -> Described) -> FloodSummary {
        let (remote_ip, location) = match &self.origin {
            PeerOrigin::Address(Some(address)) => describe(*address, AddressPart::Address),
            PeerOrigin::Network(address) => describe(*address, AddressPart::Network),
            PeerOrigin::Stored(remote_ip, location) => (remote_ip.clone(), location.clone()),
            PeerOrigin::Address(None) | PeerOrigin::Various => (None, None),
        };
        let (first, last) = self.told.unwrap_or((self.first + offset, self.last + offset));
        let ((accounts, more_accounts), (networks, more_networks)) = (self.accounts.number(), self.networks.number());
        let samples = self.samples.iter().map(|seen| {
            let network =
                seen.address.map_or_else(|| seen.sample.network.clone(), |address| describe(address, AddressPart::NetworkAlone).0);
            Sample { network, ..seen.sample.clone() }
        });
        let (mut often, mut others, mut names) = (Vec::new(), false, None);
        if let Some(many) = &self.many {
            if matches!(self.who, Who::Various) {
                (often, others, names) = many.accounts();
            }
            if matches!(self.origin, PeerOrigin::Various) {
                often.extend(many.networks(|address| describe(address, AddressPart::NetworkAlone).0));
            }
            if matches!(self.actor, Who::Various) {
                often.extend(many.actors());
            }
        }
        FloodSummary {
            id: self.id.map(|id| id.hyphenated().to_string()).unwrap_or_default(),
            offered: self.is_offered(),
            actor: self.actor.jid(),
            actors: self.actors.number().0,
            often,
            others,
            names,
            exists: self.exists && matches!(self.who, Who::One { .. }),
            user: self.who.jid(),
            remote_ip,
            location,
            count: self.number,
            first,
            last,
            accounts,
            networks,
            at_least: self.restored,
            distinct_at_least: more_accounts || more_networks,
            samples: samples.collect(),
            ..FloodSummary::default()
        }
    }
}

/// The accounts, networks and actors of a summary from a checkpoint.
fn restored_many(summary: &FloodSummary, hasher: &HashSeed, pool: &mut Pool) -> Option<Box<Many>> {
    let is_various = summary.user.is_none() && summary.accounts > 0;
    if !is_various && summary.often.is_empty() {
        return None;
    }
    let mut many = Many::default();
    let mut named: u64 = 0;
    for Often { user, network, actor, count, exists } in &summary.often {
        if let Some(user) = user {
            let hash = hasher.hash_one(user.as_bytes());
            many.add_account(hash, user.as_bytes(), *count, pool);
            if *exists {
                many.exists(hash, user.as_bytes(), pool);
            }
            named = named.saturating_add(*count);
        }
        if let Some(network) = network {
            many.add_network(hasher.hash_one(network), *count, pool, || Net::Stored(network.clone()));
        }
        if let Some(actor) = actor {
            many.add_actor(hasher.hash_one(actor.as_bytes()), actor.as_bytes(), *count, pool);
        }
    }
    let rest = summary.count.saturating_sub(named);
    match summary.names.as_deref().and_then(Names::read) {
        Some(names) => many.add_names(&names, rest, pool),
        // The first version did not save any names.
        None if summary.others || is_various && named == 0 => many.add_unknown(rest, pool),
        None => {}
    }
    Some(Box::new(many))
}
