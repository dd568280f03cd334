//! The alerts of all hosts.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::rc::Rc;

use crate::alert::attempt::Attempt;
use crate::alert::host::{History, HostAlerts, Ticked, alert_of, what_of};
use crate::alert::known::{ACCOUNTS, Coordinates, Login};
use crate::alert::rules::{ALERT, Key, Rule, SUCCESS, Settings, Trigger};
use crate::alert::saved::HistoryError;
use crate::alert::seen::Seen;
use crate::alert::tally::{Counted, Hit, Tally};
use crate::file::Files;
use crate::flood::{FloodEvent, is_unauthenticated};
use crate::random::{HashSeed, Random};

/// The sizes of the tables for events and for different accounts, in sets of eight keys.
const EVENT_SETS: usize = 1024;
const ITEM_SETS: usize = 128;

/// When something is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// By a clock that does not jump, in seconds.
    pub now: f64,
    /// In UNIX seconds.
    pub unix: f64,
}

impl Moment {
    /// A time of the clock that does not jump, in UNIX seconds.
    pub(super) fn at(self, now: f64) -> f64 {
        self.unix - (self.now - now)
    }
}

/// The alerts of all hosts.
#[derive(Debug)]
pub struct Alerts {
    files: Rc<dyn Files>,
    seed: HashSeed,
    hosts: Vec<HostAlerts>,
    index: HashMap<String, usize>,
    watched: Vec<Watched>,
    events: Tally,
    items: Tally,
}

/// An event type of a host whose attempts are counted.
#[derive(Debug)]
struct Watched {
    host: usize,
    kind: String,
    /// The places of the rules that count it.
    counts: Vec<usize>,
    /// The places of the rules that fire at its success.
    succeeds: Vec<usize>,
}

impl Alerts {
    /// No alerts yet. What is known of accounts is kept in `files`.
    #[must_use]
    pub fn new(files: Rc<dyn Files>, random: &dyn Random) -> Self {
        Self {
            files,
            seed: HashSeed::new(random),
            hosts: Vec::new(),
            index: HashMap::new(),
            watched: Vec::new(),
            events: Tally::new(EVENT_SETS),
            items: Tally::new(ITEM_SETS),
        }
    }

    /// Sets the options of a host. What accounts are known for is in the file at `path`, and is kept for `keeps` seconds after it was
    /// used last.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] if the file can't be used. Everything else works.
    pub fn configure(&mut self, host: &str, settings: Settings, path: Option<PathBuf>, keeps: f64) -> Result<(), HistoryError> {
        let index = self.index.get(host).copied().unwrap_or_else(|| {
            self.hosts.push(HostAlerts::new(host));
            self.index.insert(host.to_owned(), self.hosts.len().saturating_sub(1));
            self.hosts.len().saturating_sub(1)
        });
        let Some(of_host) = self.hosts.get_mut(index) else { return Ok(()) };
        of_host.set(settings, keeps);
        for watched in self.watched.iter_mut().filter(|watched| watched.host == index) {
            (watched.counts, watched.succeeds) = rules_of(&of_host.settings.rules, &watched.kind);
        }
        of_host.open(&*self.files, path)
    }

    /// Ends the alerts of a host.
    ///
    /// # Errors
    ///
    /// If what is known can't be written down.
    pub fn close(&mut self, host: &str, time: Moment) -> std::io::Result<()> {
        let Some(index) = self.index.get(host).copied() else { return Ok(()) };
        let Some(of_host) = self.hosts.get_mut(index) else { return Ok(()) };
        let saved = of_host.save(&*self.files, time);
        *of_host = HostAlerts::new(host);
        of_host.settings.rules.clear();
        for watched in self.watched.iter_mut().filter(|watched| watched.host == index) {
            (watched.counts, watched.succeeds) = (Vec::new(), Vec::new());
        }
        saved
    }

    /// Says which accounts are administrators'. Returns those of them that nothing is known of.
    pub fn set_admins(&mut self, host: &str, admins: impl IntoIterator<Item = String>) -> Vec<String> {
        let Some(of_host) = self.host(host) else { return Vec::new() };
        let before = std::mem::take(&mut of_host.admins);
        of_host.admins = admins.into_iter().collect();
        of_host.admins.iter().filter(|admin| !before.contains(*admin) && !of_host.known.knows(admin)).cloned().collect()
    }

    /// From when on logins must be read from the log, in UNIX seconds, before it is known what is new. Returns `None` if nothing has to
    /// be read.
    #[must_use]
    pub fn history(&self, host: &str) -> Option<f64> {
        match self.hosts.get(*self.index.get(host)?)?.history {
            History::From(since) => Some(since),
            History::Unread | History::Whole => None,
        }
    }

