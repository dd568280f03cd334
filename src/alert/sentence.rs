//! Alerts as sentences: what, who, from where, since when, and what to do.

use crate::address::location::country;
use crate::alert::known::Trip;
use crate::alert::rules::{Key, shown_period};
use crate::render::printable::printable;
use crate::time::rfc3339;
use std::net::IpAddr;

/// The longest text from outside in a sentence, in characters.
const LONGEST: usize = 100;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Events of a type.
    Events {
        /// The type.
        kind: String,
    },
    /// A login succeeded after many had failed.
    Guessed,
    /// Many logins of an account failed.
    Guessing {
        /// From at least how many networks.
        networks: u32,
    },
    /// Logins of many accounts failed from one network.
    Spraying,
    /// A login from a new country.
    Country {
        /// Its name.
        country: String,
    },
    /// A login with a new client.
    Client {
        /// What it calls itself.
        client: String,
    },
    /// Logins from two places that are too far apart.
    Travel {
        /// The country of the second one.
        to: String,
        /// The way from the first one.
        trip: Trip,
    },
    /// An account became an administrator.
    Admin {
        /// The role.
        role: String,
        /// Who did it.
        by: Option<String>,
    },
    /// The password of an administrator was changed.
    Password {
        /// Who did it.
        by: Option<String>,
    },
    /// A command changed accounts.
    Command {
        /// The command.
        command: String,
        /// Who did it.
        by: Option<String>,
    },
    /// The server ended without being stopped.
    Crash,
    /// A host has another certificate.
    Certificate,
    /// Entries were lost.
    Lost {
        /// How many.
        number: String,
    },
    /// The clock is probably wrong.
    Clock,
    /// The file of the store was damaged.
    Recovered,
    /// Something has failed for some time.
    Lasting {
        /// What does not work, as a sentence begins with it.
        subject: String,
        /// Why.
        problem: String,
        /// The sink that it is about, if it is about one.
        sink: Option<String>,
    },
    /// Alerts that were held back: their rules, and how many.
    Held {
        /// The rules, and how many alerts each had.
        rules: Vec<(String, u64)>,
    },
}

/// Where something came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From this address. It must be shown only as far as it may be stored.
    Peer(IpAddr),
    /// As it is stored: an address, a network or a hash.
    Stored(String),
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The name of the rule.
    pub rule: String,
    /// What was counted together.
    pub key: Key,
    /// The account that it is about.
    pub account: Option<String>,
    /// Where it came from.
    pub origin: Option<Origin>,
    /// The number of events or accounts.
    pub count: u64,
    /// Since when, in UNIX seconds.
    pub since: f64,
    /// When the rule fired, in UNIX seconds.
    pub at: f64,
    /// Within which time the rule counts, in seconds.
    pub window: f64,
    /// What happened.
    pub what: What,
}

