//! Decides how a journal's entries are handed over to the store: when, how many at once, and which the store has already.
//!
//! The caller owns the journal and the store. It asks for the [next step](HandOver::next_step) of a slice, does it, and reports
//! the result, until there is no further step. A slice holds the server's loop for a moment only.
//!
//! A crash between the store and the journal leaves entries in both. So does a store that takes entries and reports a failure.
//! Before entries are handed over after that, the last entries of their days are read from the store, back to the time of the
//! first that waits, and those that wait in the journal too are recognised by their ids.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::recognition::{Looks, Recognition};
use crate::pace::{Backoff, Pace};

/// Entries are handed over this many seconds after they were added.
const DELAY: f64 = 0.25;
/// If more entries than this wait, they are handed over at once.
const MANY: u64 = 200;
/// How long one slice may hold the loop, in seconds.
const SLICE: f64 = 0.008;
/// A transaction that has reached the end of its slice takes up to this many seconds more to reach the smallest batch: on a
/// slow disk the commit costs more than the entries.
const HOLD: f64 = 0.25;
/// The same with the storage driver of this library. Its commits don't wait for the disk, so short slices cost no more.
const NATIVE_SLICE: f64 = 0.0015;
/// For how many seconds another process may write to the store before that is a failure.
const BLOCKED: f64 = 10.0;
/// The entries in the first batch, when the speed of the store is not known yet.
const FIRST: usize = 25;
/// The pause after a slice if more entries wait, as a multiple of how long the slice took.
const REST: f64 = 3.0;
/// The pause after the first failure, in seconds.
const FIRST_PAUSE: f64 = 1.0;
/// How many of the last entries of a class and day are looked at in any case. More than a batch, and there may be entries of other
/// servers. If these are all as new as what waits, more are looked at.
const RECOGNISED: usize = 400;
/// How many entries of the journal are read at once to learn their days.
const LEARNED: u64 = 50;
/// A driver that has not answered for this many seconds is reported.
const UNANSWERED: f64 = 60.0;

const DAY: f64 = 86_400.0;

/// The next thing to do in a slice.
#[derive(Clone, Debug, PartialEq)]
pub enum SliceStep {
    /// Read when these entries of the journal were recorded, and report it by [`HandOver::learned`].
    Learn(Range<u64>),
    /// List the partitions of the store. Report those of [`HandOver::days`] by [`HandOver::listed`].
    List,
    /// Read the newest entries of a partition, or of archive user `nil`, and report them by [`HandOver::looked`].
    Look {
        /// The name of the partition. `None` is archive user `nil`.
        partition: Option<String>,
        /// How many entries to read at most.
        limit: usize,
    },
    /// Append entries to the store, oldest first, and report it by [`HandOver::handed_over`].
    Batch(Batch),
}

/// Entries that are appended together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// How many entries at most.
    pub size: usize,
    /// The time at which the batch must end, in UNIX seconds.
    pub deadline: f64,
    /// A transaction with fewer entries than this goes on after the deadline, until [`latest`](Self::latest).
    pub at_least: usize,
    /// The time at which every batch must end.
    pub latest: f64,
}

/// When the next slice should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When<T> {
    /// The pause before it. `None` if a slice is planned already, or runs.
    pub delay: Option<T>,
    /// The answer does not change before this sequence is added. `None` if it does not change before the next slice.
    pub until: Option<u64>,
}

/// What follows a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct After {
    /// Whether more entries wait that can be handed over.
    pub more: bool,
    /// The pause before the next slice, in seconds. `None` if no slice is needed.
    pub pause: Option<f64>,
}

/// The hand-over of one journal. Times are in UNIX seconds.
#[derive(Debug)]
pub struct HandOver {
    pace: Pace,
    backoff: Backoff,
    attaching: Backoff,
    slice: Option<Slice>,
    is_resting: bool,
    longest: f64,
    /// For each day on which entries were recorded that wait, the time of the earliest.
    days: BTreeMap<i64, f64>,
    /// Entries of an earlier process whose days are not known yet.
    unread: Range<u64>,
    recognition: Recognition,
    recognised: HashSet<String>,
    /// Since when another process has been writing to the store.
    blocked: Option<f64>,
}

#[derive(Debug)]
struct Slice {
    began: f64,
    /// When it should end.
    deadline: f64,
    /// When it must end.
    latest: f64,
    /// Whether something was done in it. Every slice gets a little further.
    is_used: bool,
    /// Whether another process writes to the store.
    is_blocked: bool,
    /// When the batch began that is being appended.
    batch: f64,
    /// Whether it was reported that the driver does not answer.
    is_reported: bool,
}

