//! Counts different things, exactly up to a limit.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// The largest number that one count tells apart.
const MOST: usize = 16_384;

/// The largest number that all counts together tell apart. Each takes a hash of eight bytes.
pub(super) const POOL: usize = 131_072;

/// The number of different things, by their hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    seen: Hashes,
    /// The number from the checkpoint of the previous process, which did not save the hashes.
    before: u64,
    beyond: bool,
}

#[derive(Clone, Debug, Default)]
enum Hashes {
    #[default]
    None,
    One(u64),
    /// Nobody outside can foresee the hashes, so they need no secret hasher, and their order depends on them alone.
    Many(HashSet<u64, BuildHasherDefault<DefaultHasher>>),
}

impl Distinct {
    pub(super) fn restored(number: u64, at_least: bool) -> Self {
        Self { seen: Hashes::None, before: number, beyond: at_least }
    }

    /// Adds a hash. Returns whether it was there before. `pool` is how many more hashes all counts may keep.
    pub(super) fn insert(&mut self, hash: u64, pool: &mut usize) -> bool {
        match &mut self.seen {
            Hashes::None => self.seen = Hashes::One(hash),
            Hashes::One(first) if *first == hash => return true,
            Hashes::One(first) if *pool >= 2 => {
                *pool = pool.saturating_sub(2);
                self.seen = Hashes::Many([*first, hash].into_iter().collect());
            }
            Hashes::Many(hashes) if hashes.contains(&hash) => return true,
            Hashes::Many(hashes) if hashes.len() < MOST && *pool > 0 => {
                *pool = pool.saturating_sub(1);
                hashes.insert(hash);
            }
            Hashes::One(_) | Hashes::Many(_) => self.beyond = true,
        }
        false
    }

    /// Adds all hashes of another count.
    pub(super) fn absorb(&mut self, other: Self, pool: &mut usize) {
        *pool = pool.saturating_add(other.pooled());
        match other.seen {
            Hashes::None => {}
            Hashes::One(hash) => {
                self.insert(hash, pool);
            }
            Hashes::Many(hashes) => hashes.into_iter().for_each(|hash| {
                self.insert(hash, pool);
            }),
        }
        // Some of those that the previous process counted may be among the known hashes.
        self.beyond |= other.beyond || self.before.min(other.before) > 0;
        self.before = self.before.max(other.before);
    }

    /// How many hashes it has taken from the pool.
    pub(super) fn pooled(&self) -> usize {
        if let Hashes::Many(hashes) = &self.seen { hashes.len() } else { 0 }
    }

    /// Returns the number, and whether it may be too low.
    pub(super) fn number(&self) -> (u64, bool) {
        let seen = match &self.seen {
            Hashes::None => 0,
            Hashes::One(_) => 1,
            Hashes::Many(hashes) => hashes.len() as u64,
        };
        (self.before.max(seen), self.beyond || self.before.min(seen) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(hashes: impl IntoIterator<Item = u64>, pool: &mut usize) -> Distinct {
        let mut distinct = Distinct::default();
        hashes.into_iter().for_each(|hash| {
            distinct.insert(hash, pool);
        });
        distinct
    }

    #[test]
    fn different_ones_are_counted_exactly_up_to_a_bound() {
        let mut pool = POOL;
        assert_eq!(counted([], &mut pool).number(), (0, false));
        assert_eq!(counted([7, 7, 7], &mut pool).number(), (1, false));
        assert_eq!(pool, POOL, "one takes nothing of the pool");
        assert_eq!(counted([7, 8, 7, 9], &mut pool).number(), (3, false));
        assert_eq!(counted(0..20_000, &mut pool).number(), (MOST as u64, true));
        assert_eq!(pool, POOL - 3 - MOST);
        let mut little = 3;
        assert_eq!(counted(0..10, &mut little).number(), (3, true));
        assert_eq!(counted(0..10, &mut little).number(), (1, true));
        assert_eq!(little, 0);
    }

    #[test]
    fn counts_are_united() {
        let mut pool = POOL;
        let (mut a, b) = (counted([1, 2, 3], &mut pool), counted([3, 4], &mut pool));
        a.absorb(b, &mut pool);
        assert_eq!((a.number(), pool), ((4, false), POOL - 4));
        a.absorb(counted([9], &mut pool), &mut pool);
        assert_eq!((a.number(), pool), ((5, false), POOL - 5));
        a.absorb(Distinct::restored(3, false), &mut pool);
        assert_eq!(a.number(), (5, true), "who they were is not known");
        a.absorb(Distinct::restored(10, false), &mut pool);
        assert_eq!(a.number(), (10, true));
        assert_eq!(Distinct::restored(3, false).number(), (3, false));
        let mut both = Distinct::restored(3, false);
        both.absorb(Distinct::restored(5, false), &mut pool);
        assert_eq!(both.number(), (5, true));
        let mut few = counted([1], &mut pool);
        few.absorb(counted([1, 2], &mut 0), &mut pool);
        assert_eq!(few.number(), (1, true), "the other one had no room for all");
    }
}
