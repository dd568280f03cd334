//! Whether the clock may be believed when entries are to be removed, and when entries were written under a wrong clock.
//!
//! A removal can't be undone, and a clock can be wrong: a dead battery, NTP that comes late, a typing error. So each look at
//! the clock is compared with what is known besides:
//!
//! - the time that has passed, by the clock that counts since boot. It is exact within one boot, also across restarts of the
//!   server, as the last look is kept in a file ([`Clock::to_text`]);
//! - across boots, what was seen last: by us, by the heartbeat, by the times of files and of the newest entries. The clock
//!   can't be before that. If it is much later, the machine was off, or the clock is wrong. Files that others have written
//!   under the same clock ([`Witnesses::elsewhere`]) tell the first from the second.
//!
//! If the clock disagrees it is in doubt until it has agreed for long enough. Times of entries that were written while the
//! clock was wrong are remembered as [`Span`]s, with the number of seconds by which they were wrong.

mod timeline;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::time::date_time;
use crate::time::day;
pub use timeline::{Span, Timeline};

/// By how much the clock may differ from what is expected, in seconds. A step of NTP is seldom more than some minutes.
pub const SLACK: f64 = 3600.0;
/// A difference may grow by [`SLACK`] within this time, in seconds: clocks drift.
const ANCHOR: f64 = 86_400.0;
/// A server may be off for this long without anybody having to vouch for it, in seconds.
const OUTAGE: f64 = 86_400.0;
/// 2026-01-01: the clock was never before that since this program exists.
const EARLIEST: f64 = 1_767_225_600.0;
/// How many spans are remembered at most.
const SPANS: usize = 32;
/// How many partitions are remembered for the order of writing.
const AFTER: usize = 100;
/// How many jumps of one time of doubt are told.
const TOLD: u32 = 10;

/// The clocks of the machine at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockReading {
    /// The clock, in UNIX seconds.
    pub wall: f64,
    /// Seconds that do not jump, of a clock that also counts while the machine is suspended.
    pub uptime: f64,
    /// The boot since which `uptime` counts, if that can be known. `None` also if the process has a clock of its own, which is
    /// not the machine's: then what it kept before says nothing about it.
    pub boot: Option<String>,
}

/// What else says what time it is. All in UNIX seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Witnesses {
    /// The last heartbeat of the server.
    pub heartbeat: Option<f64>,
    /// When the files of the log were written last.
    pub files: Option<f64>,
    /// When something else was written last under the clock as it is now, before the server came up.
    pub elsewhere: Option<f64>,
}

impl Witnesses {
    fn newest(&self) -> Option<f64> {
        [self.heartbeat, self.files].into_iter().flatten().filter(|time| time.is_finite()).reduce(f64::max)
    }

    fn vouch_for(&self, now: f64) -> bool {
        self.elsewhere.is_some_and(|time| (now - OUTAGE..=now + SLACK).contains(&time))
    }
}

/// A disagreement that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jump {
    /// What the clock should show, in UNIX seconds; at least that, if it is not `exact`.
    pub expected: f64,
    /// What it shows.
    pub shown: f64,
    /// Whether the time that has passed is known.
    pub exact: bool,
}

impl Jump {
    /// What has happened, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let time = |time| date_time(time).unwrap_or_else(|| format!("{time}"));
        let (shown, expected) = (time(self.shown), time(self.expected));
        if self.exact {
            format!("the clock has jumped: it shows {shown} and should show {expected}")
        } else if self.shown < self.expected {
            format!("the clock shows {shown}, but it was {expected} already")
        } else {
            format!("the clock shows {shown}, and the last that is known is {expected}: it is wrong, or the server was off for that long")
        }
    }
}

/// What came of a look at the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClockCheck {
    /// Nothing new.
    Same,
    /// The clock disagrees. `is_told` says whether this should be told: not if the clock goes on jumping.
    Jumped {
        /// What was found.
        jump: Jump,
        /// Whether to tell.
        is_told: bool,
    },
    /// It has agreed for long enough.
    Settled,
}

/// What is known of the clock of a host's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// What it showed at the last look.
    seen: Option<f64>,
    /// The uptime at the last look.
    looked: f64,
    anchor: Option<Anchor>,
    /// Since when the time that has passed is known without a gap; by the clock.
    known: f64,
    /// Since when the clock has not jumped; by itself.
    began: f64,
    /// For how many seconds it has agreed since.
    agreed: f64,
    /// Whether that was long enough.
    settled: bool,
    /// The partitions that were written to before that.
    after: Vec<String>,
    /// Whether it is in doubt, and why.
    doubt: Option<Doubt>,
    /// The last time at which it was settled, if it is in doubt. Its shift leads to the clock as it is now.
    base: Option<Base>,
    /// Times at which it was not settled, since then. Their shifts lead to the clock as it is now.
    pending: Vec<Span>,
    /// Times at which it is known to have been wrong.
    wrong: Vec<Span>,
    /// Whether the anchor is of this process.
    #[serde(skip)]
    live: bool,
    /// Whether nothing was known at the first look of this process, and the archive has not been looked at since.
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
    /// Whether all the time that has passed since is known.
    exact: bool,
}

impl Clock {
    /// Reads what was kept; `None` if it makes no sense.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What is to be kept for the next process.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Numbers that are no JSON become null, which can't be read back: then nothing is known.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the time that has passed since the last look is known.
    #[must_use]
    pub fn is_exact(&self, reading: &ClockReading) -> bool {
        self.expected(reading).is_some()
    }

