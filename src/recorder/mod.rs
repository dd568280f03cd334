//! What is stored of an event, and where: the state of the audit log of one server.

pub mod trouble;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use uuid::{ContextV7, Timestamp, Uuid};

use crate::address::hash_key::{HashKey, Stamp};
use crate::address::location::{Database, Location, USUAL_PLACES};
use crate::address::{self, Policy};
use crate::archive::{Archive, Layout};
use crate::flood::{Control, Described, Event, Part, Summary, Verdict};
use crate::options::{Locations, Settings};
use crate::recorder::trouble::Trouble;
use crate::redact::HIDDEN;
use crate::time::{date_time, whole_seconds};

/// The state of the audit log of one server.
#[derive(Debug)]
pub struct Recorder {
    hosts: HashMap<String, Host>,
    /// The settings of hosts that are not configured.
    defaults: Settings,
    databases: HashMap<PathBuf, Option<Rc<Database>>>,
    ids: ContextV7,
    /// What could not be stored.
    pub trouble: Trouble,
    /// What is not stored because it happens too often.
    pub flood: Control,
    unreadable: HashMap<String, Unreadable>,
    warnings: Vec<String>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            defaults: Settings::default(),
            databases: HashMap::new(),
            ids: ContextV7::new(),
            trouble: Trouble::default(),
            flood: Control::default(),
            unreadable: HashMap::new(),
            warnings: Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Host {
    settings: Settings,
    archive: Archive,
    database: Option<Rc<Database>>,
    key: Key,
}

/// The key of a host's hashes of addresses.
#[derive(Debug, Default)]
struct Key {
    path: Option<PathBuf>,
    stamp: Option<Stamp>,
    key: Option<HashKey>,
    /// That it can't be read was said.
    is_told: bool,
}

/// What is stored of a peer's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAddress {
    /// The address or its network.
    pub remote_ip: Option<String>,
    /// Its hash, and what the key of that is called.
    pub hash: Option<(String, String)>,
    /// Its place.
    pub location: Option<Location>,
    /// Whether the peer's address was given in a form that can't be read.
    pub is_unreadable: bool,
}

/// Addresses of one host that could not be read.
#[derive(Debug, Default)]
struct Unreadable {
    /// How many events had such an address.
    count: u64,
    /// Whether the operator was told.
    is_told: bool,
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
    /// Sets the configuration of a host. Opens the database of locations, where one is configured or found. `key` is the file of
    /// the key by which addresses are hashed, where there is a place for one.
    pub fn configure(&mut self, host: &str, settings: Settings, key: Option<PathBuf>) {
        let database = self.database(host, &settings.locations);
        let archive = Archive::new(settings.layout);
        self.flood.configure(host, settings.flood, settings.repeats, &settings.retention);
        let key = Key { path: key, ..Key::default() };
        self.hosts.insert(host.to_owned(), Host { settings, archive, database, key });
        self.look_at_key(host);
    }

    /// The hash of an address on `host`, and what the key of that is called; nothing where there is no key yet.
    #[must_use]
    pub fn hash(&self, host: &str, ip: &str) -> Option<(String, String)> {
        let key = self.hosts.get(host)?.key.key.as_ref()?;
        Some((key.hash(address::parse(ip)?), key.id()))
    }

    /// Looks whether the file of a host's key has changed since it was read: nothing where it has not, and else what the old
    /// and the new key are called, where there are two.
    pub fn look_at_key(&mut self, host: &str) -> Option<Option<(String, String)>> {
        let host = self.hosts.get_mut(host)?;
        let path = host.key.path.clone()?;
        let stamp = Stamp::of(&path);
        if stamp == host.key.stamp {
            return None;
        }
        let old = host.key.key.take();
        host.key = Key { key: HashKey::read(&path).ok().flatten(), stamp, path: Some(path), is_told: false };
        let both = old.zip(host.key.key.as_ref());
        Some(both.filter(|(old, new)| old != *new).map(|(old, new)| (old.id(), new.id())))
    }

    /// The hash of an address, under a key that is made if there is none.
    fn hashed(&mut self, name: &str, address: IpAddr) -> Option<(String, String)> {
        let key = self.key(name, "Addresses")?;
        Some((key.hash(address), key.id()))
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
        let Some(key) = self.hosts.get(host).and_then(|host| host.key.key.as_ref()) else { return Vec::new() };
        let name = |user: &'a str| user.strip_suffix(host).and_then(|name| name.strip_suffix('@')).unwrap_or(user);
        let alias = |name: &str| Alias { key: key.id(), hash: key.hash_name(name), length: name.chars().count() };
        users.map(|user| alias(name(user))).collect()
    }

