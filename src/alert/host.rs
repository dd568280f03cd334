//! The alerts of one host.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use crate::address::location::country;
use crate::alert::engine::Moment;
use crate::alert::known::{self, Known, Login};
use crate::alert::limits::Limits;
use crate::alert::notice::Notice;
use crate::alert::rules::{Key, Rule, Settings, Trigger, is_urgent};
use crate::alert::saved::{self, HistoryError};
use crate::alert::seen::Seen;
use crate::alert::sentence::{Alert, Origin, What};
use crate::file::Files;

/// How many alerts or notices wait for the next tick.
const WAITING: usize = 1000;
/// How often what is known is written down, in seconds, if there was no alert.
const SAVED_EACH: f64 = 300.0;
/// How often what has expired is forgotten, in seconds.
const EXPIRED_EACH: f64 = 3600.0;

/// What has come up since the last tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticked {
    /// The alerts to send and to record.
    pub alerts: Vec<Alert>,
    /// What users are told.
    pub notices: Vec<Notice>,
    /// Why what is known could not be written down.
    pub problem: Option<String>,
}

/// How far what is known of accounts is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum History {
    /// The file can't be read now.
    Unread,
    /// The logins from this time on must be read from the log, in UNIX seconds.
    From(f64),
    /// It is complete.
    Whole,
}

#[derive(Debug)]
pub(super) struct HostAlerts {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) known: Known,
    pub(super) history: History,
    pub(super) admins: HashSet<String>,
    /// For how long what is known is kept, in seconds.
    keeps: f64,
    path: Option<PathBuf>,
    troubles: BTreeMap<String, Lasting>,
    alerts: Vec<Alert>,
    notices: Vec<Notice>,
    changed: bool,
    saved: f64,
    expired: f64,
}

/// Trouble that lasts.
#[derive(Debug)]
struct Lasting {
    since: f64,
    told: bool,
}

