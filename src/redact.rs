//! What may be recorded of an operator's command and of a form: no password, no token, nothing that could be one.
//!
//! Redaction is by what a command is known to take. Whatever is not known is hidden: a secret that is recorded can't be
//! taken back.

mod commands;
mod shell;
mod tokens;

pub use commands::{Argument, COMMANDS, Command};
pub use shell::shell_line;

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "***";

/// The fields of forms whose values are recorded: they name what a command acts on, and nothing else.
pub const SHOWN_FIELDS: &[&str] =
    &["FORM_TYPE", "accountjid", "accountjids", "delay", "details", "host", "max_items", "module", "modules", "role", "username"];

/// Whether the value of a form's field may be recorded, by its name and its type (`text-private`, …) where it has one.
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

#[cfg(test)]
mod tests {
    use super::*;

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
