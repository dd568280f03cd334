//! What is stored of addresses: the policy of their retention class, keyed hashes, and locations.

use std::cell::Cell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use once_cell::unsync::OnceCell;

use super::warnings::Warnings;
use super::{Host, Recorder};
use crate::address::hash_key::{HashKey, HashKeyError};
use crate::address::location::{Database, Location, LocationError, USUAL_PLACES};
use crate::address::{self, Policy};
use crate::file::{Disk, Files, Stamp};
use crate::flood::{AddressPart, Described};
use crate::options::Locations;
use crate::random::Random;
use crate::redact::HIDDEN;

/// What is stored of a peer's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAddress {
    /// The address or its network.
    pub remote_ip: Option<String>,
    /// Its hash, and the name of the key that made the hash.
    pub hash: Option<(String, String)>,
    /// Its location.
    pub location: Option<Location>,
    /// Whether the peer's address was given in a form that can't be read.
    pub is_unreadable: bool,
}

/// The key of a host's hashes. It is made when it is first needed; a failure is not kept.
#[derive(Debug, Default)]
pub(super) struct Key {
    path: Option<PathBuf>,
    /// The file as it was when the key was read.
    stamp: Option<Stamp>,
    key: OnceCell<HashKey>,
}

impl Key {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, ..Self::default() }
    }

    /// The key, if there is one already.
    pub(super) fn get(&self) -> Option<&HashKey> {
        self.key.get()
    }

    /// The key, which is made if there is none. Returns `None` if there is no place for one.
    fn get_or_make(&mut self, files: &dyn Files, random: &dyn Random) -> Result<Option<&HashKey>, HashKeyError> {
        let Some(path) = &self.path else { return Ok(None) };
        let stamp = &mut self.stamp;
        let key = self.key.get_or_try_init(|| {
            let key = HashKey::read_or_make(files, random, path)?;
            *stamp = files.stamp(path);
            Ok(key)
        });
        key.map(Some)
    }
}

/// A database of locations, which hosts share. It is opened when it is first needed. A failure is not kept: the database is opened
/// again when its file has changed.
#[derive(Debug, Default)]
pub(super) struct SharedDatabase {
    path: PathBuf,
    database: OnceCell<Database>,
    /// Set if it can't be used.
    failure: Cell<Option<UnusableFile>>,
}

/// The file as it was when it could not be used. `None` if there was no file.
type UnusableFile = Option<Stamp>;

impl SharedDatabase {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// One that turned out to be damaged.
    fn damaged(path: &Path) -> Self {
        Self { failure: Cell::new(Some(Disk.stamp(path))), ..Self::new(path) }
    }

    /// The database. Returns `None` if it can't be opened.
    pub(super) fn get(&self, warnings: &Warnings) -> Option<&Database> {
        if self.database.get().is_none() && self.failure.get().is_some_and(|stamp| stamp == Disk.stamp(&self.path)) {
            return None;
        }
        let opened = self.database.get_or_try_init(|| Database::open(&self.path));
        let failed = |error: LocationError| {
            self.failure.set(Some(Disk.stamp(&self.path)));
            let cause = error.to_string();
            warnings.once(&self.path.to_string_lossy(), &cause, || format!("Locations are not stored: {cause}"));
        };
        opened.map_err(failed).ok()
    }
}

impl Recorder {
    /// The hash of an address on `host`, and the name of the key that made it. Returns `None` if there is no key yet.
    #[must_use]
    pub fn hash(&self, host: &str, ip: &str) -> Option<(String, String)> {
        let key = self.hosts.get(host)?.key.get()?;
        Some((key.hash(address::parse(ip)?), key.id()))
    }

    /// Looks whether the file of a host's key has changed since it was read, and reads it then. Returns `None` if it has not
    /// changed, or can't be read now: the known key stays in use. Returns `Some(Some((old, new)))` with the names of both keys if one
    /// has replaced the other, and `Some(None)` otherwise.
    pub fn look_at_key(&mut self, name: &str) -> Option<Option<(String, String)>> {
        let host = self.hosts.get_mut(name)?;
        let path = host.key.path.clone()?;
        let stamp = self.files.stamp(&path);
        if stamp == host.key.stamp {
            return None;
        }
        let read = match HashKey::read(&*self.files, &path) {
            Ok(read) => read,
            Err(error @ HashKeyError::Io { .. }) => {
                if host.key.get().is_some() {
                    let line =
                        || format!("Addresses of {name} are hashed with the key that was read before, as it can't be read now: {error}");
                    self.warnings.once(&subject_of_key(name), "unread", line);
                }
                return None;
            }
            // Without a usable key nothing is hashed. What the file has is not changed.
            Err(_) => None,
        };
        let both = host.key.get().zip(read.as_ref()).filter(|(old, new)| old != new).map(|(old, new)| (old.id(), new.id()));
        host.cache.forget_addresses();
        self.warnings.forget(&subject_of_key(name));
        host.key = Key { path: Some(path), stamp, key: read.map_or_else(OnceCell::new, OnceCell::with_value) };
        Some(both)
    }

