//! Counts events by key within a sliding time, in a table of a size that never changes.
//!
//! The keys come from peers that attack, so no key may push out another one that has more. A key belongs to a set of a few slots. If
//! all are used, the one with the smallest number is given up. Keys are hashed with a secret, so nobody can choose the set.

/// How many slots a set has.
const WAYS: usize = 8;
/// Into how many parts the time is divided. What is older than all of them is not counted any more.
const PARTS: usize = 6;

/// The numbers of all keys.
#[derive(Debug)]
pub(super) struct Tally {
    sets: usize,
    /// Empty until the first event.
    slots: Vec<Slot>,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// The number of events, or of different items.
    pub(super) number: u32,
    /// When the first of them was.
    pub(super) since: f64,
    /// From at least how many networks they were.
    pub(super) origins: u32,
    /// Whether the key was hushed within the time.
    pub(super) is_quiet: bool,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// 0: nothing is here.
    key: u64,
    /// The number of the newest part of the time.
    newest: u64,
    window: f64,
    /// How many events were in each part, the newest first.
    parts: [u16; PARTS],
    since: f64,
    /// A bit for each network, by its hash.
    origins: u64,
    /// The different items, and when each was seen last.
    items: Vec<(u64, u64)>,
    /// Until when the key is quiet.
    quiet: f64,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    /// The hash of what is counted together.
    pub(super) key: u64,
    /// Within which time, in seconds.
    pub(super) window: f64,
    /// Where it came from, as a hash.
    pub(super) origin: Option<u64>,
    /// If different items are counted: the hash of this one, and the largest number of items to remember.
    pub(super) item: Option<(u64, usize)>,
}

impl Tally {
    /// A table for `sets` sets.
    pub(super) const fn new(sets: usize) -> Self {
        Self { sets, slots: Vec::new() }
    }

    /// Counts an event at `now`, and returns what its key has now.
    pub(super) fn add(&mut self, hit: &Hit, now: f64) -> Counted {
        if self.slots.is_empty() {
            self.slots.resize_with(self.sets.saturating_mul(WAYS), Slot::default);
        }
        let Some(set) = self.set(hit.key) else { return Counted::default() };
        let at = set.iter().position(|slot| slot.key == hit.key && slot.window == hit.window);
        let at = at.or_else(|| {
            let smallest = set.iter().enumerate().min_by_key(|(_, slot)| (slot.number_at(now), slot.newest));
            smallest.map(|(at, _)| at)
        });
        let Some(slot) = at.and_then(|at| set.get_mut(at)) else { return Counted::default() };
        if slot.key != hit.key || slot.window != hit.window {
            *slot = Slot { key: hit.key, window: hit.window, since: now, newest: part_of(now, hit.window), ..Slot::default() };
        }
        slot.add(hit, now);
        slot.counted(now)
    }

    /// What a key has at `now`.
    pub(super) fn get(&mut self, key: u64, window: f64, now: f64) -> Counted {
        let slot = self.set(key).and_then(|set| set.iter_mut().find(|slot| slot.key == key && slot.window == window));
        slot.map_or_else(Counted::default, |slot| {
            slot.advance(now);
            slot.counted(now)
        })
    }

    /// Makes a key quiet for its time: the caller has done what there is to do about it.
    pub(super) fn hush(&mut self, key: u64, window: f64, now: f64) {
        if let Some(slot) = self.set(key).and_then(|set| set.iter_mut().find(|slot| slot.key == key && slot.window == window)) {
            slot.quiet = now + window;
        }
    }

    fn set(&mut self, key: u64) -> Option<&mut [Slot]> {
        #[allow(clippy::cast_possible_truncation)] // The remainder is small.
        let begin = (key % (self.sets as u64)) as usize * WAYS;
        self.slots.get_mut(begin..begin.saturating_add(WAYS))
    }
}

impl Slot {
    fn add(&mut self, hit: &Hit, now: f64) {
        self.advance(now);
        if self.number() == 0 {
            self.since = now;
        }
        if let Some(origin) = hit.origin {
            self.origins |= 1 << (origin % 64);
        }
        match hit.item {
            None => {
                if let Some(newest) = self.parts.first_mut() {
                    *newest = newest.saturating_add(1);
                }
            }
            Some((item, most)) => {
                let newest = self.newest;
                if let Some((_, seen)) = self.items.iter_mut().find(|(known, _)| *known == item) {
                    *seen = newest;
                } else if self.items.len() < most {
                    self.items.push((item, newest));
                }
            }
        }
    }

