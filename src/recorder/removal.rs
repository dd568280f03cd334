//! What is removed from a host's log and what is shown of it, depending on whether the clock is trusted.

use std::collections::HashSet;

use crate::archive::clock::{KeptClock, Timeline};
use crate::archive::partition::Partition;
use crate::archive::pruning::Plan;
use crate::archive::retention::Retention;
use crate::recorder::Recorder;

impl Recorder {
    /// What a prune of a host does at `now`, in UNIX seconds, with the partitions that its store lists. `old_is_empty` says that
    /// archive user `nil` has no entries. While the clock is in doubt, nothing expires.
    pub fn plan(&mut self, host: &str, partitions: &[Partition], old_is_empty: bool, now: f64, clock: Option<&mut KeptClock>) -> Plan {
        let used: HashSet<Partition> = self.placement(host).archive().in_use().cloned().collect();
        let retention = &self.settings(host).retention;
        let (timeline, is_trusted) = clock.map_or((Timeline::default(), true), |clock| {
            clock.forget(partitions, retention.last_cutoff(now));
            (clock.timeline(now), clock.is_trusted())
        });
        let rules = if is_trusted { retention.clone() } else { retention.without_expiry() };
        let plan = Plan::with_times(partitions, &rules, old_is_empty, now, &timeline, &used);
        // Another process may have made a copy, too.
        let is_copied = |partition: &&Partition| partitions.contains(&partition.cut());
        for partition in plan.cut.iter().chain(used.iter().filter(is_copied)) {
            self.placement(host).cut(partition);
        }
        plan
    }

    /// The classes by which a reading leaves out what has expired. What is kept although its time is over by the clock is shown, and so is
    /// what is held.
    #[must_use]
    pub fn shown(&self, host: &str, partitions: &[Partition], now: f64, clock: Option<&KeptClock>) -> Retention {
        let settings = self.settings(host);
        let retention = &settings.retention;
        let all = !settings.hold.is_empty() || clock.is_some_and(|clock| clock.keeps_more(partitions, retention, now));
        if all { retention.without_expiry() } else { retention.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::archive::clock::{ClockReading, Witnesses};
    use crate::file::Memory;
    use crate::filter::hold::Hold;
    use crate::options::Settings;

    const NOON: f64 = 1_795_521_600.0;
    const DAY: f64 = 86_400.0;

    #[test]
    fn while_the_clock_is_in_doubt_nothing_expires_and_everything_is_shown() {
        let mut recorder = Recorder::default();
        recorder.configure("example.com", Settings::default(), None);
        let old: Vec<Partition> = vec!["@events.2026-11-20".parse().unwrap()];
        let reading = |wall: f64, uptime: f64| ClockReading { wall, uptime, boot: None };
        let mut clock = KeptClock::open(Rc::new(Memory::default()), None);
        clock.look(&reading(NOON, 0.0), &Witnesses::default(), DAY);
        let ahead = NOON + 60.0 * DAY;
        let expired = |recorder: &mut Recorder, clock: Option<&mut KeptClock>| {
            !recorder.plan("example.com", &old, true, ahead, clock).expired.is_empty()
        };
        assert!(expired(&mut recorder, None));
        let cutoff = |retention: &Retention| retention.cutoff("events", ahead);
        assert!(cutoff(&recorder.shown("example.com", &old, ahead, None)).is_some());
        clock.look(&reading(ahead, 60.0), &Witnesses::default(), DAY);
        assert!(!clock.is_trusted() && !expired(&mut recorder, Some(&mut clock)));
        assert_eq!(cutoff(&recorder.shown("example.com", &old, ahead, Some(&clock))), None);
    }

    #[test]
    fn what_is_held_is_shown_after_its_time() {
        let mut recorder = Recorder::default();
        let hold = Hold { classes: vec!["events".to_owned()], ..Hold::default() };
        recorder.configure("example.com", Settings { hold, ..Settings::default() }, None);
        assert_eq!(recorder.shown("example.com", &[], NOON, None).cutoff("events", NOON), None);
    }
}
