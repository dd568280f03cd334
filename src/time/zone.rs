//! Zones, and times in the form that people read.

use std::str::FromStr;

use chrono::{DateTime, FixedOffset, Local, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use thiserror::Error;

/// The zone that times are shown in, and that times without a zone are read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// The machine's own: `TZ`, or `/etc/localtime`.
    #[default]
    Local,
    /// UTC.
    Utc,
    /// A fixed offset from UTC.
    Fixed(FixedOffset),
}

/// A zone that can't be read. The message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("\"local\", \"UTC\", or an offset such as +02:00")]
pub struct ZoneError;

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        match text.to_ascii_lowercase().as_str() {
            "local" => return Ok(Self::Local),
            "utc" | "z" => return Ok(Self::Utc),
            _ => {}
        }
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        let well_formed = text.strip_prefix(['+', '-']).is_some_and(|rest| digits(rest) && matches!(rest.len(), 4 | 5));
        text.parse().ok().filter(|_| well_formed).map(Self::Fixed).ok_or(ZoneError)
    }
}

impl Zone {
    /// Shows `time`, in UNIX seconds, in the form `2026-11-24 12:00:00`. Also returns the offset of the zone at that time.
    #[must_use]
    pub fn show(self, time: f64) -> (String, String) {
        #[allow(clippy::cast_possible_truncation)] // `as` saturates.
        let Some(utc) = DateTime::from_timestamp(time.floor() as i64, 0) else {
            return (time.to_string(), String::new());
        };
        match self {
            Self::Local => shown(&utc.with_timezone(&Local)),
            Self::Utc => shown(&utc.with_timezone(&Utc)),
            Self::Fixed(offset) => shown(&utc.with_timezone(&offset)),
        }
    }

    /// Whether the offset of the zone changes within a year before or after `time`, in UNIX seconds.
    #[must_use]
    pub fn may_change_near(self, time: f64) -> bool {
        const MONTH: f64 = 30.0 * 86_400.0;
        self == Self::Local && (-12..=12).any(|months| self.offset(time + MONTH * f64::from(months)) != self.offset(time))
    }

    /// The offset from UTC at `time`, in seconds. `time` is in UNIX seconds.
    #[must_use]
    pub fn offset(self, time: f64) -> i64 {
        #[allow(clippy::cast_possible_truncation)] // `as` saturates.
        let utc = DateTime::from_timestamp(time.floor() as i64, 0);
        match self {
            Self::Local => utc.map_or(0, |utc| utc.with_timezone(&Local).offset().fix().local_minus_utc().into()),
            Self::Utc => 0,
            Self::Fixed(offset) => offset.local_minus_utc().into(),
        }
    }

    /// The UNIX time of a date and time in this zone, in seconds. If the time occurs twice, as at the end of summer time, it is the
    /// first one. If it does not occur, as at the beginning of summer time, it is an hour later.
    #[must_use]
    pub fn unix(self, time: NaiveDateTime) -> f64 {
        match self {
            Self::Local => unix(&Local, time),
            Self::Utc => unix(&Utc, time),
            Self::Fixed(offset) => unix(&offset, time),
        }
    }
}

fn unix<T: TimeZone>(zone: &T, time: NaiveDateTime) -> f64 {
    let later = time.checked_add_signed(TimeDelta::hours(1)).unwrap_or(time);
    let found = zone.from_local_datetime(&time).earliest().or_else(|| zone.from_local_datetime(&later).earliest());
    let seconds = found.map_or_else(|| time.and_utc().timestamp(), |time| time.timestamp());
    #[allow(clippy::cast_precision_loss)] // A date of chrono's is below 2^53 seconds.
    return seconds as f64;
}

fn shown<T: TimeZone>(time: &DateTime<T>) -> (String, String)
where
    T::Offset: std::fmt::Display,
{
    let seconds = time.offset().fix().local_minus_utc();
    let offset = if seconds == 0 { "UTC".to_owned() } else { format!("UTC{}", time.format("%:z")) };
    (time.format("%Y-%m-%d %H:%M:%S").to_string(), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_its_zone() {
        assert_eq!(Zone::Utc.show(1_795_521_600.9), ("2026-11-24 12:00:00".to_owned(), "UTC".to_owned()));
        let west: Zone = "-05:30".parse().unwrap();
        assert_eq!(west.show(1_795_521_600.0), ("2026-11-24 06:30:00".to_owned(), "UTC-05:30".to_owned()));
    }

    #[test]
    fn a_time_is_read_back_in_its_zone() {
        for zone in [Zone::Local, Zone::Utc, "+14:00".parse().unwrap()] {
            let time = NaiveDateTime::parse_from_str(&zone.show(1_795_521_600.0).0, "%Y-%m-%d %H:%M:%S").unwrap();
            assert_eq!(zone.unix(time), 1_795_521_600.0, "{zone:?}");
        }
    }

    #[test]
    fn a_zone_is_an_offset_or_a_name() {
        for text in ["local", "UTC", "Z", "+02:00", "-0530", "+00:00"] {
            assert!(text.parse::<Zone>().is_ok(), "{text}");
        }
        for text in ["", "02:00", "+2", "+25:00", "Europe/Rome", "+02:00x", "+ 2:00"] {
            assert_eq!(text.parse::<Zone>(), Err(ZoneError), "{text}");
        }
    }

    #[test]
    fn an_impossible_time_is_shown_unchanged() {
        assert_eq!(Zone::Local.show(f64::INFINITY).0, "inf");
    }
}
