//! Times as operators write them: `2d` for two days ago, a date, a date and time, RFC 3339.

use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use thiserror::Error;

use crate::time::parse_seconds;
use crate::time::period::Period;
use crate::time::zone::Zone;

/// A time as it was written. [`resolve`](Self::resolve) turns it into a UNIX time, which depends on the clock and on the zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// This many seconds ago.
    Ago(f64),
    /// A date and time in the zone. A date alone means midnight.
    Local(NaiveDateTime),
    /// A UNIX time, in seconds.
    At(f64),
}

/// A time that can't be read. The message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a time back from now such as 2d or 36h, a date such as 2026-11-24, or a time such as 2026-11-24T18:00 or 2026-11-24T18:00:00+01:00"
)]
pub struct MomentError;

impl Moment {
    /// The UNIX time in seconds, if it is `now` and the zone is `zone`.
    ///
    /// ```
    /// use audit_core::time::moment::Moment;
    /// use audit_core::time::zone::Zone;
    /// let day: Moment = "2026-11-24".parse().unwrap();
    /// assert_eq!(day.resolve(0.0, Zone::Utc), 1_795_478_400.0);
    /// assert_eq!("2h".parse::<Moment>().unwrap().resolve(10_000.0, Zone::Utc), 2_800.0);
    /// ```
    #[must_use]
    pub fn resolve(self, now: f64, zone: Zone) -> f64 {
        match self {
            Self::Ago(seconds) => now - seconds,
            Self::Local(time) => zone.unix(time),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    /// A number alone is refused, as it could be seconds, days or a year.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            if let Ok(Period::Seconds(seconds)) = Period::parse(text) {
                return Ok(Self::Ago(seconds));
            }
        }
        if !is_dated(text) {
            return Err(MomentError);
        }
        if let Some(time) = parse_seconds(text) {
            return Ok(Self::At(time));
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::Local(date.and_time(NaiveTime::MIN)));
        }
        let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(Self::Local).ok_or(MomentError)
    }
}

/// Whether it begins with a date of ten characters. chrono would also read `2026-1-1`, and years of any length.
fn is_dated(text: &str) -> bool {
    let date = text.as_bytes().iter().take(10).enumerate();
    date.clone().count() == 10
        && date.clone().all(|(index, byte)| if matches!(index, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    #[test]
    fn times_are_read() {
        let east: Zone = "+02:00".parse().unwrap();
        for (text, zone, time) in [
            ("2d", Zone::Utc, NOON - 172_800.0),
            ("36 hours", Zone::Utc, NOON - 129_600.0),
            ("5min", Zone::Utc, NOON - 300.0),
            ("2026-11-24", Zone::Utc, NOON - 43_200.0),
            ("2026-11-24", east, NOON - 43_200.0 - 7_200.0),
            ("2026-11-24T12:00", east, NOON - 7_200.0),
            ("2026-11-24 12:00:01", Zone::Utc, NOON + 1.0),
            ("2026-11-24T12:00:00Z", east, NOON),
            ("2026-11-24T14:00:00+02:00", Zone::Utc, NOON),
            ("2026-11-24T12:00:00.5Z", Zone::Utc, NOON + 0.5),
        ] {
            assert_eq!(text.parse::<Moment>().map(|moment| moment.resolve(NOON, zone)), Ok(time), "{text} in {zone:?}");
        }
    }

    #[test]
    fn text_that_is_not_a_time_is_refused() {
        for text in [
            "",
            "soon",
            "never",
            "90",
            "20261124",
            "2026",
            "2026-1-1",
            "2026-02-30",
            "2026-11-24T25:00",
            "last monday",
            "-2d",
            "2026-11-24T",
            "2026-11-24x",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_refused(text in "\\PC{0,40}") {
            if let Ok(moment) = text.parse::<Moment>() {
                prop_assert!(moment.resolve(NOON, Zone::Utc).is_finite());
            }
        }
    }
}
