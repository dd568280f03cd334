//! Decides whether the clock can be trusted when entries are removed, and remembers when it was wrong.
//!
//! A removal can't be undone, and a clock can be wrong because of a dead battery, NTP that comes late, or a typing error. So the clock
//! is compared with other sources each time:
//!
//! - The time that has passed by the monotonic clock. It is exact within one boot, and also across restarts of the server, because the
//!   last reading is saved in a file ([`Clock::to_text`]).
//! - After another boot, the last known times: of the last reading, the heartbeat, the files and the newest entries. The clock can't be
//!   before these. If it is much later, either the machine was off or the clock is wrong. Files that other programs have written under
//!   the present clock ([`Witnesses::elsewhere`]) show which one is the case.
//!
//! If the clock differs, it is in doubt until it has agreed for long enough. Times at which the clock was wrong are remembered as
//! [`Span`]s, with the number of seconds by which it was wrong.

mod kept;
mod reading;
mod timeline;
mod wrong;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::time::day;
pub use kept::KeptClock;
use reading::OUTAGE;
pub use reading::{ClockCheck, ClockReading, Jump, SLACK, Witnesses};
pub use timeline::{Span, Timeline};

/// How often the state of a clock is saved for the next process, in seconds.
pub const SAVE: f64 = 300.0;
/// A change of the wall clock against the monotonic clock after which the clocks of all hosts are checked, in seconds.
pub const STEP: f64 = 600.0;
/// The difference may grow by [`SLACK`] within this time, in seconds, because clocks drift.
const ANCHOR: f64 = 86_400.0;
/// 2026-01-01. This program did not exist before, so an earlier time is wrong.
const EARLIEST: f64 = 1_767_225_600.0;
/// The largest number of spans that are remembered.
const SPANS: usize = 32;
/// The largest number of partitions that are remembered for the order of writing.
const AFTER: usize = 100;
/// The largest number of jumps that are logged while the clock is in doubt.
const TOLD: u32 = 10;

