//! The windows of all keys, in tables of bounded size.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::budget::Budget;
use super::count::Count;

/// The largest number of keys of unauthenticated peers.
pub const KEYS: usize = 4096;
/// The largest number of other keys: accounts, other servers, and their networks. This table is larger because these are the keys
/// of normal operation.
pub const ACTOR_KEYS: usize = 16_384;
/// One in this many keys is reserved for networks. If there is no room for more accounts, networks can still be told apart.
const NETWORKS: usize = 8;

/// How many times the window of an actor can be doubled.
const LONGEST: u8 = 3;

/// What a key consists of, besides the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Level {
    /// The account and the address.
    Address,
    /// The account and the network.
    Account,
    /// The network.
    Network,
    /// Nothing else: all events of the outcome.
    Outcome,
}

/// The state of one key for a period of time.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) outcome: usize,
    pub(super) level: Level,
    pub(super) started: f64,
    pub(super) ends: f64,
    /// How many events were stored as they are.
    pub(super) admitted: u32,
    /// How many previous windows of this key had to count events.
    strikes: u8,
    pub(super) count: Option<Box<Count>>,
}

impl Window {
    pub(super) const fn new(outcome: usize, level: Level, now: f64, length: f64, admitted: u32) -> Self {
        Self { outcome, level, started: now, ends: now + length, admitted, strikes: 0, count: None }
    }

    /// Whether the window is open. A window with a count stays open until its summary is made.
    pub(super) fn is_open(&self, now: f64) -> bool {
        self.count.is_some() || now < self.ends
    }

    /// Whether one more event may be stored as it is. If so, it is taken from the budget.
    pub(super) fn admits(&mut self, burst: u32, budget: &mut Budget, now: f64) -> bool {
        let admits = self.count.is_none() && self.admitted < burst && budget.take_single(1, now);
        self.admitted = self.admitted.saturating_add(u32::from(admits));
        admits
    }

    /// Whether an event of this weight may be stored. The first event of a window always may. Each previous window that had to count
    /// halves the limit.
    pub(super) fn has_room(&self, weight: u32, most: u32) -> bool {
        let most = (most >> self.strikes.min(31)).max(1);
        self.count.is_none() && (self.admitted == 0 || self.admitted.saturating_add(weight) <= most)
    }

    /// The window that follows one that had to count. It is twice as long, except for networks: there the next event may be of
    /// another actor.
    fn next(&self, now: f64) -> Self {
        if self.level == Level::Network {
            return Self::new(self.outcome, self.level, now, (self.ends - self.started).max(0.0), 0);
        }
        let length = if self.strikes < LONGEST { (self.ends - self.started) * 2.0 } else { self.ends - self.started };
        Self { strikes: self.strikes.saturating_add(1), ..Self::new(self.outcome, self.level, now, length.max(0.0), 0) }
    }
}

/// The windows by the hash of their keys.
#[derive(Debug)]
pub(super) struct WindowTable {
    /// Nobody outside can foresee the keys, so they need no secret hasher, and their order depends on them alone.
    windows: HashMap<u64, Window, BuildHasherDefault<DefaultHasher>>,
    keys: usize,
    networks: usize,
    swept: Option<f64>,
}

impl WindowTable {
    pub(super) fn new(keys: usize) -> Self {
        Self { windows: HashMap::default(), keys, networks: 0, swept: None }
    }

    /// The open window of a key.
    pub(super) fn open(&mut self, key: u64, now: f64) -> Option<&mut Window> {
        self.windows.get_mut(&key).filter(|window| window.is_open(now))
    }

