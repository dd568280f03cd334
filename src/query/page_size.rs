//! The size of the pages of a query.

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
        /// Whether the driver is known to find the beginning of a page. If its smallest pages take long, the machine is busy.
        seeks: bool,
        strikes: u8,
    },
}

impl PageSize {
    /// `limit` is how many entries the query may show, and `slice` how many seconds a page may take.
    pub(super) fn new(limit: Option<usize>, slice: Option<f64>, seeks: bool) -> Self {
        match slice {
            None => Self::Unhurried(limit.map_or(LARGEST, |limit| limit.clamp(FIRST, LARGEST))),
            Some(slice) => Self::InSlices { pace: Pace::of_rows(FIRST, slice), seeks, strikes: 0 },
        }
    }

    pub(super) const fn size(&self) -> usize {
        match self {
            Self::Unhurried(size) => *size,
            Self::InSlices { strikes, .. } if *strikes >= STRIKES => LARGEST,
            Self::InSlices { pace, .. } => pace.size(),
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

    /// Notes that a page took `seconds`.
    pub(super) fn took(&mut self, seconds: f64) {
        match self {
            Self::Unhurried(size) => *size = size.saturating_mul(2).min(LARGEST),
            Self::InSlices { strikes, .. } if *strikes >= STRIKES => {}
            Self::InSlices { pace, seeks, strikes } => {
                let is_strike = seconds > pace.slice() && pace.is_smallest() && !*seeks;
                *strikes = if is_strike { strikes.saturating_add(1) } else { 0 };
                pace.took(seconds);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of pages of a store that takes `fixed` for a page and `each` for a row.
    fn sizes(slice: Option<f64>, seeks: bool, fixed: f64, each: f64) -> Vec<usize> {
        let mut pages = PageSize::new(None, slice, seeks);
        let mut sizes = Vec::new();
        for _ in 0..12 {
            let size = pages.size();
            sizes.push(size);
            #[allow(clippy::cast_precision_loss)]
            pages.took(fixed + each * size as f64);
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
        let mut pages = PageSize::new(None, Some(0.01), false);
        for (rows, seconds, next) in [(50, 0.001, 100), (100, 0.2, 50), (50, 0.2, 25), (25, 0.001, 50), (50, 0.001, 100)] {
            assert_eq!(pages.size(), rows);
            pages.took(seconds);
            assert_eq!(pages.size(), next);
        }
    }

    #[test]
    fn without_haste_pages_are_large() {
        assert_eq!(sizes(None, false, 1.0, 1.0)[..2], [LARGEST, LARGEST]);
        assert_eq!(PageSize::new(Some(60), None, false).size(), 60);
        assert_eq!(PageSize::new(Some(1), None, false).size(), FIRST);
    }
}