    /// The key of a host, which is made if there is none. `what` names what is not stored without one.
    pub(super) fn key(&mut self, name: &str, what: &str) -> Option<&HashKey> {
        let Self { hosts, files, random, warnings, .. } = self;
        let key = &mut hosts.get_mut(name)?.key;
        if let Err(error) = key.get_or_make(&**files, &**random) {
            let line = || format!("{what} of {name} are not stored, as there is no key to hash them with: {error}");
            warnings.once(&subject_of_key(name), "", line);
        }
        key.get()
    }

    /// The hash of an address, under a key that is made if there is none.
    fn hashed(&mut self, name: &str, address: IpAddr) -> Option<(String, String)> {
        let key = self.key(name, "Addresses")?;
        Some((key.hash(address), key.id()))
    }

    /// The filter of a reading, as it may be stored in an entry of type `kind`: addresses as the policy of its class says.
    #[must_use]
    pub fn asked(&self, host: &str, kind: &str, filter: &str) -> String {
        let known = self.hosts.get(host);
        let policy = policy_of(known, kind);
        let key = known.and_then(|host| host.key.get()).filter(|_| policy == Policy::Hash);
        address::replaced(filter, |text| {
            let hash = || Some(key?.hash(address::parse(text)?));
            policy.narrow(text).or_else(hash).unwrap_or_else(|| HIDDEN.to_owned())
        })
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
        // A host that is not configured yet must not store whole addresses by accident.
        let policy = known.map_or(Policy::None, |host| host.settings.retention.rules(class).addresses);
        let location = self.location(name, address);
        let hash = if policy == Policy::Hash { self.hashed(name, address) } else { None };
        StoredAddress { remote_ip: policy.apply(address), hash, location, is_unreadable: false }
    }

    /// Whether what is stored of an address stays so: what can't be stored for want of a key or a database may be soon.
    pub(super) fn is_final(&self, name: &str, class: &str, stored: &StoredAddress) -> bool {
        let Some(host) = self.hosts.get(name) else { return false };
        let lacks_hash = stored.hash.is_none() && host.settings.retention.rules(class).addresses == Policy::Hash;
        let lacks_location =
            stored.location.is_none() && host.database.as_ref().is_some_and(|database| database.get(&self.warnings).is_none());
        stored.is_unreadable || !lacks_hash && !lacks_location
    }

