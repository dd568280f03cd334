//! What the clock shows, what else says what time it is, and the result of comparing them.

use crate::time::date_time;

/// By how much the clock may differ from the expected time, in seconds. NTP rarely steps by more than a few minutes.
pub const SLACK: f64 = 3600.0;
/// A server may be off for this long before a witness is needed, in seconds.
pub(super) const OUTAGE: f64 = 86_400.0;

/// The clocks of the machine at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockReading {
    /// The time that the clock shows, in UNIX seconds.
    pub wall: f64,
    /// The seconds since the boot, by a monotonic clock that also counts while the machine is suspended.
    pub uptime: f64,
    /// An id of the boot, if it is known. Also `None` if the process does not use the clock of the machine (in a test, for example).
    /// Then saved readings say nothing about this one.
    pub boot: Option<String>,
}

/// Other sources for the time, in UNIX seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Witnesses {
    /// The time of the server's last heartbeat.
    pub heartbeat: Option<f64>,
    /// The last modification of the log's files.
    pub files: Option<f64>,
    /// The last modification of another file that was written under the present clock, before the server started.
    pub elsewhere: Option<f64>,
}

impl Witnesses {
    pub(super) fn newest(&self) -> Option<f64> {
        [self.heartbeat, self.files].into_iter().flatten().filter(|time| time.is_finite()).reduce(f64::max)
    }

    pub(super) fn vouch_for(&self, now: f64) -> bool {
        self.elsewhere.is_some_and(|time| (now - OUTAGE..=now + SLACK).contains(&time))
    }
}

/// A difference between the clock and the expected time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jump {
    /// What the clock should show, in UNIX seconds. If this is not `exact`, it should show at least this.
    pub expected: f64,
    /// What it shows, in UNIX seconds.
    pub shown: f64,
    /// Whether the time that has passed is known exactly.
    pub exact: bool,
}

impl Jump {
    /// Describes the difference in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let time = |time| date_time(time).unwrap_or_else(|| format!("{time}"));
        let (shown, expected) = (time(self.shown), time(self.expected));
        if self.exact {
            format!("the clock has jumped: it shows {shown} and should show {expected}")
        } else if self.shown < self.expected {
            format!("the clock shows {shown}, but it was already {expected} before")
        } else {
            format!("the clock shows {shown}, but the last known time is {expected}: either it is wrong, or the server was off in between")
        }
    }
}

/// The result of checking the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClockCheck {
    /// Nothing new.
    Same,
    /// The clock differs from the expected time. `is_told` says whether to log this. It is false if the clock has jumped many times.
    Jumped {
        /// The difference.
        jump: Jump,
        /// Whether to log it.
        is_told: bool,
    },
    /// The clock has agreed for long enough and is trusted again.
    Settled,
}
