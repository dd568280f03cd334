//! The registry of event types: what is recorded, by which module, and which elements an entry may have.
//!
//! `prosodyctl mod_audit --events` prints it. The documentation is checked against it, and so is what the end-to-end specs find in
//! the stores of real servers. Other modules may record types of their own.

use std::fmt;

/// Who can cause events of a type. Flood control uses it to limit how many are recorded one by one. If several can cause them, this
/// is the one with the fewest rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Anybody who can reach the server, without a login.
    Stranger,
    /// Anybody with an account on this server or, in rooms, on another server.
    User,
    /// Anybody with rights in a room, such as its creator. Moderators may do many things at once.
    Moderator,
    /// Another server, or a component.
    RemoteServer,
    /// An administrator, who could also stop the log. These events are always recorded one by one.
    Administrator,
    /// The server itself. These events are always recorded one by one, too.
    Server,
}

/// A series of Prosody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Prosody 0.12.
    V0_12,
    /// Prosody 13.0.
    V13_0,
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V0_12 => "0.12",
            Self::V13_0 => "13.0",
        })
    }
}

/// An event type of this log's modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The name, as it is stored.
    pub name: &'static str,
    /// The module that records it.
    pub module: &'static str,
    /// Who can cause it.
    pub cause: Cause,
    /// What happened, as a sentence that continues "recorded when".
    pub meaning: &'static str,
    /// The first series of Prosody that it is recorded on.
    pub since: Series,
    /// The elements that an entry may have besides `session`, `actor` and, in a summary, `repeated`.
    pub details: &'static [&'static str],
    /// Whether entries tell of the upkeep of the log itself: who read it, and what was removed. There are so many of them that they
    /// are shown only if they are asked for.
    pub housekeeping: bool,
}

impl EventType {
    const fn housekeeping(self) -> Self {
        Self { housekeeping: true, ..self }
    }
}

use Cause::{Administrator, Moderator, RemoteServer, Server, Stranger, User};
use Series::{V0_12, V13_0};

const fn event(
    module: &'static str,
    name: &'static str,
    cause: Cause,
    since: Series,
    details: &'static [&'static str],
    meaning: &'static str,
) -> EventType {
    EventType { name, module, cause, meaning, since, details, housekeeping: false }
}

