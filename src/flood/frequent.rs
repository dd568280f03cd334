//! The most frequent values of a long sequence, in bounded memory: the Misra-Gries summary.
//!
//! A count is never too high. It may be too low, by at most the number `missed`. Every value that came more often than `missed` is
//! kept. With [`KEPT`] places, that is every value that makes up more than one in [`KEPT`] + 1 of all.

/// How many values one list keeps.
pub(super) const KEPT: usize = 64;

/// How many values an entry names. Every value that makes up more than one in `SURE` of all is among them.
pub(super) const NAMED: usize = 32;

/// See [`NAMED`]. Of n values, at most 32 in the list can have a count of n/21 - n/65 or more. A value that came n/21 times does.
#[cfg(test)]
pub(super) const SURE: u64 = 21;

/// How many values all counts together keep.
pub(super) const POOL: usize = 65_536;

/// A value and how often it came.
#[derive(Clone, Debug)]
pub(super) struct Counted<T> {
    pub(super) hash: u64,
    pub(super) count: u64,
    pub(super) value: T,
}

/// The list of the most frequent values.
#[derive(Clone, Debug)]
pub(super) struct Frequent<T> {
    counts: Vec<Counted<T>>,
    missed: u64,
}

impl<T> Default for Frequent<T> {
    fn default() -> Self {
        Self { counts: Vec::new(), missed: 0 }
    }
}

impl<T> Frequent<T> {
    /// Adds `count` to a value, which `make` returns if it is new. `pool` is how many more values all counts may keep. Returns whether
    /// the value is kept.
    pub(super) fn add(&mut self, hash: u64, count: u64, pool: &mut usize, make: impl FnOnce() -> T) -> bool {
        if let Some(known) = self.get_mut(hash) {
            known.count = known.count.saturating_add(count);
            return true;
        }
        let mut count = count;
        if self.counts.len() >= KEPT || *pool == 0 {
            // The lowest count, the new one included, is taken away from all.
            let least = self.counts.iter().map(|known| known.count).min().unwrap_or(count).min(count);
            self.lower(least, pool);
            count = count.saturating_sub(least);
        }
        // If something is left of it, another value was removed, or there was room.
        if count == 0 {
            return false;
        }
        *pool = pool.saturating_sub(1);
        self.counts.push(Counted { hash, count, value: make() });
        true
    }

