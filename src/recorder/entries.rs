//! From an event to its entry: flood control, the policy of addresses, names that are no accounts, limits.

use crate::alert::{Moment, SUCCESS};
use crate::catalogue::{ACTOR_KINDS, UNKNOWN_ACTOR};
use crate::entry::details::Details;
use crate::entry::event::{self, Root, attribute, leaf, optional};
use crate::entry::limits::UNKNOWN;
use crate::entry::payload;
use crate::entry::text::{TextKind, clean, clean_jid};
use crate::flood::{self, Account, Verdict, weight};
use crate::recorder::cache::{KnownType, Written};
use crate::recorder::summaries::write_location;
use crate::recorder::{Alias, Recorder, StoredAddress, occurred};
use crate::time::whole_seconds;
use uuid::Uuid;

/// The longest address that is remembered, in bytes.
const ADDRESS: usize = 64;

/// An event as a module reports it, without what it adds ([`Details`]). Any bytes may stand in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The account that it concerns, or an [`Alias`] in its place.
    pub user: Option<&'a [u8]>,
    /// The module that reports it.
    pub source: Option<&'a [u8]>,
    /// The event type.
    pub kind: Option<&'a [u8]>,
    /// The session that it is about.
    pub session: Option<Session<'a>>,
    /// Who did it.
    pub actor: Option<EventActor<'a>>,
    /// When it happened, in UNIX seconds, if not now.
    pub timestamp: Option<f64>,
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session<'a> {
    /// Prosody's identifier.
    pub id: Option<&'a [u8]>,
    /// What kind of session it is.
    pub kind: Option<&'a [u8]>,
    /// The peer's address.
    pub ip: Option<&'a [u8]>,
    /// What the client calls itself.
    pub client: Option<&'a [u8]>,
}

/// What is known of who did it.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventActor<'a> {
    /// One of [`ACTOR_KINDS`]; another one counts as unknown.
    pub kind: Option<&'a [u8]>,
    /// The account.
    pub jid: Option<&'a [u8]>,
    /// The address.
    pub ip: Option<&'a [u8]>,
    /// The id of the entry that says what caused this one.
    pub caused_by: Option<&'a [u8]>,
}

/// When an event came in.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// In UNIX seconds.
    pub at: f64,
    /// By the clock of flood control, which does not jump.
    pub now: f64,
}

impl Recorder {
    /// Makes the entry of an event: its payload, which [`payload`](crate::entry::payload) describes, and its id. `None` if flood
    /// control, which is asked if `asks`, only counts the event.
    pub fn entry(
        &mut self,
        host: &str,
        event: &Event<'_>,
        details: &mut Details,
        time: Time,
        asks: bool,
        payload: &mut Vec<u8>,
    ) -> Option<String> {
        let Time { at, now } = time;
        let known = self.known(host, event.kind(), event.source(), now, at);
        if let Some(outcome) = known.and_then(|known| known.outcome).filter(|_| asks) {
            if self.ask(outcome, &asked(event, details), now) != Verdict::Store {
                return None;
            }
        }
        let class = known.map(|known| known.class);
        let id = id_text(self, at);
        let occurred = event.timestamp.and_then(|timestamp| occurred(Some(timestamp), at, whole_seconds(at)));
        let jid = event.user.and_then(clean_jid);
        let alias = jid.as_deref().and_then(Alias::parse);
        let user = jid.as_deref().filter(|_| alias.is_none()).map(str::as_bytes);
        let root = Root { id: id.as_bytes(), source: event.source(), kind: event.kind(), user, occurred: occurred.as_deref() };
        event::begin(payload, at, &root);
        if let Some(session) = &event.session {
            self.write_session(host, class, session, payload);
        }
        if let Some(actor) = &event.actor {
            self.write_actor(host, class, actor, payload);
        }
        details.write(payload);
        if let Some(alias) = alias {
            alias.write(payload);
        }
        event::end(payload);
        if known.is_some_and(|known| known.is_wanted) {
            let ip = event.session.and_then(|session| session.ip);
            self.tell_alerts(host, event.kind() == SUCCESS.as_bytes(), ip, payload, Moment { now, unix: at });
        }
        Some(id)
    }

    /// Writes the element that describes a session, as in entries of an event type, or of the default class.
    pub fn session(&mut self, host: &str, session: &Session<'_>, payload: &mut Vec<u8>) {
        let class = self.hosts.get_mut(host).map(|known| known.cache.place(known.settings.retention.class_of("")));
        payload::begin(payload, 0.0);
        self.write_session(host, class, session, payload);
    }