    /// Whether it may be believed.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.doubt.is_none()
    }

    /// Why it may not be believed.
    #[must_use]
    pub fn doubt(&self) -> Option<Jump> {
        self.doubt.map(|doubt| Jump { expected: doubt.expected, shown: doubt.shown, exact: doubt.exact })
    }

    /// For how many more seconds it has to agree.
    #[must_use]
    pub fn remaining(&self, trust: f64) -> f64 {
        if self.is_trusted() { 0.0 } else { (trust - self.agreed).max(0.0) }
    }

    /// Compares the clock with what is known. `trust` is for how many seconds it must agree after a disagreement. The witnesses
    /// are looked at where the time that has passed is not known.
    pub fn look(&mut self, reading: &ClockReading, witnesses: &Witnesses, trust: f64) -> ClockCheck {
        let now = reading.wall;
        let expected = self.expected(reading);
        let jump = match (expected, self.seen) {
            (Some(expected), _) => ((now - expected).abs() > SLACK).then_some(Jump { expected, shown: now, exact: true }),
            (None, Some(seen)) => self.compare(self.least(seen, reading), now, witnesses),
            (None, None) => match witnesses.newest() {
                // A log of an earlier version, which kept nothing for us.
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

    /// Compares the clock with the partitions of the archive, if nothing else was known of it before; and remembers those that
    /// are of a day that can't have been, by a clock that may be believed.
    pub fn look_at_partitions(&mut self, partitions: &[Partition], reading: &ClockReading, witnesses: &Witnesses) -> ClockCheck {
        let now = reading.wall;
        let days = || partitions.iter().filter(|partition| !partition.is_marker());
        if std::mem::take(&mut self.alone) && self.is_trusted() && !self.settled {
            // Not what was written since this began.
            let others = days().filter(|partition| partition.end() <= self.began || partition.start() > now);
            let newest = others.map(Partition::end).filter(|end| *end > timeline::FIRST_DAY).reduce(f64::max);
            if let Some(end) = newest {
                // Its last entry was written at the end of its day, or up to a day before.
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

    /// Says which partitions are written to, or are there, for the order of writing: of each class the last partition of the day on
    /// which the clock jumped is remembered. If this is told later, nothing is written to that day meanwhile.
    pub fn note(&mut self, partitions: &[Partition]) {
        let Some(doubt) = self.doubt.filter(|doubt| doubt.jumps == 1) else { return };
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

    /// An operator says that the clock is right. Gives whether it was in doubt.
    pub fn trust(&mut self) -> bool {
        let was_in_doubt = !self.is_trusted();
        if was_in_doubt {
            self.settle();
        }
        was_in_doubt
    }

    /// Forgets times at which the clock was wrong, when all entries of those times have expired and are gone.
    pub fn forget(&mut self, partitions: &[Partition], cutoff: Option<f64>) {
        if let Some(cutoff) = cutoff.filter(|_| self.is_trusted()) {
            let is_held = |span: &Span| partitions.iter().any(|partition| span.touches(partition));
            self.wrong.retain(|span| span.to + span.shift + 2.0 * ANCHOR > cutoff || is_held(span));
        }
    }

    /// Whether something is kept that has expired by its name.
    #[must_use]
    pub fn keeps_more(&self, partitions: &[Partition], retention: &Retention, now: f64) -> bool {
        let timeline = self.timeline(now);
        !self.is_trusted() || partitions.iter().any(|partition| retention.is_expired(partition, now) && timeline.shift(partition) > 0.0)
    }

    /// When entries were really written, as far as that is known. In doubt, times are those of the clock as it was before.
    #[must_use]
    pub fn timeline(&self, now: f64) -> Timeline {
        let mut spans = self.wrong.clone();
        if !self.is_trusted() {
            let before = self.base.as_ref().map_or(0.0, |base| base.span.shift);
            spans.extend(self.pending.iter().map(|span| Span { shift: span.shift - before, ..span.clone() }));
            if self.base.is_some() {
                spans.push(Span { from: self.began, to: now, shift: -before, after: self.after.clone() });
            }
        }
        let now = self.base.as_ref().filter(|_| !self.is_trusted()).map_or(now, |base| now - base.span.shift);
        Timeline::new(spans, now)
    }

    /// What the clock should show, if the time that has passed is known.
    fn expected(&self, reading: &ClockReading) -> Option<f64> {
        let anchor = self.anchor.as_ref()?;
        let same_boot = anchor.boot.is_some() && anchor.boot == reading.boot;
        (self.live || same_boot).then_some(anchor.wall + reading.uptime - anchor.uptime).filter(|_| reading.uptime >= anchor.uptime)
    }

    /// The earliest that it can be: since another boot was seen, the machine has been up.
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
        // A clock that can't be right does not become so by going on.
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
            // The process has got a clock of its own, or the machine's again.
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
        }
        if self.settled {
            let span = Span { from: self.known, to: end, shift, after: Vec::new() };
            self.base = Some(Base { span, exact: jump.exact });
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

    /// What the clock shows now is right. So what it showed before was wrong, if the two do not fit together.
    fn settle(&mut self) {
        for span in std::mem::take(&mut self.pending) {
            self.remember(span);
        }
        if let Some(Base { span, exact }) = self.base.take() {
            // It may be later than it was because the server was off. It can't be earlier.
            if exact || span.shift < 0.0 {
                self.remember(span);
            }
        }
        self.doubt = None;
        self.settled = true;
    }

    fn remember(&mut self, wrong: Span) {
        if wrong.shift.abs() <= SLACK {
            return;
        }
        for span in &mut self.wrong {
            span.follow(&wrong);
        }
        self.wrong.retain(|span| span.shift.abs() > SLACK);
        self.wrong.push(wrong);
        if self.wrong.len() > SPANS {
            self.wrong.remove(0);
        }
    }
}

#[cfg(test)]
mod tests;
