//! Token buckets that limit how many entries peers and users can cause.

/// The most entries that unauthenticated peers cause on a host within any 60 seconds, summaries included.
pub const ENTRIES_A_MINUTE: u32 = 1000;

/// How large a budget is, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    /// How many entries a full bucket pays for at once.
    capacity: f64,
    /// How many more it pays for each second.
    per_second: f64,
    /// How much entries of single events leave in the bucket, so that there is enough for summaries.
    singles_leave: f64,
    /// How much summaries leave, so that there is enough for the last summaries when the server stops.
    summaries_leave: f64,
}

impl Size {
    /// For unauthenticated peers: 400 + 60 × 10 within any minute.
    pub(super) const FAILURES: Self = Self { capacity: 400.0, per_second: 10.0, singles_leave: 100.0, summaries_leave: 20.0 };

    /// For questions whether an account exists: 60 at once, and 20 a second.
    pub(super) const QUESTIONS: Self = Self { capacity: 60.0, per_second: 20.0, singles_leave: 0.0, summaries_leave: 0.0 };

    /// A budget with `capacity` at once, and half of that each minute. In a class with a limit, `capacity` is at most a fifth of the
    /// limit, so that less than a third of the class can be replaced within a minute.
    pub(super) fn of_class(capacity: f64, limit: Option<u64>) -> Self {
        #[allow(clippy::cast_precision_loss)] // Above 2^53, `capacity` is the smaller one.
        let capacity = limit.map_or(capacity, |limit| capacity.min((limit as f64 / 5.0).max(LEAST)));
        Self { capacity, per_second: capacity / 120.0, singles_leave: capacity / 4.0, summaries_leave: capacity / 20.0 }
    }
}

/// The smallest capacity. With less there would be no room for summaries.
const LEAST: f64 = 10.0;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    size: Size,
    tokens: f64,
    at: f64,
}

impl Budget {
    pub(super) const fn new(size: Size, now: f64) -> Self {
        Self { size, tokens: size.capacity, at: now }
    }

    /// The budget as the previous process saved it `ago` seconds ago.
    pub(super) fn resume(size: Size, tokens: f64, ago: f64, now: f64) -> Self {
        let gained = ago.max(0.0) * size.per_second;
        let tokens = if tokens.is_finite() { tokens } else { 0.0 };
        Self { size, tokens: (tokens + gained).clamp(0.0, size.capacity), at: now }
    }

    /// Changes the size. What has been used stays used.
    pub(super) fn resize(&mut self, size: Size) {
        let used = (self.size.capacity - self.tokens).max(0.0);
        self.tokens = (size.capacity - used).max(0.0);
        self.size = size;
    }

    /// Takes `weight` for an entry of a single event, if there is enough. Returns whether there was.
    pub(super) fn take_single(&mut self, weight: u32, now: f64) -> bool {
        self.refill(now);
        let weight = f64::from(weight);
        let enough = self.tokens - weight >= self.size.singles_leave;
        if enough {
            self.tokens -= weight;
        }
        enough
    }

    /// How many summaries may be stored now.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // From 0 to the capacity.
    pub(super) fn summaries(&mut self, now: f64, closing: bool) -> usize {
        self.refill(now);
        let left = if closing { self.tokens } else { self.tokens - self.size.summaries_leave };
        left.max(0.0) as usize
    }

    #[allow(clippy::cast_precision_loss)] // Far below 2^53.
    pub(super) fn take(&mut self, count: usize) {
        self.tokens -= count as f64;
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn give_back(&mut self, count: usize) {
        self.tokens = (self.tokens + count as f64).min(self.size.capacity);
    }

    pub(super) fn tokens(&mut self, now: f64) -> f64 {
        self.refill(now);
        self.tokens
    }

    pub(super) fn is_full(&mut self, now: f64) -> bool {
        self.tokens(now) >= self.size.capacity
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Adds the tokens since the last call. If the clock has gone back, nothing is added until it reaches the old time.
    fn refill(&mut self, now: f64) {
        if now > self.at {
            self.tokens = (now - self.at).mul_add(self.size.per_second, self.tokens).min(self.size.capacity);
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
        let mut budget = Budget::new(Size::FAILURES, 0.0);
        assert!(budget.is_full(0.0));
        let singles = (0..1000).filter(|_| budget.take_single(1, 0.0)).count();
        assert_eq!((singles, budget.summaries(0.0, false), budget.summaries(0.0, true)), (300, 80, 100));
        budget.take(80);
        assert_eq!((budget.summaries(0.0, false), budget.summaries(0.0, true)), (0, 20));
        assert!(!budget.is_full(1.0) && budget.is_full(100.0));
        let mut budget = Budget { tokens: 20.0, at: 0.0, ..budget };
        assert!(!budget.take_single(1, 1.0) && budget.summaries(1.0, false) == 10);
    }

    #[test]
    fn a_budget_outlives_its_process() {
        assert_eq!(Budget::resume(Size::FAILURES, 5.0, 10.0, 0.0).tokens(0.0), 105.0);
        assert_eq!(Budget::resume(Size::FAILURES, 5.0, -10.0, 0.0).tokens(0.0), 5.0);
        assert_eq!(Budget::resume(Size::FAILURES, 5.0, 1e9, 0.0).tokens(0.0), Size::FAILURES.capacity);
        assert_eq!(Budget::resume(Size::FAILURES, f64::NAN, f64::NAN, 0.0).tokens(0.0), 0.0);
        assert_eq!(Budget::resume(Size::FAILURES, -1e9, 0.0, 0.0).tokens(0.0), 0.0);
    }

    #[test]
    fn a_class_with_a_limit_gives_a_fifth_of_it() {
        for (limit, capacity) in [(None, 4000.0), (Some(1_000_000), 4000.0), (Some(1000), 200.0), (Some(100), 20.0), (Some(1), 10.0)] {
            assert_eq!(Budget::new(Size::of_class(4000.0, limit), 0.0).tokens(0.0), capacity, "{limit:?}");
        }
        let mut budget = Budget::new(Size::of_class(4000.0, Some(1000)), 0.0);
        assert!(budget.take_single(150, 0.0) && !budget.take_single(1, 0.0) && budget.summaries(0.0, false) == 40);
        budget.resize(Size::of_class(4000.0, Some(2000)));
        assert_eq!(budget.tokens(0.0), 250.0, "150 are used");
        budget.resize(Size::of_class(4000.0, Some(100)));
        assert_eq!(budget.tokens(0.0), 0.0);
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_it_may(steps in prop::collection::vec((-5.0f64..20.0, 0usize..500, any::<bool>()), 1..100)) {
            let mut budget = Budget::new(Size::FAILURES, 0.0);
            let (mut now, mut latest, mut taken) = (0.0, 0.0f64, Vec::new());
            for (step, wanted, single) in steps {
                now += step;
                latest = latest.max(now);
                // A budget knows only the times at which it is asked.
                budget.tokens(now);
                let count = if single {
                    (0..wanted).filter(|_| budget.take_single(1, now)).count()
                } else {
                    let count = budget.summaries(now, true).min(wanted);
                    budget.take(count);
                    count
                };
                // The time of a clock that does not go back.
                taken.push((latest, count));
            }
            for (start, _) in &taken {
                let sum: usize = taken.iter().filter(|(at, _)| (*start..=start + 60.0).contains(at)).map(|(_, count)| count).sum();
                prop_assert!(sum <= ENTRIES_A_MINUTE as usize, "{sum}");
            }
        }
    }
}
