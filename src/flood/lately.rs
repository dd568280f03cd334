//! How many events were counted within the last minute.

const SECONDS: usize = 60;

/// The number of events in each of the last sixty seconds.
#[derive(Clone, Debug)]
pub(super) struct Lately {
    counts: [u64; SECONDS],
    second: u64,
}

impl Default for Lately {
    fn default() -> Self {
        Self { counts: [0; SECONDS], second: 0 }
    }
}

impl Lately {
    pub(super) fn add(&mut self, now: f64) {
        let index = self.turn_to(now);
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn sum(&mut self, now: f64) -> u64 {
        self.turn_to(now);
        self.counts.iter().sum()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and the value is a number of seconds.
    fn turn_to(&mut self, now: f64) -> usize {
        let second = now as u64;
        for passed in (self.second.saturating_add(1)..=second).rev().take(SECONDS) {
            if let Some(count) = self.counts.get_mut((passed % SECONDS as u64) as usize) {
                *count = 0;
            }
        }
        // If the clock goes back, the last second that it had reached is used.
        self.second = self.second.max(second);
        (self.second % SECONDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_minute_is_not_counted() {
        let mut lately = Lately::default();
        for second in 0..120 {
            lately.add(1000.0 + f64::from(second));
        }
        assert_eq!(lately.sum(1119.9), 60);
        assert_eq!(lately.sum(1129.0), 50);
        assert_eq!(lately.sum(1100.0), 50, "the clock went back");
        lately.add(1100.0);
        assert_eq!(lately.sum(1129.0), 51);
        assert_eq!(lately.sum(1e9), 0);
    }
}
