//! From an event to what is stored of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use chrono::{DateTime, SecondsFormat};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::address::{self, Policy};
use crate::archive::{Archive, Layout, Slot, whole_seconds};
use crate::location::{Database, Location, USUAL_PLACES};
use crate::options::{Locations, Settings};
use crate::partition::DEFAULT_CLASS;
use crate::text::{Kind, clean, clean_jid};
use crate::trouble::Trouble;

/// The archive's `with` of an event that concerns a whole host.
pub const HOST_WIDE: &str = "@";

/// A session as Prosody gives it; every field may hold anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session<'a> {
    /// Prosody's name of the session. It is used again for a later one.
    pub id: Option<&'a [u8]>,
    /// What kind of session it is, such as `c2s` or `c2s_unauthed`.
    pub kind: Option<&'a [u8]>,
    /// The address of the peer.
    pub ip: Option<&'a [u8]>,
    /// What the client calls itself from one login to the next.
    pub client: Option<&'a [u8]>,
}

/// An audit event as a module reports it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The bare JID of the account that it concerns; nothing or [`HOST_WIDE`] for an event of the whole host.
    pub user: Option<&'a [u8]>,
    /// The module that reports it.
    pub source: &'a [u8],
    /// The event type.
    pub kind: &'a [u8],
    /// The session it happened in.
    pub session: Option<Session<'a>>,
    /// When it happened, in UNIX seconds, if not now.
    pub timestamp: Option<f64>,
}

/// What is stored of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEntry<'a> {
    /// See [`Session::id`].
    pub id: Option<Cow<'a, str>>,
    /// See [`Session::kind`].
    pub kind: Option<Cow<'a, str>>,
    /// The address or its network, as the policy says.
    pub remote_ip: Option<String>,
    /// The place of the address.
    pub location: Option<Location>,
    /// See [`Session::client`].
    pub client: Option<Cow<'a, str>>,
}

/// What is stored of an event: every text is valid, bounded and the same after every store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The entry's own identifier: a UUID of version 7 (RFC 9562), which sorts by time.
    pub id: Uuid,
    /// The account's bare JID; nothing for an event of the whole host.
    pub user: Option<Cow<'a, str>>,
    /// See [`Event::source`].
    pub source: Cow<'a, str>,
    /// See [`Event::kind`].
    pub kind: Cow<'a, str>,
    /// See [`Event::session`].
    pub session: Option<SessionEntry<'a>>,
    /// When it happened (XEP-0082), where that is not the time under which it is appended.
    pub occurred: Option<String>,
    /// Where it is appended.
    pub slot: Slot,
}

/// The state of the audit log of one server.
#[derive(Debug)]
pub struct Recorder {
    hosts: HashMap<String, Host>,
    databases: HashMap<PathBuf, Option<Rc<Database>>>,
    ids: ContextV7,
    /// What could not be stored.
    pub trouble: Trouble,
    warnings: Vec<String>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { hosts: HashMap::new(), databases: HashMap::new(), ids: ContextV7::new(), trouble: Trouble::default(), warnings: Vec::new() }
    }
}

#[derive(Debug, Default)]
struct Host {
    settings: Settings,
    archive: Archive,
    database: Option<Rc<Database>>,
}

impl Recorder {
    /// Sets the configuration of a host. Opens the database of locations, where one is configured or found.
    pub fn configure(&mut self, host: &str, settings: Settings) {
        let database = self.database(host, &settings.locations);
        let archive = Archive::new(settings.layout);
        self.hosts.insert(host.to_owned(), Host { settings, archive, database });
    }

    /// Whether the configuration of `host` is known.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
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

    /// The settings of a host; the defaults where it is not known.
    #[must_use]
    pub fn settings(&self, host: &str) -> Settings {
        self.hosts.get(host).map(|host| host.settings.clone()).unwrap_or_default()
    }

    /// Says that the store of a host can't list its partitions: everything of it then lies under archive user `nil`.
    pub fn use_single(&mut self, host: &str) {
        self.host(host).archive = Archive::new(Layout::Single);
    }

    /// The archive of a host.
    pub fn archive(&mut self, host: &str) -> &mut Archive {
        &mut self.host(host).archive
    }

