//! Which personal data the log of a host keeps: what an operator needs for the records of processing (GDPR, article 30), made from the
//! configuration of the host.

use std::fmt::Write as _;

use super::{Settings, UnknownNames};
use crate::address::Policy;
use crate::archive::retention::{RetentionClass, Rules};
use crate::catalogue::{EVENT_TYPES, EventType};
use crate::time::period::Period;

/// For how long whole addresses may be kept before that is unusual, in seconds.
const USUAL: f64 = 30.0 * 86_400.0;

/// By module: what its entries say of persons, and what for.
const PURPOSES: &[(&str, &str, &str)] = &[
    ("mod_audit_auth", "account, address, country, client, session", "find break-ins and attacks on accounts"),
    ("mod_audit_register", "account, address, country, invite", "find unwanted registrations, and what became of accounts"),
    ("mod_audit_user_accounts", "account, address, who did it", "find out who changed an account"),
    ("mod_audit_tokens", "account, client, who did it", "find out who was given access to an account"),
    ("mod_audit_s2s", "", "find faults and attacks between servers"),
    ("mod_audit_muc", "accounts, address, who did it, reason", "settle disputes about rooms"),
    ("mod_audit_firewall", "account, mark", "act against abuse"),
    ("mod_audit_reports", "accounts, text of the report", "act against abuse"),
    ("mod_audit_status", "", "find failures of the server"),
    ("mod_audit_admin", "administrator, address, accounts named in commands", "hold administrators to account"),
    ("mod_audit_alerts", "account, address", "find attacks while they go on"),
    ("mod_audit_sinks", "", "find failures of what sends entries on"),
    ("mod_audit", "administrator who read or changed the log", "hold readers of the log to account"),
];

/// The record of processing for a host, as a table in Markdown, and what is unusual about it.
#[must_use]
pub fn record(host: &str, settings: &Settings) -> String {
    let mut text = format!("# Personal data in the audit log of {host}\n\n");
    text.push_str("| Class | Data of persons | For what purpose | Entries are kept | Addresses |\n|---|---|---|---|---|\n");
    let mut unusual = Vec::new();
    for class in settings.retention.classes() {
        let types: Vec<&EventType> = EVENT_TYPES.iter().filter(|event| settings.retention.class_of(event.name) == class.name).collect();
        let (data, purposes) = told_by(&types);
        let rules = &class.rules;
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            class.name,
            or_none(&data.join(", ")),
            or_none(&purposes.join("; ")),
            kept(rules),
            addresses(rules)
        );
        unusual.extend(unusual_in(class));
    }
    let names = match settings.unknown_names {
        UnknownNames::Plain => "as they are typed",
        UnknownNames::Hash => "as keyed hashes",
    };
    let _ = write!(text, "\nNames in failed logins that are no accounts are stored {names}. ");
    let _ = match settings.on_user_deleted {
        Period::Seconds(seconds) => writeln!(text, "When an account is deleted, its data are erased after {}.", span(seconds)),
        Period::Never => writeln!(text, "When an account is deleted, its entries stay until they expire."),
    };
    if !settings.hold.is_empty() {
        let _ = writeln!(
            text,
            "Held for a legal procedure (audit_log_hold): entries of {} {} and {} {}.",
            settings.hold.people.len(),
            if settings.hold.people.len() == 1 { "account" } else { "accounts" },
            settings.hold.classes.len(),
            if settings.hold.classes.len() == 1 { "class" } else { "classes" }
        );
    }
    let _ = writeln!(text, "\n{}", if unusual.is_empty() { "Nothing here is unusual.".to_owned() } else { unusual.join("\n") });
    text
}

/// What the entries of these types say, and what for, each once.
fn told_by(types: &[&EventType]) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut data, mut purposes) = (Vec::new(), Vec::new());
    let has = |module: &str| types.iter().any(|event| event.module == module);
    for (_, what, purpose) in PURPOSES.iter().filter(|(module, ..)| has(module)) {
        for item in what.split(", ").filter(|item| !item.is_empty()) {
            if !data.contains(&item) {
                data.push(item);
            }
        }
        if !purposes.contains(purpose) {
            purposes.push(*purpose);
        }
    }
    (data, purposes)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn kept(rules: &Rules) -> String {
    let time = match rules.expires_after {
        Period::Seconds(seconds) => span(seconds),
        Period::Never => "for ever".to_owned(),
    };
    rules.limit.map_or_else(|| time.clone(), |limit| format!("{time}, {limit} entries at most"))
}

