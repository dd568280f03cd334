//! The accounts, networks and actors of a count, if there are several.

use std::net::IpAddr;

use super::distinct;
use super::frequent::{self, Counted, Frequent};
use super::summary::{Often, SAMPLE_LIMIT, shortened};
use crate::entry::names::Names;
use crate::entry::text::clean_jid;

/// How much more all counts together may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Hashes of eight bytes.
    pub(super) hashes: usize,
    /// Names of accounts, networks and actors, each with its count.
    pub(super) names: usize,
}

impl Pool {
    pub(super) const FULL: Self = Self { hashes: distinct::POOL, names: frequent::POOL };
}

/// A filter uses as much memory as this many names.
const FILTER: usize = 32;

/// A name as it is stored in an entry. A query for the account uses the same form.
#[derive(Clone, Debug)]
struct Name {
    text: Box<str>,
    /// Whether the caller was asked if the account exists.
    asked: bool,
}

impl Name {
    fn new(bytes: &[u8]) -> Self {
        Self { text: clean_jid(bytes).unwrap_or_default().into(), asked: false }
    }
}

/// A network.
#[derive(Clone, Debug)]
pub(super) enum Net {
    /// The network of this address.
    Of(IpAddr),
    /// The text that the previous process saved.
    Stored(String),
}

/// The accounts that are not named one by one.
#[derive(Clone, Debug, Default)]
enum Unnamed {
    /// There are no others.
    #[default]
    None,
    /// A set of all accounts, including those that are named.
    Filter(Box<Names>),
    /// There may be any other accounts.
    Unknown,
}

/// The accounts, networks and actors of a count, with how often each came.
#[derive(Clone, Debug, Default)]
pub(super) struct Many {
    /// Accounts that are known to exist. Made-up names can't push them out.
    existing: Frequent<Name>,
    accounts: Frequent<Name>,
    others: Unnamed,
    networks: Frequent<Net>,
    actors: Frequent<Name>,
}

impl Many {
    /// Counts events of an account. Returns whether the caller should check that the account exists.
    pub(super) fn add_account(&mut self, hash: u64, name: &[u8], count: u64, pool: &mut Pool) -> bool {
        if let Some(known) = self.existing.get_mut(hash) {
            known.count = known.count.saturating_add(count);
            return false;
        }
        if let Some(known) = self.accounts.get_mut(hash) {
            known.count = known.count.saturating_add(count);
            return !std::mem::replace(&mut known.value.asked, true);
        }
        if self.accounts.len() >= frequent::KEPT || pool.names == 0 {
            self.filter(pool);
        }
        let name = Name::new(name);
        if let Unnamed::Filter(names) = &mut self.others {
            names.insert(&name.text);
        }
        self.accounts.add(hash, count, &mut pool.names, || name);
        true
    }

    /// Notes that an account exists.
    pub(super) fn exists(&mut self, hash: u64, name: &[u8], pool: &mut Pool) {
        if self.existing.get_mut(hash).is_some() {
            return;
        }
        // This comes first, so that the set has this account too.
        if self.existing.len() >= frequent::KEPT || pool.names == 0 {
            self.filter(pool);
        }
        let counted = self.accounts.remove(hash, &mut pool.names).map_or(1, |known| known.count);
        self.existing.add(hash, counted, &mut pool.names, || Name::new(name));
    }

    pub(super) fn add_network(&mut self, hash: u64, count: u64, pool: &mut Pool, net: impl FnOnce() -> Net) {
        self.networks.add(hash, count, &mut pool.names, net);
    }

    pub(super) fn add_actor(&mut self, hash: u64, name: &[u8], count: u64, pool: &mut Pool) {
        self.actors.add(hash, count, &mut pool.names, || Name::new(name));
    }

    /// Counts events of accounts whose names are not known.
    pub(super) fn add_unknown(&mut self, count: u64, pool: &mut Pool) {
        self.accounts.miss(count);
        self.give_back_filter(pool);
        self.others = Unnamed::Unknown;
    }

    /// Counts events of accounts that are only in the set `names`.
    pub(super) fn add_names(&mut self, names: &Names, count: u64, pool: &mut Pool) {
        self.accounts.miss(count);
        self.filter(pool);
        if let Unnamed::Filter(own) = &mut self.others {
            own.absorb(names);
        }
    }