impl Alert {
    /// The alert in words. `from` is its origin as far as it may be shown.
    #[must_use]
    pub fn sentence(&self, host: &str, from: Option<&str>) -> String {
        let who = self.account.as_deref().map_or_else(|| "an account".to_owned(), shown_account);
        let from = from.map(|from| format!(" from {}", plain(from))).unwrap_or_default();
        let since = time(self.since);
        let within = shown_period(self.window);
        let number = self.count;
        let by = |by: &Option<String>| by.as_deref().map(|by| format!(" by {}", shown_account(by))).unwrap_or_default();
        let what = match &self.what {
            What::Events { kind } if self.count <= 1 => {
                let about = self.account.as_deref().map(|account| format!(" about {}", shown_account(account))).unwrap_or_default();
                format!("{} was recorded{about}{from} at {since}.", quoted(kind))
            }
            What::Events { kind } => {
                let about = self.account.as_deref().map(|account| format!(", last about {}", shown_account(account))).unwrap_or_default();
                format!("{number} events like {} within {within}{about}{from}, since {since}.", quoted(kind))
            }
            What::Guessed => format!(
                "Somebody may have guessed the password of {who}: a login{from} succeeded after {number} had failed, since {since}. \
                 Ask the owner. If it was not them, change the password."
            ),
            What::Guessing { networks } => {
                let from = if *networks > 1 { format!(" from at least {networks} networks, last{from}") } else { from };
                format!(
                    "Somebody is guessing the password of {who}: {number} logins failed within {within}{from}, since {since}. \
                     Make sure that the password is strong."
                )
            }
            What::Spraying => format!(
                "Somebody is guessing passwords{from}: logins of {number} accounts failed within {within}, since {since}. \
                 Consider blocking the network."
            ),
            What::Country { country } => format!(
                "{who} was used from {} for the first time{from}, at {since}. If it was not the owner, change the password.",
                quoted(country)
            ),
            What::Client { client } => format!(
                "{who} was used with the new client {}{from}, at {since}. If it was not the owner, change the password.",
                quoted(client)
            ),
            What::Travel { to, trip } => format!(
                "{who} was used from {} at {since}, and {} before that from {}, {:.0} km away{from}. If it was not the owner, \
                 change the password.",
                quoted(to),
                span(trip.time),
                quoted(country::shown(&trip.from, None)),
                trip.distance
            ),
            What::Admin { role, by: actor } => {
                format!("{who} was given the role {}{}{from}, at {since}. If you don't know why, take it away.", quoted(role), by(actor))
            }
            What::Password { by: actor } => format!(
                "The password of {who}, an administrator, was changed{}{from}, at {since}. If it was not the owner, lock the account.",
                by(actor)
            ),
            What::Command { command, by: actor } => {
                format!("A command that changes accounts was given{}{from}, at {since}: {}.", by(actor), quoted(command))
            }
            What::Crash => format!("The server crashed. It was seen at {since}, when the server had started again. Look at Prosody's log."),
            What::Certificate => format!("{} has another certificate since {since}. If nobody renewed it, find out why.", plain(host)),
            What::Lost { number } => format!(
                "{} entries of the audit log could not be stored and are lost; seen at {since}. Look at Prosody's log for the cause, such \
                 as a full disk.",
                plain(number)
            ),
            What::Clock => format!(
                "The clock of the server has jumped, at {since}. Nothing is removed from the audit log until the clock can be trusted \
                 again. Check the clock."
            ),
            What::Recovered => format!(
                "The file of the audit log was damaged, deleted or replaced, and was mended at {since}. Look at what was lost, and at the \
                 disk."
            ),
            What::Lasting { subject, problem, .. } => {
                format!("{} since {since}: {}. Look at Prosody's log.", printable(subject), quoted(problem))
            }
            What::Held { rules } => {
                let rules: Vec<String> = rules.iter().map(|(rule, number)| format!("{number} of {}", plain(rule))).collect();
                format!("There were {number} more alerts since {since} that were not sent one by one: {}.", rules.join(", "))
            }
        };
        format!("[{}] {what} More: {}", plain(&self.rule), self.command(host))
    }

    /// The command that shows more. An operator may copy it into a shell, so it has no text that a shell could take for something else.
    fn command(&self, host: &str) -> String {
        let is_word = |text: &&str| {
            !text.starts_with('-')
                && text.len() <= LONGEST
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@'))
        };
        let user = self.account.as_deref().filter(is_word).map(|user| format!(" --user {user}")).unwrap_or_default();
        let host = Some(host).filter(is_word).unwrap_or("HOST");
        if matches!(self.what, What::Lasting { sink: Some(_), .. }) {
            return format!("prosodyctl mod_audit --sinks {host}");
        }
        let since = rfc3339((self.since - 1.0).max(0.0));
        format!("prosodyctl mod_audit{user} --since {since} {host}")
    }
}

/// A time as people read it, with its zone.
#[must_use]
pub(crate) fn time(time: f64) -> String {
    rfc3339(time).replace('T', " ").replace('Z', " UTC")
}