/// Every event type, by module.
#[rustfmt::skip] // A table: one row a line.
pub const EVENT_TYPES: &[EventType] = &[
    event("mod_audit_auth", "authentication-success", User, V0_12, &["authentication", "tls"], "somebody logged in"),
    event("mod_audit_auth", "authentication-failure", Stranger, V0_12, &["authentication", "tls"], "a login failed"),
    event("mod_audit_auth", "new-client", User, V0_12, &["client-info"], "an account was used with a new client (needs `mod_client_management`)"),
    event("mod_audit_auth", "resource-bound", User, V0_12, &["resource"], "a login was completed with a resource (with `audit_auth_sessions`)"),
    event("mod_audit_auth", "session-ended", User, V0_12, &["ended"], "a session ended: after how long, and why (with `audit_auth_sessions`)"),
    event("mod_audit_register", "user-registered", Stranger, V0_12, &["role", "invite-used", "tls"], "an account was made, in-band or over the web, and with Prosody 13 by an administrator"),
    event("mod_audit_register", "registration-refused", Stranger, V0_12, &["registration", "tls", "invite"], "a registration was refused: the name is taken, an invite is needed, too many from the address …"),
    event("mod_audit_register", "user-deregistered", User, V0_12, &[], "an account was removed by its owner"),
    event("mod_audit_register", "user-deregistered-pending", User, V13_0, &["pending"], "the owner asked to remove an account, and Prosody waits"),
    event("mod_audit_register", "user-enabled", Administrator, V13_0, &[], "an account was enabled"),
    event("mod_audit_register", "user-disabled", Administrator, V13_0, &["disabled"], "an account was disabled"),
    event("mod_audit_user_accounts", "user-password-changed", User, V0_12, &[], "a password was changed"),
    event("mod_audit_user_accounts", "user-password-reset", Stranger, V0_12, &["invite-used", "tls"], "a password was set with an invite for that purpose"),
    event("mod_audit_user_accounts", "user-role-changed", Administrator, V0_12, &["role"], "an account was given other roles"),
    event("mod_audit_user_accounts", "user-deleted", Administrator, V0_12, &[], "an account was removed by somebody else than its owner"),
    event("mod_audit_tokens", "token-grant-created", User, V13_0, &["grant"], "a client was granted access to an account"),
    event("mod_audit_tokens", "token-grant-revoked", User, V13_0, &["grant"], "access of a client was revoked"),
    event("mod_audit_tokens", "token-revoked", User, V13_0, &["grant", "token"], "one token of a grant was revoked"),
    event("mod_audit_tokens", "invite-created", User, V0_12, &["invite"], "an invite was made: to register, to become a contact, or to reset a password"),
    event("mod_audit_tokens", "invite-used", Stranger, V0_12, &["invite", "contact"], "an invite was used"),
    event("mod_audit_s2s", "s2s-established", RemoteServer, V0_12, &["s2s", "certificate", "tls"], "a connection with another server was established, in either direction"),
    event("mod_audit_s2s", "s2s-refused", RemoteServer, V0_12, &["s2s", "certificate", "tls"], "a connection with another server failed, or was refused by either end"),
    event("mod_audit_s2s", "component-authenticated", RemoteServer, V0_12, &[], "an external component connected"),
    event("mod_audit_s2s", "component-refused", Stranger, V0_12, &["component"], "an external component was refused: its secret is wrong, or it is connected already"),
    event("mod_audit_muc", "room-created", User, V0_12, &["room"], "a room was made"),
    event("mod_audit_muc", "room-destroyed", User, V0_12, &["room"], "a room was destroyed, or was empty and not persistent"),
    event("mod_audit_muc", "room-configured", User, V0_12, &["room", "configuration"], "settings of a room were changed; with the names of the settings, never their values"),
    event("mod_audit_muc", "room-affiliation-changed", Moderator, V0_12, &["room", "affiliation"], "somebody became owner, admin or member of a room or was banned, or this ended"),
    event("mod_audit_muc", "room-role-changed", Moderator, V0_12, &["room", "role"], "somebody was kicked, or was given or lost voice or moderation"),
    event("mod_audit_firewall", "mark-set", User, V0_12, &["mark"], "a rule of `mod_firewall` marked an account"),
    event("mod_audit_firewall", "mark-cleared", User, V0_12, &["mark"], "a mark of an account was removed"),
    event("mod_audit_reports", "abuse-reported", User, V0_12, &["report"], "somebody reported spam or abuse (XEP-0377, needs `mod_spam_reporting`)"),
    event("mod_audit_status", "server-started", Server, V0_12, &["note"], "the server started"),
    event("mod_audit_status", "server-stopped", Server, V0_12, &["note"], "the server was stopped"),
    event("mod_audit_status", "server-crashed", Server, V0_12, &[], "the server ended without being stopped; found at the next start"),
    event("mod_audit_admin", "shell-command", Administrator, V0_12, &["command"], "a command was given in the server's shell, by `prosodyctl shell` or another way; recorded before it runs"),
    event("mod_audit_admin", "adhoc-command", User, V0_12, &["command"], "an ad-hoc command that not everybody may run was completed"),
    event("mod_audit_admin", "adhoc-refused", User, V0_12, &["command"], "an ad-hoc command was refused, as the user may not run it"),
    event("mod_audit_admin", "config-reloaded", Administrator, V0_12, &["options"], "the configuration was read again; with the names of options that changed, never their values"),
    event("mod_audit_admin", "certificates-reloaded", Administrator, V0_12, &["certificate"], "a host has another certificate since the configuration was read again"),
    event("mod_audit_admin", "module-loaded", Administrator, V0_12, &["module"], "a module was loaded after the start"),
    event("mod_audit_admin", "module-unloaded", Administrator, V0_12, &["module"], "a module was unloaded, the log itself included"),
    event("mod_audit_admin", "module-reloaded", Administrator, V0_12, &["module"], "a module was reloaded"),
    event("mod_audit_admin", "host-activated", Administrator, V0_12, &["host"], "a host was activated after the start"),
    event("mod_audit_admin", "host-deactivated", Administrator, V0_12, &["host"], "a host was deactivated"),
    event("mod_audit_alerts", "audit-alert", Server, V0_12, &["alert"], "a rule of the alerts fired: which, what it counted by, how many, and since when"),
    event("mod_audit_sinks", "audit-sink-rejected", Server, V0_12, &["refused"], "a receiver refused an entry, which is left out there: which sink, which entry, why"),
    event("mod_audit", "audit-started", Server, V0_12, &[], "recording began on a host (by `mod_audit_admin`)"),
    event("mod_audit", "audit-options-changed", Administrator, V0_12, &["options"], "options of the log changed (by `mod_audit_admin`)"),
    event("mod_audit", "audit-pruned", Server, V0_12, &["pruned"], "entries or their addresses were removed, as they had expired or a limit was exceeded: class, number, first and last time").housekeeping(),
    event("mod_audit", "audit-erased", Administrator, V0_12, &["erasure"], "a person's data were erased from the log: number of the receipt, who asked for it and why, how many entries; never whose data"),
    event("mod_audit", "audit-tampered", Server, V0_12, &["verification"], "the server verified the log, and somebody has changed it: how many entries do not fit, how many do, and the first that does not"),
    event("mod_audit", "audit-opened", Server, V0_12, &["opened"], "the log was opened after a start of the machine: how far each chain of entries had got").housekeeping(),
    event("mod_audit", "audit-sealed", Server, V0_12, &["seal"], "the log was sealed: how far each chain of entries had got, and what proves it (`--new-seal`)").housekeeping(),
    event("mod_audit", "audit-seal-created", Administrator, V0_12, &["seal"], "a seal key was made: its name, and who asked for it"),
    event("mod_audit", "audit-seal-replaced", Administrator, V0_12, &["seal"], "the seal key was replaced: the name of the former one, how its seals end, and who asked for it"),
    event("mod_audit", "audit-clock-jumped", Server, V0_12, &["clock"], "the clock is probably wrong, so nothing is removed for a while: what it shows, and what was expected"),
    event("mod_audit", "audit-clock-trusted", Administrator, V0_12, &["clock"], "an operator confirmed that the clock is right (`prosodyctl mod_audit --prune --trust-clock`)"),
    event("mod_audit", "audit-key-replaced", Administrator, V0_12, &["key"], "the key that addresses are hashed with was replaced"),
    event("mod_audit", "audit-entries-lost", Server, V0_12, &["lost"], "entries could not be stored: how many, of which types, first and last time"),
    event("mod_audit", "audit-store-recovered", Server, V0_12, &["store"], "the file of the storage driver `audit` was damaged, deleted or replaced: why, its name now, how many entries of the host were copied to a new file, and how many could not be read"),
    event("mod_audit", "audit-queried", Administrator, V0_12, &["query"], "an administrator read the log: who, by which way, with which filter, how many entries").housekeeping(),
    event("mod_audit", "audit-exported", Administrator, V0_12, &["query"], "the same, but to a file or in a format for programs").housekeeping(),
];

