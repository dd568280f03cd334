//! The size of the pages of a query.

use super::Seeks;
use crate::pace::Pace;

/// The first page if nothing else is known.
const FIRST: usize = 50;
/// The largest page if nobody waits.
const LARGEST: usize = 3200;
/// After this many of the smallest pages that took too long, smaller pages do not help.
const STRIKES: u8 = 3;

/// The size of the next page of a query.
#[derive(Clone, Copy, Debug)]
pub(super) enum PageSize {
    /// Nobody waits. Pages double, as the embedded driver of Prosody 0.12 loads a whole partition for each page.
    Unhurried(usize),
    /// A page may take a slice of the loop's time. Pages are as large as fits, unless even the smallest takes longer: then the
    /// driver reads everything for each page, and few large pages are best.
    InSlices {
        pace: Pace,
        /// What the driver is known to find. If the smallest pages of one that finds something take long, the machine is busy.
        seeks: Seeks,
        strikes: u8,
        /// The size of the next page, if the driver will read all of the last one on the way to it. Small pages would be read again for
        /// each of the others within that second.
        again: Option<usize>,
    },
}

impl PageSize {
    /// `limit` is how many entries the query may show, and `slice` how many seconds a page may take.
    pub(super) fn new(limit: Option<usize>, slice: Option<f64>, seeks: Seeks) -> Self {
        match slice {
            None => Self::Unhurried(limit.map_or(LARGEST, |limit| limit.clamp(FIRST, LARGEST))),
            Some(slice) => Self::InSlices { pace: Pace::of_rows(FIRST, slice), seeks, strikes: 0, again: None },
        }
    }

    pub(super) const fn size(&self) -> usize {
        match self {
            Self::Unhurried(size) => *size,
            Self::InSlices { strikes, .. } if *strikes >= STRIKES => LARGEST,
            Self::InSlices { pace, again, .. } => match again {
                Some(size) => *size,
                None => pace.size(),
            },
        }
    }

    /// The most entries that are dealt with at once.
    pub(super) const fn largest(&self) -> usize {
        match self {
            Self::Unhurried(_) => LARGEST,
            // What is made of the entries takes time too.
            Self::InSlices { .. } => Pace::MOST_ROWS,
        }
    }

    /// Notes that a page of `rows` took `seconds`, and whether all of its rows are within a second. A page that was not full says
    /// nothing about a larger one.
    pub(super) fn took(&mut self, rows: usize, seconds: f64, is_within_a_second: bool) {
        let size = self.size();
        match self {
            Self::Unhurried(size) => *size = size.saturating_mul(2).min(LARGEST),
            Self::InSlices { strikes, .. } if *strikes >= STRIKES => {}
            Self::InSlices { pace, seeks, strikes, again } => {
                let is_strike = seconds > pace.slice() && pace.is_smallest() && *seeks == Seeks::Nothing;
                *strikes = if is_strike { strikes.saturating_add(1) } else { 0 };
                *again = (*seeks == Seeks::Times && is_within_a_second).then(|| size.saturating_mul(2).min(LARGEST));
                match again {
                    Some(_) => {}
                    None if rows >= size => pace.took(seconds),
                    None => pace.took_part(seconds),
                }
            }
        }
    }
}

/// How many entries are taken at once by a caller that can use them in small batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    pace: Pace,
    taken: usize,
}

impl BatchSize {
    /// The first entries, if nothing else is known.
    const FIRST: usize = 25;

    /// `slice` is how many seconds it may take to use a batch.
    pub(super) fn new(slice: f64) -> Self {
        Self { pace: Pace::of_rows(Self::FIRST, slice), taken: 0 }
    }

    /// How many of `found` entries are taken.
    pub(super) fn take(&mut self, found: usize) -> usize {
        self.taken = found.min(self.pace.size());
        self.taken
    }

