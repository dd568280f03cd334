//! How much to do at once, and how long to wait after a failure.
//!
//! Prosody has one event loop, and everything that this library does in it makes others wait. So long work is done in batches,
//! and the size of a batch follows from how long the batch before it took. [`Pace`] is used by the hand-over to the store, by
//! pruning and by queries. [`Backoff`] is used by everything that is tried again.

/// The size of the next batch: half as large after a batch that took too long, twice as large after one that took less than
/// half of the time that it had.
///
/// ```
/// use audit_core::pace::Pace;
/// let mut pace = Pace::of_rows(25, 0.008);
/// pace.took(0.001);
/// assert_eq!(pace.size(), 50);
/// pace.took(0.5);
/// assert_eq!(pace.size(), 25);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    size: usize,
    smallest: usize,
    largest: usize,
    slice: f64,
}

impl Pace {
    /// The fewest rows in a batch. Smaller batches spend most of their time on what each batch costs.
    pub const FEWEST_ROWS: usize = 10;
    /// The most rows in a batch.
    pub const MOST_ROWS: usize = 200;

    /// Batches of rows that begin with `first` rows. Each may take `slice` seconds.
    #[must_use]
    pub fn of_rows(first: usize, slice: f64) -> Self {
        Self::within(first, Self::FEWEST_ROWS, Self::MOST_ROWS, slice)
    }

    /// Batches of any unit, from `smallest` to `largest`.
    #[must_use]
    pub fn within(first: usize, smallest: usize, largest: usize, slice: f64) -> Self {
        Self { size: first.min(largest).max(smallest), smallest, largest, slice }
    }

    /// The size of the next batch.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Whether batches can't get smaller.
    #[must_use]
    pub const fn is_smallest(&self) -> bool {
        self.size <= self.smallest
    }

    /// How long a batch may take, in seconds.
    #[must_use]
    pub const fn slice(&self) -> f64 {
        self.slice
    }

    /// Notes that a whole batch took `seconds`.
    pub fn took(&mut self, seconds: f64) {
        if seconds < self.slice / 2.0 {
            self.size = self.size.saturating_mul(2).min(self.largest);
        } else {
            self.took_part(seconds);
        }
    }

    /// Notes that a part of a batch took `seconds`. Batches do not grow after that.
    pub fn took_part(&mut self, seconds: f64) {
        if seconds > self.slice {
            self.size = (self.size / 2).max(self.smallest);
        }
    }
}

/// The pause after a failure: twice as long after each further failure, up to the longest.
///
/// ```
/// use audit_core::pace::Backoff;
/// let mut backoff = Backoff::new(1.0, 3.0);
/// assert_eq!([backoff.failed(), backoff.failed(), backoff.failed()], [1.0, 2.0, 3.0]);
/// backoff.succeeded();
/// assert_eq!(backoff.failed(), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: f64,
    longest: f64,
    failures: u32,
}

impl Backoff {
    /// The longest pause of everything that is tried again, in seconds.
    pub const LONGEST: f64 = 60.0;

    /// Pauses from `first` to `longest`, both in seconds.
    #[must_use]
    pub const fn new(first: f64, longest: f64) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Notes a failure. Returns the pause before the next attempt, in seconds.
    pub fn failed(&mut self) -> f64 {
        let doubled = self.first * f64::from(self.failures.min(1000)).exp2();
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.longest)
    }

    /// Notes a success. The next failure is the first again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The number of failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_that_takes_too_long_is_followed_by_half_of_it() {
        let mut pace = Pace::of_rows(25, 0.008);
        let mut sizes = vec![];
        for seconds in [0.001, 0.001, 0.001, 0.001, 0.006, 0.008, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02] {
            pace.took(seconds);
            sizes.push(pace.size());
        }
        assert_eq!(sizes, [50, 100, 200, 200, 200, 200, 100, 50, 25, 12, 10, 10]);
    }

    #[test]
    fn a_part_of_a_batch_never_makes_the_next_larger() {
        let mut pace = Pace::of_rows(100, 0.008);
        pace.took_part(0.0);
        assert_eq!(pace.size(), 100);
        pace.took_part(0.009);
        assert_eq!(pace.size(), 50);
    }

    #[test]
    fn a_clock_that_goes_back_or_gives_no_number_leaves_the_size_in_its_bounds() {
        let mut pace = Pace::of_rows(25, 0.008);
        for seconds in [f64::NAN, -5.0, f64::INFINITY, f64::NEG_INFINITY] {
            pace.took(seconds);
            assert!((Pace::FEWEST_ROWS..=Pace::MOST_ROWS).contains(&pace.size()));
        }
    }

    proptest! {
        #[test]
        fn the_size_stays_within_its_bounds(first in 0usize..5000, smallest in 1usize..50, more in 0usize..500, times in prop::collection::vec(0f64..0.05, 0..60)) {
            let mut pace = Pace::within(first, smallest, smallest + more, 0.01);
            for seconds in times {
                prop_assert!((smallest..=smallest + more).contains(&pace.size()));
                if seconds < 0.02 { pace.took(seconds) } else { pace.took_part(seconds) }
            }
            prop_assert!((smallest..=smallest + more).contains(&pace.size()));
        }

        #[test]
        fn a_steady_store_soon_gets_batches_that_fit(each in 0.000_001f64..0.01) {
            let mut pace = Pace::of_rows(25, 0.008);
            for _ in 0..10 {
                pace.took(each * pace.size() as f64);
            }
            for _ in 0..10 {
                let took = each * pace.size() as f64;
                prop_assert!(took <= 0.008 || pace.size() <= 2 * Pace::FEWEST_ROWS, "{} rows take {took}", pace.size());
                pace.took(took);
            }
        }

        #[test]
        fn no_pause_is_longer_than_the_longest_and_a_success_makes_it_the_first_again(
            first in 0.001f64..5.0,
            attempts in prop::collection::vec(prop::bool::weighted(0.9), 0..200),
        ) {
            let mut backoff = Backoff::new(first, Backoff::LONGEST);
            let mut last = 0.0;
            for fails in attempts {
                if fails {
                    let pause = backoff.failed();
                    prop_assert!(pause <= Backoff::LONGEST && pause >= last && pause >= first);
                    last = pause;
                } else {
                    backoff.succeeded();
                    prop_assert_eq!(backoff.failed(), first);
                    last = first;
                }
            }
        }
    }
}
