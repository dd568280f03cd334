//! When entries were really written.

use serde::{Deserialize, Serialize};

use super::reading::SLACK;
use crate::archive::partition::Partition;

/// 2016-01-01. No audit log of Prosody is older.
pub(super) const FIRST_DAY: f64 = 1_451_606_400.0;
/// A position within a day behind each partition, as their numbers are smaller.
const BEHIND_ALL: f64 = 1e10;
/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// A period in which the clock was wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The first time that it showed, in UNIX seconds.
    pub from: f64,
    /// The last time that it showed, in UNIX seconds.
    pub to: f64,
    /// How many seconds later it really was. Negative if the clock was ahead.
    pub shift: f64,
    /// The names of the partitions that were written to when the period began.
    #[serde(default)]
    pub after: Vec<String>,
}

impl Span {
    /// The day of a partition whose entries were really written at `now` or earlier.
    pub(super) fn of_day(partition: &Partition, now: f64) -> Self {
        Self { from: partition.start() + SLACK, to: partition.end() - SLACK - 1.0, shift: now - partition.end(), after: Vec::new() }
    }

    /// Whether entries in the partition may have been written in this period.
    pub(super) fn touches(&self, partition: &Partition) -> bool {
        self.from - SLACK < partition.end() && self.to + SLACK >= partition.start()
    }

    /// Whether its times, as they are corrected, are in another period.
    pub(super) fn leads_to(&self, other: &Self) -> bool {
        self.from + self.shift <= other.to + SLACK && self.to + self.shift >= other.from - SLACK
    }
}

/// When entries were really written, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    spans: Vec<Span>,
    /// The index of the first span that began while the clock was in doubt.
    doubted: usize,
    /// The index of the span that has not ended: the clock is in doubt.
    current: Option<usize>,
    now: Option<f64>,
}

impl Timeline {
    /// A timeline with these spans, on which it is `now`. `doubted` is the index of the first one that began while the clock was in
    /// doubt, and `current` of the one that has not ended.
    pub(super) const fn new(spans: Vec<Span>, doubted: usize, current: Option<usize>, now: f64) -> Self {
        Self { spans, doubted, current, now: Some(now) }
    }

    /// How many seconds later than the partition's name says its last entry may have been written. Negative if it was written earlier.
    /// Infinite if the day is impossible and nothing is known.
    #[must_use]
    pub fn shift(&self, partition: &Partition) -> f64 {
        // Unless the day is in the future, there may be entries of that day too.
        let is_ahead = self.now.is_some_and(|now| partition.start() > now + SLACK);
        let shifts = self.spans.iter().filter(|span| span.touches(partition)).map(|span| span.shift);
        let unknown = if partition.end() <= FIRST_DAY { f64::INFINITY } else { 0.0 };
        shifts.filter(|shift| is_ahead || *shift > 0.0).reduce(f64::max).unwrap_or(unknown)
    }

    /// The key by which partitions are sorted in the order of writing, oldest first: the day, and the position within the day. If the
    /// clock jumped on a day, the position is after the partitions that were written to before the jump, as far as they are known.
    #[must_use]
    pub fn order(&self, partition: &Partition) -> (f64, f64) {
        let shift = self.shift(partition);
        let mut spans = self.spans.iter().enumerate();
        let span = spans.find(|(_, span)| shift != 0.0 && span.shift == shift && span.touches(partition));
        // What was moved there from the older log is before everything else of the day.
        let first = if partition.generation().is_some() { f64::from(u32::MAX) } else { 0.0 };
        let Some((index, span)) = span else {
            let reached = self.reached_before(partition);
            return reached.unwrap_or_else(|| (partition.start(), f64::from(partition.number) - first));
        };
        let midnight = |time: f64| (time / DAY).floor() * DAY;
        let began = span.from + shift;
        let day = midnight((partition.start() + shift).max(began));
        // What was written before an earlier span was written before this one, too.
        let names = self.spans.iter().take(index.saturating_add(1)).flat_map(|span| &span.after);
        let before = names.filter_map(|name| name.parse::<Partition>().ok());
        let before = before.filter(|before| before.home() == partition.home() && before.start() == day && midnight(began) == day);
        if self.current == Some(index) {
            // Everything else was written before.
            return (day, f64::INFINITY);
        }
        // If the clock has never come back, nothing of that day was written since.
        let has_come_back = |later: &[Span]| later.iter().any(|later| later.shift.abs() <= SLACK);
        if self.current.is_some() && index >= self.doubted && !self.spans.get(index..).is_some_and(has_come_back) {
            #[allow(clippy::cast_precision_loss)] // There are few spans.
            return (day, BEHIND_ALL + index as f64);
        }
        (day, before.map(|before| f64::from(before.number) - 0.5).reduce(f64::max).unwrap_or(0.0))
    }

    /// The key of a partition whose day has not come yet, though no period explains that, while the clock is in doubt: it was written
    /// before the doubt began. `None` if it is none.
    fn reached_before(&self, partition: &Partition) -> Option<(f64, f64)> {
        let is_ahead = self.now.is_some_and(|now| partition.start() > now + SLACK);
        let began = self.current.and_then(|_| self.spans.get(self.doubted)).map(|span| span.from + span.shift)?;
        // Behind the partitions of that day, and in the order of their days.
        let place = BEHIND_ALL / 2.0 + partition.start() + f64::from(partition.number).min(DAY - 1.0);
        is_ahead.then_some(((began / DAY).floor() * DAY, place))
    }

    /// The same as [`Self::shift`] for one entry that was stored with the time `when`.
    #[must_use]
    pub fn shift_of_time(&self, when: f64) -> f64 {
        let is_ahead = self.now.is_some_and(|now| when > now + SLACK);
        let spans = self.spans.iter().filter(|span| (span.from - SLACK..=span.to + SLACK).contains(&when));
        spans.map(|span| span.shift).filter(|shift| is_ahead || *shift > 0.0).reduce(f64::max).unwrap_or(0.0)
    }

    /// Whether entries with times from `from` to `to` may have been written later.
    #[must_use]
    pub fn was_behind(&self, from: f64, to: f64) -> bool {
        self.spans.iter().any(|span| span.shift > 0.0 && span.from - SLACK < to && span.to + SLACK >= from)
    }

    /// Whether an entry with a time before `cutoff` may have been written after it.
    pub(super) fn is_younger(&self, cutoff: f64) -> bool {
        let last = |span: &Span| (span.to + SLACK).min(cutoff) + span.shift;
        self.spans.iter().any(|span| span.shift > 0.0 && span.from - SLACK < cutoff && last(span) >= cutoff)
    }

    /// Whether the day of a partition is in the future or before the first day, and no span explains it.
    pub(super) fn is_strange(&self, partition: &Partition) -> bool {
        let ahead = self.now.is_some_and(|now| partition.start() > now + DAY);
        (ahead || partition.end() <= FIRST_DAY) && !self.spans.iter().any(|span| span.touches(partition))
    }
}