    /// Takes note of a login that is in the log.
    pub fn learn(&mut self, host: &str, account: &str, login: &Login<'_>) {
        let Some(index) = self.index.get(host).copied() else { return };
        if self.hosts.get(index).is_some_and(|host| host.tracks(account)) {
            self.make_room(index, account);
            if let Some(host) = self.hosts.get_mut(index) {
                host.known.login(account, login);
            }
        }
    }

    /// All logins were read from the log.
    pub fn learned(&mut self, host: &str) {
        if let Some(host) = self.host(host).filter(|host| host.history != History::Unread) {
            host.history = History::Whole;
        }
    }

    /// The number of an event type for [`attempt`](Self::attempt). Returns `None` if no rule counts its attempts.
    pub fn watch(&mut self, host: &str, kind: &str) -> Option<usize> {
        let index = *self.index.get(host)?;
        let known = self.watched.iter().position(|watched| watched.host == index && watched.kind == kind);
        let place = known.unwrap_or_else(|| {
            let (counts, succeeds) = rules_of(self.hosts.get(index).map_or(&[][..], |host| &host.settings.rules), kind);
            self.watched.push(Watched { host: index, kind: kind.to_owned(), counts, succeeds });
            self.watched.len().saturating_sub(1)
        });
        let watched = self.watched.get(place)?;
        (!watched.counts.is_empty() || !watched.succeeds.is_empty()).then_some(place)
    }

    /// Counts an attempt, or a login that has succeeded. This is called for each event that flood control is asked about, before that
    /// decides, so it makes no text unless a rule fires.
    pub fn attempt(&mut self, watch: usize, event: &FloodEvent<'_>, time: Moment) {
        let Self { seed, hosts, watched, events, items, .. } = self;
        let Some(watched) = watched.get(watch) else { return };
        let Some(host) = hosts.get_mut(watched.host) else { return };
        let attempt = Attempt::of(event, &host.name, seed);
        for (places, has_succeeded) in [(&watched.counts, false), (&watched.succeeds, true)] {
            for place in places {
                let Some(rule) = host.settings.rules.get(*place) else { continue };
                let Some(key) = attempt.key(rule.key, (watched.host, *place), &watched.kind, seed) else { continue };
                let is_concerned = rule.users.is_empty() || rule.concerns(attempt.name(&host.name).as_deref());
                if !is_concerned {
                    continue;
                }
                let counted = if has_succeeded {
                    events.get(key, rule.window, time.now)
                } else {
                    let Some(counted) = count(rule, key, attempt.account, attempt.network, (events, items), time.now) else { continue };
                    counted
                };
                if counted.number < rule.threshold || counted.is_quiet || rule.trigger == Trigger::Success && !has_succeeded {
                    continue;
                }
                let table = if rule.trigger == Trigger::Accounts { &mut *items } else { &mut *events };
                table.hush(key, rule.window, time.now);
                let rule = rule.clone();
                attempt.raise(host, &rule, &watched.kind, counted, time);
            }
        }
    }

    /// Whether entries of this type are wanted by [`recorded`](Self::recorded).
    #[must_use]
    pub fn wants(&self, host: &str, kind: &str) -> bool {
        let host = self.index.get(host).and_then(|index| self.hosts.get(*index));
        host.is_some_and(|host| {
            let is_watched = |rule: &Rule| rule.watches(kind) && !is_counted_as_attempt(rule, kind);
            kind != ALERT
                && (matches!(kind, "user-deleted" | "user-deregistered") || kind == SUCCESS || host.settings.rules.iter().any(is_watched))
        })
    }

    /// Takes note of an entry that was recorded, as the journal keeps it. `coordinates` is where its session was, if that is known.
    pub fn recorded(&mut self, host: &str, payload: &[u8], coordinates: Option<Coordinates>, time: Moment) {
        let Some(index) = self.index.get(host).copied() else { return };
        let seen = Seen::read(payload);
        if seen.kind == ALERT {
            return;
        }
        match (seen.kind, seen.user) {
            ("user-deleted" | "user-deregistered", Some(user)) => self.forget(host, user),
            (SUCCESS, Some(user)) if self.hosts.get(index).is_some_and(|host| host.tracks(user)) => {
                self.make_room(index, user);
                let login = Login { country: seen.country, client: seen.client, coordinates, at: time.unix };
                if let Some(host) = self.hosts.get_mut(index) {
                    host.login(user, &login, &seen, time);
                }
            }
            _ => {}
        }
        let Self { seed, hosts, events, items, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return };
        let rules = std::mem::take(&mut host.settings.rules);
        for (place, rule) in rules.iter().enumerate() {
            if !rule.watches(seen.kind) || is_counted_as_attempt(rule, seen.kind) || !rule.concerns(seen.user) {
                continue;
            }
            if !matches!(rule.trigger, Trigger::Events | Trigger::Accounts) {
                host.check(rule, &seen, time);
                continue;
            }
            let origin = seen.address.or(seen.hash);
            let network = origin.map(|text| seed.hash_one(text));
            let account = seen.user.map(|user| seed.hash_one(user));
            let part = match rule.key {
                Key::Account => account,
                Key::Network => network,
                Key::AccountAndNetwork => account.zip(network).map(|both| seed.hash_one(both)),
                Key::Type => Some(seed.hash_one(seen.kind)),
                Key::Host => Some(0),
            };
            let Some(key) = part.map(|part| seed.hash_one((index, place, part))) else { continue };
            let Some(counted) = count(rule, key, account, network, (events, items), time.now) else { continue };
            if counted.number >= rule.threshold && !counted.is_quiet {
                let table = if rule.trigger == Trigger::Accounts { &mut *items } else { &mut *events };
                table.hush(key, rule.window, time.now);
                let names = match rule.key {
                    Key::Account => [seen.user, None],
                    Key::Network => [origin, None],
                    Key::AccountAndNetwork => [seen.user, origin],
                    Key::Type => [Some(seen.kind), None],
                    Key::Host => [None, None],
                };
                let since = (u64::from(counted.number), time.at(counted.since));
                let alert = || alert_of(rule, &seen, since, time, what_of(&seen));
                host.raise(rule, &names.map(Option::unwrap_or_default), alert, time);
            }
        }
        host.settings.rules = rules;
    }

