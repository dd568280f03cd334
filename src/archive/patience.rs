//! How long a database may keep the process waiting, and when it is asked again after it did not answer.
//!
//! Prosody has one event loop. While this library waits for a database, everybody waits. So each statement has a time limit, and
//! after a statement that reached it the database is left alone for a while. Until then every use of that database is refused
//! at once, on all hosts that share it.

use crate::pace::Backoff;

/// The longest waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For a lock of another program, in milliseconds.
    pub lock: u32,
    /// For the answer to one statement, in milliseconds.
    pub statement: u32,
    /// For a connection, in seconds. The libraries of databases take no less than 2.
    pub connect: u32,
}

impl Bounds {
    /// In the server, where everybody waits.
    pub const SERVER: Self = Self { lock: 150, statement: 500, connect: 2 };

    /// In a process such as `prosodyctl`. Nobody else waits, but it must come to an end.
    pub const COMMAND: Self = Self { lock: 5000, statement: 60_000, connect: 10 };
}

/// How long the log waits in the server for another process that writes to the file of the driver `audit`, in seconds. The hand-over
/// and pruning don't wait at all: they try again.
pub const NATIVE: f64 = 0.05;

/// A failure that took less than this did not make anybody wait, in seconds.
const NOTICED: f64 = 0.05;

/// A database that held the loop is left alone for at least this many times as long.
const REST: f64 = 10.0;

/// When one database may be asked again.
#[derive(Debug)]
pub struct Patience {
    bounds: Bounds,
    backoff: Backoff,
    until: f64,
}

impl Patience {
    /// The patience of a server, or of a process that `may_wait`.
    #[must_use]
    pub fn new(may_wait: bool) -> Self {
        let bounds = if may_wait { Bounds::COMMAND } else { Bounds::SERVER };
        Self { bounds, backoff: Backoff::new(1.0, Backoff::LONGEST), until: f64::NEG_INFINITY }
    }

    /// The longest waits.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Returns for how many seconds the database is still left alone: 0 if it may be asked. `now` is in seconds of a clock that
    /// does not jump.
    #[must_use]
    pub fn wait(&self, now: f64) -> f64 {
        (self.until - now).clamp(0.0, Backoff::LONGEST)
    }

    /// Notes that a statement failed at `now`, after `took` seconds.
    pub fn unanswered(&mut self, now: f64, took: f64) {
        if took < NOTICED || self.bounds == Bounds::COMMAND {
            return;
        }
        self.until = now + self.backoff.failed().max(took * REST).min(Backoff::LONGEST);
    }

    /// Notes that the database has answered.
    pub fn answered(&mut self) {
        self.backoff.succeeded();
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
    fn a_database_that_does_not_answer_is_left_alone_for_longer_each_time() {
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
    fn the_loop_is_held_for_a_tenth_of_the_time_at_most() {
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
    fn what_fails_at_once_is_tried_again_as_before() {
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
    fn who_asks_for_another_try_gets_one() {
        let mut patience = Patience::new(false);
        patience.unanswered(1.0, 0.5);
        patience.try_again();
        assert_eq!(patience.wait(1.0), 0.0);
        patience.unanswered(2.0, 0.15);
        assert_eq!(patience.wait(2.0), 2.0, "it goes on where it was");
    }

    #[test]
    fn a_command_waits_longer_but_not_for_ever_and_is_never_refused() {
        let mut patience = Patience::new(true);
        assert!(patience.bounds().lock > Bounds::SERVER.lock);
        assert!(patience.bounds().statement <= 60_000);
        patience.unanswered(1.0, 60.0);
        assert_eq!(patience.wait(1.0), 0.0);
    }

    #[test]
    fn a_login_waits_for_less_than_a_second_for_a_lock_or_a_slow_answer() {
        let Bounds { lock, statement, .. } = Bounds::SERVER;
        assert!(lock <= statement && statement < 1000);
    }
}
