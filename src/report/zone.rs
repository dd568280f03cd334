//! Times as people read them: local, with the zone named once.

use chrono::{DateTime, Local, Offset, TimeZone, Utc};

/// The zone that times are shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// The machine's own: `TZ`, or `/etc/localtime`.
    Local,
    /// UTC.
    Utc,
}

impl Zone {
    /// `time`, in UNIX seconds, as `2026-11-24 12:00:00`, and the offset of the zone at that time.
    #[must_use]
    pub fn show(self, time: f64) -> (String, String) {
        #[allow(clippy::cast_possible_truncation)] // `as` saturates.
        let Some(utc) = DateTime::from_timestamp(time.floor() as i64, 0) else {
            return (time.to_string(), String::new());
        };
        match self {
            Self::Local => shown(&utc.with_timezone(&Local)),
            Self::Utc => shown(&utc.with_timezone(&Utc)),
        }
    }
}

impl Zone {
    /// How many seconds a clock of the zone is ahead of UTC at `time`, in UNIX seconds.
    #[must_use]
    pub fn offset(self, time: f64) -> i64 {
        #[allow(clippy::cast_possible_truncation)] // `as` saturates.
        let utc = DateTime::from_timestamp(time.floor() as i64, 0);
        match self {
            Self::Local => utc.map_or(0, |utc| utc.with_timezone(&Local).offset().fix().local_minus_utc().into()),
            Self::Utc => 0,
        }
    }
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
    use chrono::FixedOffset;

    #[test]
    fn a_time_is_shown_in_its_zone() {
        assert_eq!(Zone::Utc.show(1_795_521_600.9), ("2026-11-24 12:00:00".to_owned(), "UTC".to_owned()));
        let west = FixedOffset::west_opt(5 * 3600 + 1800).unwrap();
        let time = DateTime::from_timestamp(1_795_521_600, 0).unwrap().with_timezone(&west);
        assert_eq!(shown(&time), ("2026-11-24 06:30:00".to_owned(), "UTC-05:30".to_owned()));
    }

    #[test]
    fn a_time_that_is_none_is_shown_as_it_is() {
        assert_eq!(Zone::Local.show(f64::INFINITY).0, "inf");
    }
}
