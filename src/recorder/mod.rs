//! What is stored of an event, and where: the state of the audit log of one server.

mod addresses;
pub mod alerts;
mod cache;
pub mod entries;
mod expired_addresses;
#[cfg(feature = "storage")]
pub mod hand_over;
pub(crate) mod ids;
mod links;
mod removal;
pub mod summaries;
pub mod trouble;
mod warnings;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use uuid::Uuid;

use crate::archive::Layout;
use crate::archive::placement::{Placement, PlacementStep};
use crate::archive::retention::Rules;
use crate::chain::chains::Chains;
use crate::file::{Disk, Files};
use crate::flood::{Control, FloodSummary};
use crate::options::Settings;
use crate::random::{OsRandom, Random};
use crate::recorder::cache::Cache;
use crate::recorder::trouble::Trouble;
use crate::time::{date_time, whole_seconds};
pub use addresses::StoredAddress;
use addresses::{Key, SharedDatabase, described, subject_of_key};
use ids::Ids;
use warnings::Warnings;

/// The state of the audit log of one server.
#[derive(Debug)]
pub struct Recorder {
    files: Rc<dyn Files>,
    random: Rc<dyn Random>,
    hosts: BTreeMap<String, Host>,
    /// The chains of the hosts that have a journal in this process.
    chains: HashMap<String, Rc<RefCell<Chains>>>,
    /// The settings of hosts that are not configured.
    defaults: Settings,
    databases: HashMap<PathBuf, Rc<SharedDatabase>>,
    ids: Ids,
    /// What could not be stored.
    pub trouble: Trouble,
    /// What is not stored because it happens too often.
    pub flood: Control,
    /// Alerts about what is recorded, if a host has them.
    alerts: Option<alerts::OfServer>,
    /// How many events of each host had an address that could not be read.
    unreadable: HashMap<String, u64>,
    warnings: Warnings,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(Rc::new(Disk), Rc::new(OsRandom))
    }
}

#[derive(Debug, Default)]
struct Host {
    settings: Settings,
    placement: Placement,
    database: Option<Rc<SharedDatabase>>,
    key: Key,
    cache: Cache,
    /// Of each class the partition from which the storage driver gave an entry back.
    #[cfg(feature = "storage")]
    proven: HashMap<String, Option<String>>,
}

/// What stands for a name that is no account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name of the key. Empty if there is none.
    pub key: String,
    /// The hash of the name. Empty if there is no key.
    pub hash: String,
    /// How many characters the name has.
    pub length: usize,
}

/// As it goes through flood control in the place of a JID. No JID of an account begins with `@`.
impl std::fmt::Display for Alias {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "@{}:{}:{}", self.key, self.hash, self.length)
    }
}

impl Recorder {
    /// A log whose own files are in `files`. Ids and keys are made of `random`.
    #[must_use]
    pub fn new(files: Rc<dyn Files>, random: Rc<dyn Random>) -> Self {
        Self {
            flood: Control::new(Rc::clone(&files), &*random),
            files,
            ids: Ids::new(Rc::clone(&random)),
            random,
            hosts: BTreeMap::new(),
            chains: HashMap::new(),
            defaults: Settings::default(),
            databases: HashMap::new(),
            trouble: Trouble::default(),
            alerts: None,
            unreadable: HashMap::new(),
            warnings: Warnings::default(),
        }
    }

    /// Sets the configuration of a host. `key` is the file of the key that addresses are hashed with, if the host has a place for
    /// one.
    pub fn configure(&mut self, host: &str, settings: Settings, key: Option<PathBuf>) {
        let database = self.database(host, &settings.locations);
        let placement = Placement::new(settings.layout);
        self.flood.configure(host, settings.flood, settings.repeats, &settings.retention);
        self.warnings.forget(&subject_of_key(host));
        let key = Key::new(key);
        self.hosts.insert(host.to_owned(), Host { settings, placement, database, key, ..Host::default() });
        self.look_at_key(host);
    }

    /// What stands for a name that is no account of `host`: its keyed hash and its length. The key is made if there is none.
    pub fn alias(&mut self, host: &str, name: &str) -> Alias {
        let key = self.key(host, "Hashes of unknown names");
        let (key, hash) = key.map(|key| (key.id(), key.hash_name(name))).unwrap_or_default();
        Alias { key, hash, length: name.chars().count() }
    }