    pub(super) fn absorb(&mut self, other: Self, pool: &mut Pool) {
        let Self { existing, accounts, others, networks, actors } = other;
        let room = self.accounts.len().saturating_add(accounts.len()).max(self.existing.len().saturating_add(existing.len()));
        if room > frequent::KEPT || !matches!(others, Unnamed::None) || !matches!(self.others, Unnamed::None) {
            self.filter(pool);
            if let Unnamed::Filter(own) = &mut self.others {
                existing.all().chain(accounts.all()).for_each(|known| own.insert(&known.value.text));
                if let Unnamed::Filter(names) = &others {
                    own.absorb(names);
                }
            }
        }
        match others {
            Unnamed::None => {}
            Unnamed::Filter(_) => pool.names = pool.names.saturating_add(FILTER),
            Unnamed::Unknown => {
                self.give_back_filter(pool);
                self.others = Unnamed::Unknown;
            }
        }
        self.existing.absorb(existing, &mut pool.names);
        self.accounts.absorb(accounts, &mut pool.names);
        // An account that is known to exist must be in one list only.
        let both: Vec<u64> = self.existing.all().map(|known| known.hash).collect();
        for hash in both {
            let Some(again) = self.accounts.remove(hash, &mut pool.names) else { continue };
            if let Some(known) = self.existing.get_mut(hash) {
                known.count = known.count.saturating_add(again.count);
            }
        }
        self.networks.absorb(networks, &mut pool.names);
        self.actors.absorb(actors, &mut pool.names);
    }

    /// How many names it has taken from the pool.
    pub(super) fn pooled(&self) -> usize {
        let filter = if matches!(self.others, Unnamed::Filter(_)) { FILTER } else { 0 };
        let names = [self.existing.len(), self.accounts.len(), self.networks.len(), self.actors.len()];
        names.into_iter().fold(filter, usize::saturating_add)
    }

    /// Returns the accounts that the entry names, whether there were others, and the set of all accounts as text.
    pub(super) fn accounts(&self) -> (Vec<Often>, bool, Option<String>) {
        let ((existing, all_existing), (accounts, all_accounts)) = (self.existing.named(), self.accounts.named());
        let are_whole = existing.iter().chain(&accounts).all(|known| known.value.text.len() <= SAMPLE_LIMIT);
        let complete = all_existing && all_accounts && are_whole && matches!(self.others, Unnamed::None);
        let often = |exists: bool| {
            move |known: &Counted<Name>| {
                let user = shortened(known.value.text.to_string());
                Often { user: Some(user), count: known.count, exists, ..Often::default() }
            }
        };
        let named = existing.into_iter().map(often(true)).chain(accounts.into_iter().map(often(false))).collect();
        let names = match &self.others {
            _ if complete => None,
            Unnamed::Filter(names) => names.written(),
            Unnamed::None => self.all_names().written(),
            Unnamed::Unknown => None,
        };
        (named, !complete, names)
    }

    /// Returns the networks that the entry names. `describe` returns the text for a network, or `None` to leave it out.
    pub(super) fn networks(&self, describe: impl Fn(IpAddr) -> Option<String>) -> Vec<Often> {
        let (networks, _) = self.networks.named();
        let often = networks.into_iter().filter_map(|known| {
            let network = match &known.value {
                Net::Of(address) => describe(*address),
                Net::Stored(network) => Some(network.clone()),
            };
            network.map(|network| Often { network: Some(network), count: known.count, ..Often::default() })
        });
        often.collect()
    }

    /// Returns the actors that the entry names.
    pub(super) fn actors(&self) -> Vec<Often> {
        let (actors, _) = self.actors.named();
        let often = |known: &Counted<Name>| {
            let actor = shortened(known.value.text.to_string());
            Often { actor: Some(actor), count: known.count, ..Often::default() }
        };
        actors.into_iter().map(often).collect()
    }

    /// Begins a set of all accounts, if there is room for it in the pool.
    fn filter(&mut self, pool: &mut Pool) {
        if !matches!(self.others, Unnamed::None) {
            return;
        }
        if pool.names < FILTER {
            self.others = Unnamed::Unknown;
            return;
        }
        pool.names = pool.names.saturating_sub(FILTER);
        self.others = Unnamed::Filter(Box::new(self.all_names()));
    }

    fn all_names(&self) -> Names {
        let mut names = Names::default();
        self.existing.all().chain(self.accounts.all()).for_each(|known| names.insert(&known.value.text));
        names
    }