    /// Forgets what is older than the time.
    fn advance(&mut self, now: f64) {
        let part = part_of(now, self.window);
        let passed = usize::try_from(part.saturating_sub(self.newest)).unwrap_or(PARTS).min(PARTS);
        if passed == 0 {
            return;
        }
        self.newest = part;
        self.parts.rotate_right(passed);
        self.parts.iter_mut().take(passed).for_each(|number| *number = 0);
        let oldest = part.saturating_sub(PARTS as u64 - 1);
        self.items.retain(|(_, seen)| *seen >= oldest);
        if self.number() == 0 {
            self.origins = 0;
        }
        #[allow(clippy::cast_precision_loss)] // Small enough until the sun is cold.
        let begins = oldest as f64 * (self.window / PARTS as f64);
        self.since = self.since.max(begins);
    }

    fn number(&self) -> u32 {
        let events: u32 = self.parts.iter().map(|number| u32::from(*number)).sum();
        events.max(u32::try_from(self.items.len()).unwrap_or(u32::MAX))
    }

    fn counted(&self, now: f64) -> Counted {
        Counted { number: self.number(), since: self.since, origins: self.origins.count_ones(), is_quiet: now < self.quiet }
    }

    /// The number as it would be at `now`, for choosing the slot to give up.
    fn number_at(&self, now: f64) -> u32 {
        let is_over = self.key == 0 || part_of(now, self.window) >= self.newest.saturating_add(PARTS as u64);
        if is_over { 0 } else { self.number() }
    }
}

/// The number of the part of the time that `now` is in.
fn part_of(now: f64, window: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates.
    let part = (now / (window / PARTS as f64)) as u64;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hit(key: u64) -> Hit {
        Hit { key, window: 600.0, origin: None, item: None }
    }

    #[test]
    fn events_are_counted_within_a_sliding_time() {
        let mut tally = Tally::new(4);
        for second in 0..50 {
            assert_eq!(tally.add(&hit(7), 1000.0 + f64::from(second)).number, second + 1);
        }
        assert_eq!(tally.get(7, 600.0, 1049.0).since, 1000.0);
        // Parts of 100 seconds: the first one ends at 1000 + 600.
        assert_eq!(tally.add(&hit(7), 1599.0).number, 51);
        assert_eq!(tally.add(&hit(7), 1600.0), Counted { number: 2, since: 1100.0, ..Counted::default() });
        assert_eq!(tally.get(7, 600.0, 9999.0).number, 0);
        assert_eq!(tally.get(8, 600.0, 1600.0).number, 0);
        tally.hush(7, 600.0, 1600.0);
        assert!(tally.add(&hit(7), 2199.0).is_quiet && !tally.add(&hit(7), 2200.0).is_quiet);
    }

    #[test]
    fn different_items_are_counted_once_and_forgotten_when_they_are_old() {
        let mut tally = Tally::new(4);
        let mut add = |item: u64, now: f64| tally.add(&Hit { item: Some((item, 20)), ..hit(7) }, now).number;
        for _ in 0..3 {
            (0..5).for_each(|item| {
                add(item, 1000.0);
            });
        }
        assert_eq!(add(4, 1000.0), 5);
        assert_eq!(add(9, 1599.0), 6);
        assert_eq!(add(9, 1600.0), 1);
        assert_eq!((0..100).map(|item| add(item, 1600.0)).max(), Some(20), "no more are remembered than the rule needs");
    }

    #[test]
    fn a_large_number_is_not_pushed_out_by_many_small_ones() {
        let mut tally = Tally::new(2);
        for _ in 0..9 {
            tally.add(&hit(7), 0.0);
        }
        for key in 100..100_000 {
            tally.add(&hit(key), 1.0);
        }
        assert_eq!(tally.add(&hit(7), 2.0).number, 10);
        assert_eq!(tally.slots.len(), 2 * WAYS);
    }

    proptest! {
        /// Never more than there were within the time, and never fewer than in five sixths of it.
        #[test]
        fn the_number_is_that_of_the_time(steps in prop::collection::vec(0.0..200.0f64, 1..60)) {
            let mut tally = Tally::new(1);
            let mut times = Vec::new();
            let mut now = 5000.0;
            for step in steps {
                now += step;
                times.push(now);
                let number = tally.add(&hit(1), now).number as usize;
                let within = |seconds: f64| times.iter().filter(|time| now - **time < seconds).count();
                prop_assert!(number <= within(600.0) && number >= within(500.0), "{number} {times:?}");
            }
        }
    }
}