    pub(super) fn get(&self, key: u64) -> Option<&Window> {
        self.windows.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Window> {
        self.windows.get_mut(&key)
    }

    /// Whether a window of this key can be inserted. If the table is full, removes windows that have ended, at most once a second.
    pub(super) fn has_room(&mut self, key: u64, level: Level, now: f64) -> bool {
        if self.windows.contains_key(&key) || self.is_roomy(level) {
            return true;
        }
        if self.swept.is_none_or(|swept| !(swept..swept + 1.0).contains(&now)) {
            self.swept = Some(now);
            self.windows.retain(|_, window| window.is_open(now));
            self.networks = self.windows.values().filter(|window| window.level == Level::Network).count();
        }
        self.is_roomy(level)
    }

    fn is_roomy(&self, level: Level) -> bool {
        let for_networks = self.keys / NETWORKS;
        if level == Level::Network {
            self.networks < for_networks
        } else {
            self.windows.len().saturating_sub(self.networks) < self.keys.saturating_sub(for_networks)
        }
    }

    pub(super) fn insert(&mut self, key: u64, window: Window) {
        let is_network = usize::from(window.level == Level::Network);
        let replaced = self.windows.insert(key, window).map_or(0, |old| usize::from(old.level == Level::Network));
        self.networks = self.networks.saturating_add(is_network).saturating_sub(replaced);
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Window> {
        let window = self.windows.remove(&key)?;
        self.networks = self.networks.saturating_sub(usize::from(window.level == Level::Network));
        Some(window)
    }

    /// Closes the windows for which `is_due` returns true, and returns their counts. In the table of actors, each is followed by a new
    /// window.
    pub(super) fn close(&mut self, now: f64, of_actors: bool, mut is_due: impl FnMut(&Window) -> bool) -> Vec<Count> {
        let mut counts = Vec::new();
        let mut networks: usize = 0;
        self.windows.retain(|_, window| {
            if window.count.is_some() && is_due(window) {
                counts.extend(window.count.take().map(|count| *count));
                if of_actors {
                    *window = window.next(now);
                    return true;
                }
                networks = networks.saturating_add(usize::from(window.level == Level::Network));
                return false;
            }
            true
        });
        self.networks = self.networks.saturating_sub(networks);
        counts
    }

    /// All open counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = &Count> {
        self.windows.values().filter_map(|window| window.count.as_deref())
    }

    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }
}

#[derive(Debug)]
pub(super) struct WindowTables {
    /// For unauthenticated peers, and for `audit_auth_repeat_*`.
    pub(super) failures: WindowTable,
    pub(super) actors: WindowTable,
}

/// One of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Failures,
    Actors,
}

impl WindowTables {
    pub(super) fn get_mut(&mut self, side: Side) -> &mut WindowTable {
        match side {
            Side::Failures => &mut self.failures,
            Side::Actors => &mut self.actors,
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = &Count> {
        self.failures.counts().chain(self.actors.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flood::event::FloodEvent;
    use crate::flood::facts::Facts;
    use crate::random::{HashSeed, OsRandom};

    fn window(level: Level, ends: f64) -> Window {
        Window::new(0, level, 0.0, ends, 0)
    }

    #[test]
    fn a_window_is_open_until_it_ends() {
        assert_eq!([59.9, 60.0].map(|now| window(Level::Account, 60.0).is_open(now)), [true, false]);
    }

    #[test]
    fn each_window_of_an_actor_is_twice_as_long_up_to_a_limit_and_those_of_a_network_are_not() {
        for (level, lengths) in [(Level::Account, [120.0, 240.0, 480.0, 480.0]), (Level::Network, [60.0; 4])] {
            let mut window = Window::new(0, level, 100.0, 60.0, 0);
            for length in lengths {
                window = window.next(window.ends);
                assert_eq!(window.ends - window.started, length, "{level:?}");
            }
        }
    }

    #[test]
    fn a_full_table_is_searched_once_a_second_for_windows_that_have_ended() {
        let mut table = WindowTable::new(8);
        (0..7).for_each(|key| table.insert(key, window(Level::Account, 10.5)));
        assert!(table.has_room(3, Level::Account, 10.0), "it is there already");
        for (now, expected) in [(10.0, false), (10.9, false), (11.0, true)] {
            assert_eq!(table.has_room(7, Level::Account, now), expected, "{now}");
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn networks_are_counted_once() {
        let mut table = WindowTable::new(16);
        for (key, level, networks) in [(1, Level::Network, 1), (1, Level::Network, 1), (2, Level::Account, 1), (3, Level::Network, 2)] {
            table.insert(key, window(level, 60.0));
            assert_eq!(table.networks, networks);
        }
        for (key, networks) in [(2, 2), (1, 1), (1, 1)] {
            table.remove(key);
            assert_eq!(table.networks, networks);
        }
    }

    #[test]
    fn networks_whose_windows_are_closed_make_room() {
        let (hasher, mut buffer) = (HashSeed::new(&OsRandom), Vec::new());
        let facts = Facts::of(&FloodEvent::default(), "example.com", &mut buffer, &hasher);
        let mut table = WindowTable::new(16);
        for (key, level) in [(1, Level::Network), (2, Level::Network), (3, Level::Account)] {
            table.insert(key, Window { count: Some(Box::new(Count::new(0, &facts, 0.0))), ..window(level, 60.0) });
        }
        assert_eq!(table.close(60.0, false, |window| window.level == Level::Account).len(), 1);
        assert_eq!((table.networks, table.len()), (2, 2));
        assert_eq!(table.close(60.0, false, |_| true).len(), 2);
        assert_eq!((table.networks, table.len()), (0, 0));
    }
}
