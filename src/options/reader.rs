//! Reads the values of options, and collects messages about wrong ones.

use super::{OPTIONS, Value};
use crate::archive::retention::Retention;
use crate::filter::hold::Hold;
use crate::filter::person::Person;
use crate::flood::Burst;
use crate::time::period::{Period, PeriodError};

/// Reads a period. Returns `None` if the option is not set.
///
/// # Errors
///
/// Returns [`PeriodError`] if the value is not a period.
pub fn period(value: &Value) -> Result<Option<Period>, PeriodError> {
    match value {
        Value::Nil => Ok(None),
        Value::Number(seconds) => Period::from_seconds(*seconds).map(Some),
        Value::String(text) => Period::parse(text).map(Some),
        // Prosody reads `false` as "never" for every option that is a period.
        Value::Boolean(false) => Ok(Some(Period::Never)),
        Value::Boolean(true) | Value::Table(_) | Value::Other(_) => Err(PeriodError),
    }
}

/// Reads `audit_log_flood`. Returns `None` if the value is wrong.
pub(super) fn burst(value: &Value) -> Option<Burst> {
    let Value::Table(fields) = value else { return None };
    let known = |key: &Value| matches!(key, Value::String(name) if name == "burst" || name == "window");
    if !fields.iter().all(|(key, _)| known(key)) {
        return None;
    }
    let default = Burst::default();
    let burst = match value.field("burst") {
        Value::Nil => default.burst,
        burst => whole_number(burst, 1.0..=1000.0)?,
    };
    let window = match period(value.field("window")) {
        Ok(window) => window.map_or(default.window, Period::seconds),
        Err(PeriodError) => return None,
    };
    (1.0..=86_400.0).contains(&window).then_some(Burst { burst, window })
}

/// Reads a whole number, also from a string as Prosody does. Returns `None` if it is not in the range.
pub(super) fn whole_number(value: &Value, allowed: std::ops::RangeInclusive<f64>) -> Option<u32> {
    let number = match value {
        Value::Number(number) => *number,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and no range is wider.
    (number.fract() == 0.0 && allowed.contains(&number)).then_some(number as u32)
}

/// Reads options, and collects a line for each value that is refused.
#[derive(Default)]
pub(super) struct OptionReader {
    /// The lines.
    pub(super) refused: Vec<String>,
}

impl OptionReader {
    /// Refuses a value: `used`, in words, is used `instead`.
    pub(super) fn refuse<T>(&mut self, name: &str, value: &Value, used: &str, instead: T) -> T {
        let allowed = OPTIONS.iter().find(|option| option.name == name).map_or("another value", |option| option.allowed);
        self.refused.push(format!("Option {name} is {value}, which is not allowed: use {allowed}. Until then {used} is used."));
        instead
    }

    /// `true` or `false`, as Prosody reads it. `instead` is used for a value that is neither. Returns `None` if the option is not set.
    pub(super) fn boolean(&mut self, name: &str, value: &Value, instead: bool) -> Option<bool> {
        match value {
            Value::Nil => None,
            Value::Boolean(value) => Some(*value),
            // Prosody accepts these, too.
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            Value::Number(1.0) => Some(true),
            Value::Number(0.0) => Some(false),
            _ => self.refuse(name, value, &instead.to_string(), Some(instead)),
        }
    }

    /// A list of accounts and classes. What is none of them is refused, and the others are used.
    pub(super) fn hold(&mut self, value: &Value, retention: &Retention) -> Hold {
        const NAME: &str = "audit_log_hold";
        let mut hold = Hold::default();
        let fields = match value {
            Value::Nil => return hold,
            Value::Table(fields) => fields.as_slice(),
            _ => return self.refuse(NAME, value, "an empty list", hold),
        };
        let mut are_all_right = true;
        for field in fields {
            match field {
                (Value::Number(_), Value::String(name)) if retention.has(name) => hold.classes.push(name.clone()),
                (Value::Number(_), Value::String(name)) => match Person::new(name) {
                    Some(person) => hold.people.push(person),
                    None => are_all_right = false,
                },
                _ => are_all_right = false,
            }
        }
        if are_all_right { hold } else { self.refuse(NAME, value, "what is right of it", hold) }
    }

    /// A number of seconds. Returns `None` if the option is not set.
    pub(super) fn timeout(&mut self, name: &str, value: &Value) -> Option<f64> {
        match period(value) {
            Ok(None) => None,
            // "Never" is not a number of seconds.
            Ok(Some(Period::Seconds(seconds))) => Some(seconds),
            Ok(Some(Period::Never)) | Err(PeriodError) => self.refuse(name, value, "none", None),
        }
    }

    /// A number of bits. Returns `None` if the option is not set.
    pub(super) fn prefix(&mut self, name: &str, value: &Value, whole: u8, stricter: u8) -> Option<u8> {
        let number = match value {
            Value::Nil => return None,
            Value::Number(number) => Some(*number),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        match number {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // In range, as the guard says.
            Some(bits) if bits.fract() == 0.0 && (0.0..=f64::from(whole)).contains(&bits) => Some(bits as u8),
            _ => self.refuse(name, value, &format!("{stricter}"), Some(stricter)),
        }
    }
}