    /// What a reading was asked for, as it may be stored in an entry of that type: addresses as the policy of its class says.
    #[must_use]
    pub fn asked(&self, host: &str, kind: &str, filter: &str) -> String {
        let known = self.hosts.get(host);
        let policy = known.map_or(Policy::None, |host| host.settings.retention.rules(host.settings.retention.class_of(kind)).addresses);
        let key = known.and_then(|host| host.key.key.as_ref()).filter(|_| policy == Policy::Hash);
        address::replaced(filter, |text| {
            let hash = || Some(key?.hash(address::parse(text)?));
            policy.narrow(text).or_else(hash).unwrap_or_else(|| HIDDEN.to_owned())
        })
    }

    /// The key of a host, which is made if there is none. `what` is not stored without one.
    fn key(&mut self, name: &str, what: &str) -> Option<&HashKey> {
        let host = self.hosts.get_mut(name)?;
        if host.key.key.is_none() {
            let path = host.key.path.clone()?;
            match HashKey::read_or_make(&path) {
                Ok(key) => {
                    host.key.stamp = Stamp::of(&path);
                    host.key.key = Some(key);
                }
                Err(error) if !host.key.is_told => {
                    host.key.is_told = true;
                    self.warnings.push(format!("{what} of {name} are not stored, as there is no key to hash them with: {error}"));
                }
                Err(_) => {}
            }
        }
        self.hosts.get(name)?.key.key.as_ref()
    }

