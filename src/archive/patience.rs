//! How long the process waits for a database, and when it tries again after a timeout.
//!
//! A server has one event loop: while it waits for a database, all users wait. So each statement has a timeout. After a timeout the
//! database is not used for a while, and requests fail at once, on all hosts that share the database.

/// The timeouts of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For a lock of another program, in milliseconds.
    pub lock: u32,
    /// For one statement, in milliseconds.
    pub statement: u32,
    /// For a connection, in seconds. The client libraries accept no less than 2.
    pub connect: u32,
}

impl Bounds {
    /// The timeouts in the server, where all users wait.
    pub const SERVER: Self = Self { lock: 150, statement: 500, connect: 2 };

    /// The timeouts in a separate process such as `prosodyctl`. Nobody else waits, but it has to end.
    pub const COMMAND: Self = Self { lock: 5000, statement: 60_000, connect: 10 };
}

/// A statement that took less than this does not count as waiting, in seconds.
const NOTICED: f64 = 0.05;

/// For how many times as long as the loop was blocked a database is not used.
const REST: f64 = 10.0;

/// The longest time for which a database is not used, in seconds.
const LONGEST: f64 = 60.0;

/// Remembers the timeouts of one database.
#[derive(Debug)]
pub struct Patience {
    bounds: Bounds,
    unanswered: u32,
    until: f64,
}

impl Patience {
    /// For a server, or for a process that `may_wait`.
    #[must_use]
    pub fn new(may_wait: bool) -> Self {
        Self { bounds: if may_wait { Bounds::COMMAND } else { Bounds::SERVER }, unanswered: 0, until: f64::NEG_INFINITY }
    }

    /// The timeouts.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// For how many more seconds the database must not be used. Returns 0 if it may be used now. `now` is in seconds of a monotonic
    /// clock.
    #[must_use]
    pub fn wait(&self, now: f64) -> f64 {
        (self.until - now).clamp(0.0, LONGEST)
    }

    /// Notes that a statement failed at `now` after `took` seconds.
    pub fn unanswered(&mut self, now: f64, took: f64) {
        if took < NOTICED || self.bounds == Bounds::COMMAND {
            return;
        }
        let doubled = f64::from(1_u32 << self.unanswered.min(6));
        self.unanswered = self.unanswered.saturating_add(1);
        self.until = now + doubled.max(took * REST).min(LONGEST);
    }

    /// Notes that the database has answered.
    pub fn answered(&mut self) {
        self.unanswered = 0;
        self.until = f64::NEG_INFINITY;
    }

    /// Allows one more attempt now.
    pub fn try_again(&mut self) {
        self.until = f64::NEG_INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_each_timeout_the_database_is_not_used_for_longer() {
        let mut patience = Patience::new(false);
        assert_eq!(patience.wait(0.0), 0.0);
        let mut now = 0.0;
        for expected in [1.5, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] {
            now += 0.15;
            patience.unanswered(now, 0.15);
            assert!((patience.wait(now) - expected).abs() < 1e-9, "{} instead of {expected}", patience.wait(now));
            assert!((patience.wait(now + 1.0) - (expected - 1.0)).abs() < 1e-9);
            now += expected + 1e-9;
            assert_eq!(patience.wait(now), 0.0);
        }
        patience.answered();
        patience.unanswered(0.0, 0.15);
        assert_eq!(patience.wait(0.0), 1.5);
    }

    #[test]
    fn the_loop_is_blocked_for_a_tenth_of_the_time_at_most() {
        for took in [0.05, 0.15, 0.5, 2.0, 4.0] {
            let mut patience = Patience::new(false);
            let (mut now, mut held) = (0.0, 0.0);
            for _ in 0..20 {
                now += took;
                held += took;
                patience.unanswered(now, took);
                now += patience.wait(now);
            }
            assert!(held / now < 0.1, "{took}: {held} of {now}");
        }
    }

    #[test]
    fn after_a_quick_failure_the_database_may_be_used() {
        let mut patience = Patience::new(false);
        patience.unanswered(10.0, 0.01);
        assert_eq!(patience.wait(10.0), 0.0);
    }

    #[test]
    fn no_wait_is_longer_than_the_longest_whatever_the_clock_does() {
        let mut patience = Patience::new(false);
        patience.unanswered(1_000_000.0, 100.0);
        assert_eq!(patience.wait(1_000_000.0), 60.0);
        assert_eq!(patience.wait(10.0), 60.0);
    }

    #[test]
    fn another_attempt_can_be_allowed() {
        let mut patience = Patience::new(false);
        patience.unanswered(1.0, 0.5);
        patience.try_again();
        assert_eq!(patience.wait(1.0), 0.0);
        patience.unanswered(2.0, 0.15);
        assert_eq!(patience.wait(2.0), 2.0, "the next wait is still longer");
    }

    #[test]
    fn a_command_has_longer_timeouts_and_may_always_try() {
        let mut patience = Patience::new(true);
        assert!(patience.bounds().lock > Bounds::SERVER.lock);
        assert!(patience.bounds().statement <= 60_000);
        patience.unanswered(1.0, 60.0);
        assert_eq!(patience.wait(1.0), 0.0);
    }

    #[test]
    fn in_the_server_the_timeouts_are_less_than_a_second() {
        let Bounds { lock, statement, .. } = Bounds::SERVER;
        assert!(lock <= statement && statement < 1000);
    }
}
