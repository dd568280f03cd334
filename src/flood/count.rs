//! Events that were counted and not stored.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::distinct::Distinct;
use super::facts::Facts;
use super::many::{Many, Net, Pool};
use super::summary::{FloodSummary, Often, SAMPLES, Sample};
use crate::address::location::Location;
use crate::address::network_of;
use crate::entry::names::Names;
use crate::entry::text::{Kind, clean, clean_jid};

/// Longest text of a sample, in bytes.
pub(super) const SAMPLE_LIMIT: usize = 255;

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

/// The account that all events of a count concern, or the actor who caused all of them.
#[derive(Clone, Debug)]
enum Who {
    One { hash: Option<u64>, jid: Option<String> },
    Various,
}

impl Who {
    fn of(hash: Option<u64>, name: Option<&[u8]>) -> Self {
        Self::One { hash, jid: name.and_then(clean_jid).map(std::borrow::Cow::into_owned) }
    }

    fn is_hash(&self, other: Option<u64>) -> bool {
        matches!(self, Self::One { hash, .. } if *hash == other)
    }

    fn is(&self, other: &Self) -> bool {
        matches!(other, Self::One { hash, .. } if self.is_hash(*hash))
    }

    fn join(&mut self, other: Option<u64>) {
        if !self.is_hash(other) {
            *self = Self::Various;
        }
    }

    fn jid(&self) -> Option<String> {
        if let Self::One { jid, .. } = self { jid.clone() } else { None }
    }
}

/// Where all events of a count came from.
#[derive(Clone, Debug)]
enum PeerOrigin {
    Address(Option<IpAddr>),
    /// The network of this address.
    Network(IpAddr),
    Various,
    /// As another process has described it.
    Stored(Option<String>, Option<Location>),
}

impl PeerOrigin {
    fn network(&self) -> Option<IpNet> {
        match self {
            Self::Address(address) => address.and_then(network_of),
            Self::Network(address) => network_of(*address),
            Self::Various | Self::Stored(..) => None,
        }
    }