    /// Forgets a host, or all of them: its configuration, and where its entries go.
    pub fn forget(&mut self, host: Option<&str>) {
        match host {
            Some(host) => {
                self.hosts.remove(host);
            }
            None => {
                self.hosts.clear();
                self.databases.clear();
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
        self.host(host).archive = Archive::new(Layout::Single);
    }

    /// The archive of a host.
    pub fn archive(&mut self, host: &str) -> &mut Archive {
        &mut self.host(host).archive
    }

    /// A new entry's own identifier: a UUID of version 7 (RFC 9562), which sorts by time. `now` is in UNIX seconds.
    pub fn id(&mut self, now: f64) -> Uuid {
        id_at(&self.ids, now)
    }

    /// Whether an event is to be stored as it is or was counted, see [`Control::ask`]. `now` is the clock of flood control.
    pub fn admit(&mut self, outcome: usize, event: &Event<'_>, now: f64) -> Verdict {
        self.flood.ask(outcome, event, now)
    }

    /// The summaries of a host that are due, see [`Control::due`]; `unix` is the time in UNIX seconds.
    pub fn summaries(&mut self, host: &str, now: f64, unix: f64, closing: bool) -> Vec<Summary> {
        let known = self.hosts.get(host);
        self.flood.due(host, now, closing, &|kind, address, part| described(known, kind, address, part), || id_at(&self.ids, unix))
    }

    /// Writes down what is being counted on a host, see [`Control::checkpoint`].
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the file can't be written.
    pub fn checkpoint(&mut self, host: &str, path: &Path, now: f64, closing: bool) -> io::Result<()> {
        let known = self.hosts.get(host);
        self.flood.checkpoint(host, path, now, closing, &|kind, address, part| described(known, kind, address, part))
    }

    /// The name of the retention class of an event type on `host`.
    #[must_use]
    pub fn class_of(&self, host: &str, event_type: &str) -> &str {
        self.settings(host).retention.class_of(event_type)
    }

    /// What is stored of a peer's address in an entry of `class` on `host`. Nothing is stored of bytes that are no address, such
    /// as the path of an admin socket. A text that should be an address and can't be read is reported once for each host; the
    /// caller counts such events by [`count_unreadable`](Self::count_unreadable).
    pub fn address(&mut self, name: &str, class: &str, ip: &[u8]) -> StoredAddress {
        let text = String::from_utf8_lossy(ip);
        let Some(address) = address::parse(&text) else {
            let is_unreadable = !address::is_local(&text);
            if is_unreadable {
                self.report_unreadable(name, &text);
            }
            return StoredAddress { is_unreadable, ..StoredAddress::default() };
        };
        let known = self.hosts.get(name);
        // What is not configured yet is not stored in full by accident.
        let policy = known.map_or(Policy::None, |host| host.settings.retention.rules(class).addresses);
        let found = known.and_then(|host| host.database.as_ref()).map_or(Ok(None), |database| database.lookup(address));
        let location = found.unwrap_or_else(|error| {
            self.warnings.push(format!("Locations are not stored any more: {error}"));
            self.drop_databases();
            None
        });
        let hash = if policy == Policy::Hash { self.hashed(name, address) } else { None };
        StoredAddress { remote_ip: policy.apply(address), hash, location, is_unreadable: false }
    }

    /// Counts an event of `host` whose address could not be read.
    pub fn count_unreadable(&mut self, host: &str) {
        let unreadable = self.unreadable.entry(host.to_owned()).or_default();
        unreadable.count = unreadable.count.saturating_add(1);
    }

    /// How many events of `host` had an address that could not be read, since the log was made.
    #[must_use]
    pub fn unreadable(&self, host: &str) -> u64 {
        self.unreadable.get(host).map_or(0, |unreadable| unreadable.count)
    }

    fn report_unreadable(&mut self, host: &str, text: &str) {
        let unreadable = self.unreadable.entry(host.to_owned()).or_default();
        if !std::mem::replace(&mut unreadable.is_told, true) {
            self.warnings.push(format!(
                "The address of a client of {host} can't be read, it has the form \"{}\"; such addresses are counted and not stored. \
                 Check what the proxy in front of Prosody sends as the client's address.",
                address::shape(text)
            ));
        }
    }

    /// Whether there is something that an operator should be told.
    #[must_use]
    pub const fn is_warned(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// What an operator should be told, since this was last asked.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn host(&mut self, name: &str) -> &mut Host {
        if !self.hosts.contains_key(name) {
            self.hosts.insert(name.to_owned(), Host::default());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }

    fn database(&mut self, host: &str, locations: &Locations) -> Option<Rc<Database>> {
        let path = match locations {
            Locations::Off => return None,
            Locations::File(path) => path.clone(),
            Locations::Usual => Database::usual_place()?.to_owned(),
            Locations::Wanted => match Database::usual_place() {
                Some(path) => path.to_owned(),
                None => {
                    self.warnings.push(format!(
                        "Locations of {host} are not stored: there is no database at {}. Set audit_log_location_database to one.",
                        USUAL_PLACES.join(" or ")
                    ));
                    return None;
                }
            },
        };
        if let Some(opened) = self.databases.get(&path) {
            return opened.clone();
        }
        let opened = match Database::open(&path) {
            Ok(database) => Some(Rc::new(database)),
            Err(error) => {
                self.warnings.push(format!("Locations are not stored: {error}"));
                None
            }
        };
        self.databases.insert(path, opened.clone());
        opened
    }

    /// A database that is damaged in one place isn't asked again: it would warn at every event.
    fn drop_databases(&mut self) {
        self.databases.values_mut().for_each(|database| *database = None);
        self.hosts.values_mut().for_each(|host| host.database = None);
    }
}

fn id_at(ids: &ContextV7, now: f64) -> Uuid {
    let (seconds, nanoseconds) = (now.max(0.0).floor(), now.max(0.0).fract() * 1e9);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not negative; `as` saturates.
    let timestamp = Timestamp::from_unix(ids, seconds as u64, nanoseconds as u32);
    Uuid::new_v7(timestamp)
}

/// What is stored of an address or its network in an entry of that type. What is not configured yet is not stored in full by
/// accident.
fn described(host: Option<&Host>, kind: &str, address: IpAddr, part: Part) -> Described {
    let rules = |host: &Host| host.settings.retention.rules(host.settings.retention.class_of(kind)).addresses;
    let policy = host.map_or(Policy::None, rules);
    let location = || host.and_then(|host| host.database.as_ref())?.lookup(address).ok().flatten();
    match part {
        Part::Address => (policy.apply(address), location()),
        Part::Network => (policy.apply_to_network(address), location()),
        Part::NetworkAlone => (policy.apply_to_network(address), None),
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
    use crate::archive::retention::{Class, Pattern, Retention, Rules};

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
    fn ids_differ_and_sort_by_time() {
        let mut recorder = recorder(Settings::default());
        let ids: Vec<Uuid> = (0..1000).map(|n| recorder.id(NOON + f64::from(n / 100))).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(ids[0].get_version_num(), 7);
        for odd in [f64::NAN, -1.0, f64::INFINITY] {
            recorder.id(odd);
        }
    }

    #[test]
    fn an_address_is_stored_as_the_host_says() {
        let rules = Rules { addresses: Policy::new(Some(24), None), ..Rules::default() };
        let failures = Class { name: "failures".to_owned(), types: vec![], rules: Rules { addresses: Policy::None, ..rules } };
        let mut recorder = recorder(Settings { retention: Retention::new(rules, vec![failures]), ..Settings::default() });
        assert_eq!(recorder.address("example.com", "events", b"203.0.113.80").remote_ip.as_deref(), Some("203.0.113.0/24"));
        assert_eq!(recorder.address("example.com", "failures", b"203.0.113.80"), StoredAddress::default());
        for none in [b"/run/prosody.sock".as_slice(), b""] {
            assert_eq!(recorder.address("example.com", "events", none), StoredAddress::default());
        }
        assert_eq!(recorder.address("unknown.example", "events", b"203.0.113.80"), StoredAddress::default());
    }

    #[test]
    fn an_address_that_cannot_be_read_is_reported_once_for_each_host_and_counted() {
        let mut recorder = recorder(Settings::default());
        for ip in [b"203.0.113.7;51008".as_slice(), b"unknown", b"\xff"] {
            let stored = recorder.address("example.com", "events", ip);
            assert_eq!(stored, StoredAddress { is_unreadable: true, ..StoredAddress::default() });
            recorder.count_unreadable("example.com");
        }
        let warnings = recorder.take_warnings();
        assert!(
            matches!(warnings.as_slice(), [line] if line.contains("example.com") && line.contains("\"999.9.999.9;99999\"")),
            "{warnings:?}"
        );
        // A reload of the configuration is no reason to report it again.
        recorder.configure("example.com", Settings::default(), None);
        assert!(recorder.address("example.com", "events", b"_hidden").is_unreadable && recorder.take_warnings().is_empty());
        assert_eq!((recorder.unreadable("example.com"), recorder.unreadable("example.org")), (3, 0));
        let _ = recorder.address("example.org", "events", b"_hidden");
        assert_eq!(recorder.take_warnings().len(), 1);
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
    fn what_was_asked_for_is_stored_as_addresses_are() {
        let rules = |addresses| Rules { addresses, ..Rules::default() };
        let queried =
            |addresses| Class { name: "readings".to_owned(), types: vec![Pattern::new("audit-queried").unwrap()], rules: rules(addresses) };
        for (policy, stored) in [
            (Policy::Full, "--ip=203.0.113.77,2001:db8::/32 --limit=5"),
            (Policy::new(Some(24), None), "--ip=203.0.113.0/24,2001:db8::/32 --limit=5"),
            (Policy::Hash, "--ip=***,*** --limit=5"),
            (Policy::None, "--ip=***,*** --limit=5"),
        ] {
            let retention = Retention::new(rules(Policy::Full), vec![queried(policy)]);
            let recorder = recorder(Settings { retention, ..Settings::default() });
            assert_eq!(recorder.asked("example.com", "audit-queried", "--ip=203.0.113.77,2001:db8::/32 --limit=5"), stored, "{policy:?}");
            assert_eq!(recorder.asked("unknown.example", "audit-queried", "--ip=203.0.113.77"), "--ip=***");
        }
    }

    #[test]
    fn a_hash_is_stored_in_the_place_of_an_address_and_follows_its_key() {
        let folder = std::env::temp_dir().join(format!("audit-recorder-{}", std::process::id()));
        let path = folder.join("audit.key");
        let rules = Rules { addresses: Policy::Hash, ..Rules::default() };
        let settings = Settings { retention: Retention::new(rules, vec![]), ..Settings::default() };
        let mut recorder = Recorder::default();
        recorder.configure("example.com", settings.clone(), Some(path.clone()));
        assert_eq!((recorder.hash("example.com", "::1"), path.exists()), (None, false), "no key is made before there is a use for one");
        let stored = recorder.address("example.com", "events", b"203.0.113.80");
        assert_eq!((stored.remote_ip, stored.hash.clone()), (None, recorder.hash("example.com", "::ffff:203.0.113.80")));
        assert!(stored.hash.is_some());
        assert_eq!(recorder.look_at_key("example.com"), None);
        let new = HashKey::replace(&path).unwrap();
        assert_eq!(recorder.look_at_key("example.com").unwrap().unwrap().1, new.id());
        assert_eq!(recorder.look_at_key("example.com"), None);
        assert_ne!(recorder.address("example.com", "events", b"203.0.113.80").hash, stored.hash);
        std::fs::write(&path, "no key").unwrap();
        assert_eq!(recorder.look_at_key("example.com"), Some(None));
        for _ in 0..2 {
            assert_eq!(recorder.address("example.com", "events", b"203.0.113.80"), StoredAddress::default());
        }
        assert!(matches!(recorder.take_warnings().as_slice(), [line] if line.contains("holds no key")));
        recorder.configure("example.org", settings, None);
        assert_eq!(recorder.address("example.org", "events", b"203.0.113.80"), StoredAddress::default());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_database_is_one_warning() {
        let mut recorder = Recorder::default();
        for host in ["example.com", "example.net"] {
            recorder.configure(host, Settings { locations: Locations::File("/nowhere.mmdb".into()), ..Settings::default() }, None);
        }
        assert!(matches!(recorder.take_warnings().as_slice(), [line] if line.contains("/nowhere.mmdb")));
        assert_eq!(recorder.address("example.com", "events", b"203.0.113.80").location, None);
        assert_eq!(recorder.take_warnings(), Vec::<String>::new());
    }

    #[test]
    fn options_are_forgotten_with_the_host() {
        let mut recorder = recorder(Settings { layout: Layout::Single, ..Settings::default() });
        assert_eq!(recorder.settings("example.com").layout, Layout::Single);
        recorder.forget(Some("example.com"));
        assert_eq!(*recorder.settings("example.com"), Settings::default());
    }
}
