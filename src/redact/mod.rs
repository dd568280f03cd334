//! Removes secrets from operators' commands and forms before they are recorded: passwords, tokens, and anything that could be one.
//!
//! Only what is fully understood is shown. Everything else is hidden, as a recorded secret can't be taken back.

mod commands;
mod forms;
mod shell;
mod tokens;

pub use commands::{COMMANDS, ShellCommand};
pub use shell::shell_line;

use forms::Form;

/// The text that replaces what is hidden.
pub const HIDDEN: &str = "***";

/// What the server knows about the words in a line.
#[derive(Clone, Copy)]
pub struct KnownNames<'a> {
    /// Whether a name is a host of this server. `None` if that is not known. Then anything in the form of a domain may be one.
    pub hosts: Option<&'a dyn Fn(&str) -> bool>,
    /// Whether the shell has a command with this section and name.
    pub command: &'a dyn Fn(&str, &str) -> bool,
}

impl Default for KnownNames<'_> {
    fn default() -> Self {
        Self { hosts: None, command: &|_, _| false }
    }
}

impl std::fmt::Debug for KnownNames<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KnownNames")
    }
}

impl KnownNames<'_> {
    /// Whether there is a command with this section and name, in the table here or on the server.
    fn has(&self, section: &str, name: &str) -> bool {
        commands::find(section, name).is_some() || (self.command)(section, name)
    }
}

/// Fields of forms that name what a command acts on. Their values are recorded if they have the expected form.
pub const SHOWN_FIELDS: &[&str] =
    &["FORM_TYPE", "accountjid", "accountjids", "delay", "details", "host", "max_items", "module", "modules", "role"];

/// Whether the value of a form's field may be recorded, by the field's name and type (`text-private`, …).
///
/// ```
/// use audit_core::redact::is_shown_field;
/// assert!(is_shown_field("accountjid", Some("jid-single")));
/// assert!(!is_shown_field("password", None));
/// assert!(!is_shown_field("host", Some("text-private")));
/// ```
#[must_use]
pub fn is_shown_field(name: &str, kind: Option<&str>) -> bool {
    kind != Some("text-private") && SHOWN_FIELDS.contains(&name)
}

/// The part of a value that may be recorded, for a field with [`is_shown_field`].
///
/// ```
/// use audit_core::redact::{KnownNames, field_value};
/// assert_eq!(field_value("accountjid", "romeo@example.com", &KnownNames::default()), "romeo@example.com");
/// assert_eq!(field_value("accountjid", "Tr0ub4dor&3", &KnownNames::default()), "***");
/// ```
#[must_use]
pub fn field_value(name: &str, value: &str, known: &KnownNames<'_>) -> String {
    let form = match name {
        "accountjid" | "accountjids" => Form::Jid,
        "delay" => Form::Number,
        "details" => Form::OneOf(&["0", "1", "false", "true"]),
        "host" => Form::Domain,
        "max_items" if value == "all" || value == "none" => return value.to_owned(),
        "max_items" => Form::Number,
        "module" | "modules" => Form::Word,
        "role" => Form::Role,
        _ => Form::Secret,
    };
    form.shown(value, known).map_or_else(|| HIDDEN.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_in_the_form_of_its_field() {
        for (name, value, shown) in [
            ("accountjids", "romeo@example.com/phone", "romeo@example.com/***"),
            ("delay", "180", "180"),
            ("delay", "12345678", HIDDEN),
            ("details", "1", "1"),
            ("host", "new.example.com", "new.example.com"),
            ("host", "hunter2", HIDDEN),
            ("max_items", "none", "none"),
            ("max_items", "all", "all"),
            ("max_items", "25", "25"),
            ("max_items", "hunter2", HIDDEN),
            ("module", "http_oauth2", "http_oauth2"),
            ("module", "hunter2", HIDDEN),
            ("role", "prosody:member", "prosody:member"),
            ("role", "hunter2", HIDDEN),
            // A password typed in the wrong field has the form of a name.
            ("username", "romeo", HIDDEN),
            ("password", "romeo@example.com", HIDDEN),
        ] {
            assert_eq!(field_value(name, value, &KnownNames::default()), shown, "{name} {value}");
        }
    }

    #[test]
    fn known_can_be_printed() {
        assert_eq!(format!("{:?}", KnownNames::default()), "KnownNames");
    }

    #[test]
    fn no_field_that_is_shown_is_named_like_a_secret() {
        for name in SHOWN_FIELDS {
            let lower = name.to_lowercase();
            assert!(!["pass", "secret", "token", "key", "pin", "code", "auth"].iter().any(|part| lower.contains(part)), "{name}");
            assert!(is_shown_field(name, None) && !is_shown_field(name, Some("text-private")), "{name}");
        }
        for name in ["password", "password-verify", "new_password", "token", "api-key", "muc#roomconfig_roomsecret", "anything", ""] {
            assert!(!is_shown_field(name, None), "{name}");
        }
    }
}
