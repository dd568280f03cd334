//! What the report keeps of the entries: numbers, and the newest entries behind each number.

use std::collections::HashMap;

use super::outside::Outside;
use crate::address::location::country;
use crate::entry::StoredEvent;
use crate::render::note::{note, who, without_actor};
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::findings::client_id;
use crate::render::totals::tally::{Counts, Histogram};

/// How many entries are kept behind a number.
pub(super) const BEHIND: usize = 5;

/// How many entries are kept behind each period of the timeline.
const BEHIND_TIME: usize = 2;

/// How many gaps are shown.
const SILENCES: usize = 5;

/// The shortest gap that is shown, in seconds.
const SILENCE: f64 = 3600.0;

/// How many crashes and starts of the server are marked in the chart.
const MARKS: usize = 40;

/// An entry, as far as the report shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EntryLine {
    pub(super) time: f64,
    pub(super) kind: Outside,
    pub(super) failed: bool,
    pub(super) user: Option<Outside>,
    pub(super) address: Option<Outside>,
    pub(super) country: Option<Outside>,
    pub(super) note: Outside,
    pub(super) count: u64,
}

/// What an entry becomes in a list of entries.
pub(super) trait Line {
    /// When it happened, in UNIX seconds.
    fn time(&self) -> f64;
    /// Makes it of an entry.
    fn of(event: &StoredEvent) -> Self;
}

impl Line for EntryLine {
    fn time(&self) -> f64 {
        self.time
    }

    fn of(event: &StoredEvent) -> Self {
        Self {
            time: event.time,
            kind: Outside::new(&event.kind),
            failed: meaning(&event.kind).outcome == Outcome::Failure,
            user: event.user.as_deref().map(Outside::new),
            address: address(event),
            country: country::of(event).map(Outside::new),
            note: Outside::new(&note(event)),
            count: event.count(),
        }
    }
}

/// A privileged action: who did it, on what, from where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Action {
    pub(super) time: f64,
    pub(super) kind: Outside,
    pub(super) who: Option<Outside>,
    pub(super) user: Option<Outside>,
    pub(super) what: Outside,
    pub(super) address: Option<Outside>,
    pub(super) country: Option<Outside>,
}

impl Line for Action {
    fn time(&self) -> f64 {
        self.time
    }

    fn of(event: &StoredEvent) -> Self {
        Self {
            time: event.time,
            kind: Outside::new(&event.kind),
            who: who(event).map(|who| Outside::new(&who)),
            user: event.user.as_deref().map(Outside::new),
            what: Outside::new(&without_actor(event)),
            address: address(event),
            country: country::of(event).map(Outside::new),
        }
    }
}

/// A client that an account used for the first time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewClient {
    pub(super) time: f64,
    pub(super) user: Option<String>,
    pub(super) id: Option<String>,
    pub(super) address: Option<Outside>,
    pub(super) country: Option<Outside>,
}

impl Line for NewClient {
    fn time(&self) -> f64 {
        self.time
    }

    fn of(event: &StoredEvent) -> Self {
        Self {
            time: event.time,
            user: event.user.clone(),
            id: client_id(event).map(ToOwned::to_owned),
            address: address(event),
            country: country::of(event).map(Outside::new),
        }
    }
}

fn address(event: &StoredEvent) -> Option<Outside> {
    event.ip.as_ref().or_else(|| event.actor.as_ref()?.ip.as_ref()).map(|address| Outside::new(address))
}

/// The newest of the entries behind a number.
#[derive(Clone, Debug)]
pub(super) struct Recent<L> {
    lines: Vec<L>,
    /// How many entries there were.
    pub(super) entries: u64,
    /// How many events that is.
    pub(super) events: u64,
}

/// The newest entries, as they are listed.
pub(super) type RecentEvents = Recent<EntryLine>;

impl<L> Default for Recent<L> {
    fn default() -> Self {
        Self { lines: Vec::new(), entries: 0, events: 0 }
    }
}

impl<L: Line> Recent<L> {
    pub(super) fn add(&mut self, event: &StoredEvent) {
        self.add_up_to(event, BEHIND);
    }