    /// What stands for names on `host`, if there is a key. `users` are bare JIDs or names.
    #[must_use]
    pub fn aliases<'a>(&self, host: &str, users: impl Iterator<Item = &'a str>) -> Vec<Alias> {
        let Some(key) = self.hosts.get(host).and_then(|host| host.key.get()) else { return Vec::new() };
        let name = |user: &'a str| user.strip_suffix(host).and_then(|name| name.strip_suffix('@')).unwrap_or(user);
        let alias = |name: &str| Alias { key: key.id(), hash: key.hash_name(name), length: name.chars().count() };
        users.map(|user| alias(name(user))).collect()
    }

    /// Forgets a host, or all of them: its configuration, and where its entries go.
    pub fn forget(&mut self, host: Option<&str>) {
        match host {
            Some(host) => {
                self.hosts.remove(host);
            }
            None => {
                self.hosts.clear();
                let Self { databases, warnings, .. } = self;
                databases.drain().for_each(|(path, _)| warnings.forget(&path.to_string_lossy()));
            }
        }
    }

    /// The settings of a host. Returns the defaults if the host is not configured.
    #[must_use]
    pub fn settings(&self, host: &str) -> &Settings {
        self.hosts.get(host).map_or(&self.defaults, |host| &host.settings)
    }

    /// Says that the store of a host can't list its partitions: everything of it then lies under archive user `nil`.
    pub fn use_single(&mut self, host: &str) {
        self.host(host).placement = Placement::new(Layout::Single);
    }

    /// Where the entries of a host go.
    pub fn placement(&mut self, host: &str) -> &mut Placement {
        &mut self.host(host).placement
    }

    /// How many entries a partition of `class` takes.
    #[must_use]
    pub fn room(&self, host: &str, class: &str) -> u64 {
        self.hosts.get(host).map_or_else(|| Rules::default().room(), |host| host.settings.retention.rules(class).room())
    }

    /// The next step for an entry of `class`, see [`Placement::step`].
    pub fn place(&mut self, host: &str, class: &str, now: f64, appended: Option<u64>) -> PlacementStep {
        let host = self.host(host);
        host.placement.step(class, host.settings.retention.rules(class), now, appended)
    }

    /// A new entry's own identifier: a UUID of version 7 (RFC 9562), which sorts by time. `now` is in UNIX seconds.
    pub fn id(&mut self, now: f64) -> Uuid {
        self.ids.next(now)
    }

    /// The summaries of a host that are due, see [`Control::due`]; `unix` is the time in UNIX seconds.
    pub fn summaries(&mut self, host: &str, now: f64, unix: f64, closing: bool) -> Vec<FloodSummary> {
        let (known, warnings, ids) = (self.hosts.get(host), &self.warnings, &mut self.ids);
        self.flood.due(host, now, closing, &|kind, address, part| described(known, warnings, kind, address, part), || ids.next(unix))
    }

    /// Writes down what is being counted on a host, see [`Control::checkpoint`].
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the file can't be written.
    pub fn checkpoint(&mut self, host: &str, path: &Path, now: f64, closing: bool) -> io::Result<()> {
        let (known, warnings) = (self.hosts.get(host), &self.warnings);
        self.flood.checkpoint(host, path, now, closing, &|kind, address, part| described(known, warnings, kind, address, part))
    }

    /// The name of the retention class of an event type on `host`.
    #[must_use]
    pub fn class_of(&self, host: &str, event_type: &str) -> &str {
        self.settings(host).retention.class_of(event_type)
    }

    /// Whether there is something that an operator should be told.
    #[must_use]
    pub fn is_warned(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// What an operator should be told, since this was last asked.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.take()
    }

    fn host(&mut self, name: &str) -> &mut Host {
        if !self.hosts.contains_key(name) {
            self.hosts.insert(name.to_owned(), Host::default());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }
}

/// When an event happened (XEP-0082), where that is not `when`, the time under which it is stored.
///
/// `timestamp` is when it happened as far as the event says so, `now` when it arrived; both in UNIX seconds.
#[must_use]
pub fn occurred(timestamp: Option<f64>, now: f64, when: i64) -> Option<String> {
    let happened = timestamp.filter(|time| time.is_finite()).unwrap_or(now);
    if whole_seconds(happened) == when { None } else { date_time(happened) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: f64 = 1_795_521_600.25;

    fn recorder(settings: Settings) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.configure("example.com", settings, None);
        recorder
    }

    #[test]
    fn an_earlier_time_is_kept_apart_from_the_time_of_storing() {
        let when = whole_seconds(NOON);
        for (timestamp, now, expected) in [
            (Some(NOON - 3600.0), NOON, Some("2026-11-24T11:00:00Z")),
            (None, NOON - 60.0, Some("2026-11-24T11:59:00Z")),
            (None, NOON, None),
            (Some(NOON), NOON, None),
            (Some(f64::NAN), NOON, None),
            (Some(f64::INFINITY), NOON, None),
            (Some(1e18), NOON, None),
            (Some(-1e12), NOON, None),
        ] {
            assert_eq!(occurred(timestamp, now, when).as_deref(), expected, "{timestamp:?} {now}");
        }
    }

    #[test]
    fn a_name_that_is_no_account_has_an_alias() {
        let folder = std::env::temp_dir().join(format!("audit-alias-{}", std::process::id()));
        let mut recorder = Recorder::default();
        recorder.configure("example.com", Settings::default(), Some(folder.join("audit.key")));
        assert_eq!(recorder.aliases("example.com", ["x"].into_iter()), Vec::<Alias>::new(), "no key is made for a reading");
        let alias = recorder.alias("example.com", "Tr0ub4dor\u{fc}");
        assert_eq!((alias.length, alias.hash.len(), alias.key.len()), (10, 32, 8));
        assert_eq!(alias.to_string(), format!("@{}:{}:10", alias.key, alias.hash));
        let users = ["tr0ub4dor\u{fc}@example.com", "tr0ub4dor\u{fc}", "tr0ub4dor\u{fc}@example.net", "@example.com"];
        let found: Vec<bool> = recorder.aliases("example.com", users.into_iter()).iter().map(|other| *other == alias).collect();
        assert_eq!(found, [true, true, false, false]);
        std::fs::remove_dir_all(folder).unwrap();
        // Without a key nothing of the name is kept but its length, and that is said once.
        recorder.configure("example.com", Settings::default(), Some("/dev/null/audit.key".into()));
        for _ in 0..2 {
            assert_eq!(recorder.alias("example.com", "abc").to_string(), "@::3");
        }
        assert_eq!(recorder.take_warnings().len(), 1);
    }

    #[test]
    fn options_are_forgotten_with_the_host() {
        let mut recorder = recorder(Settings { layout: Layout::Single, ..Settings::default() });
        assert_eq!(recorder.settings("example.com").layout, Layout::Single);
        recorder.forget(Some("example.com"));
        assert_eq!(*recorder.settings("example.com"), Settings::default());
    }
}
