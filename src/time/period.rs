//! Lengths of time in the form of Prosody's options: `"28d"`, `"2 weeks"`, `3600`, `"never"`.

use thiserror::Error;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Period {
    /// This many seconds.
    Seconds(f64),
    /// Without an end.
    Never,
}

/// A period that can't be read. The message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a number of seconds, a period such as \"28d\", \"2 weeks\", \"6 months\" or \"1y\", or \"never\"")]
pub struct PeriodError;

impl Period {
    /// Reads a period. The units are those of Prosody (`util.human.io` of Prosody 13): `s`, `min`, `h`, `d`, `w`, `mon` (31 days),
    /// `y` (365.2425 days), each also as a longer word.
    ///
    /// Stricter than Prosody, so that a typing error is not read as another value: other text before the number or after the unit
    /// is refused, and so is `m` alone, which could be minutes or months.
    ///
    /// # Errors
    ///
    /// Returns [`PeriodError`] if the text is not a period.
    ///
    /// ```
    /// use audit_core::time::period::Period;
    /// assert_eq!(Period::parse("2 weeks"), Ok(Period::Seconds(1_209_600.0)));
    /// assert!(Period::parse("soon").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, PeriodError> {
        let text = text.trim().to_ascii_lowercase();
        if text == "never" {
            return Ok(Self::Never);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| PeriodError)?;
        let unit = match unit.trim_start() {
            "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "min" | "mins" | "minute" | "minutes" => MINUTE,
            "h" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => 7.0 * DAY,
            "mon" | "month" | "months" => 31.0 * DAY,
            "y" | "year" | "years" => 365.2425 * DAY,
            _ => return Err(PeriodError),
        };
        Ok(Self::Seconds(number * unit))
    }

    /// A period of this many seconds.
    ///
    /// # Errors
    ///
    /// Returns [`PeriodError`] if `seconds` is negative or not a number.
    pub fn from_seconds(seconds: f64) -> Result<Self, PeriodError> {
        match seconds {
            f64::INFINITY => Ok(Self::Never),
            seconds if seconds >= 0.0 && seconds.is_finite() => Ok(Self::Seconds(seconds)),
            _ => Err(PeriodError),
        }
    }

    /// The period in seconds. Returns infinity for [`Period::Never`].
    #[must_use]
    pub const fn seconds(self) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Never => f64::INFINITY,
        }
    }

    /// The time before which everything has expired at `now`, in UNIX seconds. Returns `None` if nothing ever expires.
    #[must_use]
    pub fn cutoff(self, now: f64) -> Option<f64> {
        match self {
            Self::Seconds(seconds) => Some(now - seconds),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_as_prosody_means_it() {
        for (text, seconds) in [
            ("28d", 28.0 * DAY),
            ("28 days", 28.0 * DAY),
            ("2 weeks", 14.0 * DAY),
            ("1w", 7.0 * DAY),
            ("6 months", 186.0 * DAY),
            ("6mon", 186.0 * DAY),
            ("1y", 365.2425 * DAY),
            ("90", 90.0),
            ("90s", 90.0),
            ("5min", 300.0),
            ("5 Minutes", 300.0),
            ("36h", 36.0 * HOUR),
            ("0", 0.0),
            ("never", f64::INFINITY),
            (" Never ", f64::INFINITY),
        ] {
            assert_eq!(Period::parse(text).map(Period::seconds), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_period_is_refused() {
        for text in ["", "soon", "-1", "-1d", "d", "5m", "1 fortnight", "28d!", "1d 2h", "1.5h", "0x10", "28 d ays", "∞"] {
            assert_eq!(Period::parse(text), Err(PeriodError), "{text}");
        }
        for seconds in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Period::from_seconds(seconds), Err(PeriodError), "{seconds}");
        }
    }

    #[test]
    fn never_has_no_cutoff() {
        assert_eq!(Period::Never.cutoff(1000.0), None);
        assert_eq!(Period::Seconds(60.0).cutoff(1000.0), Some(940.0));
    }
}