    /// What is known of an event type; `None` if the host is not configured.
    fn known(&mut self, host: &str, kind: &[u8], source: &[u8], now: f64, unix: f64) -> Option<KnownType> {
        let found = self.hosts.get(host)?.cache.kind(kind);
        if found.is_some() {
            return found;
        }
        let (name, source) = (clean(kind, TextKind::Attribute), clean(source, TextKind::Attribute));
        self.flood.set_clock(now, unix);
        let outcome = self.outcome(host, &name, &source, now);
        let is_wanted = self.alerts().is_some_and(|alerts| alerts.wants(host, &name));
        let known = self.hosts.get_mut(host)?;
        let class = known.settings.retention.class_of(&name).to_owned();
        Some(known.cache.set_kind(kind, &class, outcome, is_wanted))
    }

    fn write_session(&mut self, host: &str, class: Option<usize>, session: &Session<'_>, payload: &mut Vec<u8>) {
        event::open(payload, b"session");
        optional(payload, b"id", session.id);
        optional(payload, b"type", session.kind);
        self.with_address(host, class, session.ip, |written| payload.extend_from_slice(&written.bytes));
        if let Some(client) = session.client.filter(|client| !client.is_empty()) {
            leaf(payload, b"client", client, TextKind::Attribute);
        }
        payload::close(payload);
    }

    fn write_actor(&mut self, host: &str, class: Option<usize>, actor: &EventActor<'_>, payload: &mut Vec<u8>) {
        event::open(payload, b"actor");
        let kind = ACTOR_KINDS.iter().find(|kind| Some(kind.as_bytes()) == actor.kind).copied().unwrap_or(UNKNOWN_ACTOR);
        attribute(payload, b"kind", kind.as_bytes());
        optional(payload, b"jid", actor.jid);
        optional(payload, b"caused-by", actor.caused_by);
        self.with_address(host, class, actor.ip, |written| {
            payload.extend_from_slice(written.bytes.get(..written.address).unwrap_or_default());
        });
        payload::close(payload);
    }

    /// Gives what is stored of an address to `write`.
    fn with_address(&mut self, host: &str, class: Option<usize>, ip: Option<&[u8]>, write: impl FnOnce(&Written)) {
        let Some(ip) = ip else { return };
        let known = self.hosts.get(host);
        let is_unreadable = if let Some(written) = known.and_then(|known| known.cache.address(class?, ip)) {
            write(written);
            written.is_unreadable
        } else {
            let name = known.zip(class).map(|(known, class)| known.cache.class(class).to_owned()).unwrap_or_default();
            let stored = self.address(host, &name, ip);
            let is_final = ip.len() <= ADDRESS && self.is_final(host, &name, &stored);
            let written = written(&stored);
            write(&written);
            let is_unreadable = written.is_unreadable;
            if let (Some(class), Some(known)) = (class.filter(|_| is_final), self.hosts.get_mut(host)) {
                known.cache.set_address(class, ip, written);
            }
            is_unreadable
        };
        if is_unreadable {
            self.count_unreadable(host);
        }
    }
}

impl<'a> Event<'a> {
    /// The event type, as it is stored once it is cleaned.
    #[must_use]
    pub fn kind(&self) -> &'a [u8] {
        self.kind.filter(|kind| !kind.is_empty()).unwrap_or(UNKNOWN.as_bytes())
    }

    fn source(&self) -> &'a [u8] {
        self.source.filter(|source| !source.is_empty()).unwrap_or(UNKNOWN.as_bytes())
    }
}

/// What flood control is asked about an event.
fn asked<'a>(event: &Event<'a>, details: &'a Details) -> flood::FloodEvent<'a> {
    flood::FloodEvent {
        account: event.user.map_or(Account::Unknown, Account::Jid),
        address: event.session.and_then(|session| session.ip).or_else(|| event.actor.and_then(|actor| actor.ip)),
        condition: details.condition(),
        // Another server, if nobody else did it.
        actor: event.actor.map_or_else(|| details.remote(), |actor| actor.jid),
        weight: weight(details.weight()),
    }
}