impl Default for HandOver {
    fn default() -> Self {
        Self {
            pace: Pace::of_rows(FIRST, SLICE),
            backoff: Backoff::new(FIRST_PAUSE, Backoff::LONGEST),
            attaching: Backoff::new(DELAY, Backoff::LONGEST),
            slice: None,
            is_resting: false,
            longest: 0.0,
            days: BTreeMap::new(),
            unread: 0..0,
            recognition: Recognition::Done,
            recognised: HashSet::new(),
            blocked: None,
        }
    }
}

impl HandOver {
    /// Notes that the journal has its files, with entries from `first` to below `end`. An earlier process may have left them.
    pub fn attached(&mut self, first: u64, end: u64) {
        self.attaching.succeeded();
        self.unread = first..end;
        self.doubt();
    }

    /// Notes that the journal's files can't be had. Returns the pause before the next attempt, in seconds, and whether to report
    /// it: once, and for a lock only if it is still held at the second attempt.
    pub fn not_attached(&mut self, is_locked: bool) -> (f64, bool) {
        let pause = self.attaching.failed();
        (pause, self.attaching.failures() == if is_locked { 2 } else { 1 })
    }

    /// Returns how many seconds to wait before the journal may be attached, while a slice runs.
    #[must_use]
    pub fn attach_pause(&self) -> Option<f64> {
        self.slice.is_some().then_some(DELAY)
    }

    /// Notes that an entry was added that was recorded at `at`.
    pub fn added(&mut self, at: f64) {
        #[allow(clippy::cast_possible_truncation)] // The conversion saturates.
        let earliest = self.days.entry((at / DAY).floor() as i64).or_insert(at);
        *earliest = earliest.min(at);
    }

    /// Notes that the store may have an entry that waits.
    pub fn doubt(&mut self) {
        self.recognition = Recognition::Wanted;
    }

    /// When to hand over entries that were added, if those from `first` to below `end` wait.
    #[must_use]
    pub fn when(&self, first: u64, end: u64) -> When<f64> {
        if self.slice.is_some() || self.is_resting || self.backoff.failures() > 0 {
            When { delay: None, until: None }
        } else if end.saturating_sub(first) > MANY {
            When { delay: Some(0.0), until: None }
        } else {
            When { delay: Some(DELAY), until: Some(first.saturating_add(MANY)) }
        }
    }

    /// Returns for how many seconds to wait before a slice may begin, if a slice of another object began at `other` and has not
    /// ended: that of the module before it was reloaded. An append of it may still be on its way, and this one would not
    /// recognise the entry.
    #[must_use]
    pub fn wait_for(&self, other: Option<f64>, now: f64) -> f64 {
        // A driver may never answer.
        let is_awaited = other.is_some_and(|began| (now - began).abs() < UNANSWERED);
        if is_awaited { DELAY } else { 0.0 }
    }

