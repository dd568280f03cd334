//! Options that a module reads for itself.

use super::reader::OptionReader;
use super::{OPTIONS, ReadBy, Value, period};

/// The value of an option that a module reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModuleValue {
    /// Of a switch.
    Boolean(bool),
    /// Of a period.
    Seconds(f64),
}

/// The value of an option that a module reads, and a line for the operator if `value` was refused. The default is used then.
///
/// Returns `None` if there is no such option, or if the log reads it.
///
/// ```
/// use audit_core::options::{ModuleValue, Value, for_module};
/// let (value, refused) = for_module("audit_auth_sessions", &Value::Boolean(true)).unwrap();
/// assert_eq!((value, refused), (ModuleValue::Boolean(true), None));
/// ```
#[must_use]
pub fn for_module(name: &str, value: &Value) -> Option<(ModuleValue, Option<String>)> {
    let mut reader = OptionReader::default();
    let read = match OPTIONS.iter().find(|option| option.name == name)?.read_by {
        ReadBy::Log | ReadBy::Alerts => return None,
        ReadBy::Switch { default } => ModuleValue::Boolean(reader.boolean(name, value, default).unwrap_or(default)),
        ReadBy::Interval { default, shortest } => {
            let is_allowed = |seconds: &f64| *seconds >= shortest && seconds.is_finite();
            let seconds = match period(value).map(|period| period.map(|period| period.seconds())) {
                Ok(None) => default,
                Ok(Some(seconds)) if is_allowed(&seconds) => seconds,
                _ => reader.refuse(name, value, &format!("{default} seconds"), default),
            };
            ModuleValue::Seconds(seconds)
        }
    };
    Some((read, reader.refused.pop()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_reads_its_options() {
        let text = |text: &str| Value::String(text.to_owned());
        for (name, value, expected) in [
            ("audit_auth_passwords_only", Value::Nil, ModuleValue::Boolean(true)),
            ("audit_auth_sessions", Value::Nil, ModuleValue::Boolean(false)),
            ("audit_auth_sessions", text("true"), ModuleValue::Boolean(true)),
            ("audit_user_history", Value::Number(0.0), ModuleValue::Boolean(false)),
            ("audit_status_heartbeat_interval", Value::Nil, ModuleValue::Seconds(60.0)),
            ("audit_status_heartbeat_interval", text("5 minutes"), ModuleValue::Seconds(300.0)),
            ("audit_status_heartbeat_interval", Value::Number(1.0), ModuleValue::Seconds(1.0)),
        ] {
            assert_eq!(for_module(name, &value), Some((expected, None)), "{name} = {value}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_and_the_default_is_used() {
        let text = |text: &str| Value::String(text.to_owned());
        for (name, value, expected) in [
            ("audit_auth_passwords_only", text("yes"), ModuleValue::Boolean(true)),
            ("audit_auth_sessions", Value::Number(2.0), ModuleValue::Boolean(false)),
            ("audit_status_heartbeat_interval", Value::Number(0.5), ModuleValue::Seconds(60.0)),
            ("audit_status_heartbeat_interval", text("never"), ModuleValue::Seconds(60.0)),
            ("audit_status_heartbeat_interval", Value::Boolean(true), ModuleValue::Seconds(60.0)),
        ] {
            let (used, refused) = for_module(name, &value).unwrap();
            let allowed = OPTIONS.iter().find(|option| option.name == name).unwrap().allowed;
            let refused = refused.unwrap();
            assert!(used == expected && [name, &value.to_string(), allowed].iter().all(|part| refused.contains(part)), "{refused}");
        }
    }

    #[test]
    fn options_of_the_log_are_not_for_modules() {
        assert_eq!(for_module("audit_log_ips", &Value::Nil), None);
        assert_eq!(for_module("audit_log_something", &Value::Nil), None);
    }
}
