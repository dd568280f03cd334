//! How large the pages of a query are.

/// The first page where nothing else is known.
const FIRST: usize = 50;
/// The smallest page that a slow store gets.
const SMALLEST: usize = 10;
/// The largest page.
const LARGEST: usize = 3200;
/// The largest page where it may only take so long: what comes of its entries takes time too.
const LARGEST_IN_HASTE: usize = 200;
/// After so many of the smallest pages that took too long, smaller pages do not help.
const STRIKES: u8 = 3;

/// How large the next page is. Pages double, as the embedded driver of Prosody 0.12 loads a partition whole for every page;
/// where a page may only take so long, they are as large as fits, unless even the smallest takes longer. A driver of which it is
/// known that it finds where a page begins does not get into that: then others had the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    size: usize,
    slice: Option<f64>,
    seeks: bool,
    strikes: u8,
}

impl Pace {
    pub(super) fn new(limit: Option<usize>, slice: Option<f64>, seeks: bool) -> Self {
        let most = if slice.is_some() { FIRST } else { LARGEST };
        Self { size: limit.map_or(most, |limit| limit.clamp(FIRST, most)), slice, seeks, strikes: 0 }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The most entries that are dealt with at once.
    pub(super) const fn largest(&self) -> usize {
        if self.slice.is_some() { LARGEST_IN_HASTE } else { LARGEST }
    }

    /// Takes note of how long a page took.
    pub(super) fn took(&mut self, rows: usize, seconds: f64) {
        let Some(slice) = self.slice else {
            self.size = rows.saturating_mul(2).min(LARGEST);
            return;
        };
        if self.strikes >= STRIKES {
            self.size = LARGEST;
        } else if seconds <= slice {
            self.strikes = 0;
            if seconds < slice / 2.0 {
                self.size = rows.saturating_mul(2).min(LARGEST_IN_HASTE);
            }
        } else {
            self.strikes = if rows <= SMALLEST && !self.seeks { self.strikes.saturating_add(1) } else { 0 };
            self.size = if self.strikes >= STRIKES { LARGEST } else { (rows / 2).max(SMALLEST) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of pages of a store that takes `fixed` for a page and `each` for a row.
    fn sizes(slice: Option<f64>, seeks: bool, fixed: f64, each: f64) -> Vec<usize> {
        let mut pace = Pace::new(None, slice, seeks);
        let mut sizes = Vec::new();
        for _ in 0..12 {
            let size = pace.size();
            sizes.push(size);
            #[allow(clippy::cast_precision_loss)]
            pace.took(size, fixed + each * size as f64);
        }
        sizes
    }

    #[test]
    fn pages_grow_until_one_takes_too_long() {
        assert_eq!(sizes(Some(0.01), false, 0.0, 0.000_01)[..4], [50, 100, 200, 200]);
        assert_eq!(sizes(Some(0.01), false, 0.0, 0.000_000_1).last(), Some(&200));
        assert_eq!(sizes(Some(0.01), false, 0.0, 0.000_05).last(), Some(&100));
        assert_eq!(sizes(Some(0.01), false, 0.0, 0.000_9)[..4], [50, 25, 12, 10]);
        assert_eq!(sizes(Some(0.01), false, 0.0, 0.000_9).last(), Some(&10));
    }

    #[test]
    fn a_store_that_loads_everything_for_a_page_is_asked_for_few() {
        assert_eq!(sizes(Some(0.01), false, 0.1, 0.000_001)[..7], [50, 25, 12, 10, 10, 10, LARGEST]);
        assert_eq!(sizes(Some(0.01), false, 0.1, 0.000_001).last(), Some(&LARGEST));
    }

    #[test]
    fn a_store_that_finds_where_a_page_begins_gets_small_ones_however_long_they_take() {
        assert_eq!(sizes(Some(0.01), true, 0.1, 0.000_001)[..7], [50, 25, 12, 10, 10, 10, 10]);
    }

    #[test]
    fn a_moment_in_which_others_had_the_machine_changes_little() {
        let mut pace = Pace::new(None, Some(0.01), false);
        for (rows, seconds, next) in [(50, 0.001, 100), (100, 0.2, 50), (50, 0.2, 25), (25, 0.001, 50), (50, 0.001, 100)] {
            assert_eq!(pace.size(), rows);
            pace.took(rows, seconds);
            assert_eq!(pace.size(), next);
        }
    }

    #[test]
    fn without_haste_pages_are_large() {
        assert_eq!(sizes(None, false, 1.0, 1.0)[..2], [LARGEST, LARGEST]);
        assert_eq!(Pace::new(Some(60), None, false).size(), 60);
        assert_eq!(Pace::new(Some(1), None, false).size(), FIRST);
    }
}