    /// Whether a slice runs: a driver may yield to the rest of the server.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.slice.is_some()
    }

    /// Begins a slice.
    pub fn begin(&mut self, now: f64) {
        self.begin_with(now, SLICE, HOLD);
    }

    /// Begins a slice with the storage driver of this library, which waits for no disk.
    pub fn begin_native(&mut self, now: f64) {
        self.begin_with(now, NATIVE_SLICE, 0.0);
    }

    fn begin_with(&mut self, now: f64, seconds: f64, hold: f64) {
        self.is_resting = false;
        let deadline = now + seconds;
        let latest = deadline + hold;
        self.slice = Some(Slice { began: now, deadline, latest, is_used: false, is_blocked: false, batch: now, is_reported: false });
    }

    /// The next step of the slice, if entries from `first` to below `end` wait. `None` if the slice is over.
    pub fn next_step(&mut self, now: f64, first: u64, end: u64) -> Option<SliceStep> {
        let slice = self.slice.as_mut()?;
        let (deadline, latest) = (slice.deadline, slice.latest);
        let is_over = slice.is_used && now > deadline || slice.is_blocked;
        loop {
            match &mut self.recognition {
                Recognition::Wanted => {
                    self.unread.start = self.unread.start.max(first);
                    if !self.unread.is_empty() {
                        slice.is_used = true;
                        let to = self.unread.end.min(self.unread.start.saturating_add(LEARNED));
                        return (!is_over).then_some(SliceStep::Learn(self.unread.start..to));
                    }
                    self.recognised.clear();
                    self.recognition = if self.days.is_empty() { Recognition::Done } else { Recognition::LookingAtNil(RECOGNISED) };
                }
                Recognition::Done => break,
                _ if is_over => return None,
                Recognition::LookingAtNil(limit) => {
                    slice.is_used = true;
                    return Some(SliceStep::Look { partition: None, limit: *limit });
                }
                Recognition::Listing => {
                    slice.is_used = true;
                    return Some(SliceStep::List);
                }
                Recognition::Looking(looks) => match looks.next() {
                    Some((partition, limit)) => {
                        slice.is_used = true;
                        return Some(SliceStep::Look { partition: Some(partition), limit });
                    }
                    None => self.recognition = Recognition::Done,
                },
            }
        }
        if first >= end || is_over {
            return None;
        }
        slice.is_used = true;
        slice.batch = now;
        Some(SliceStep::Batch(Batch { size: self.pace.size(), deadline, at_least: Pace::FEWEST_ROWS, latest }))
    }

    /// Reports when entries of the journal were recorded, up to the end of a [`SliceStep::Learn`].
    pub fn learned(&mut self, to: u64, times: impl IntoIterator<Item = f64>) {
        times.into_iter().for_each(|at| self.added(at));
        self.unread.start = self.unread.start.max(to);
    }

    /// For each day on which entries were recorded that wait, the time of the earliest.
    #[must_use]
    pub fn days(&self) -> Vec<f64> {
        self.days.values().copied().collect()
    }

    /// Reports the partitions that may have got entries of [`days`](Self::days): those of each class and day, newest first.
    pub fn listed(&mut self, sequences: impl IntoIterator<Item = Vec<String>>) {
        if matches!(self.recognition, Recognition::Listing) {
            self.recognition = Recognition::Looking(Looks::new(sequences, RECOGNISED));
        }
    }

    /// Reports the ids of the entries that a [`SliceStep::Look`] found, how many entries it found, with an id or without, and the time
    /// under which the oldest of them is stored.
    pub fn looked(&mut self, ids: impl IntoIterator<Item = String>, entries: usize, oldest: Option<f64>) {
        self.recognised.extend(ids);
        // An entry is never stored under an earlier second than its own. So what waits is not behind older ones.
        let since = self.days.values().copied().fold(f64::INFINITY, f64::min).floor();
        let is_recent = oldest.map(|oldest| oldest >= since);
        match &mut self.recognition {
            Recognition::LookingAtNil(limit) if entries >= *limit && is_recent == Some(true) => *limit = limit.saturating_mul(2),
            Recognition::LookingAtNil(_) => self.recognition = Recognition::Listing,
            Recognition::Looking(looks) => looks.saw(entries, is_recent),
            _ => {}
        }
    }

    /// Whether the store has entries that wait.
    #[must_use]
    pub fn recognises(&self) -> bool {
        !self.recognised.is_empty()
    }

    /// Whether the store has the entry with that id.
    #[must_use]
    pub fn is_recognised(&self, id: &str) -> bool {
        self.recognised.contains(id)
    }

    /// Reports that the store took `done` of the `count` entries of a [`SliceStep::Batch`], and appended the last of them at `now`.
    /// The time of the commit does not count: it is as long for a small batch.
    pub fn handed_over(&mut self, now: f64, count: usize, done: usize) {
        let Some(slice) = &self.slice else { return };
        self.blocked = None;
        let took = now - slice.batch;
        if done == count { self.pace.took(took) } else { self.pace.took_part(took) }
    }

    /// Reports that another process is writing to the store, so that nothing could be appended. Returns whether to try again later;
    /// if not, that has been so for too long and is a failure.
    pub fn blocked(&mut self, now: f64) -> bool {
        if let Some(slice) = &mut self.slice {
            slice.is_blocked = true;
        }
        let since = *self.blocked.get_or_insert(now);
        (now - since).abs() < BLOCKED
    }

    /// Ends the slice. `succeeded` is false if the store did not take what it was offered; entries from `first` to below `end`
    /// still wait.
    pub fn ended(&mut self, now: f64, succeeded: bool, first: u64, end: u64) -> After {
        let slice = self.slice.take();
        let took = slice.as_ref().map_or(0.0, |slice| (now - slice.began).max(0.0));
        self.longest = self.longest.max(took);
        let is_empty = first >= end;
        if !succeeded {
            self.doubt();
            return After { more: !is_empty, pause: Some(self.backoff.failed()) };
        }
        self.backoff.succeeded();
        self.is_resting = !is_empty;
        if is_empty {
            self.recognised.clear();
            self.days.clear();
        }
        let rest = if slice.is_some_and(|slice| slice.is_blocked) { DELAY } else { (REST * took).min(DELAY) };
        After { more: !is_empty, pause: (!is_empty).then_some(rest) }
    }

    /// Returns for how many seconds the driver has not answered, once for each slice, if that is too long.
    pub fn unanswered(&mut self, now: f64) -> Option<f64> {
        let slice = self.slice.as_mut().filter(|slice| !slice.is_reported && now - slice.began > UNANSWERED)?;
        slice.is_reported = true;
        Some(UNANSWERED)
    }

    /// How long the longest slice took, in seconds. A driver that yields does not hold the loop for that long.
    #[must_use]
    pub const fn longest(&self) -> f64 {
        self.longest
    }
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