    /// Adds an entry, and keeps the newest `limit` of all.
    pub(super) fn add_up_to(&mut self, event: &StoredEvent, limit: usize) {
        self.entries = self.entries.saturating_add(1);
        self.events = self.events.saturating_add(event.count());
        self.keep(event, limit);
    }

    fn keep(&mut self, event: &StoredEvent, limit: usize) {
        // Entries come newest first or oldest first. An entry that is not kept is not copied.
        if self.lines.len() >= limit {
            if self.lines.last().is_some_and(|oldest| oldest.time() >= event.time) {
                return;
            }
            self.lines.pop();
        }
        let place = self.lines.partition_point(|line| line.time() >= event.time);
        self.lines.insert(place, L::of(event));
    }

    /// The entries, newest first.
    pub(super) fn lines(&self) -> &[L] {
        &self.lines
    }
}

/// Numbers by name, with the newest entries behind each number.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) counts: Counts,
    recent: HashMap<String, RecentEvents>,
}

impl Groups {
    pub(super) fn add(&mut self, name: &str, event: &StoredEvent) {
        let before = self.counts.uncertainty();
        self.counts.add(name, event.count());
        match self.recent.get_mut(name) {
            Some(recent) => recent.add(event),
            None => self.recent.entry(name.to_owned()).or_default().add(event),
        }
        if self.counts.uncertainty() != before {
            let counts = &self.counts;
            self.recent.retain(|name, _| counts.of(name) > 0);
        }
    }

    /// The entries behind a name.
    pub(super) fn behind(&self, name: &str) -> &[EntryLine] {
        self.recent.get(name).map_or(&[], RecentEvents::lines)
    }
}

/// The newest entries behind each bucket of a timeline.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    length: i64,
    recent: HashMap<i64, RecentEvents>,
}

impl Times {
    /// Adds an entry that `timeline` has just counted at `clock`, in local time of the report's zone.
    pub(super) fn add(&mut self, timeline: &Histogram, clock: i64, event: &StoredEvent) {
        if self.length != timeline.length() {
            self.length = timeline.length();
            let length = self.length;
            let mut longer: HashMap<i64, RecentEvents> = HashMap::new();
            for (begin, recent) in self.recent.drain() {
                merge(longer.entry(begin.div_euclid(length).saturating_mul(length)).or_default(), recent);
            }
            self.recent = longer;
        }
        let begin = clock.div_euclid(self.length).saturating_mul(self.length);
        self.recent.entry(begin).or_default().keep(event, BEHIND_TIME);
    }

    /// The newest entries of the period that begins at `begin` and is `length` seconds long.
    pub(super) fn behind(&self, begin: i64, length: i64) -> Vec<&EntryLine> {
        let within = |other: &&i64| (begin..begin.saturating_add(length)).contains(*other);
        let mut lines: Vec<&EntryLine> =
            self.recent.keys().filter(within).filter_map(|begin| self.recent.get(begin)).flat_map(RecentEvents::lines).collect();
        lines.sort_by(|a, b| b.time.total_cmp(&a.time));
        lines.truncate(BEHIND_TIME);
        lines
    }
}

fn merge(into: &mut RecentEvents, other: RecentEvents) {
    into.lines.extend(other.lines);
    into.lines.sort_by(|a, b| b.time.total_cmp(&a.time));
    into.lines.truncate(BEHIND_TIME);
}

/// When something happened: the newest times, and how often it happened in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    times: Vec<f64>,
    pub(super) count: u64,
}

impl Marks {
    pub(super) fn add(&mut self, time: f64) {
        self.count = self.count.saturating_add(1);
        let place = self.times.partition_point(|other| *other >= time);
        self.times.insert(place, time);
        self.times.truncate(MARKS);
    }

    /// The newest times, newest first.
    pub(super) fn times(&self) -> &[f64] {
        &self.times
    }
}

/// A gap: a period in which no entry was stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Silence {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Whether the entries around it show that the server did not run.
    pub(super) explained: bool,
}

/// The longest gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    previous: Option<(f64, String)>,
    longest: Vec<Silence>,
}

