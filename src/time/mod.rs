//! Times: how they are written and read, periods, zones, and moments as operators write them.

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

/// A UNIX time in whole seconds, as milliseconds.
#[must_use]
pub fn whole_milliseconds(time: f64) -> i64 {
    whole_seconds(time).saturating_mul(1000)
}

/// The UTC day of a UNIX time. For a time out of range it is the first or the last day that can be written.
#[must_use]
pub fn day(time: f64) -> NaiveDate {
    #[allow(clippy::cast_possible_truncation)] // `as` saturates, as it should here.
    let seconds = time.floor() as i64;
    match DateTime::from_timestamp(seconds, 0).map(|time| time.date_naive()) {
        // A date after the year 9999 has more than ten characters.
        Some(date) if (-100_000_000_000..253_402_300_800).contains(&seconds) => date,
        _ if time < 0.0 => NaiveDate::default(),
        _ => NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default(),
    }
}

/// A UNIX time in the form of XEP-0082 and RFC 3339, in UTC. Returns `None` if the year does not have four digits.
#[must_use]
pub fn date_time(time: f64) -> Option<String> {
    let text = DateTime::from_timestamp(whole_seconds(time), 0)?.to_rfc3339_opts(SecondsFormat::Secs, true);
    (text.len() == 20).then_some(text)
}

/// A UNIX time as [`date_time`] writes it, or the beginning of UNIX time if it can't be written.
#[must_use]
pub fn rfc3339(time: f64) -> String {
    date_time(time).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// A time in UNIX milliseconds in the form of RFC 3339, in UTC. Whole seconds are written without milliseconds.
#[must_use]
pub fn rfc3339_milliseconds(milliseconds: i64) -> String {
    let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    #[allow(clippy::cast_precision_loss)] // Larger times can't be written.
    let mut text = rfc3339(seconds as f64);
    if rest > 0 && text.pop().is_some() {
        text.push_str(&format!(".{rest:03}Z"));
    }
    text
}

/// Reads a time in the form of XEP-0082 and RFC 3339. Returns it in UNIX milliseconds, or `None` if the text has another form.
///
/// ```
/// use audit_core::time::parse_milliseconds;
/// assert_eq!(parse_milliseconds("1970-01-01T01:00:01.5+01:00"), Some(1500));
/// assert_eq!(parse_milliseconds("1970-01-01"), None);
/// ```
#[must_use]
pub fn parse_milliseconds(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// The same, in UNIX seconds.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // A time in milliseconds is far below 2^53.
    parse_milliseconds(text).map(|time| time as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_of_range_is_written_as_the_beginning_of_unix_time() {
        for (time, text) in [
            (1_795_521_600.9, "2026-11-24T12:00:00Z"),
            (-1.0, "1969-12-31T23:59:59Z"),
            (f64::NAN, "1970-01-01T00:00:00Z"),
            (f64::INFINITY, "1970-01-01T00:00:00Z"),
            (1e15, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(time), text, "{time}");
            assert!(parse_seconds(text).is_some_and(|read| read == time.floor() || text.starts_with("1970")), "{text}");
        }
    }
}