    /// Adds all values of another list.
    pub(super) fn absorb(&mut self, other: Self, pool: &mut usize) {
        *pool = pool.saturating_add(other.counts.len());
        self.missed = self.missed.saturating_add(other.missed);
        for Counted { hash, count, value } in other.counts {
            if let Some(known) = self.get_mut(hash) {
                known.count = known.count.saturating_add(count);
            } else {
                *pool = pool.saturating_sub(1);
                self.counts.push(Counted { hash, count, value });
            }
        }
        let mut counts: Vec<u64> = self.counts.iter().map(|known| known.count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(least) = counts.get(KEPT) {
            self.lower(*least, pool);
        }
    }

    /// Counts values when only their number is known.
    pub(super) fn miss(&mut self, count: u64) {
        self.missed = self.missed.saturating_add(count);
    }

    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut Counted<T>> {
        self.counts.iter_mut().find(|known| known.hash == hash)
    }

    pub(super) fn remove(&mut self, hash: u64, pool: &mut usize) -> Option<Counted<T>> {
        let at = self.counts.iter().position(|known| known.hash == hash)?;
        *pool = pool.saturating_add(1);
        Some(self.counts.swap_remove(at))
    }

    /// By how much a count may be too low. 0 means that all values are kept.
    #[cfg(test)]
    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Counted<T>> {
        self.counts.iter()
    }

    /// Returns the values that an entry names, the most frequent first, and whether these are all values.
    pub(super) fn named(&self) -> (Vec<&Counted<T>>, bool) {
        let mut named: Vec<&Counted<T>> = self.counts.iter().collect();
        named.sort_by_key(|known| std::cmp::Reverse(known.count));
        let complete = self.missed == 0 && named.len() <= NAMED;
        named.truncate(NAMED);
        if !complete {
            // A value that came once says nothing, and makes up less than one in SURE.
            named.retain(|known| known.count > 1);
        }
        (named, complete)
    }

    fn lower(&mut self, by: u64, pool: &mut usize) {
        let before = self.counts.len();
        self.counts.retain_mut(|known| {
            known.count = known.count.saturating_sub(by);
            known.count > 0
        });
        *pool = pool.saturating_add(before.saturating_sub(self.counts.len()));
        self.missed = self.missed.saturating_add(by);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn exact(names: &[u64]) -> HashMap<u64, u64> {
        let mut counts = HashMap::new();
        for name in names {
            *counts.entry(*name).or_insert(0) += 1;
        }
        counts
    }

    fn counted(names: &[u64], pool: &mut usize) -> Frequent<u64> {
        let mut frequent = Frequent::default();
        for name in names {
            frequent.add(*name, 1, pool, || *name);
        }
        frequent
    }

    fn check(frequent: &Frequent<u64>, names: &[u64]) -> Result<(), TestCaseError> {
        let (exact, n) = (exact(names), names.len() as u64);
        prop_assert!(frequent.len() <= KEPT);
        prop_assert!(frequent.missed() <= n / (KEPT as u64 + 1));
        for known in frequent.all() {
            let truth = exact[&known.value];
            prop_assert!(known.count <= truth && known.count + frequent.missed() >= truth, "{} {truth}", known.count);
        }
        let (named, complete) = frequent.named();
        prop_assert!(named.len() <= NAMED && named.windows(2).all(|pair| pair[0].count >= pair[1].count));
        prop_assert!(!complete || named.len() == exact.len());
        for (name, count) in exact {
            prop_assert!(count * SURE <= n || named.iter().any(|known| known.value == name), "{name}: {count} of {n}");
        }
        Ok(())
    }

    /// A few frequent names among many rare ones, in any order.
    fn names() -> impl Strategy<Value = Vec<u64>> {
        let often = prop::collection::vec((0u64..40, 1usize..300), 0..40);
        let seldom = prop::collection::vec(1000u64..4000, 0..2000);
        (often, seldom).prop_flat_map(|(often, mut names)| {
            names.extend(often.into_iter().flat_map(|(name, count)| vec![name; count]));
            Just(names).prop_shuffle()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_comes_often_is_named(names in names()) {
            let mut pool = POOL;
            let frequent = counted(&names, &mut pool);
            check(&frequent, &names)?;
            prop_assert_eq!(pool, POOL - frequent.len());
        }

        #[test]
        fn merging_keeps_what_comes_often(parts in prop::collection::vec(names(), 1..5)) {
            let mut pool = POOL;
            let mut whole = Frequent::default();
            for part in &parts {
                let part = counted(part, &mut pool);
                whole.absorb(part, &mut pool);
            }
            check(&whole, &parts.concat())?;
            prop_assert_eq!(pool, POOL - whole.len());
        }

        #[test]
        fn where_nothing_more_may_be_kept_counts_are_never_too_high(names in names(), mut pool in 0usize..100) {
            let before = pool;
            let frequent = counted(&names, &mut pool);
            let exact = exact(&names);
            for known in frequent.all() {
                let truth = exact[&known.value];
                prop_assert!(known.count <= truth && known.count + frequent.missed() >= truth);
            }
            for (name, count) in exact {
                prop_assert!(frequent.all().any(|known| known.value == name) || count <= frequent.missed());
            }
            prop_assert_eq!(pool, before - frequent.len());
        }
    }

    #[test]
    fn a_value_that_finds_no_room_lowers_the_others() {
        let mut pool = KEPT;
        let mut frequent = Frequent::default();
        assert!((0..KEPT as u64).all(|name| frequent.add(name, 2, &mut pool, || name)));
        assert!(!frequent.add(1000, 1, &mut pool, || 1000));
        assert_eq!((frequent.len(), frequent.missed(), pool), (KEPT, 1, 0));
        assert!(frequent.all().all(|known| known.count == 1));
        // One that came more often takes the place of those that came least.
        assert!(frequent.add(1000, 5, &mut pool, || 1000));
        assert_eq!((frequent.len(), frequent.missed(), pool), (1, 2, KEPT - 1));
        assert_eq!(frequent.get_mut(1000).unwrap().count, 4);
    }

    #[test]
    fn a_value_that_came_once_is_named_only_if_all_are() {
        for (values, missed, expected) in
            [(3, 0, (3, true)), (NAMED as u64, 0, (NAMED, true)), (NAMED as u64 + 1, 0, (2, false)), (3, 1, (2, false))]
        {
            let mut frequent = Frequent::default();
            for name in (0..values).chain([0, 1]) {
                frequent.add(name, 1, &mut POOL.clone(), || name);
            }
            frequent.miss(missed);
            let (named, complete) = frequent.named();
            assert_eq!((named.len(), complete), expected, "{values} {missed}");
        }
    }

    #[test]
    fn one_account_among_very_many_is_named() {
        let names: Vec<u64> = (1000..5000).chain(std::iter::repeat_n(1, 300)).collect();
        let mut pool = POOL;
        let frequent = counted(&names, &mut pool);
        let (named, complete) = frequent.named();
        assert!(!complete && named[0].value == 1 && named[0].count > 200, "{named:?}");
    }
}
