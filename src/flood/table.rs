//! The windows of all keys, bounded in number.

use std::collections::HashMap;

use super::budget::Budget;
use super::count::Count;

/// How many keys of unauthenticated peers there may be.
pub const KEYS: usize = 4096;
/// How many of the others: of accounts, of other servers, and of networks that they come from. There are more of them, as they
/// are those of a server at work, and each is recorded as it is where there is room for its key.
pub const ACTOR_KEYS: usize = 16_384;
/// One in this many keys is kept for networks: where no more accounts can be told apart, networks still can.
const NETWORKS: usize = 8;

/// A window of an actor who goes on and on gets longer, up to this many times.
const LONGEST: u8 = 3;

/// What tells keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Level {
    /// Account and address.
    Address,
    /// Account and network.
    Account,
    /// Network.
    Network,
    /// Nothing: all of an outcome.
    Outcome,
}

/// What is known of one key for some time.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) outcome: usize,
    pub(super) level: Level,
    pub(super) started: f64,
    pub(super) ends: f64,
    /// How many events of it were stored as they are.
    pub(super) admitted: u32,
    /// How many windows of the key before this one had to count.
    strikes: u8,
    pub(super) count: Option<Box<Count>>,
}

impl Window {
    pub(super) const fn new(outcome: usize, level: Level, now: f64, length: f64, admitted: u32) -> Self {
        Self { outcome, level, started: now, ends: now + length, admitted, strikes: 0, count: None }
    }

    /// A window that counts is open until its summary was made.
    pub(super) fn is_open(&self, now: f64) -> bool {
        self.count.is_some() || now < self.ends
    }

    /// Whether one more event of it may be stored as it is: takes what that costs.
    pub(super) fn admits(&mut self, burst: u32, budget: &mut Budget, now: f64) -> bool {
        let admits = self.count.is_none() && self.admitted < burst && budget.take_single(1, now);
        self.admitted = self.admitted.saturating_add(u32::from(admits));
        admits
    }

    /// Whether there is room for one more event of that weight: the first always has it. Who had to be counted before may do half
    /// as much each time.
    pub(super) fn has_room(&self, weight: u32, most: u32) -> bool {
        let most = (most >> self.strikes.min(31)).max(1);
        self.count.is_none() && (self.admitted == 0 || self.admitted.saturating_add(weight) <= most)
    }

    /// The window after this one, of which a count was made: twice as long, but for networks, where it may be others who come next.
    fn next(&self, now: f64) -> Self {
        if self.level == Level::Network {
            return Self::new(self.outcome, self.level, now, (self.ends - self.started).max(0.0), 0);
        }
        let length = if self.strikes < LONGEST { (self.ends - self.started) * 2.0 } else { self.ends - self.started };
        Self { strikes: self.strikes.saturating_add(1), ..Self::new(self.outcome, self.level, now, length.max(0.0), 0) }
    }
}

/// Windows by the hash of their key.
#[derive(Debug)]
pub(super) struct WindowTable {
    windows: HashMap<u64, Window>,
    keys: usize,
    networks: usize,
    swept: Option<f64>,
}

impl WindowTable {
    pub(super) fn new(keys: usize) -> Self {
        Self { windows: HashMap::new(), keys, networks: 0, swept: None }
    }

    /// The window of a key, where it is open.
    pub(super) fn open(&mut self, key: u64, now: f64) -> Option<&mut Window> {
        self.windows.get_mut(&key).filter(|window| window.is_open(now))
    }

    pub(super) fn get(&self, key: u64) -> Option<&Window> {
        self.windows.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Window> {
        self.windows.get_mut(&key)
    }

    /// Whether a window of that key can be inserted. Looks for windows that are over where there seems to be no room, at most
    /// once a second.
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

    /// Takes the counts of windows that are to be closed; their windows are over. Where actors are told apart, another one follows.
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

    /// All that are being counted.
    pub(super) fn counts(&self) -> impl Iterator<Item = &Count> {
        self.windows.values().filter_map(|window| window.count.as_deref())
    }

    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }
}

#[derive(Debug)]
pub(super) struct WindowTables {
    /// Of unauthenticated peers, and of repeats.
    pub(super) failures: WindowTable,
    pub(super) actors: WindowTable,
}

/// Which of the two.
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