fn id_text(recorder: &mut Recorder, at: f64) -> String {
    // to_string() takes three times as long.
    recorder.id(at).hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// What is stored of an address, as elements.
fn written(stored: &StoredAddress) -> Written {
    let mut bytes = Vec::new();
    if let Some(remote_ip) = &stored.remote_ip {
        leaf(&mut bytes, b"remote-ip", remote_ip.as_bytes(), TextKind::Attribute);
    } else if let Some((hash, key)) = &stored.hash {
        payload::open(&mut bytes, b"ip-hash");
        attribute(&mut bytes, b"key", key.as_bytes());
        payload::text(&mut bytes, hash.as_bytes());
        payload::close(&mut bytes);
    }
    let address = bytes.len();
    if let Some(location) = &stored.location {
        write_location(location, &mut bytes);
    }
    Written { bytes, address, is_unreadable: stored.is_unreadable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Policy;
    use crate::address::hash_key::HashKey;
    use crate::archive::retention::{Retention, Rules};
    use crate::entry::payload::{attribute_of, element_of};
    use crate::entry::xml::Element;
    use crate::file::Disk;
    use crate::options::Settings;
    use crate::random::OsRandom;

    const TIME: Time = Time { at: 1_795_521_600.25, now: 7.0 };

    fn recorder(addresses: Policy) -> Recorder {
        let mut recorder = Recorder::default();
        let retention = Retention::new(Rules { addresses, ..Rules::default() }, vec![]);
        recorder.configure("example.com", Settings { retention, ..Settings::default() }, None);
        recorder
    }

    fn made(recorder: &mut Recorder, host: &str, event: &Event<'_>) -> Element {
        let mut payload = Vec::new();
        let id = recorder.entry(host, event, &mut Details::default(), TIME, false, &mut payload).unwrap();
        assert_eq!(attribute_of(&payload, "id").unwrap(), id);
        element_of(&payload).unwrap()
    }

    fn with_ip(ip: &[u8]) -> Event<'_> {
        let session = Session { ip: Some(ip), ..Session::default() };
        Event { session: Some(session), actor: Some(EventActor { ip: Some(ip), ..EventActor::default() }), ..Event::default() }
    }

    fn ips(element: &Element) -> Vec<Option<String>> {
        ["session", "actor"].map(|name| element.child(name)?.child("remote-ip").map(Element::text)).to_vec()
    }

    #[test]
    fn an_address_is_stored_as_the_policy_says_each_time() {
        let mut recorder = recorder(Policy::new(Some(24), None));
        for _ in 0..3 {
            let element = made(&mut recorder, "example.com", &with_ip(b"203.0.113.80"));
            assert_eq!(ips(&element), [Some("203.0.113.0/24".to_owned()), Some("203.0.113.0/24".to_owned())]);
            // A host that is not configured must not store addresses by accident.
            assert_eq!(ips(&made(&mut recorder, "other.example", &with_ip(b"203.0.113.80"))), [None, None]);
        }
        // What is remembered goes with the options.
        recorder.configure("example.com", Settings::default(), None);
        let element = made(&mut recorder, "example.com", &with_ip(b"203.0.113.80"));
        assert_eq!(ips(&element), [Some("203.0.113.80".to_owned()), Some("203.0.113.80".to_owned())]);
    }

    #[test]
    fn each_event_with_an_address_that_cannot_be_read_is_counted() {
        let mut recorder = recorder(Policy::Full);
        for _ in 0..3 {
            assert_eq!(ips(&made(&mut recorder, "example.com", &with_ip(b"_hidden"))), [None, None]);
        }
        assert_eq!((recorder.unreadable("example.com"), recorder.take_warnings().len()), (6, 1));
    }

    #[test]
    fn hashes_follow_their_key() {
        let folder = std::env::temp_dir().join(format!("audit-entries-{}", std::process::id()));
        let path = folder.join("audit.key");
        let mut recorder = recorder(Policy::Hash);
        let retention = Retention::new(Rules { addresses: Policy::Hash, ..Rules::default() }, vec![]);
        recorder.configure("example.com", Settings { retention, ..Settings::default() }, Some(path.clone()));
        let mut hash = || made(&mut recorder, "example.com", &with_ip(b"203.0.113.80")).child("session").unwrap().child("ip-hash").cloned();
        let first = hash();
        assert!(first.is_some() && hash() == first);
        HashKey::replace(&Disk, &OsRandom, &path).unwrap();
        recorder.look_at_key("example.com");
        let second = made(&mut recorder, "example.com", &with_ip(b"203.0.113.80")).child("session").unwrap().child("ip-hash").cloned();
        assert!(second.is_some() && second != first);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_alias_becomes_an_element_and_nothing_else_does() {
        let mut recorder = recorder(Policy::Full);
        // Flood control puts the host behind a name.
        for alias in [&b"@0a1b:00ff:10"[..], b"@0a1b:00ff:10@example.com"] {
            let element = made(&mut recorder, "example.com", &Event { user: Some(alias), ..Event::default() });
            let name = element.child("unknown-name").unwrap();
            assert_eq!((element.attribute("user"), name.attribute("key"), name.attribute("length")), (None, Some("0a1b"), Some("10")));
            assert_eq!(name.text(), "00ff");
        }
        for user in ["@x:00ff:10", "@0a1b:00ff", "@0a1b:00ff:+1", "@0a1b:00ff:1:2"] {
            let element = made(&mut recorder, "example.com", &Event { user: Some(user.as_bytes()), ..Event::default() });
            assert_eq!((element.attribute("user"), element.child("unknown-name")), (Some(user), None));
        }
    }

    #[test]
    fn what_flood_control_counts_has_no_entry() {
        let mut recorder = recorder(Policy::Full);
        let event = Event { user: Some(b"juliet@example.com"), kind: Some(b"authentication-failure"), ..with_ip(b"203.0.113.80") };
        let mut made = |asks| recorder.entry("example.com", &event, &mut Details::default(), TIME, asks, &mut Vec::new()).is_some();
        assert_eq!((0..10).filter(|_| made(true)).count(), 5);
        assert!(made(false));
    }
}
