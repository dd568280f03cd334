//! Periods, moments as operators write them, zones, and how times are written.

pub mod moment;
pub mod period;
pub mod zone;

use chrono::{DateTime, NaiveDate, SecondsFormat};

/// A UNIX time in whole seconds.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // `as` saturates.
pub fn whole_seconds(time: f64) -> i64 {
    time.floor() as i64
}

/// The UTC day that a UNIX time lies in; the first or last day that can be written where it lies in none.
#[must_use]
pub fn day(time: f64) -> NaiveDate {
    #[allow(clippy::cast_possible_truncation)] // `as` saturates, which is what is wanted here.
    let seconds = time.floor() as i64;
    match DateTime::from_timestamp(seconds, 0).map(|time| time.date_naive()) {
        // Beyond year 9999 a date has no form of ten characters.
        Some(date) if (-100_000_000_000..253_402_300_800).contains(&seconds) => date,
        _ if time < 0.0 => NaiveDate::default(),
        _ => NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default(),
    }
}

/// A UNIX time as XEP-0082 and RFC 3339 write it, in UTC. Returns `None` if its year has not four digits.
#[must_use]
pub fn date_time(time: f64) -> Option<String> {
    let text = DateTime::from_timestamp(whole_seconds(time), 0)?.to_rfc3339_opts(SecondsFormat::Secs, true);
    (text.len() == 20).then_some(text)
}

/// A UNIX time as [`date_time`] writes it, and the beginning of UNIX time if it can't be written.
#[must_use]
pub fn rfc3339(time: f64) -> String {
    date_time(time).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_always_one() {
        for (time, text) in [
            (1_795_521_600.9, "2026-11-24T12:00:00Z"),
            (-1.0, "1969-12-31T23:59:59Z"),
            (f64::NAN, "1970-01-01T00:00:00Z"),
            (f64::INFINITY, "1970-01-01T00:00:00Z"),
            (1e15, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(time), text, "{time}");
        }
    }
}
