//! The registry of options.

use super::classes;

/// One option, as the documentation shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionSpec {
    /// The name in `prosody.cfg.lua`.
    pub name: &'static str,
    /// The default, as it would be written there.
    pub default: &'static str,
    /// What may be written there.
    pub allowed: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Who reads it.
    pub read_by: ReadBy,
}

/// Who reads an option, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadBy {
    /// The log itself, for each host: see [`Settings`](super::Settings).
    Log,
    /// The alerts of each host: see [`alerts`](super::alerts).
    Alerts,
    /// A module, by [`for_module`](super::for_module): true or false.
    Switch {
        /// The default.
        default: bool,
    },
    /// A module, by [`for_module`](super::for_module): a period.
    Interval {
        /// The default, in seconds.
        default: f64,
        /// The shortest that is allowed, in seconds.
        shortest: f64,
    },
}

const fn log(name: &'static str, default: &'static str, allowed: &'static str, meaning: &'static str) -> OptionSpec {
    OptionSpec { name, default, allowed, meaning, read_by: ReadBy::Log }
}

const fn alerts(name: &'static str, default: &'static str, allowed: &'static str, meaning: &'static str) -> OptionSpec {
    OptionSpec { name, default, allowed, meaning, read_by: ReadBy::Alerts }
}

const fn switch(name: &'static str, default: bool, meaning: &'static str) -> OptionSpec {
    let shown = if default { "true" } else { "false" };
    OptionSpec { name, default: shown, allowed: "true or false", meaning, read_by: ReadBy::Switch { default } }
}

/// Every option.
#[rustfmt::skip] // A table: one row a line.
pub const OPTIONS: &[OptionSpec] = &[
    log("audit_log_expires_after", "\"28d\"", "a number of seconds, a period such as \"28d\", \"2 weeks\", \"6 months\" or \"1y\", or \"never\"", "How long entries are kept."),
    log("audit_log_ips", "true", "true or false", "Whether addresses are stored."),
    log("audit_log_ipv4_prefix", "none", "a whole number from 0 to 32", "Store only this many leading bits of an IPv4 address."),
    log("audit_log_ipv6_prefix", "none", "a whole number from 0 to 128", "Store only this many leading bits of an IPv6 address."),
    log("audit_log_ips_expire_after", "\"never\"", classes::ADDRESSES_EXPIRE, "When addresses are shortened or removed. Their entries stay."),
    log("audit_log_ips_expire_to", "\"prefix\"", "\"prefix\" or \"none\"", "What is kept of addresses after that: the configured prefix (or else /24 and /48), or nothing."),
    log("audit_log_location", "true where a database is found", "true or false", "Whether the country and continent of addresses are stored."),
    log("audit_log_location_database", "the usual places", "the path of an .mmdb file", "The database of countries: GeoLite2, DB-IP or another one in MaxMind's format."),
    log("audit_log_classes", "none", "a table of classes, each a table", "Retention classes: event types with an expiry and an address policy of their own, see below."),
    log("audit_log_layout", "\"partitions\"", "\"partitions\" or \"single\"", "How entries are arranged in the archive. \"single\" is the layout of the community's modules."),
    log("audit_log_move_from", "the default driver if storage is \"audit\"", "the name of a storage driver, or false", "From which other driver entries are moved to that of the storage, one of the two being \"audit\". false: they stay there."),
    log("audit_log_clock_trust", "\"1d\"", "a number of seconds, a period such as \"1d\", or \"never\"", "How long the clock must be right after it has jumped, before entries are removed again."),
    log("audit_log_write", "\"journal\"", "\"journal\" or \"direct\"", "When entries are written to the store: a moment after the event, from a journal on disk, or before the event is processed further."),
    log("audit_log_flood", "{ burst = 5; window = \"60s\" }", "a table with burst (a whole number from 1 to 1000) and window (from 1 second to 1 day), or false", "How many failures of one account and network are stored within a period of time. Events of users and other servers have a limit several times as high. The rest is counted."),
    switch("audit_auth_passwords_only", true, "Do not record logins with a FAST token, which clients make each time they reconnect."),
    switch("audit_auth_sessions", false, "Also record when a login was completed with a resource, and when and why the session ended."),
    log("audit_log_unknown_names", "\"plain\"", "\"plain\" or \"hash\"", "How the name in a failed login is stored if there is no such account: as it is, or as a keyed hash (it may be a password)."),
    log("audit_log_on_user_deleted", "\"keep\"", "\"keep\", a number of seconds, or a period such as \"30d\"", "When an account is deleted: keep its entries, or erase its data from them after this time."),
    log("audit_log_hold", "none", "a list of accounts (whole JIDs) and of classes, such as { \"romeo@example.com\", \"failures\" }", "Entries that nothing removes or changes, such as during a legal procedure: of these accounts, and of these classes."),
    switch("audit_user_history", true, "Let users see the recent activity of their own account, with an ad-hoc command."),
    log("audit_log_chain", "true", "true or false", "Whether entries are linked to each other, so that a change to the log is found by `prosodyctl mod_audit --verify`."),
    switch("audit_log_verify", true, "Verify the log once a day while the server runs, and say in Prosody's log, in an entry and in an alert if somebody has changed it."),
    OptionSpec {
        name: "audit_log_seal_interval",
        default: "\"15m\"",
        allowed: "at least 60 seconds, as a number or a period such as \"15m\"",
        meaning: "How often the log is sealed, if there is a seal key (`prosodyctl mod_audit --new-seal`). Of the whole server.",
        read_by: ReadBy::Interval { default: 900.0, shortest: 60.0 },
    },
    log("audit_auth_repeat_failure_timeout", "none", "a number of seconds or a period such as \"10 minutes\"", "Within this time, count repeated failures of the same user from the same address instead of recording each."),
    log("audit_auth_repeat_success_timeout", "none", "a number of seconds or a period such as \"10 minutes\"", "The same for successes."),
    log("audit_auth_cache_size", "128", "a whole number from 1 to 1000000", "How many pairs of user and address are remembered for that."),
    log("audit_log_sinks", "none", "a table of sinks, each a table with a name", "Where entries are sent as they are recorded, by `mod_audit_sinks`, see [sinks](sinks.md)."),
    OptionSpec {
        name: "audit_status_heartbeat_interval",
        default: "60",
        allowed: "at least 1 second, as a number or a period such as \"1 minute\"",
        meaning: "How often the server stores that it is running. The time of a crash is known this exactly.",
        read_by: ReadBy::Interval { default: 60.0, shortest: 1.0 },
    },
    alerts("audit_alerts", "{}", "a table with to, rooms and rules", "Who gets alerts, and which rules there are."),
    alerts("audit_user_notices", "false", "true or false", "Tell users when their account is used from a new country or with a new client."),
    alerts("audit_user_notices_text", "an English text", "a text, or a table of texts by language", "What they are told."),
];