impl HostAlerts {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: Settings::default(),
            limits: Limits::default(),
            known: Known::default(),
            history: History::From(0.0),
            admins: HashSet::new(),
            keeps: f64::INFINITY,
            path: None,
            troubles: BTreeMap::new(),
            alerts: Vec::new(),
            notices: Vec::new(),
            changed: false,
            saved: 0.0,
            expired: 0.0,
        }
    }

    pub(super) fn set(&mut self, settings: Settings, keeps: f64) {
        self.keeps = keeps;
        self.settings = settings;
    }

    /// Reads the file, unless it was read already.
    pub(super) fn open(&mut self, files: &dyn Files, path: Option<PathBuf>) -> Result<(), HistoryError> {
        if self.path == path && self.history != History::Unread {
            return Ok(());
        }
        self.path = path;
        let Some(path) = &self.path else { return Ok(()) };
        match saved::read(files, path) {
            Ok(Some(saved)) => {
                self.known.absorb(saved.known);
                self.limits = saved.limits;
                self.history = History::From(saved.until);
                Ok(())
            }
            Ok(None) => {
                self.history = History::From(0.0);
                Ok(())
            }
            Err(error) => {
                self.history = if matches!(error, HistoryError::Unread { .. }) { History::Unread } else { History::From(0.0) };
                Err(error)
            }
        }
    }

    /// Whether it must be known what this account was used with before.
    pub(super) fn tracks(&self, account: &str) -> bool {
        self.settings.notices
            || self.settings.rules.iter().any(|rule| rule.needs_history() && (rule.everyone || self.admins.contains(account)))
    }

    /// Raises an alert of a rule, unless there was a message for its key lately. `key` is what the rule counts together, as text.
    pub(super) fn raise(&mut self, rule: &Rule, key: &[&str], alert: impl FnOnce() -> Alert, time: Moment) {
        let key = known::hash(&format!("{}\0{}", rule.name, key.join("\0")));
        self.changed = true;
        if self.limits.admits(key, &rule.name, is_urgent(&rule.name), rule.window, time.unix) && self.alerts.len() < WAITING {
            self.alerts.push(alert());
        }
    }

    /// Checks an event that was recorded by a rule that does not count.
    pub(super) fn check(&mut self, rule: &Rule, seen: &Seen<'_>, time: Moment) {
        let what = match rule.trigger {
            Trigger::Privilege => super::privilege::of(seen, seen.user.is_some_and(|user| self.admins.contains(user))),
            Trigger::Trouble => Some(what_of(seen)),
            _ => None,
        };
        let Some(what) = what else { return };
        let name = match &what {
            What::Command { command, .. } => command.clone(),
            _ => seen.user.unwrap_or_default().to_owned(),
        };
        self.raise(rule, &[seen.kind, &name], || alert_of(rule, seen, (1, time.unix), time, what), time);
    }

    /// Takes note of a login that was recorded, and raises alerts about what is new.
    pub(super) fn login(&mut self, account: &str, login: &Login<'_>, seen: &Seen<'_>, time: Moment) {
        let news = self.known.login(account, login);
        self.changed = true;
        let Some(news) = news.filter(|_| self.history == History::Whole) else { return };
        let named = login.country.map(|code| country::shown(code, seen.country_name));
        let country = named.or(seen.country_name).unwrap_or_default().to_owned();
        let rules = std::mem::take(&mut self.settings.rules);
        for rule in &rules {
            let concerns = rule.everyone || self.admins.contains(account);
            if !concerns || !rule.watches(seen.kind) || !rule.concerns(Some(account)) {
                continue;
            }
            let (what, item) = match rule.trigger {
                Trigger::Country if news.country => (What::Country { country: country.clone() }, login.country),
                Trigger::Client if news.client => (What::Client { client: login.client.unwrap_or_default().to_owned() }, login.client),
                Trigger::Travel => match &news.trip {
                    Some(trip) => (What::Travel { to: country.clone(), trip: trip.clone() }, None),
                    None => continue,
                },
                _ => continue,
            };
            self.raise(rule, &[account, item.unwrap_or_default()], || alert_of(rule, seen, (1, time.unix), time, what), time);
        }
        self.settings.rules = rules;
        let is_noticed = self.settings.notices && (news.country || news.client) && self.notices.len() < WAITING;
        if is_noticed && self.known.may_notify(account, time.unix) {
            self.notices.push(Notice {
                account: account.to_owned(),
                session: seen.session.map(ToOwned::to_owned),
                at: time.unix,
                client: login.client.map(ToOwned::to_owned),
                country: Some(country).filter(|country| !country.is_empty()),
                address: seen.address.map(ToOwned::to_owned),
            });
        }
    }

    /// Notes that something works (`problem` is `None`) or not. After `patience` seconds there is an alert. `subject` is what does not
    /// work, as a sentence begins with it, and `sink` is the sink that it is about.
    pub(super) fn trouble(&mut self, subject: &str, sink: Option<&str>, problem: Option<&str>, patience: f64, time: Moment) {
        let Some(problem) = problem else {
            self.troubles.remove(subject);
            return;
        };
        if self.troubles.len() >= WAITING {
            return;
        }
        let lasting = self.troubles.entry(subject.to_owned()).or_insert(Lasting { since: time.now, told: false });
        let since = time.at(lasting.since);
        if lasting.told || time.now - lasting.since < patience {
            return;
        }
        lasting.told = true;
        let Some(rule) = self.settings.rules.iter().find(|rule| rule.trigger == Trigger::Trouble).cloned() else { return };
        let sink = sink.map(ToOwned::to_owned);
        let what = What::Lasting { subject: subject.to_owned(), problem: problem.to_owned(), sink };
        let alert = || alert_of(&rule, &Seen::default(), (1, since), time, what);
        self.raise(&rule, &[subject], alert, time);
    }

    /// Returns what has come up, and writes down what is known.
    pub(super) fn tick(&mut self, files: &dyn Files, time: Moment) -> Ticked {
        if self.limits.holds() {
            if let Some((rules, since)) = self.limits.sum(time.unix) {
                let number = rules.iter().map(|(_, number)| number).sum();
                self.changed = true;
                self.alerts.push(Alert {
                    rule: "summary".to_owned(),
                    key: Key::Host,
                    account: None,
                    origin: None,
                    count: number,
                    since,
                    at: time.unix,
                    window: 3600.0,
                    what: What::Held { rules },
                });
            }
        }
        if self.history == History::Unread && time.now - self.saved >= SAVED_EACH {
            self.saved = time.now;
            let path = self.path.clone();
            if let Err(error) = self.open(files, path) {
                return Ticked { problem: Some(error.to_string()), ..Ticked::default() };
            }
        }
        if time.now - self.expired >= EXPIRED_EACH {
            self.expired = time.now;
            self.changed |= self.keeps.is_finite() && self.known.expire(time.unix - self.keeps);
        }
        let is_due = !self.alerts.is_empty() || time.now - self.saved >= SAVED_EACH;
        let problem = if is_due { self.save(files, time).err() } else { None };
        Ticked {
            alerts: std::mem::take(&mut self.alerts),
            notices: std::mem::take(&mut self.notices),
            problem: problem.map(|e| e.to_string()),
        }
    }

    /// Writes down what is known, if it has changed. Before the log was read, the file keeps saying from when on it must be.
    pub(super) fn save(&mut self, files: &dyn Files, time: Moment) -> std::io::Result<()> {
        self.saved = time.now;
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else { return Ok(()) };
        let until = match self.history {
            History::Unread => return Ok(()),
            History::From(since) => since,
            History::Whole => time.unix,
        };
        saved::write(files, path, until, &self.limits, &self.known)?;
        self.changed = false;
        Ok(())
    }

    /// Forgets what is known of an account, and what waits to be said about it.
    pub(super) fn forget(&mut self, account: &str) -> bool {
        self.alerts.retain(|alert| alert.account.as_deref() != Some(account));
        self.notices.retain(|notice| notice.account != account);
        let was_known = self.known.forget(account);
        self.changed |= was_known;
        was_known
    }

    pub(super) fn has_news(&self) -> bool {
        !self.alerts.is_empty() || !self.notices.is_empty() || self.changed || self.history == History::Unread
    }
}

/// An alert about an event that was recorded. `(count, since)` is what the rule counted.
pub(super) fn alert_of(rule: &Rule, seen: &Seen<'_>, (count, since): (u64, f64), time: Moment, what: What) -> Alert {
    let origin = seen.address.or(seen.hash).map(|address| Origin::Stored(address.to_owned()));
    Alert {
        rule: rule.name.clone(),
        key: rule.key,
        account: seen.user.map(ToOwned::to_owned),
        origin,
        count,
        since,
        at: time.unix,
        window: rule.window,
        what,
    }
}

/// What an event is in words.
pub(super) fn what_of(seen: &Seen<'_>) -> What {
    match seen.kind {
        "server-crashed" => What::Crash,
        "certificates-reloaded" => What::Certificate,
        "audit-entries-lost" => What::Lost { number: seen.lost.unwrap_or("some").to_owned() },
        "audit-clock-jumped" => What::Clock,
        "audit-store-recovered" => What::Recovered,
        kind => What::Events { kind: kind.to_owned() },
    }
}