    /// Whether both are the same network, or none.
    fn is_of_network(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Various, _) | (_, Self::Various) => false,
            (Self::Stored(a, _), Self::Stored(b, _)) => a == b,
            (Self::Stored(..), _) | (_, Self::Stored(..)) => false,
            _ => self.network() == other.network(),
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
struct SeenSample {
    hash: u64,
    sample: Sample,
    /// What the sample's network is made from, once it is asked for.
    address: Option<IpAddr>,
}

/// A number of events that are one outcome.
#[derive(Clone, Debug)]
pub(super) struct Count {
    /// The id of the entry that says so, from when it is given to be written.
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
    /// Whether the one account is known to exist.
    exists: bool,
    samples: Vec<SeenSample>,
    /// Whether a process that has died began it: then there may have been more.
    restored: bool,
    /// Whether that one had begun to write it.
    offered: bool,
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
        }
    }

    /// A count that another process began. `offset` is what UNIX time has more than this process's clock. With an id, that one had
    /// begun to write it.
    pub(super) fn restored(summary: FloodSummary, outcome: usize, hasher: &RandomState, offset: f64, pool: &mut Pool) -> Option<Self> {
        let id = if summary.id.is_empty() { None } else { Some(Uuid::parse_str(&summary.id).ok()?) };
        let many = restored_many(&summary, hasher, pool);
        let one = |name: Option<String>| Who::One { hash: name.as_ref().map(|name| hasher.hash_one(name.as_bytes())), jid: name };
        let samples = summary.samples.into_iter().take(SAMPLES);
        Some(Self {
            id,
            outcome,
            number: summary.count,
            first: summary.first - offset,
            last: summary.last - offset,
            who: if summary.user.is_none() && summary.accounts > 0 { Who::Various } else { one(summary.user) },
            origin: PeerOrigin::Stored(summary.remote_ip, summary.location),
            actor: if summary.actor.is_none() && summary.actors > 0 { Who::Various } else { one(summary.actor) },
            accounts: Distinct::restored(summary.accounts, summary.distinct_at_least),
            networks: Distinct::restored(summary.networks, summary.distinct_at_least),
            actors: Distinct::restored(summary.actors, summary.distinct_at_least),
            many,
            exists: summary.exists,
            samples: samples.map(|sample| SeenSample { hash: 0, sample, address: None }).collect(),
            restored: true,
            offered: id.is_some(),
        })
    }

    /// Counts one more. Gives whether it should be asked if there is such an account, which is done for what came before.
    pub(super) fn add(&mut self, facts: &Facts<'_>, now: f64, hasher: &RandomState, pool: &mut Pool) -> bool {
        let network_hash = facts.network.map(|network| hasher.hash_one(network));
        if self.many.is_none() && self.number > 0 && self.differs(facts) {
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
        // An account that all is about is asked for once.
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
                let condition = condition.map(|text| shortened(clean(text, Kind::Attribute).into_owned()));
                self.samples.push(SeenSample { hash, sample: Sample { user, network: None, condition }, address: facts.address });
            }
        }
        asks
    }

    /// Says that there is an account of that name: it is told apart from all that may be noise.
    pub(super) fn exists(&mut self, hash: u64, name: &[u8], pool: &mut Pool) {
        match &mut self.many {
            Some(many) => many.exists(hash, name, pool),
            None => self.exists |= self.who.is_hash(Some(hash)),
        }
    }

    /// Takes what another one has counted. Neither may have an id: what was written under it can't be unwritten.
    pub(super) fn absorb(&mut self, mut other: Self, hasher: &RandomState, pool: &mut Pool) {
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

    /// Whether another process has begun to write it.
    pub(super) const fn is_offered(&self) -> bool {
        self.offered
    }

    /// The network that all of it came from, where that is one.
    pub(super) fn network(&self) -> Option<IpNet> {
        self.origin.network()
    }

    /// What it holds of what all counts share.
    pub(super) fn pooled(&self) -> Pool {
        let hashes = [self.accounts.pooled(), self.networks.pooled(), self.actors.pooled()].into_iter().fold(0, usize::saturating_add);
        Pool { hashes, names: self.many.as_ref().map_or(0, |many| many.pooled()) }
    }

    /// Whether an event is not about the same account, network and actor as all before it.
    fn differs(&self, facts: &Facts<'_>) -> bool {
        let is_of_network = match &self.origin {
            PeerOrigin::Address(address) if *address == facts.address => true,
            origin => origin.network() == facts.network,
        };
        !(is_of_network && self.who.is_hash(facts.user_hash) && self.actor.is_hash(facts.actor_hash))
    }

    /// Who and what has been counted, as long as it is always the same.
    fn so_far(&self, hasher: &RandomState, pool: &mut Pool) -> Many {
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

    /// The entry that says what was counted, but for its type and source.
    pub(super) fn summary(&self, offset: f64, describe: &dyn Fn(IpAddr, Part) -> Described) -> FloodSummary {
        let (remote_ip, location) = match &self.origin {
            PeerOrigin::Address(Some(address)) => describe(*address, Part::Address),
            PeerOrigin::Network(address) => describe(*address, Part::Network),
            PeerOrigin::Stored(remote_ip, location) => (remote_ip.clone(), location.clone()),
            PeerOrigin::Address(None) | PeerOrigin::Various => (None, None),
        };
        let ((accounts, more_accounts), (networks, more_networks)) = (self.accounts.number(), self.networks.number());
        let samples = self.samples.iter().map(|seen| {
            let network = seen.address.map_or_else(|| seen.sample.network.clone(), |address| describe(address, Part::NetworkAlone).0);
            Sample { network, ..seen.sample.clone() }
        });
        let (mut often, mut others, mut names) = (Vec::new(), false, None);
        if let Some(many) = &self.many {
            if matches!(self.who, Who::Various) {
                (often, others, names) = many.accounts();
            }
            if matches!(self.origin, PeerOrigin::Various) {
                often.extend(many.networks(|address| describe(address, Part::NetworkAlone).0));
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
            first: self.first + offset,
            last: self.last + offset,
            accounts,
            networks,
            at_least: self.restored,
            distinct_at_least: more_accounts || more_networks,
            samples: samples.collect(),
            ..FloodSummary::default()
        }
    }
}

/// Who and what a count was about that another process began.
fn restored_many(summary: &FloodSummary, hasher: &RandomState, pool: &mut Pool) -> Option<Box<Many>> {
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
        // A version before this one named nobody.
        None if summary.others || is_various && named == 0 => many.add_unknown(rest, pool),
        None => {}
    }
    Some(Box::new(many))
}

pub(super) fn shortened(mut text: String) -> String {
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
