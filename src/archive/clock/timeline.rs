//! When entries were really written.

use serde::{Deserialize, Serialize};

use super::SLACK;
use crate::archive::partition::Partition;

/// 2016-01-01: no audit log of Prosody is as old as that.
pub(super) const FIRST_DAY: f64 = 1_451_606_400.0;
/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// A time at which the clock was wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What it showed first, in UNIX seconds.
    pub from: f64,
    /// What it showed last.
    pub to: f64,
    /// How many seconds later it really was; negative if the clock was ahead.
    pub shift: f64,
    /// The names of the partitions that were written to when this began.
    #[serde(default)]
    pub after: Vec<String>,
}

impl Span {
    /// The day of a partition whose entries were written by `now` at the latest.
    pub(super) fn of_day(partition: &Partition, now: f64) -> Self {
        Self { from: partition.start() + SLACK, to: partition.end() - SLACK - 1.0, shift: now - partition.end(), after: Vec::new() }
    }

    /// Whether entries in the partition may have been written then.
    pub(super) fn touches(&self, partition: &Partition) -> bool {
        self.from - SLACK < partition.end() && self.to + SLACK >= partition.start()
    }

    /// What this span led to was wrong itself.
    pub(super) fn follow(&mut self, wrong: &Self) {
        if self.from + self.shift <= wrong.to + SLACK && self.to + self.shift >= wrong.from - SLACK {
            self.shift += wrong.shift;
        }
    }
}

/// When entries were really written, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    spans: Vec<Span>,
    now: Option<f64>,
}

impl Timeline {
    /// A timeline on which it is `now`.
    pub(super) const fn new(spans: Vec<Span>, now: f64) -> Self {
        Self { spans, now: Some(now) }
    }

    /// How many seconds later than its name says the last entry of a partition may have been written; negative if it was
    /// written earlier, infinite if it can't have been that day and nothing is known.
    #[must_use]
    pub fn shift(&self, partition: &Partition) -> f64 {
        // If the day has come, or is not over, entries of that very day may be there too.
        let is_ahead = self.now.is_some_and(|now| partition.start() > now + SLACK);
        let shifts = self.spans.iter().filter(|span| span.touches(partition)).map(|span| span.shift);
        let unknown = if partition.end() <= FIRST_DAY { f64::INFINITY } else { 0.0 };
        shifts.filter(|shift| is_ahead || *shift > 0.0).reduce(f64::max).unwrap_or(unknown)
    }

    /// What partitions are sorted by in the order of writing, oldest first: the day, and a place within the day. Of a day on which
    /// the clock was wrong for a while the order is known but for one partition if it is known where entries went before that.
    #[must_use]
    pub fn order(&self, partition: &Partition) -> (f64, f64) {
        let shift = self.shift(partition);
        let span = self.spans.iter().find(|span| shift != 0.0 && span.shift == shift && span.touches(partition));
        let Some(span) = span else { return (partition.start(), f64::from(partition.number)) };
        let midnight = |time: f64| (time / DAY).floor() * DAY;
        let began = span.from + shift;
        let day = midnight((partition.start() + shift).max(began));
        let before = span.after.iter().filter_map(|name| name.parse::<Partition>().ok());
        let before = before.filter(|before| before.home() == partition.home() && before.start() == day && midnight(began) == day);
        (day, before.map(|before| f64::from(before.number) - 0.5).reduce(f64::max).unwrap_or(0.0))
    }

    /// The same as [`Self::shift`] for one entry, which has been stored under `when`.
    #[must_use]
    pub fn shift_of_time(&self, when: f64) -> f64 {
        let is_ahead = self.now.is_some_and(|now| when > now + SLACK);
        let spans = self.spans.iter().filter(|span| (span.from - SLACK..=span.to + SLACK).contains(&when));
        spans.map(|span| span.shift).filter(|shift| is_ahead || *shift > 0.0).reduce(f64::max).unwrap_or(0.0)
    }

    /// Whether entries that are stored under a time between these may have been written later.
    #[must_use]
    pub fn was_behind(&self, from: f64, to: f64) -> bool {
        self.spans.iter().any(|span| span.shift > 0.0 && span.from - SLACK < to && span.to + SLACK >= from)
    }

    /// Whether a partition is of a day that has not come yet, or was before there were any, and it is not known why.
    pub(super) fn is_strange(&self, partition: &Partition) -> bool {
        let ahead = self.now.is_some_and(|now| partition.start() > now + DAY);
        (ahead || partition.end() <= FIRST_DAY) && !self.spans.iter().any(|span| span.touches(partition))
    }
}