/// Returns the type of this name, or `None` if it is not in the registry.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event| event.name == name)
}

/// Returns who can cause events of this type, or `None` if it is not in the registry.
#[must_use]
pub fn cause_of(name: &str) -> Option<Cause> {
    find(name).map(|event| event.cause)
}

/// Whether entries of this type tell of the upkeep of the log itself, see [`EventType::housekeeping`].
#[must_use]
pub fn is_housekeeping(name: &str) -> bool {
    find(name).is_some_and(|event| event.housekeeping)
}

/// The kinds of actors that an entry's `<actor/>` may have.
///
/// - `user`: an account, in its own session
/// - `admin-shell`: somebody with access to the server's shell
/// - `adhoc`: an account, with an ad-hoc command
/// - `http`: somebody over HTTP
/// - `server`: the server itself
/// - `unknown`: Prosody does not provide it
pub const ACTOR_KINDS: &[&str] = &["user", "admin-shell", "adhoc", "http", "server", UNKNOWN_ACTOR];

/// The kind of an unknown actor.
pub const UNKNOWN_ACTOR: &str = "unknown";

/// The registry as `prosodyctl mod_audit --events` prints it, without a newline at the end. `class_of` returns the retention class
/// of an event type.
#[must_use]
pub fn listing<'a>(class_of: impl Fn(&str) -> &'a str) -> String {
    let rows = EVENT_TYPES.iter().map(|event| {
        let since = if event.since == V0_12 { String::new() } else { format!(" (since Prosody {})", event.since) };
        let hidden = if event.housekeeping { "; shown only if it is asked for" } else { "" };
        [
            event.name.to_owned(),
            class_of(event.name).to_owned(),
            event.module.to_owned(),
            format!("{}{hidden}{since}", event.meaning.replace('`', "")),
        ]
    });
    let titles = ["EVENT", "CLASS", "MODULE", "RECORDED WHEN"].map(ToOwned::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(titles).chain(rows).collect();
    let width = |column: fn(&[String; 4]) -> &String| rows.iter().map(|row| column(row).len()).max().unwrap_or_default();
    let (names, classes, modules) = (width(|[name, ..]| name), width(|[_, class, ..]| class), width(|[_, _, module, _]| module));
    let lines =
        rows.iter().map(|[name, class, module, meaning]| format!("{name:<names$}  {class:<classes$}  {module:<modules$}  {meaning}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn is_word(text: &str) -> bool {
        !text.is_empty()
            && text.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
    }

    #[test]
    fn every_type_is_there_once_and_named_as_types_are() {
        let names: HashSet<_> = EVENT_TYPES.iter().map(|event| event.name).collect();
        assert_eq!(names.len(), EVENT_TYPES.len());
        for event in EVENT_TYPES {
            assert!(is_word(event.name), "{}", event.name);
            assert!(event.details.iter().all(|detail| is_word(detail)), "{}", event.name);
            assert!(event.module == "mod_audit" || event.module.starts_with("mod_audit_"), "{}", event.module);
            assert!(!event.meaning.is_empty() && !event.meaning.contains(['|', '\n']), "{}", event.name);
            assert_eq!(find(event.name), Some(event));
        }
        assert_eq!(find("something-else"), None);
    }

    #[test]
    fn types_of_one_module_stand_together() {
        let mut modules: Vec<_> = EVENT_TYPES.iter().map(|event| event.module).collect();
        modules.dedup();
        let distinct: HashSet<_> = modules.iter().collect();
        assert_eq!(distinct.len(), modules.len(), "{modules:?}");
    }

    #[test]
    fn only_readings_and_removals_are_housekeeping() {
        let names: Vec<&str> = EVENT_TYPES.iter().filter(|event| event.housekeeping).map(|event| event.name).collect();
        assert_eq!(names, ["audit-pruned", "audit-opened", "audit-sealed", "audit-queried", "audit-exported"]);
        assert!(is_housekeeping("audit-queried") && !is_housekeeping("audit-entries-lost") && !is_housekeeping("x"));
    }

    #[test]
    fn the_listing_has_a_line_for_each_type() {
        let text = listing(|name| if name == "s2s-refused" { "failures" } else { "events" });
        assert_eq!(text.lines().count(), EVENT_TYPES.len() + 1);
        for event in EVENT_TYPES {
            let line = text.lines().find(|line| line.starts_with(&format!("{} ", event.name))).unwrap();
            let words: Vec<&str> = line.split_whitespace().take(3).collect();
            assert_eq!(words, [event.name, if event.name == "s2s-refused" { "failures" } else { "events" }, event.module]);
            assert_eq!(line.contains("since Prosody 13.0"), event.since == V13_0, "{line}");
            assert_eq!(line.contains("only if it is asked for"), event.housekeeping, "{line}");
        }
    }
}