impl Silences {
    pub(super) fn add(&mut self, event: &StoredEvent) {
        if let Some((time, kind)) = &self.previous {
            let (from, to, before, after) = if *time <= event.stored {
                (*time, event.stored, kind.as_str(), event.kind.as_str())
            } else {
                (event.stored, *time, event.kind.as_str(), kind.as_str())
            };
            let explained = before == "server-stopped" || matches!(after, "server-started" | "server-crashed");
            if to - from >= SILENCE {
                self.longest.push(Silence { from, to, explained });
                self.longest.sort_by(|a, b| (b.to - b.from).total_cmp(&(a.to - a.from)));
                self.longest.truncate(SILENCES);
            }
        }
        match &mut self.previous {
            Some((time, kind)) => {
                *time = event.stored;
                kind.clone_from(&event.kind);
            }
            None => self.previous = Some((event.stored, event.kind.clone())),
        }
    }

    /// The gaps, the longest first.
    pub(super) fn longest(&self) -> &[Silence] {
        &self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(time: f64, kind: &str) -> StoredEvent {
        StoredEvent { time, stored: time, kind: kind.to_owned(), ..StoredEvent::default() }
    }

    proptest! {
        #[test]
        fn the_newest_are_kept_in_whatever_order_they_come(times in prop::collection::vec(0u32..1000, 0..60)) {
            let mut recent = RecentEvents::default();
            for time in &times {
                recent.add(&event(f64::from(*time), "x"));
            }
            let mut newest: Vec<f64> = times.iter().map(|time| f64::from(*time)).collect();
            newest.sort_by(|a, b| b.total_cmp(a));
            newest.truncate(BEHIND);
            prop_assert_eq!(recent.lines().iter().map(|line| line.time).collect::<Vec<_>>(), newest);
        }
    }

    #[test]
    fn names_that_are_no_longer_counted_keep_no_entries() {
        let mut groups = Groups::default();
        for number in 0..30_000 {
            groups.add(&format!("name{number}"), &event(f64::from(number), "x"));
        }
        assert!(groups.recent.len() < 8192 && groups.counts.uncertainty() > 0);
    }

    #[test]
    fn entries_behind_a_stretch_of_time_survive_longer_buckets() {
        let (mut times, mut timeline) = (Times::default(), Histogram::default());
        for number in 0..5000 {
            timeline.add(number * 60, 1, 0);
            times.add(&timeline, number * 60, &event(f64::from(u32::try_from(number * 60).unwrap()), "x"));
        }
        let (buckets, length) = timeline.buckets(60);
        for (begin, _) in buckets {
            let lines = times.behind(begin, length);
            assert_eq!(lines.len(), BEHIND_TIME);
            assert!(lines.iter().all(|line| (begin..begin + length).contains(&(line.time as i64))));
        }
    }

    #[test]
    fn only_the_newest_times_are_marked() {
        for reverse in [false, true] {
            let mut marks = Marks::default();
            let mut times: Vec<u32> = (0..100).collect();
            if reverse {
                times.reverse();
            }
            times.into_iter().for_each(|time| marks.add(f64::from(time)));
            assert_eq!((marks.count, marks.times().len(), marks.times()[0]), (100, MARKS, 99.0));
        }
    }

    #[test]
    fn a_silence_is_explained_by_a_server_that_did_not_run() {
        let hour = 3600.0;
        let events = [(0.0, "x"), (2.0 * hour, "server-stopped"), (5.0 * hour, "server-started"), (5.5 * hour, "x"), (9.0 * hour, "x")];
        for reverse in [false, true] {
            let mut events = events.map(|(time, kind)| event(time, kind));
            if reverse {
                events.reverse();
            }
            let mut silences = Silences::default();
            events.iter().for_each(|event| silences.add(event));
            let found: Vec<(f64, f64, bool)> = silences.longest().iter().map(|s| (s.from / hour, s.to / hour, s.explained)).collect();
            assert_eq!(found, [(5.5, 9.0, false), (2.0, 5.0, true), (0.0, 2.0, false)]);
        }
    }
}