    /// Counts an event of `host` whose address could not be read.
    pub fn count_unreadable(&mut self, host: &str) {
        let count = self.unreadable.entry(host.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// How many events of `host` had an address that could not be read, since the log was made.
    #[must_use]
    pub fn unreadable(&self, host: &str) -> u64 {
        self.unreadable.get(host).copied().unwrap_or_default()
    }

    fn report_unreadable(&mut self, host: &str, text: &str) {
        self.warnings.once(&format!("addresses of {host}"), "", || {
            format!(
                "The address of a client of {host} can't be read, it has the form \"{}\"; such addresses are counted and not stored. \
                 Check what the proxy in front of Prosody sends as the client's address.",
                address::shape(text)
            )
        });
    }

    /// The location of an address.
    fn location(&mut self, name: &str, address: IpAddr) -> Option<Location> {
        let shared = Rc::clone(self.hosts.get(name)?.database.as_ref()?);
        shared.get(&self.warnings)?.lookup(address).unwrap_or_else(|error| {
            self.warnings.add(format!("Locations are not stored any more: {error}"));
            self.drop_database(&shared.path);
            None
        })
    }

    /// The database that a host's configuration names. A missing file is reported at once; one that exists is opened when it is
    /// first needed, which `prosodyctl` never does.
    pub(super) fn database(&mut self, host: &str, locations: &Locations) -> Option<Rc<SharedDatabase>> {
        let path = match locations {
            Locations::Off => return None,
            Locations::File(path) => path.as_path(),
            Locations::Usual => Database::usual_place()?,
            Locations::Wanted => Database::usual_place().or_else(|| {
                self.warnings.add(format!(
                    "Locations of {host} are not stored: there is no database at {}. Set audit_log_location_database to one.",
                    USUAL_PLACES.join(" or ")
                ));
                None
            })?,
        };
        let shared = self.databases.entry(path.to_owned()).or_insert_with(|| Rc::new(SharedDatabase::new(path)));
        if !path.exists() {
            shared.get(&self.warnings);
        }
        Some(Rc::clone(shared))
    }

    /// A database that is damaged in one place isn't asked again before its file has changed: it would warn at every event.
    fn drop_database(&mut self, path: &Path) {
        let damaged = Rc::new(SharedDatabase::damaged(path));
        let used = self.databases.values_mut().chain(self.hosts.values_mut().filter_map(|host| host.database.as_mut()));
        used.filter(|shared| shared.path == path).for_each(|shared| *shared = Rc::clone(&damaged));
    }
}

/// The subject of warnings about the key of a host.
pub(super) fn subject_of_key(host: &str) -> String {
    format!("key of {host}")
}

/// How addresses are stored in entries of that type. A host that is not configured yet must not store them by accident.
fn policy_of(host: Option<&Host>, kind: &str) -> Policy {
    let policy = |host: &Host| host.settings.retention.rules(host.settings.retention.class_of(kind)).addresses;
    host.map_or(Policy::None, policy)
}

/// What is stored of an address or its network in an entry of that type.
pub(super) fn described(host: Option<&Host>, warnings: &Warnings, kind: &str, address: IpAddr, part: AddressPart) -> Described {
    let policy = policy_of(host, kind);
    let location = || host?.database.as_ref()?.get(warnings)?.lookup(address).ok().flatten();
    match part {
        AddressPart::Address => (policy.apply(address), location()),
        AddressPart::Network => (policy.apply_to_network(address), location()),
        AddressPart::NetworkAlone => (policy.apply_to_network(address), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::location::places;
    use crate::archive::retention::{Retention, RetentionClass, Rules, TypePattern};
    use crate::file::{Memory, Operation};
    use crate::options::Settings;
    use crate::random::OsRandom;
    use std::io::ErrorKind;

    fn recorder(settings: Settings) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.configure("example.com", settings, None);
        recorder
    }

    #[test]
    fn an_address_is_stored_as_the_host_says() {
        let rules = Rules { addresses: Policy::new(Some(24), None), ..Rules::default() };
        let failures = RetentionClass { name: "failures".to_owned(), types: vec![], rules: Rules { addresses: Policy::None, ..rules } };
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
    fn what_was_asked_for_is_stored_as_addresses_are() {
        let rules = |addresses| Rules { addresses, ..Rules::default() };
        let queried = |addresses| RetentionClass {
            name: "readings".to_owned(),
            types: vec![TypePattern::new("audit-queried").unwrap()],
            rules: rules(addresses),
        };
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
        let new = HashKey::replace(&Disk, &OsRandom, &path).unwrap();
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
    fn a_key_that_can_not_be_read_now_is_neither_forgotten_nor_replaced() {
        let files = Memory::default();
        let path = Path::new("/host/audit.key");
        let rules = Rules { addresses: Policy::Hash, ..Rules::default() };
        let settings = Settings { retention: Retention::new(rules, vec![]), ..Settings::default() };
        let mut recorder = Recorder::new(Rc::new(files.clone()), Rc::new(OsRandom));
        recorder.configure("example.com", settings.clone(), Some(path.to_owned()));
        let hash = |recorder: &mut Recorder| recorder.address("example.com", "events", b"203.0.113.80").hash;
        let first = hash(&mut recorder).unwrap();
        let new = HashKey::replace(&files, &OsRandom, path).unwrap();
        files.fail(Operation::Open, ErrorKind::PermissionDenied, 2);
        assert_eq!((recorder.look_at_key("example.com"), recorder.look_at_key("example.com")), (None, None));
        assert_eq!(hash(&mut recorder), Some(first.clone()), "the known key is used");
        assert!(
            matches!(recorder.take_warnings().as_slice(), [line] if line.contains("can't be read now: /host/audit.key: permission denied"))
        );
        assert_eq!(recorder.look_at_key("example.com"), Some(Some((first.1, new.id()))), "the change is not missed");
        // The same at the start of a server, which knows no key.
        for operation in [Operation::Open, Operation::ReadAt] {
            let mut recorder = Recorder::new(Rc::new(files.clone()), Rc::new(OsRandom));
            files.fail(operation, ErrorKind::PermissionDenied, 2);
            recorder.configure("example.com", settings.clone(), Some(path.to_owned()));
            assert_eq!(hash(&mut recorder), None, "{operation:?}");
            assert_eq!(recorder.take_warnings().len(), 1);
            assert_eq!(hash(&mut recorder).unwrap().1, new.id(), "{operation:?}");
        }
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
    fn a_database_that_could_not_be_opened_is_opened_when_its_file_has_changed() {
        let folder = std::env::temp_dir().join(format!("audit-places-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("places.mmdb");
        let mut recorder = recorder(Settings { locations: Locations::File(path.clone()), ..Settings::default() });
        let mut country = || recorder.address("example.com", "events", b"203.0.113.80").location.and_then(|location| location.country);
        assert_eq!(country(), None);
        std::fs::write(&path, "no database").unwrap();
        assert_eq!((country(), country()), (None, None));
        // An updater puts another file there.
        std::fs::write(folder.join("new"), places::small()).unwrap();
        std::fs::rename(folder.join("new"), &path).unwrap();
        assert_eq!(country().as_deref(), Some("DE"));
        let warnings = recorder.take_warnings();
        // One line for the missing file, and one for the damaged one.
        assert!(warnings.len() == 2 && warnings.iter().all(|line| line.contains("places.mmdb")), "{warnings:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