    /// What is stored of `event` on `host` at `now`, in UNIX seconds.
    pub fn entry<'a>(&mut self, host: &str, event: Event<'a>, now: f64) -> Entry<'a> {
        let slot = self.host(host).archive.slot(DEFAULT_CLASS, now);
        let happened = event.timestamp.filter(|time| time.is_finite()).unwrap_or(now);
        Entry {
            id: self.id(now),
            user: event.user.map(bare).filter(|user| !user.is_empty() && *user != HOST_WIDE.as_bytes()).map(clean_jid),
            source: clean(event.source, Kind::Attribute),
            kind: clean(event.kind, Kind::Attribute),
            session: event.session.map(|session| self.session(host, session)),
            occurred: (whole_seconds(happened) != slot.when).then(|| date_time(happened)).flatten(),
            slot,
        }
    }

    /// What is stored of `session` on `host`.
    pub fn session<'a>(&mut self, host: &str, session: Session<'a>) -> SessionEntry<'a> {
        let address = session.ip.and_then(|ip| std::str::from_utf8(ip).ok()).and_then(address::parse);
        let known = self.hosts.get(host);
        // What is not configured yet is not stored in full by accident.
        let policy = known.map_or(Policy::NONE, |host| host.settings.addresses);
        let found = match (known.and_then(|host| host.database.as_ref()), address) {
            (Some(database), Some(address)) => database.lookup(address),
            _ => Ok(None),
        };
        let location = found.unwrap_or_else(|error| {
            self.warnings.push(format!("Locations are not stored any more: {error}"));
            self.drop_databases();
            None
        });
        SessionEntry {
            id: session.id.map(|id| clean(id, Kind::Attribute)),
            kind: session.kind.map(|kind| clean(kind, Kind::Attribute)),
            remote_ip: address.and_then(|address| policy.apply(address)),
            location,
            client: session.client.map(|client| clean(client, Kind::Attribute)),
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

    fn id(&self, now: f64) -> Uuid {
        let (seconds, nanoseconds) = (now.max(0.0).floor(), now.max(0.0).fract() * 1e9);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not negative; `as` saturates.
        let timestamp = Timestamp::from_unix(&self.ids, seconds as u64, nanoseconds as u32);
        Uuid::new_v7(timestamp)
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

/// A JID without its resource.
fn bare(jid: &[u8]) -> &[u8] {
    let end = jid.iter().position(|byte| *byte == b'/').unwrap_or(jid.len());
    jid.get(..end).unwrap_or(jid)
}

/// A time as XEP-0082 writes it; nothing where it can't.
fn date_time(time: f64) -> Option<String> {
    DateTime::from_timestamp(whole_seconds(time), 0)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        .filter(|text| text.len() == 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Period;

    const NOON: f64 = 1_795_521_600.25;

    fn recorder(settings: Settings) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.configure("example.com", settings);
        recorder.archive("example.com").resume(DEFAULT_CLASS, NOON, None);
        recorder
    }

    fn event(user: Option<&str>) -> Event<'_> {
        Event { user: user.map(str::as_bytes), source: b"mod_test", kind: b"test", ..Event::default() }
    }

    fn user(text: &str) -> Option<String> {
        recorder(Settings::default()).entry("example.com", event(Some(text)), NOON).user.map(Cow::into_owned)
    }

    #[test]
    fn an_event_is_of_an_account_or_of_the_whole_host() {
        assert_eq!(user("juliet@example.com").as_deref(), Some("juliet@example.com"));
        assert_eq!(user("juliet@example.com/balcony").as_deref(), Some("juliet@example.com"));
        assert_eq!(user("@"), None);
        assert_eq!(user(""), None);
        assert_eq!(recorder(Settings::default()).entry("example.com", event(None), NOON).user, None);
    }

    #[test]
    fn an_earlier_time_is_kept_apart_from_the_time_of_appending() {
        let mut recorder = recorder(Settings::default());
        let earlier = Event { timestamp: Some(NOON - 3600.0), ..event(None) };
        let entry = recorder.entry("example.com", earlier, NOON);
        assert_eq!((entry.occurred.as_deref(), entry.slot.when), (Some("2026-11-24T11:00:00Z"), 1_795_521_600));
        for timestamp in [None, Some(NOON), Some(f64::NAN), Some(f64::INFINITY), Some(1e18)] {
            assert_eq!(recorder.entry("example.com", Event { timestamp, ..event(None) }, NOON).occurred, None, "{timestamp:?}");
        }
    }

    #[test]
    fn a_clock_that_went_back_is_seen_in_the_entry() {
        let mut recorder = recorder(Settings::default());
        recorder.entry("example.com", event(None), NOON);
        let entry = recorder.entry("example.com", event(None), NOON - 60.0);
        assert_eq!((entry.occurred.as_deref(), entry.slot.when), (Some("2026-11-24T11:59:00Z"), 1_795_521_600));
    }

    #[test]
    fn ids_differ_and_sort_by_time() {
        let mut recorder = recorder(Settings::default());
        let ids: Vec<Uuid> = (0..1000).map(|n| recorder.entry("example.com", event(None), NOON + f64::from(n / 100)).id).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_session_is_described_as_far_as_it_is_known() {
        let mut recorder =
            recorder(Settings { addresses: Policy::new(Some(24), None), expires_after: Period::Never, ..Settings::default() });
        let session = Session { id: Some(b"c2s1"), kind: Some(b"c2s"), ip: Some(b"203.0.113.80"), client: Some(b"\xffphone") };
        let stored = recorder.session("example.com", session);
        assert_eq!(stored.remote_ip.as_deref(), Some("203.0.113.0/24"));
        assert_eq!(stored.client.as_deref(), Some("\u{fffd}phone"));
        let nothing = SessionEntry { id: None, kind: None, remote_ip: None, location: None, client: None };
        assert_eq!(recorder.session("example.com", Session::default()), nothing);
        assert_eq!(recorder.session("example.com", Session { ip: Some(b"/run/prosody.sock"), ..Session::default() }), nothing);
    }

    #[test]
    fn no_address_of_an_unknown_host_is_stored() {
        let session = Session { ip: Some(b"203.0.113.80"), ..Session::default() };
        assert_eq!(Recorder::default().session("example.net", session).remote_ip, None);
    }

    #[test]
    fn a_missing_database_is_one_warning() {
        let mut recorder = Recorder::default();
        for host in ["example.com", "example.net"] {
            recorder.configure(host, Settings { locations: Locations::File("/nowhere.mmdb".into()), ..Settings::default() });
        }
        assert!(matches!(recorder.take_warnings().as_slice(), [line] if line.contains("/nowhere.mmdb")));
        let session = Session { ip: Some(b"203.0.113.80"), ..Session::default() };
        assert_eq!(recorder.session("example.com", session).location, None);
        assert_eq!(recorder.take_warnings(), Vec::<String>::new());
    }
}