/// What is known about the clock, for the log of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// What the clock showed at the last check.
    seen: Option<f64>,
    /// The uptime at the last check.
    looked: f64,
    anchor: Option<Anchor>,
    /// Since when the time that has passed is known without a gap, as a time of the clock.
    known: f64,
    /// Since when the clock has not jumped, as a time of the clock.
    began: f64,
    /// For how many seconds it has agreed since then.
    agreed: f64,
    /// Whether that was long enough.
    settled: bool,
    /// The partitions that were written to before `began`.
    after: Vec<String>,
    /// Why it is in doubt. `None` if it is trusted.
    doubt: Option<Doubt>,
    /// The last period in which it was settled, if it is in doubt. Its shift is relative to the present clock.
    base: Option<Base>,
    /// The periods since then in which it was not settled. Their shifts are relative to the present clock.
    pending: Vec<Span>,
    /// The periods in which it was wrong.
    wrong: Vec<Span>,
    /// Whether this process has set the anchor.
    #[serde(skip)]
    live: bool,
    /// Whether nothing was known at the first check of this process, and the partitions have not been checked since.
    #[serde(skip)]
    alone: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Anchor {
    wall: f64,
    uptime: f64,
    boot: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Doubt {
    expected: f64,
    shown: f64,
    exact: bool,
    jumps: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Base {
    span: Span,
    /// Whether the time since then is known exactly.
    exact: bool,
    /// The part of the shift that is known exactly.
    #[serde(default)]
    known: f64,
}

impl Clock {
    /// Parses what [`to_text`](Self::to_text) returned. Returns `None` if it is not valid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns what must be saved for the next process, as JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        // NaN and infinity become null, which can't be parsed again. Then nothing is known.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the time since the last check is known exactly.
    #[must_use]
    pub fn is_exact(&self, reading: &ClockReading) -> bool {
        self.expected(reading).is_some()
    }

    /// Whether the clock is trusted.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.doubt.is_none()
    }

    /// Why the clock is not trusted. Returns `None` if it is.
    #[must_use]
    pub fn doubt(&self) -> Option<Jump> {
        self.doubt.map(|doubt| Jump { expected: doubt.expected, shown: doubt.shown, exact: doubt.exact })
    }

    /// For how many more seconds the clock must agree before it is trusted. `trust` is the whole time, in seconds.
    #[must_use]
    pub fn remaining(&self, trust: f64) -> f64 {
        if self.is_trusted() { 0.0 } else { (trust - self.agreed).max(0.0) }
    }

    /// Compares the clock with what is known. `trust` is for how many seconds it must agree after a jump. The witnesses are only used
    /// if the time that has passed is not known.
    pub fn look(&mut self, reading: &ClockReading, witnesses: &Witnesses, trust: f64) -> ClockCheck {
        let now = reading.wall;
        let expected = self.expected(reading);
        let jump = match (expected, self.seen) {
            (Some(expected), _) => ((now - expected).abs() > SLACK).then_some(Jump { expected, shown: now, exact: true }),
            (None, Some(seen)) => self.compare(self.least(seen, reading), now, witnesses),
            (None, None) => match witnesses.newest() {
                // The log of an earlier version, which did not save the clock.
                Some(newest) => {
                    (self.known, self.began, self.settled) = (newest, newest, true);
                    self.seen = Some(newest);
                    self.compare(newest, now, witnesses)
                }
                None => {
                    (self.known, self.began, self.alone) = (now, now, true);
                    None
                }
            },
        };
        let impossible = Jump { expected: EARLIEST, shown: now, exact: false };
        let jump = jump.or_else(|| (now < EARLIEST && self.is_trusted()).then_some(impossible));
        let passed = if expected.is_some() { (reading.uptime - self.looked).max(0.0) } else { 0.0 };
        let outcome = match jump {
            Some(jump) => {
                self.jump(jump);
                let jumps = self.doubt.map_or(0, |doubt| doubt.jumps);
                ClockCheck::Jumped { jump, is_told: jumps <= TOLD }
            }
            None => {
                if expected.is_none() {
                    self.known = now;
                }
                self.agree(passed, now, trust)
            }
        };
        (self.seen, self.looked) = (Some(now), reading.uptime);
        self.drop_anchor(reading, jump.is_some() || expected.is_none());
        outcome
    }

    /// Compares the clock with the days of the partitions, if nothing else is known about it. If the clock is trusted, remembers
    /// partitions of days that are impossible.
    pub fn look_at_partitions(&mut self, partitions: &[Partition], reading: &ClockReading, witnesses: &Witnesses) -> ClockCheck {
        let now = reading.wall;
        // A process that has just started does not know which partitions were written to before.
        self.note(partitions);
        let days = || partitions.iter().filter(|partition| !partition.is_marker());
        if std::mem::take(&mut self.alone) && self.is_trusted() && !self.settled {
            // Only partitions from before the first check.
            let others = days().filter(|partition| partition.end() <= self.began || partition.start() > now);
            let newest = others.map(Partition::end).filter(|end| *end > timeline::FIRST_DAY).reduce(f64::max);
            if let Some(end) = newest {
                // The last entry was written on that day, so up to a day before its end.
                let last = if end > now { end - ANCHOR } else { end };
                self.settled = true;
                if let Some(jump) = self.compare(last, now, witnesses) {
                    let (began, seen) = (self.began, self.seen);
                    (self.seen, self.known) = (Some(last), last);
                    self.jump(jump);
                    (self.seen, self.known, self.began) = (seen, began, began);
                    return ClockCheck::Jumped { jump, is_told: true };
                }
            }
        }
        self.note(partitions);
        if self.is_trusted() {
            let timeline = self.timeline(now);
            for partition in days().filter(|partition| timeline.is_strange(partition)) {
                if self.wrong.len() < SPANS {
                    self.wrong.push(Span::of_day(partition, now));
                }
            }
        }
        ClockCheck::Same
    }

    /// Notes the partitions for the order of writing. For each class, the last partition of the day on which the clock jumped is
    /// remembered. This also works later, because nothing is written to that day in the meantime.
    pub fn note(&mut self, partitions: &[Partition]) {
        let Some(doubt) = self.doubt else { return };
        let day = day(doubt.expected);
        let known: HashSet<String> = self.after.iter().filter_map(|name| Some(name.parse::<Partition>().ok()?.home().to_owned())).collect();
        let mut last: BTreeMap<&str, &Partition> = BTreeMap::new();
        for partition in partitions.iter().filter(|partition| partition.day == day && !partition.is_marker()) {
            let found = last.entry(partition.home()).or_insert(partition);
            *found = (*found).max(partition);
        }
        let new = last.values().filter(|partition| !known.contains(partition.home())).map(ToString::to_string);
        self.after.extend(new.take(AFTER.saturating_sub(known.len())));
    }

    /// Trusts the clock because an operator says that it is right. Returns whether it was in doubt.
    pub fn trust(&mut self) -> bool {
        let was_in_doubt = !self.is_trusted();
        if was_in_doubt {
            self.settle();
        }
        was_in_doubt
    }

    /// Whether it knows that the clock is or was wrong. Nothing else says so.
    pub(super) fn knows_of_a_jump(&self) -> bool {
        self.doubt.is_some() || !self.wrong.is_empty()
    }

    /// Forgets periods in which the clock was wrong if all their entries have expired and are removed.
    pub fn forget(&mut self, partitions: &[Partition], cutoff: Option<f64>) {
        if let Some(cutoff) = cutoff.filter(|_| self.is_trusted()) {
            let is_held = |span: &Span| partitions.iter().any(|partition| span.touches(partition));
            self.wrong.retain(|span| span.to + span.shift + 2.0 * ANCHOR > cutoff || is_held(span));
        }
    }

    /// Whether entries are kept although they have expired by their times: whole partitions, or a part of a day, or entries of archive
    /// user `nil`, which are in no partition.
    #[must_use]
    pub fn keeps_more(&self, partitions: &[Partition], retention: &Retention, now: f64) -> bool {
        let timeline = self.timeline(now);
        let is_kept = |partition: &Partition| retention.is_expired(partition, now) && timeline.shift(partition) > 0.0;
        !self.is_trusted() || partitions.iter().any(is_kept) || retention.cutoffs(now).any(|cutoff| timeline.is_younger(cutoff))
    }

    /// Returns when entries were really written, as far as that is known. While the clock is in doubt, times are relative to the clock
    /// before it jumped.
    #[must_use]
    pub fn timeline(&self, now: f64) -> Timeline {
        let mut spans = self.wrong.clone();
        let doubted = spans.len();
        let mut current = None;
        if !self.is_trusted() {
            let before = self.base.as_ref().map_or(0.0, |base| base.span.shift);
            spans.extend(self.pending.iter().map(|span| Span { shift: span.shift - before, ..span.clone() }));
            if self.base.is_some() {
                current = Some(spans.len());
                spans.push(Span { from: self.began, to: now, shift: -before, after: self.after.clone() });
            }
        }
        let now = self.base.as_ref().filter(|_| !self.is_trusted()).map_or(now, |base| now - base.span.shift);
        Timeline::new(spans, doubted, current, now)
    }

    /// What the clock should show, if the time that has passed is known.
    fn expected(&self, reading: &ClockReading) -> Option<f64> {
        let anchor = self.anchor.as_ref()?;
        let same_boot = anchor.boot.is_some() && anchor.boot == reading.boot;
        (self.live || same_boot).then_some(anchor.wall + reading.uptime - anchor.uptime).filter(|_| reading.uptime >= anchor.uptime)
    }

    /// The earliest time that is possible now. After another boot, the uptime is added to the last known time.
    fn least(&self, seen: f64, reading: &ClockReading) -> f64 {
        let other_boot = self.anchor.as_ref().is_some_and(|anchor| anchor.boot.is_some()) && reading.boot.is_some();
        if other_boot { seen + reading.uptime } else { seen }
    }

    fn compare(&self, last: f64, now: f64, witnesses: &Witnesses) -> Option<Jump> {
        let late = now > last + OUTAGE;
        let plausible = late && self.is_trusted() && witnesses.vouch_for(now);
        (now < last - SLACK || late && !plausible).then_some(Jump { expected: last, shown: now, exact: false })
    }

    fn agree(&mut self, passed: f64, now: f64, trust: f64) -> ClockCheck {
        // A clock that is certainly wrong is never trusted, however long it agrees.
        if now < EARLIEST {
            return ClockCheck::Same;
        }
        self.agreed += passed;
        if self.agreed < trust {
            return ClockCheck::Same;
        }
        if self.is_trusted() {
            self.settled = true;
            return ClockCheck::Same;
        }
        self.settle();
        ClockCheck::Settled
    }

    fn drop_anchor(&mut self, reading: &ClockReading, anew: bool) {
        let old = self.anchor.as_ref().is_none_or(|anchor| reading.uptime - anchor.uptime > ANCHOR);
        if anew || old || !self.live {
            self.anchor = Some(Anchor { wall: reading.wall, uptime: reading.uptime, boot: reading.boot.clone() });
        } else if let Some(anchor) = &mut self.anchor {
            // The process has changed to another clock than the machine's, or back.
            anchor.boot.clone_from(&reading.boot);
        }
        self.live = true;
    }

    fn jump(&mut self, jump: Jump) {
        let shift = jump.shown - jump.expected;
        let end = if jump.exact { jump.expected } else { self.seen.unwrap_or(jump.expected) };
        self.pending.iter_mut().for_each(|span| span.shift += shift);
        if let Some(base) = &mut self.base {
            base.span.shift += shift;
            base.exact &= jump.exact;
            base.known += if jump.exact { shift } else { 0.0 };
        }
        if self.settled {
            let span = Span { from: self.known, to: end, shift, after: Vec::new() };
            self.base = Some(Base { span, exact: jump.exact, known: if jump.exact { shift } else { 0.0 } });
        } else if self.seen.is_some() {
            self.pending.push(Span { from: self.began, to: end, shift, after: std::mem::take(&mut self.after) });
            if self.pending.len() > SPANS {
                self.pending.remove(0);
            }
        }
        self.after.clear();
        let jumps = self.doubt.map_or(0, |doubt| doubt.jumps).saturating_add(1);
        self.doubt = Some(Doubt { expected: jump.expected, shown: jump.shown, exact: jump.exact, jumps });
        (self.known, self.began, self.agreed, self.settled) = (jump.shown, jump.shown, 0.0, false);
    }
}

#[cfg(test)]
mod tests;
