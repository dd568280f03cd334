//! What event types mean to other systems: one table that drives OCSF, ECS, CEF, syslog, and the privileged actions of the report.

/// How serious an event is, with the words and the order of OCSF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Everything is normal.
    Informational,
    /// Worth knowing.
    Low,
    /// Worth looking at.
    Medium,
    /// Something is wrong.
    High,
}

/// Whether an attempt succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
}

/// An event class of OCSF 1.8.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcsfClass {
    /// An event without a class that fits.
    BaseEvent,
    /// An event of the log itself.
    EventLogActivity,
    /// A change to an account.
    AccountChange,
    /// A login or logout, or an attempt.
    Authentication,
    /// A change to something other than an account.
    EntityManagement,
    /// A connection of another server or a component.
    NetworkActivity,
    /// The server started or stopped.
    ApplicationLifecycle,
    /// An administrator's command.
    ApiActivity,
}

/// The meaning of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The event type. A `*` at the front stands for any characters.
    pub kind: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// Whether an attempt succeeded.
    pub outcome: Outcome,
    /// Its class in OCSF, and the number of its activity in that class.
    pub ocsf: (OcsfClass, u32),
    /// Its category in the Elastic Common Schema, and its types in that category.
    pub ecs: (&'static str, &'static [&'static str]),
    /// Whether only an administrator can do it, or it changes somebody's permissions.
    pub privileged: bool,
}

use OcsfClass::{
    AccountChange, ApiActivity, ApplicationLifecycle, Authentication, BaseEvent, EntityManagement, EventLogActivity, NetworkActivity,
};
use Outcome::{Failure, Success};
use Severity::{High, Informational, Low, Medium};

/// The number of an activity that OCSF does not list.
pub const OTHER: u32 = 99;

const fn by_anybody(
    kind: &'static str,
    severity: Severity,
    outcome: Outcome,
    ocsf: (OcsfClass, u32),
    ecs: (&'static str, &'static [&'static str]),
) -> Meaning {
    Meaning { kind, severity, outcome, ocsf, ecs, privileged: false }
}

const fn privileged(
    kind: &'static str,
    severity: Severity,
    ocsf: (OcsfClass, u32),
    ecs: (&'static str, &'static [&'static str]),
) -> Meaning {
    Meaning { kind, severity, outcome: Success, ocsf, ecs, privileged: true }
}

/// The meanings. The first row that matches is used.
#[rustfmt::skip] // A table: one row a line.
pub const MEANINGS: &[Meaning] = &[
    by_anybody("authentication-success", Informational, Success, (Authentication, 1), ("authentication", &["start"])),
    by_anybody("authentication-failure", Low, Failure, (Authentication, 1), ("authentication", &["start"])),
    by_anybody("new-client", Low, Success, (Authentication, OTHER), ("authentication", &["info"])),
    by_anybody("resource-bound", Informational, Success, (Authentication, OTHER), ("session", &["start"])),
    by_anybody("session-ended", Informational, Success, (Authentication, 2), ("session", &["end"])),

    by_anybody("user-registered", Informational, Success, (AccountChange, 1), ("iam", &["user", "creation"])),
    by_anybody("user-deregistered", Low, Success, (AccountChange, 6), ("iam", &["user", "deletion"])),
    by_anybody("user-deregistered-pending", Low, Success, (AccountChange, OTHER), ("iam", &["user", "change"])),
    by_anybody("registration-refused", Low, Failure, (AccountChange, 1), ("iam", &["user", "creation"])),
    privileged("user-enabled", Low, (AccountChange, 2), ("iam", &["user", "change"])),
    privileged("user-disabled", Low, (AccountChange, 5), ("iam", &["user", "change"])),
    privileged("user-deleted", Low, (AccountChange, 6), ("iam", &["user", "deletion"])),
    by_anybody("user-password-changed", Low, Success, (AccountChange, 3), ("iam", &["user", "change"])),
    privileged("user-password-reset", Low, (AccountChange, 4), ("iam", &["user", "change"])),
    privileged("user-role-changed", Medium, (AccountChange, OTHER), ("iam", &["user", "change"])),

    by_anybody("token-grant-created", Informational, Success, (EntityManagement, 1), ("iam", &["creation"])),
    by_anybody("token-grant-revoked", Informational, Success, (EntityManagement, 4), ("iam", &["deletion"])),
    by_anybody("token-revoked", Informational, Success, (EntityManagement, 4), ("iam", &["deletion"])),
    by_anybody("invite-created", Low, Success, (EntityManagement, 1), ("iam", &["creation"])),
    by_anybody("invite-used", Informational, Success, (EntityManagement, OTHER), ("iam", &["info"])),

    by_anybody("server-started", Informational, Success, (ApplicationLifecycle, 3), ("process", &["start"])),
    by_anybody("server-stopped", Low, Success, (ApplicationLifecycle, 4), ("process", &["end"])),
    by_anybody("server-crashed", High, Failure, (ApplicationLifecycle, 4), ("process", &["end"])),

    privileged("shell-command", Low, (ApiActivity, OTHER), ("api", &["admin"])),
    privileged("adhoc-command", Low, (ApiActivity, OTHER), ("api", &["admin"])),
    by_anybody("adhoc-refused", Medium, Failure, (ApiActivity, OTHER), ("api", &["denied"])),
    privileged("config-reloaded", Medium, (EntityManagement, 3), ("configuration", &["change"])),
    privileged("module-loaded", Low, (EntityManagement, 10), ("configuration", &["change"])),
    privileged("module-unloaded", Medium, (EntityManagement, 11), ("configuration", &["change"])),
    privileged("module-reloaded", Low, (EntityManagement, 3), ("configuration", &["change"])),
    privileged("host-activated", Low, (EntityManagement, 10), ("configuration", &["change"])),
    privileged("host-deactivated", Medium, (EntityManagement, 11), ("configuration", &["change"])),
    privileged("certificates-reloaded", Low, (EntityManagement, 3), ("configuration", &["change"])),

    by_anybody("s2s-established", Informational, Success, (NetworkActivity, 1), ("network", &["connection", "start"])),
    by_anybody("s2s-refused", Low, Failure, (NetworkActivity, 5), ("network", &["connection", "denied"])),
    by_anybody("component-authenticated", Informational, Success, (NetworkActivity, 1), ("network", &["connection", "start"])),
    by_anybody("component-refused", Low, Failure, (NetworkActivity, 5), ("network", &["connection", "denied"])),

    by_anybody("room-created", Informational, Success, (EntityManagement, 1), ("iam", &["group", "creation"])),
    by_anybody("room-destroyed", Low, Success, (EntityManagement, 4), ("iam", &["group", "deletion"])),
    by_anybody("room-configured", Informational, Success, (EntityManagement, 3), ("iam", &["group", "change"])),
    by_anybody("room-affiliation-changed", Informational, Success, (EntityManagement, 3), ("iam", &["group", "change"])),
    by_anybody("room-role-changed", Informational, Success, (EntityManagement, 3), ("iam", &["group", "change"])),

    by_anybody("mark-set", Low, Success, (AccountChange, OTHER), ("iam", &["user", "change"])),
    by_anybody("mark-cleared", Low, Success, (AccountChange, OTHER), ("iam", &["user", "change"])),
    by_anybody("abuse-reported", Medium, Success, (BaseEvent, OTHER), ("intrusion_detection", &["info"])),

    by_anybody("audit-alert", High, Success, (BaseEvent, OTHER), ("intrusion_detection", &["info"])),
    by_anybody("audit-started", Informational, Success, (EventLogActivity, 6), ("configuration", &["info"])),
    privileged("audit-options-changed", Medium, (EventLogActivity, OTHER), ("configuration", &["change"])),
    by_anybody("audit-pruned", Informational, Success, (EventLogActivity, 2), ("configuration", &["deletion"])),
    privileged("audit-erased", Medium, (EventLogActivity, 2), ("configuration", &["deletion"])),
    by_anybody("audit-tampered", High, Failure, (EventLogActivity, OTHER), ("intrusion_detection", &["info"])),
    by_anybody("audit-opened", Informational, Success, (EventLogActivity, OTHER), ("configuration", &["info"])),
    by_anybody("audit-sealed", Informational, Success, (EventLogActivity, OTHER), ("configuration", &["info"])),
    privileged("audit-seal-created", Medium, (EventLogActivity, OTHER), ("configuration", &["change"])),
    privileged("audit-seal-replaced", High, (EventLogActivity, OTHER), ("configuration", &["change"])),
    by_anybody("audit-clock-jumped", Medium, Failure, (EventLogActivity, OTHER), ("configuration", &["info"])),
    privileged("audit-clock-trusted", Medium, (EventLogActivity, OTHER), ("configuration", &["change"])),
    by_anybody("audit-entries-lost", High, Failure, (EventLogActivity, OTHER), ("configuration", &["deletion"])),
    by_anybody("audit-store-recovered", High, Failure, (EventLogActivity, OTHER), ("configuration", &["change"])),
    by_anybody("audit-sink-rejected", Medium, Failure, (EventLogActivity, OTHER), ("configuration", &["info"])),
    privileged("audit-queried", Low, (EventLogActivity, OTHER), ("configuration", &["access"])),
    privileged("audit-exported", Low, (EventLogActivity, 3), ("configuration", &["access"])),
    privileged("audit-key-replaced", Medium, (EventLogActivity, OTHER), ("configuration", &["change"])),

    by_anybody("*-failure", Low, Failure, (BaseEvent, OTHER), ("session", &["info"])),
    by_anybody("*-failed", Low, Failure, (BaseEvent, OTHER), ("session", &["info"])),
    by_anybody("*-refused", Low, Failure, (BaseEvent, OTHER), ("session", &["info"])),
    ANYTHING,
];

/// The meaning of an event type of another module.
const ANYTHING: Meaning = by_anybody("*", Informational, Success, (BaseEvent, OTHER), ("session", &["info"]));

/// The meaning of an event type.
///
/// ```
/// use audit_core::render::taxonomy::{Outcome, meaning};
/// assert_eq!(meaning("authentication-failure").outcome, Outcome::Failure);
/// assert_eq!(meaning("pigeon-refused").outcome, Outcome::Failure);
/// assert_eq!(meaning("pigeon-fed").outcome, Outcome::Success);
/// ```
#[must_use]
pub fn meaning(kind: &str) -> &'static Meaning {
    let fits = |meaning: &&Meaning| meaning.kind.strip_prefix('*').map_or(meaning.kind == kind, |end| kind.ends_with(end));
    MEANINGS.iter().find(fits).unwrap_or(&ANYTHING)
}

impl Severity {
    /// Its number in OCSF: 1 to 4.
    #[must_use]
    pub const fn ocsf(self) -> u32 {
        self.choose(1, 2, 3, 4)
    }

    /// Its number in CEF, from 0 to 10.
    #[must_use]
    pub const fn cef(self) -> u32 {
        self.choose(1, 3, 5, 8)
    }

    /// Its number in syslog (RFC 5424, section 6.2.1): informational, notice, warning, error.
    #[must_use]
    pub const fn syslog(self) -> u32 {
        self.choose(6, 5, 4, 3)
    }

    const fn choose(self, informational: u32, low: u32, medium: u32, high: u32) -> u32 {
        match self {
            Informational => informational,
            Low => low,
            Medium => medium,
            High => high,
        }
    }
}

impl Outcome {
    /// Its name in ECS and CEF.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Success => "success",
            Failure => "failure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::EVENT_TYPES;

    #[test]
    fn every_event_type_has_a_meaning_of_its_own() {
        for event in EVENT_TYPES {
            assert_eq!(meaning(event.name).kind, event.name, "taxonomy.rs has no row for {}", event.name);
        }
    }

    #[test]
    fn no_row_hides_another() {
        for row in MEANINGS.iter().filter(|row| !row.kind.starts_with('*')) {
            assert_eq!(meaning(row.kind), row);
        }
    }

    /// The categories and the types that ECS expects in each of them.
    #[test]
    fn types_are_those_that_ecs_expects() {
        for row in MEANINGS {
            let expected: &[&str] = match row.ecs.0 {
                "authentication" => &["start", "end", "info"],
                "session" => &["start", "end", "info"],
                "iam" => &["admin", "change", "creation", "deletion", "group", "info", "user"],
                "process" => &["access", "change", "end", "info", "start"],
                "api" => &["access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"],
                "configuration" => &["access", "change", "creation", "deletion", "info"],
                "network" => &["access", "allowed", "connection", "denied", "end", "info", "protocol", "start"],
                "intrusion_detection" => &["allowed", "denied", "info"],
                _ => &[],
            };
            assert!(row.ecs.1.iter().all(|kind| expected.contains(kind)), "{row:?}");
        }
    }
}
