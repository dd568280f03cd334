//! What the report keeps of the entries: numbers, and the newest entries behind each number.

use std::collections::HashMap;

use crate::entry::StoredEvent;
use crate::render::note::note;
use crate::render::printable::printable;
use crate::render::totals::tally::{Counts, Histogram};

/// How many entries are kept behind a number.
pub(super) const BEHIND: usize = 10;

/// How many entries are kept behind each period of the timeline.
const BEHIND_TIME: usize = 5;

/// For how many accounts countries are remembered.
const ACCOUNTS: usize = 4096;

/// How many countries are remembered of one account.
const COUNTRIES: usize = 16;

/// How many gaps are shown.
const SILENCES: usize = 5;

/// The shortest gap that is shown, in seconds.
const SILENCE: f64 = 3600.0;

/// The longest part of a text that is kept, in characters.
const TEXT: usize = 200;

/// An entry, as far as the report shows it. Its texts are printable, but not yet escaped for HTML.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EntryLine {
    pub(super) time: f64,
    pub(super) kind: String,
    pub(super) user: Option<String>,
    pub(super) address: Option<String>,
    pub(super) country: Option<String>,
    pub(super) note: String,
    pub(super) count: u64,
}

impl EntryLine {
    fn of(event: &StoredEvent) -> Self {
        let text = |text: &String| shortened(&printable(text));
        Self {
            time: event.time,
            kind: text(&event.kind),
            user: event.user.as_ref().map(text),
            address: event.ip.as_ref().or_else(|| event.actor.as_ref()?.ip.as_ref()).map(text),
            country: event.country.as_ref().map(text),
            note: shortened(&printable(&note(event))),
            count: event.count(),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The newest of the entries behind a number.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentEvents {
    lines: Vec<EntryLine>,
    /// How many entries there were.
    pub(super) entries: u64,
    /// How many events that is.
    pub(super) events: u64,
}

impl RecentEvents {
    pub(super) fn add(&mut self, event: &StoredEvent) {
        self.entries = self.entries.saturating_add(1);
        self.events = self.events.saturating_add(event.count());
        self.keep(event, BEHIND);
    }

    fn keep(&mut self, event: &StoredEvent, limit: usize) {
        // Entries come newest first or oldest first. An entry that is not kept is not copied.
        if self.lines.len() >= limit {
            if self.lines.last().is_some_and(|oldest| oldest.time >= event.time) {
                return;
            }
            self.lines.pop();
        }
        let place = self.lines.partition_point(|line| line.time >= event.time);
        self.lines.insert(place, EntryLine::of(event));
    }

    /// The entries, newest first.
    pub(super) fn lines(&self) -> &[EntryLine] {
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
        lines.truncate(BEHIND);
        lines
    }
}

fn merge(into: &mut RecentEvents, other: RecentEvents) {
    into.lines.extend(other.lines);
    into.lines.sort_by(|a, b| b.time.total_cmp(&a.time));
    into.lines.truncate(BEHIND_TIME);
}

/// The countries from which accounts logged in.
#[derive(Clone, Debug, Default)]
pub(super) struct Travels {
    accounts: HashMap<String, Vec<Stay>>,
    /// Whether there were more accounts than are remembered.
    pub(super) incomplete: bool,
}

#[derive(Clone, Debug)]
struct Stay {
    country: String,
    first: EntryLine,
}

impl Travels {
    pub(super) fn add(&mut self, event: &StoredEvent) {
        let (Some(user), Some(country)) = (&event.user, &event.country) else { return };
        if self.accounts.len() >= ACCOUNTS && !self.accounts.contains_key(user) {
            self.incomplete = true;
            return;
        }
        let stays = self.accounts.entry(user.clone()).or_default();
        let room = stays.len() < COUNTRIES;
        match stays.iter_mut().find(|stay| stay.country == *country) {
            Some(stay) if event.time < stay.first.time => stay.first = EntryLine::of(event),
            Some(_) => {}
            None if room => stays.push(Stay { country: country.clone(), first: EntryLine::of(event) }),
            None => self.incomplete = true,
        }
    }

    /// The first login of each account from each country except its first country, newest first.
    pub(super) fn arrivals(&self) -> Vec<&EntryLine> {
        let mut arrivals = Vec::new();
        for stays in self.accounts.values() {
            let home = stays.iter().map(|stay| stay.first.time).fold(f64::INFINITY, f64::min);
            let first = stays.iter().position(|stay| stay.first.time <= home);
            arrivals.extend(stays.iter().enumerate().filter(|(index, _)| Some(*index) != first).map(|(_, stay)| &stay.first));
        }
        arrivals.sort_by(|a, b| b.time.total_cmp(&a.time).then_with(|| a.user.cmp(&b.user)));
        arrivals
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
            assert_eq!(lines.len(), BEHIND);
            assert!(lines.iter().all(|line| (begin..begin + length).contains(&(line.time as i64))));
        }
    }

    #[test]
    fn the_first_country_of_an_account_is_not_a_new_one() {
        let login =
            |time: f64, country: &str| StoredEvent { user: Some("a@b".to_owned()), country: Some(country.to_owned()), ..event(time, "x") };
        for order in [[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]] {
            let mut travels = Travels::default();
            for time in order {
                travels.add(&login(time, if time < 2.0 { "DE" } else { "FR" }));
            }
            let arrivals: Vec<(f64, Option<&str>)> = travels.arrivals().iter().map(|line| (line.time, line.country.as_deref())).collect();
            assert_eq!(arrivals, [(2.0, Some("FR"))]);
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
