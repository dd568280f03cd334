//! The windows of all keys, bounded in number.

use std::collections::HashMap;

use super::Level;
use super::budget::Budget;
use super::count::Count;

/// How many keys there may be in all.
pub const KEYS: usize = 4096;
/// How many of these are kept for networks: where no more accounts can be told apart, networks still can.
const NETWORK_KEYS: usize = 512;

/// What is known of one key for some time.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) outcome: usize,
    pub(super) level: Level,
    pub(super) started: f64,
    pub(super) ends: f64,
    /// How many events of it were stored as they are.
    pub(super) admitted: u32,
    pub(super) count: Option<Box<Count>>,
}

impl Window {
    pub(super) const fn new(outcome: usize, level: Level, now: f64, length: f64, admitted: u32) -> Self {
        Self { outcome, level, started: now, ends: now + length, admitted, count: None }
    }

    /// A window that counts is open until its summary was made.
    pub(super) fn is_open(&self, now: f64) -> bool {
        self.count.is_some() || now < self.ends
    }

    /// Whether one more event of it may be stored as it is: takes what that costs.
    pub(super) fn admits(&mut self, burst: u32, budget: &mut Budget, now: f64) -> bool {
        let admits = self.count.is_none() && self.admitted < burst && budget.take_single(now);
        self.admitted = self.admitted.saturating_add(u32::from(admits));
        admits
    }
}

/// Windows by the hash of their key.
#[derive(Debug, Default)]
pub(super) struct Table {
    windows: HashMap<u64, Window>,
    networks: usize,
    swept: Option<f64>,
}

impl Table {
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
        if level == Level::Network {
            self.networks < NETWORK_KEYS
        } else {
            self.windows.len().saturating_sub(self.networks) < KEYS - NETWORK_KEYS
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

    /// Takes the counts of windows that are to be closed; their windows are over.
    pub(super) fn close(&mut self, mut is_due: impl FnMut(&Window) -> bool) -> Vec<Count> {
        let mut counts = Vec::new();
        let mut networks: usize = 0;
        self.windows.retain(|_, window| {
            if window.count.is_some() && is_due(window) {
                counts.extend(window.count.take().map(|count| *count));
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
