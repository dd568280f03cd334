//! The registry of rules: what is watched, what is counted together, and from which number on there is an alert.

use crate::filter::pattern::Pattern;

/// The event type of alerts. No rule watches it.
pub const ALERT: &str = "audit-alert";

/// Which events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Those about one account.
    Account,
    /// Those from one network: an IPv4 `/24`, an IPv6 `/48`.
    Network,
    /// Those about one account from one network.
    AccountAndNetwork,
    /// Those of one event type.
    Type,
    /// All of the host.
    Host,
}

impl Key {
    /// Each key, and its name in the configuration and in entries.
    pub const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Account, "account"),
        (Self::Network, "network"),
        (Self::AccountAndNetwork, "account and network"),
        (Self::Type, "type"),
        (Self::Host, "host"),
    ];

    /// Its name in the configuration and in entries.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(key, _)| *key == self).map_or("host", |(_, name)| name)
    }
}

/// When a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At this many events with one key.
    Events,
    /// At events with one key about this many accounts.
    Accounts,
    /// At a login that succeeds after this many have failed.
    Success,
    /// At a login from a country that the account has not used.
    Country,
    /// At a login with a client that the account has not used.
    Client,
    /// At logins from two countries, if nobody can travel that fast.
    Travel,
    /// At an event that gives somebody rights.
    Privilege,
    /// At an event that says that entries or the clock can't be trusted, and at trouble that lasts.
    Trouble,
}

/// A rule that is always there, as the documentation shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name in the configuration. A rule with two keys has two rows.
    pub name: &'static str,
    /// The event types that it watches.
    pub types: &'static [&'static str],
    /// Which events are counted together.
    pub key: Key,
    /// When it fires.
    pub trigger: Trigger,
    /// From which number on.
    pub threshold: u32,
    /// Within which time, in seconds. There is at most one message for a key in that time.
    pub window: u32,
    /// When it fires, in words.
    pub meaning: &'static str,
}

const fn rule(
    name: &'static str,
    types: &'static [&'static str],
    key: Key,
    trigger: Trigger,
    (threshold, window): (u32, u32),
    meaning: &'static str,
) -> BuiltIn {
    BuiltIn { name, types, key, trigger, threshold, window, meaning }
}

const HOUR: u32 = 3600;
const DAY: u32 = 86_400;

const FAILURE: &str = "authentication-failure";
/// The event type of logins.
pub const SUCCESS: &str = "authentication-success";

/// Every rule that is always there.
#[rustfmt::skip] // A table: one row a line.
pub const RULES: &[BuiltIn] = &[
    rule("guessed", &[FAILURE], Key::AccountAndNetwork, Trigger::Success, (10, HOUR), "a login succeeded after that many logins of the account had failed from the same network"),
    rule("guessing", &[FAILURE], Key::Account, Trigger::Events, (50, 600), "that many logins of one account failed"),
    rule("guessing", &[FAILURE], Key::Network, Trigger::Accounts, (20, 600), "logins of that many accounts failed from one network"),
    rule("new-country", &[SUCCESS], Key::Account, Trigger::Country, (1, DAY), "an account was used from a country that it has not used before"),
    rule("new-client", &[SUCCESS], Key::Account, Trigger::Client, (1, DAY), "an account was used with a client that it has not used before"),
    rule("impossible-travel", &[SUCCESS], Key::Account, Trigger::Travel, (1, DAY), "an account was used from two countries, and nobody travels that fast"),
    rule("privilege", &["user-role-changed", "user-password-changed", "user-password-reset", "shell-command", "adhoc-command"], Key::Account, Trigger::Privilege, (1, HOUR), "an account became an administrator, the password of an administrator was changed, or a command changed accounts"),
    rule("log-trouble", &["audit-entries-lost", "audit-clock-jumped", "audit-store-recovered"], Key::Type, Trigger::Trouble, (1, HOUR), "entries were lost, the store failed for more than 5 minutes, a sink was behind for more than 15 minutes, the file of the store was damaged, or the clock jumped"),
    rule("server", &["server-crashed", "certificates-reloaded"], Key::Type, Trigger::Events, (1, HOUR), "the server crashed, or a host has another certificate"),
];

/// Whether messages of this rule are not held back when there were many.
#[must_use]
pub fn is_urgent(name: &str) -> bool {
    matches!(name, "guessed" | "log-trouble")
}