    /// Notes that a part of the log works, or why not (`problem`). After `patience` seconds of trouble there is an alert. `subject`
    /// begins a sentence, such as "The store of the audit log fails", and `sink` is the sink that it is about.
    pub fn trouble(&mut self, host: &str, subject: &str, sink: Option<&str>, problem: Option<&str>, patience: f64, time: Moment) {
        if let Some(host) = self.host(host) {
            host.trouble(subject, sink, problem, patience, time);
        }
    }

    /// Returns what has come up on a host, and writes down what is known of accounts from time to time.
    pub fn tick(&mut self, host: &str, time: Moment) -> Ticked {
        let Some(index) = self.index.get(host).copied() else { return Ticked::default() };
        let files = Rc::clone(&self.files);
        self.hosts.get_mut(index).map(|host| host.tick(&*files, time)).unwrap_or_default()
    }

    /// The hosts on which [`tick`](Self::tick) has something to do.
    pub fn with_news(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter(|host| host.has_news() || host.limits.holds()).map(|host| host.name.as_str())
    }

    /// Forgets an account: what it is known for, and what waits to be said about it.
    pub fn forget(&mut self, host: &str, account: &str) {
        if let Some(host) = self.host(host) {
            host.forget(account);
        }
    }

    /// The rules of a host, or the default ones.
    #[must_use]
    pub fn settings(&self, host: &str) -> Option<&Settings> {
        self.index.get(host).and_then(|index| self.hosts.get(*index)).map(|host| &host.settings)
    }

    fn host(&mut self, host: &str) -> Option<&mut HostAlerts> {
        self.index.get(host).copied().and_then(|index| self.hosts.get_mut(index))
    }

    /// Makes room for another account, if there is no more.
    fn make_room(&mut self, index: usize, account: &str) {
        let is_known = self.hosts.get(index).is_some_and(|host| host.known.knows(account));
        let known: usize = self.hosts.iter().map(|host| host.known.len()).sum();
        if !is_known && known >= ACCOUNTS {
            if let Some(largest) = self.hosts.iter_mut().max_by_key(|host| host.known.len()) {
                largest.known.make_room();
            }
        }
    }
}

/// The rules that count attempts of this type, and those that fire at its success.
fn rules_of(rules: &[Rule], kind: &str) -> (Vec<usize>, Vec<usize>) {
    let places = |is_meant: &dyn Fn(&Rule) -> bool| rules.iter().enumerate().filter(|(_, rule)| is_meant(rule)).map(|(at, _)| at).collect();
    let succeeds = |rule: &Rule| rule.trigger == Trigger::Success && kind == SUCCESS;
    (places(&|rule| rule.watches(kind) && is_counted_as_attempt(rule, kind)), places(&succeeds))
}

/// Whether the rule counts events of this type when flood control is asked about them.
fn is_counted_as_attempt(rule: &Rule, kind: &str) -> bool {
    rule.trigger == Trigger::Success || matches!(rule.trigger, Trigger::Events | Trigger::Accounts) && is_unauthenticated(kind)
}

/// Counts an event for a rule. Returns `None` if it has nothing that the rule counts.
fn count(rule: &Rule, key: u64, account: Option<u64>, origin: Option<u64>, tables: (&mut Tally, &mut Tally), now: f64) -> Option<Counted> {
    let (events, items) = tables;
    let hit = Hit { key, window: rule.window, origin, item: None };
    if rule.trigger == Trigger::Accounts {
        return Some(items.add(&Hit { item: Some((account?, rule.threshold as usize)), ..hit }, now));
    }
    Some(events.add(&hit, now))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
