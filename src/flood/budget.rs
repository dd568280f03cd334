//! How many entries unauthenticated peers may cause on a host.

/// The most entries that unauthenticated peers cause on a host within any 60 seconds, summaries included.
pub const ENTRIES_A_MINUTE: u32 = 1000;

/// A bucket that is full lets so many pass at once, and so many more each second: 400 + 60 × 10 within any minute.
const CAPACITY: f64 = 400.0;
const PER_SECOND: f64 = 10.0;

/// What entries of single events leave in the bucket, so that the rest can still be summed up; and what summaries leave, so
/// that those that are closed when the server stops still find room.
const SINGLES_LEAVE: f64 = 100.0;
const SUMMARIES_LEAVE: f64 = 20.0;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    tokens: f64,
    at: f64,
}

impl Budget {
    pub(super) const fn new(now: f64) -> Self {
        Self { tokens: CAPACITY, at: now }
    }

    /// The budget as another process left it, so many seconds ago.
    pub(super) fn resume(tokens: f64, ago: f64, now: f64) -> Self {
        let gained = if ago > 0.0 { ago * PER_SECOND } else { 0.0 };
        let tokens = if tokens.is_finite() { tokens } else { 0.0 };
        Self { tokens: (tokens + gained).clamp(0.0, CAPACITY), at: now }
    }

    /// Takes one for an entry of a single event, if there is one.
    pub(super) fn take_single(&mut self, now: f64) -> bool {
        self.refill(now);
        let enough = self.tokens - 1.0 >= SINGLES_LEAVE;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// How many summaries there may be now.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // From 0 to 400.
    pub(super) fn summaries(&mut self, now: f64, closing: bool) -> usize {
        self.refill(now);
        let left = if closing { self.tokens } else { self.tokens - SUMMARIES_LEAVE };
        left.max(0.0) as usize
    }

    #[allow(clippy::cast_precision_loss)] // Far below 2^53.
    pub(super) fn take(&mut self, count: usize) {
        self.tokens -= count as f64;
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn give_back(&mut self, count: usize) {
        self.tokens = (self.tokens + count as f64).min(CAPACITY);
    }

    pub(super) fn tokens(&mut self, now: f64) -> f64 {
        self.refill(now);
        self.tokens
    }

    pub(super) fn is_full(&mut self, now: f64) -> bool {
        self.tokens(now) >= CAPACITY
    }

    /// A clock that goes back gives nothing until it is where it was.
    fn refill(&mut self, now: f64) {
        if now > self.at {
            self.tokens = (now - self.at).mul_add(PER_SECOND, self.tokens).min(CAPACITY);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn singles_leave_something_to_summaries_and_those_to_the_last() {
        let mut budget = Budget::new(0.0);
        let singles = (0..1000).filter(|_| budget.take_single(0.0)).count();
        assert_eq!((singles, budget.summaries(0.0, false), budget.summaries(0.0, true)), (300, 80, 100));
        budget.take(80);
        assert_eq!((budget.summaries(0.0, false), budget.summaries(0.0, true)), (0, 20));
        assert!(!budget.take_single(1.0) && budget.summaries(1.0, false) == 10);
    }

    #[test]
    fn a_budget_outlives_its_process() {
        assert_eq!(Budget::resume(5.0, 10.0, 0.0).tokens(0.0), 105.0);
        assert_eq!(Budget::resume(5.0, -10.0, 0.0).tokens(0.0), 5.0);
        assert_eq!(Budget::resume(5.0, 1e9, 0.0).tokens(0.0), CAPACITY);
        assert_eq!(Budget::resume(f64::NAN, f64::NAN, 0.0).tokens(0.0), 0.0);
        assert_eq!(Budget::resume(-1e9, 0.0, 0.0).tokens(0.0), 0.0);
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_it_may(steps in prop::collection::vec((-5.0f64..20.0, 0usize..500, any::<bool>()), 1..100)) {
            let mut budget = Budget::new(0.0);
            let (mut now, mut latest, mut taken) = (0.0, 0.0f64, Vec::new());
            for (step, wanted, single) in steps {
                now += step;
                latest = latest.max(now);
                let count = if single {
                    (0..wanted).filter(|_| budget.take_single(now)).count()
                } else {
                    let count = budget.summaries(now, true).min(wanted);
                    budget.take(count);
                    count
                };
                // As a clock that does not go back would have it.
                taken.push((latest, count));
            }
            for (start, _) in &taken {
                let sum: usize = taken.iter().filter(|(at, _)| (*start..=start + 60.0).contains(at)).map(|(_, count)| count).sum();
                prop_assert!(sum <= ENTRIES_A_MINUTE as usize, "{sum}");
            }
        }
    }
}