/// A rule as it is used on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The event types that it watches.
    pub types: Vec<Pattern>,
    /// The accounts that it watches, or all if there is none here.
    pub users: Vec<Pattern>,
    /// Which events are counted together.
    pub key: Key,
    /// When it fires.
    pub trigger: Trigger,
    /// From which number on.
    pub threshold: u32,
    /// Within which time, in seconds.
    pub window: f64,
    /// Whether all accounts are watched. If not, only those of administrators are, where the trigger is about what an account is
    /// known for.
    pub everyone: bool,
}

impl Rule {
    /// Whether it watches events of this type.
    #[must_use]
    pub fn watches(&self, event_type: &str) -> bool {
        event_type != ALERT && self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether it watches events of this account, as far as the configuration names accounts.
    #[must_use]
    pub(super) fn concerns(&self, account: Option<&str>) -> bool {
        self.users.is_empty() || account.is_some_and(|account| self.users.iter().any(|pattern| pattern.matches(account)))
    }

    /// Whether it needs to know what an account was used with before.
    #[must_use]
    pub(super) const fn needs_history(&self) -> bool {
        matches!(self.trigger, Trigger::Country | Trigger::Client | Trigger::Travel)
    }

    /// One line for `prosodyctl mod_audit --alerts`: name, event types, key, threshold, window.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        let types: Vec<String> = self.types.iter().map(ToString::to_string).collect();
        let number = match self.trigger {
            Trigger::Accounts => format!("{} accounts", self.threshold),
            Trigger::Success => format!("{} failures, then a success", self.threshold),
            _ if self.needs_history() => (if self.everyone { "any account" } else { "administrators" }).to_owned(),
            _ => self.threshold.to_string(),
        };
        [self.name.clone(), types.join(","), self.key.name().to_owned(), number, shown_period(self.window)]
    }
}

impl BuiltIn {
    /// The rule as it is used without a configuration.
    #[must_use]
    pub fn rule(&self) -> Rule {
        Rule {
            name: self.name.to_owned(),
            types: self.types.iter().map(|text| Pattern::exactly(text)).collect(),
            users: Vec::new(),
            key: self.key,
            trigger: self.trigger,
            threshold: self.threshold,
            window: f64::from(self.window),
            everyone: false,
        }
    }
}

/// What is configured of alerts on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Who gets messages. `None`: the administrators.
    pub to: Option<Vec<String>>,
    /// The rooms that get messages.
    pub rooms: Vec<String>,
    /// The sinks that get the alerts, whatever else they get.
    pub sinks: Vec<String>,
    /// Whether users are told of logins with new clients and from new countries.
    pub notices: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rules: RULES.iter().map(BuiltIn::rule).collect(), to: None, rooms: Vec::new(), sinks: Vec::new(), notices: false }
    }
}

/// The rules as `prosodyctl mod_audit --alerts` prints them, without a newline at the end.
#[must_use]
pub fn listing(rules: &[Rule]) -> String {
    let titles = ["RULE", "EVENTS", "COUNTED BY", "FIRES AT", "WITHIN"].map(ToOwned::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(titles).chain(rules.iter().map(Rule::cells)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A length of time in words, in the largest unit that divides it.
#[must_use]
pub fn shown_period(seconds: f64) -> String {
    for (unit, name) in [(86_400.0, "day"), (3600.0, "hour"), (60.0, "minute")] {
        let number = seconds / unit;
        if number >= 1.0 && number.fract() == 0.0 {
            return if number == 1.0 { format!("1 {name}") } else { format!("{number} {name}s") };
        }
    }
    format!("{seconds} seconds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn every_rule_watches_types_that_are_recorded_and_none_watches_alerts() {
        for built_in in RULES {
            for name in built_in.types {
                assert!(catalogue::find(name).is_some(), "{} {name}", built_in.name);
            }
            assert!(!built_in.rule().watches(ALERT));
        }
        let all = Rule { types: vec![Pattern::new("*")], ..RULES[0].rule() };
        assert!(all.watches("authentication-success") && all.watches("x") && !all.watches(ALERT));
    }

    #[test]
    fn the_listing_has_a_line_for_each_rule() {
        let listing = listing(&Settings::default().rules);
        assert_eq!(listing.lines().count(), RULES.len() + 1);
        let guessing: Vec<&str> = listing.lines().filter(|line| line.starts_with("guessing")).collect();
        assert!(guessing[0].ends_with("account              50                           10 minutes"), "{}", guessing[0]);
        assert!(guessing[1].contains("20 accounts"));
    }

    #[test]
    fn a_period_is_shown_in_words() {
        for (seconds, text) in
            [(3600.0, "1 hour"), (600.0, "10 minutes"), (172_800.0, "2 days"), (90.0, "90 seconds"), (0.5, "0.5 seconds")]
        {
            assert_eq!(shown_period(seconds), text);
        }
    }
}