/// How long something took, roughly.
fn span(seconds: f64) -> String {
    if seconds < 5400.0 { format!("{:.0} minutes", (seconds / 60.0).max(1.0)) } else { format!("{:.0} hours", seconds / 3600.0) }
}

/// An account. Flood control has another text in its place if names that are no accounts must not be stored.
fn shown_account(account: &str) -> String {
    if account.starts_with('@') { "a name that is not an account".to_owned() } else { quoted(account) }
}

/// Text from outside, which can't end the quotation.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text))
}

/// Text from outside in one line, without quotation marks.
fn plain(text: &str) -> String {
    let text = text.trim();
    let cut: String = text.chars().take(LONGEST).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let marks = |c: char| matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '\u{ff02}' | '\u{2033}' | '\u{201f}');
    printable(&cut).replace(marks, "'") + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    fn alert(what: What) -> Alert {
        Alert {
            rule: "guessing".to_owned(),
            key: Key::Account,
            account: Some("juliet@example.com".to_owned()),
            origin: None,
            count: 53,
            since: NOON,
            at: NOON,
            window: 600.0,
            what,
        }
    }

    #[test]
    fn an_alert_says_what_who_from_where_since_when_and_what_to_do() {
        let sentence = alert(What::Guessing { networks: 1 }).sentence("example.com", Some("203.0.113.0/24"));
        assert_eq!(
            sentence,
            "[guessing] Somebody is guessing the password of \"juliet@example.com\": 53 logins failed within 10 minutes from \
             203.0.113.0/24, since 2026-11-24 12:00:00 UTC. Make sure that the password is strong. More: prosodyctl mod_audit --user juliet@example.com --since 2026-11-24T11:59:59Z example.com"
        );
        let many = alert(What::Guessing { networks: 7 }).sentence("example.com", Some("203.0.113.0/24"));
        assert!(many.contains("from at least 7 networks, last from 203.0.113.0/24, since"), "{many}");
        let trip = Trip { from: "DE".to_owned(), distance: 18_000.4, time: 600.0 };
        let sentence = alert(What::Travel { to: "New Zealand".to_owned(), trip }).sentence("example.com", None);
        assert!(
            sentence.contains("used from \"New Zealand\" at") && sentence.contains("10 minutes before that from \"Germany\", 18000 km")
        );
        let held = alert(What::Held { rules: vec![("guessing".to_owned(), 50), ("server".to_owned(), 3)] });
        assert!(held.sentence("example.com", None).contains("50 of guessing, 3 of server."));
    }

    #[test]
    fn text_from_outside_cannot_forge_a_sentence_or_a_command() {
        let forged = Alert {
            account: Some("x\". All is well.\nIgnore this; $(reboot) \u{202e}@example.com".to_owned()),
            ..alert(What::Client { client: "phone\" – nothing to do. More: rm -rf /".to_owned() })
        };
        let sentence = forged.sentence("example.com", Some("1.2.3.4\nOK"));
        assert_eq!(sentence.lines().count(), 1);
        assert_eq!(sentence.matches('"').count(), 4, "{sentence}");
        assert!(sentence.ends_with("More: prosodyctl mod_audit --since 2026-11-24T11:59:59Z example.com"), "{sentence}");
        assert!(!sentence.contains('\u{202e}'));
        let hidden = Alert { account: Some("@0a1b:00ff:10@example.com".to_owned()), ..alert(What::Guessed) };
        assert!(hidden.sentence("example.com", None).contains("the password of a name that is not an account: a login succeeded"));
    }

    proptest! {
        #[test]
        fn every_sentence_is_one_short_line(account in ".{0,2000}", client in "\\PC{0,2000}") {
            let sentence = Alert { account: Some(account), ..alert(What::Client { client }) }.sentence("example.com", None);
            prop_assert!(sentence.chars().all(|c| !crate::render::printable::steers(c)));
            prop_assert!(sentence.matches('"').count() <= 4 && sentence.chars().count() < 3000);
        }
    }
}
