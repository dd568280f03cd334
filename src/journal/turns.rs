//! Whose turn it is to hand over: one host at a time, so that hosts that are due together do not hold the loop one after another.

use std::collections::{HashMap, VecDeque};

/// The hosts that want to hand over, and when.
///
/// ```
/// use audit_core::journal::turns::{Timer, Turns};
/// let mut turns = Turns::default();
/// assert_eq!(turns.ask("a.example", 10.0, 0.0), Some(Timer::Turn));
/// assert_eq!(turns.ask("b.example", 10.0, 0.5), Some(Timer::Host(10.5)));
/// assert_eq!(turns.take(), Some(("a.example".to_owned(), false)));
/// assert!(turns.rings("b.example", 10.5));
/// assert_eq!(turns.take(), Some(("b.example".to_owned(), false)));
/// ```
#[derive(Debug, Default)]
pub struct Turns {
    due: HashMap<String, f64>,
    waiting: VecDeque<String>,
}

/// A timer that the caller has to start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timer {
    /// Ends at once; then [`Turns::take`] is called.
    Turn,
    /// Ends at this time; then [`Turns::rings`] is called with the time.
    Host(f64),
}

impl Turns {
    /// Asks for a turn of `host`, `delay` seconds after `now`. Returns the timer that is needed for it; `None` if the host has an
    /// earlier turn anyway, or the timer runs already.
    pub fn ask(&mut self, host: &str, now: f64, delay: f64) -> Option<Timer> {
        let at = now + delay;
        let is_planned = self.due.get(host).is_some_and(|due| *due <= at);
        if is_planned || self.waiting.iter().any(|waiting| waiting == host) {
            return None;
        }
        if delay <= 0.0 {
            return self.queue(host).then_some(Timer::Turn);
        }
        self.due.insert(host.to_owned(), at);
        Some(Timer::Host(at))
    }

    /// Notes that the timer of `host` for `due` has ended. Returns whether a [`Timer::Turn`] is needed.
    pub fn rings(&mut self, host: &str, due: f64) -> bool {
        // An earlier turn may have been asked for since, and taken.
        #[allow(clippy::float_cmp)] // It is the same number.
        let is_current = self.due.get(host).is_some_and(|current| *current == due);
        is_current && self.queue(host)
    }

    /// Takes the next turn: its host, and whether a further [`Timer::Turn`] is needed.
    pub fn take(&mut self) -> Option<(String, bool)> {
        let host = self.waiting.pop_front()?;
        Some((host, !self.waiting.is_empty()))
    }

    /// Returns whether the host is the only one that waits.
    fn queue(&mut self, host: &str) -> bool {
        self.due.remove(host);
        if !self.waiting.iter().any(|waiting| waiting == host) {
            self.waiting.push_back(host.to_owned());
            return self.waiting.len() == 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_earlier_turn_makes_a_later_timer_meaningless() {
        let mut turns = Turns::default();
        assert_eq!(turns.ask("a", 0.0, 60.0), Some(Timer::Host(60.0)));
        assert_eq!(turns.ask("a", 1.0, 60.0), None);
        assert_eq!(turns.ask("a", 1.0, 0.25), Some(Timer::Host(1.25)));
        assert!(turns.rings("a", 1.25));
        assert_eq!(turns.ask("a", 1.25, 0.0), None, "it is in the queue");
        assert_eq!(turns.take(), Some(("a".to_owned(), false)));
        assert!(!turns.rings("a", 60.0));
        assert_eq!(turns.take(), None);
    }

    #[test]
    fn a_host_that_waits_does_not_keep_others_from_asking() {
        let mut turns = Turns::default();
        assert_eq!(turns.ask("a", 0.0, 0.0), Some(Timer::Turn));
        assert_eq!(turns.ask("b", 0.0, 0.5), Some(Timer::Host(0.5)));
        assert_eq!(turns.ask("c", 0.0, 0.0), None, "the timer for a turn runs already");
        assert_eq!([turns.take(), turns.take(), turns.take()], [Some(("a".to_owned(), true)), Some(("c".to_owned(), false)), None]);
    }

    #[test]
    fn after_a_clock_that_goes_back_a_turn_can_be_asked_for() {
        let mut turns = Turns::default();
        assert_eq!(turns.ask("a", 7200.0, 0.25), Some(Timer::Host(7200.25)));
        assert_eq!(turns.ask("a", 3600.0, 0.25), Some(Timer::Host(3600.25)));
    }

    proptest! {
        #[test]
        fn each_host_that_asks_has_its_turn_in_time_and_no_two_at_once(
            asked in prop::collection::vec((0u8..5, 0u8..4, 0u8..3), 1..80),
        ) {
            let mut turns = Turns::default();
            let mut now = 0.0;
            // What the caller's timers are: the time, and the host or a turn.
            let mut timers: Vec<(f64, Option<(String, f64)>)> = vec![];
            let mut wanted: HashMap<String, f64> = HashMap::new();
            let mut asked = asked.into_iter();
            loop {
                let next = asked.next();
                if let Some((host, delay, pass)) = next {
                    now += f64::from(pass) / 2.0;
                    let (host, delay) = (format!("{host}.example"), f64::from(delay) / 2.0);
                    let latest = wanted.entry(host.clone()).or_insert(f64::INFINITY);
                    *latest = latest.min(now + delay);
                    match turns.ask(&host, now, delay) {
                        Some(Timer::Turn) => timers.push((now, None)),
                        Some(Timer::Host(due)) => timers.push((due, Some((host, due)))),
                        None => {}
                    }
                } else if timers.is_empty() {
                    break;
                } else {
                    now += 1.0;
                }
                while let Some(index) = (0..timers.len()).filter(|index| timers[*index].0 <= now).min_by(|a, b| timers[*a].0.total_cmp(&timers[*b].0)) {
                    let (at, what) = timers.remove(index);
                    match what {
                        Some((host, due)) => if turns.rings(&host, due) { timers.push((at, None)); },
                        None => {
                            let (host, more) = turns.take().unwrap();
                            prop_assert!(wanted.remove(&host).is_some(), "{host} did not ask");
                            if more { timers.push((at, None)); }
                        }
                    }
                    prop_assert!(timers.iter().filter(|timer| timer.1.is_none()).count() <= 1, "two turns at once");
                }
                for (host, at) in &wanted {
                    prop_assert!(*at >= now - 1.0, "{host} was due at {at}, and it is {now}");
                }
            }
            prop_assert!(wanted.is_empty(), "{wanted:?} had no turn");
        }
    }
}