    /// Notes that using what was taken last took `seconds`.
    pub(super) fn took(&mut self, seconds: f64) {
        if self.taken >= self.pace.size() {
            self.pace.took(seconds);
        } else {
            self.pace.took_part(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of pages of a store that takes `fixed` for a page and `each` for a row.
    fn sizes(slice: Option<f64>, seeks: Seeks, fixed: f64, each: f64) -> Vec<usize> {
        let mut pages = PageSize::new(None, slice, seeks);
        let mut sizes = Vec::new();
        for _ in 0..12 {
            let size = pages.size();
            sizes.push(size);
            #[allow(clippy::cast_precision_loss)]
            pages.took(size, fixed + each * size as f64, false);
        }
        sizes
    }

    #[test]
    fn pages_grow_until_one_takes_too_long() {
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.0, 0.000_01)[..4], [50, 100, 200, 200]);
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.0, 0.000_000_1).last(), Some(&200));
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.0, 0.000_05).last(), Some(&100));
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.0, 0.000_9)[..4], [50, 25, 12, 10]);
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.0, 0.000_9).last(), Some(&10));
    }

    #[test]
    fn a_store_that_loads_everything_for_a_page_is_asked_for_few() {
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.1, 0.000_001)[..7], [50, 25, 12, 10, 10, 10, LARGEST]);
        assert_eq!(sizes(Some(0.01), Seeks::Nothing, 0.1, 0.000_001).last(), Some(&LARGEST));
    }

    #[test]
    fn a_store_that_finds_where_a_page_begins_gets_small_ones_however_long_they_take() {
        for seeks in [Seeks::Times, Seeks::Rows] {
            assert_eq!(sizes(Some(0.01), seeks, 0.1, 0.000_001)[..7], [50, 25, 12, 10, 10, 10, 10]);
        }
    }

    /// Prosody 13's embedded driver read all entries of a second again for each page of ten, which took minutes for a thousand.
    #[test]
    fn many_rows_within_a_second_are_read_in_few_pages_if_a_time_is_all_that_the_driver_finds() {
        let pages_of = |seeks| {
            let (mut pages, mut read, mut count) = (PageSize::new(None, Some(0.01), seeks), 0, 0);
            while read < 20_000 {
                let size = pages.size();
                read += size;
                count += 1;
                pages.took(size, 0.1, true);
            }
            pages.took(pages.size(), 0.1, false);
            (count, pages.size())
        };
        assert_eq!(pages_of(Seeks::Times), (12, 25));
        assert_eq!(pages_of(Seeks::Rows).1, 10);
        assert!(pages_of(Seeks::Rows).0 > 1900);
    }

    #[test]
    fn a_moment_in_which_others_had_the_machine_changes_little() {
        let mut pages = PageSize::new(None, Some(0.01), Seeks::Nothing);
        for (rows, seconds, next) in [(50, 0.001, 100), (100, 0.2, 50), (50, 0.2, 25), (25, 0.001, 50), (50, 0.001, 100)] {
            assert_eq!(pages.size(), rows);
            pages.took(rows, seconds, false);
            assert_eq!(pages.size(), next);
        }
    }

    #[test]
    fn a_page_that_was_not_full_says_nothing_about_a_larger_one() {
        let mut pages = PageSize::new(None, Some(0.01), Seeks::Nothing);
        for (rows, seconds, next) in [(0, 0.0, 50), (49, 0.001, 50), (50, 0.001, 100), (20, 0.02, 50)] {
            pages.took(rows, seconds, false);
            assert_eq!(pages.size(), next);
        }
    }

    #[test]
    fn no_batch_takes_longer_than_a_slice_once_it_is_known_how_long_an_entry_takes() {
        for (each, largest) in [(0.000_001, 200), (0.000_03, 50), (0.000_1, 12), (0.001, 10)] {
            let mut batches = BatchSize::new(0.0015);
            let mut sizes = Vec::new();
            let mut found = 1000;
            while found > 0 {
                let size = batches.take(found);
                sizes.push(size);
                found -= size;
                #[allow(clippy::cast_precision_loss)]
                batches.took(each * size as f64);
            }
            assert_eq!(sizes.iter().sum::<usize>(), 1000);
            assert_eq!(sizes.first(), Some(&25));
            assert!(sizes.iter().skip(2).all(|size| *size <= largest), "{each}: {sizes:?}");
        }
    }

    #[test]
    fn a_few_entries_say_nothing_about_a_whole_batch() {
        let mut batches = BatchSize::new(0.0015);
        for (found, seconds, next) in [(3, 0.0, 25), (0, 0.0, 25), (25, 0.0001, 50), (20, 0.002, 25)] {
            batches.take(found);
            batches.took(seconds);
            assert_eq!(batches.take(1000), next);
        }
    }

    #[test]
    fn without_haste_pages_are_large() {
        assert_eq!(sizes(None, Seeks::Nothing, 1.0, 1.0)[..2], [LARGEST, LARGEST]);
        assert_eq!(PageSize::new(Some(60), None, Seeks::Nothing).size(), 60);
        assert_eq!(PageSize::new(Some(1), None, Seeks::Nothing).size(), FIRST);
    }
}