    fn give_back_filter(&mut self, pool: &mut Pool) {
        if matches!(self.others, Unnamed::Filter(_)) {
            pool.names = pool.names.saturating_add(FILTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frequent::KEPT;

    fn name(number: u64) -> String {
        format!("user{number}@example.com")
    }

    /// Counts two events of each account.
    fn add(many: &mut Many, numbers: std::ops::Range<u64>, pool: &mut Pool) {
        for number in numbers {
            many.add_account(number, name(number).as_bytes(), 2, pool);
        }
    }

    fn counted(numbers: std::ops::Range<u64>, pool: &mut Pool) -> Many {
        let mut many = Many::default();
        add(&mut many, numbers, pool);
        many
    }

    /// Whether the set of all accounts has these.
    fn has_all(many: &Many, mut numbers: std::ops::Range<u64>) -> bool {
        let (_, others, names) = many.accounts();
        let names = names.and_then(|text| Names::read(&text)).unwrap();
        others && numbers.all(|number| names.may_contain(&name(number)))
    }

    #[test]
    fn the_caller_is_asked_for_an_account_when_it_comes_again() {
        let (mut many, mut pool) = (Many::default(), Pool::FULL);
        assert_eq!([0, 1, 2].map(|_| many.add_account(7, b"romeo@example.com", 1, &mut pool)), [true, true, false]);
    }

    #[test]
    fn a_set_is_begun_when_there_is_no_room_for_more_names() {
        let kept = KEPT as u64;
        for (count, takes_set) in [(1, false), (kept, false), (kept + 1, true)] {
            let mut pool = Pool::FULL;
            let many = counted(0..count, &mut pool);
            assert_eq!(matches!(many.others, Unnamed::Filter(_)), takes_set, "{count}");
            assert_eq!(many.pooled() + pool.names, Pool::FULL.names);
            assert!(count == 1 || has_all(&many, 0..count));
            // The same for accounts that exist.
            let (mut many, mut pool) = (Many::default(), Pool::FULL);
            for number in 0..count {
                add(&mut many, number..number + 1, &mut pool);
                many.exists(number, name(number).as_bytes(), &mut pool);
            }
            assert_eq!(matches!(many.others, Unnamed::Filter(_)), takes_set, "{count}");
            assert_eq!(many.pooled() + pool.names, Pool::FULL.names);
            assert!(count == 1 || has_all(&many, 0..count), "{count}");
        }
    }

    #[test]
    fn a_set_is_begun_when_two_counts_have_too_many_names_together() {
        let kept = KEPT as u64;
        for (first, second, takes_set) in [(1, 1, false), (1, kept - 1, false), (1, kept, true)] {
            let mut pool = Pool::FULL;
            let (mut many, other) = (counted(0..first, &mut pool), counted(first..first + second, &mut pool));
            many.absorb(other, &mut pool);
            assert_eq!(matches!(many.others, Unnamed::Filter(_)), takes_set, "{first} {second}");
            assert_eq!(many.pooled() + pool.names, Pool::FULL.names);
            assert!(!takes_set || has_all(&many, 0..first + second));
        }
    }

    #[test]
    fn a_set_of_one_count_gets_the_names_of_the_other() {
        for first_has_set in [true, false] {
            let mut pool = Pool::FULL;
            let (mut many, mut other) = (counted(0..2, &mut pool), counted(2..4, &mut pool));
            let with_set = if first_has_set { &mut many } else { &mut other };
            with_set.add_names(&Names::default(), 1, &mut pool);
            many.absorb(other, &mut pool);
            assert!(has_all(&many, 0..4), "{first_has_set}");
            assert_eq!(many.pooled() + pool.names, Pool::FULL.names);
        }
    }

    #[test]
    fn networks_and_actors_are_named_with_how_often_they_came() {
        let (mut many, mut pool) = (Many::default(), Pool::FULL);
        for _ in 0..2 {
            many.add_actor(1, b"host.example", 2, &mut pool);
            many.add_network(2, 3, &mut pool, || Net::Stored("203.0.113.0/24".to_owned()));
        }
        assert_eq!(many.actors(), [Often { actor: Some("host.example".to_owned()), count: 4, ..Often::default() }]);
        assert_eq!(many.networks(|_| None), [Often { network: Some("203.0.113.0/24".to_owned()), count: 6, ..Often::default() }]);
        assert_eq!(many.pooled(), 2);
    }

    #[test]
    fn accounts_without_a_name_make_the_set_useless() {
        let mut pool = Pool::FULL;
        let mut many = counted(0..1 + KEPT as u64, &mut pool);
        many.add_unknown(3, &mut pool);
        assert_eq!((many.accounts().1, many.accounts().2), (true, None));
        assert_eq!(many.pooled() + pool.names, Pool::FULL.names, "its room was given back");
        let mut many = Many::default();
        many.add_unknown(3, &mut pool);
        assert_eq!(many.accounts(), (vec![], true, None));
    }

    #[test]
    fn a_set_needs_its_room_in_the_pool() {
        for (room, left) in [(FILTER, 0), (FILTER - 1, FILTER - 1)] {
            let (mut many, mut pool, mut names) = (Many::default(), Pool { names: room, ..Pool::FULL }, Names::default());
            names.insert("romeo@example.com");
            many.add_names(&names, 1, &mut pool);
            assert_eq!((many.accounts().2.is_some(), pool.names), (left == 0, left), "{room}");
        }
    }

    #[test]
    fn a_name_that_is_shortened_is_in_the_set_as_a_whole() {
        for (length, is_whole) in [(SAMPLE_LIMIT, true), (SAMPLE_LIMIT + 1, false)] {
            let long = "x".repeat(length - "@example.com".len()) + "@example.com";
            let (mut many, mut pool) = (Many::default(), Pool::FULL);
            many.add_account(1, long.as_bytes(), 2, &mut pool);
            let (often, others, names) = many.accounts();
            assert_eq!((often[0].user.as_ref() == Some(&long), others), (is_whole, !is_whole));
            assert_eq!(names.is_some_and(|names| Names::read(&names).unwrap().may_contain(&long)), !is_whole);
        }
    }
}