fn addresses(rules: &Rules) -> String {
    let stored = |policy: Policy| match policy {
        Policy::Full => "whole".to_owned(),
        Policy::Prefix { ipv4, ipv6 } => format!("networks (/{ipv4}, /{ipv6})"),
        Policy::Hash => "keyed hashes".to_owned(),
        Policy::None => "none".to_owned(),
    };
    match rules.addresses_expire {
        Some(expiry) if rules.addresses != Policy::None => {
            format!("{}; after {} {}", stored(rules.addresses), period(expiry.after), stored(expiry.to))
        }
        _ => stored(rules.addresses),
    }
}

/// What an authority would ask about.
fn unusual_in(class: &RetentionClass) -> Option<String> {
    let rules = &class.rules;
    if rules.expires_after == Period::Never {
        return Some(format!("Unusual: entries of the class {} never expire (audit_log_expires_after or audit_log_classes).", class.name));
    }
    let until = rules.addresses_expire.map_or(rules.expires_after, |expiry| expiry.after).seconds().min(rules.expires_after.seconds());
    (rules.addresses == Policy::Full && until > USUAL).then(|| {
        format!(
            "Unusual: whole addresses of the class {} are kept for {}, which is more than 30 days (audit_log_ips_expire_after).",
            class.name,
            span(until)
        )
    })
}

fn period(period: Period) -> String {
    match period {
        Period::Seconds(seconds) => span(seconds),
        Period::Never => "for ever".to_owned(),
    }
}

fn span(seconds: f64) -> String {
    let days = seconds / 86_400.0;
    if days >= 1.0 && days.fract() == 0.0 {
        return if days <= 1.0 { "1 day".to_owned() } else { format!("{days} days") };
    }
    let hours = seconds / 3600.0;
    if hours >= 1.0 && hours.fract() == 0.0 { format!("{hours} hours") } else { format!("{seconds} seconds") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Value;

    fn record_of(options: &[(&str, &str)]) -> String {
        let value =
            |name: &str| options.iter().find(|(of, _)| *of == name).map_or(Value::Nil, |(_, value)| Value::String((*value).to_owned()));
        record("example.com", &Settings::read(value).0)
    }

    #[test]
    fn every_module_has_a_purpose() {
        for event in EVENT_TYPES {
            assert!(PURPOSES.iter().any(|(module, ..)| *module == event.module), "{}", event.module);
        }
    }

    #[test]
    fn the_record_says_what_is_kept_and_how_long() {
        let text = record_of(&[]);
        assert!(text.contains("| failures | account, address, country, client, session"), "{text}");
        assert!(
            text.contains("| 28 days | whole |") && text.contains("Nothing here is unusual.") && text.contains("until they expire"),
            "{text}"
        );
        let text =
            record_of(&[("audit_log_ips_expire_after", "7d"), ("audit_log_on_user_deleted", "30d"), ("audit_log_unknown_names", "hash")]);
        assert!(
            text.contains("whole; after 7 days networks (/24, /48)") && text.contains("erased after 30 days") && text.contains("hashes"),
            "{text}"
        );
    }

    #[test]
    fn what_is_unusual_is_said_in_a_sentence() {
        let text = record_of(&[("audit_log_expires_after", "never")]);
        assert!(text.contains("Unusual: entries of the class events never expire") && !text.contains("Nothing here"), "{text}");
        let text = record_of(&[("audit_log_expires_after", "90d")]);
        assert!(text.contains("whole addresses of the class events are kept for 90 days"), "{text}");
        let text = record_of(&[("audit_log_expires_after", "90d"), ("audit_log_ips_expire_after", "30d")]);
        assert!(text.contains("Nothing here is unusual."), "{text}");
    }
}
