//! An audit event as it is read back from a store.

pub mod anchor;
pub mod ascii;
pub mod canon;
pub mod compact;
pub mod details;
pub mod element;
pub(crate) mod event;
pub mod limits;
pub mod names;
pub mod outline;
pub mod payload;
pub mod personal;
pub mod text;
mod words;
pub mod xml;

use std::borrow::Cow;

use chrono::DateTime;
use thiserror::Error;
use uuid::Uuid;

use crate::catalogue::UNKNOWN_ACTOR;
use crate::entry::event::ROOT;
use crate::entry::limits::HOST_WIDE;
use crate::entry::names::Names;
use crate::entry::xml::{Element, XmlError};
use crate::time::{rfc3339_milliseconds, whole_milliseconds, whole_seconds};

/// One entry as a store returns it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The archive's key.
    pub key: String,
    /// The time under which it was appended, in UNIX seconds.
    pub when: f64,
    /// The archive's `with`; drivers return `nil` or an empty string if there is none.
    pub with: Option<String>,
    /// The entry as XML, unless `element` has it.
    pub xml: String,
    /// The entry as an [`element`], which our own driver has. Empty if it is XML.
    pub element: Vec<u8>,
}

impl Row {
    /// Whether a text is in the entry as it is written, with the names and marks around its values.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.xml.contains(text) || std::str::from_utf8(&self.element).is_ok_and(|written| written.contains(text))
    }

    /// The entry as a payload without a time. Returns `None` if it is damaged.
    #[must_use]
    pub fn payload(&self) -> Option<Vec<u8>> {
        let read = if self.element.is_empty() { element::of_xml(&self.xml)? } else { self.element.clone() };
        Some([b"0\0".as_slice(), &read].concat())
    }

    /// The entry as a tree.
    ///
    /// # Errors
    ///
    /// [`EventError`] where it is damaged.
    pub(crate) fn tree(&self) -> Result<Element, EventError> {
        if self.element.is_empty() { Ok(Element::parse(&self.xml)?) } else { element::read(&self.element).ok_or(EventError::Damaged) }
    }
}

/// Why a row of a store is no audit event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// It is no XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It is no element.
    #[error("the element is damaged")]
    Damaged,
    /// It is another element.
    #[error("<{0}> is no audit event")]
    Root(String),
}

/// Who did what an event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// One of [`crate::catalogue::ACTOR_KINDS`]; whatever stands there, where others wrote it.
    pub kind: String,
    /// The account, with its resource where that is known.
    pub jid: Option<String>,
    /// The address of the actor, or its network.
    pub ip: Option<String>,
    /// The id of the entry that says what caused this one.
    pub caused_by: Option<String>,
}

/// An audit event, whichever module wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredEvent {
    /// When it happened, in UNIX seconds.
    pub time: f64,
    /// When it was stored, in UNIX seconds: for nearly all entries the same.
    pub stored: f64,
    /// The entry's own identifier; entries of the community's modules have none.
    pub id: Option<String>,
    /// The retention class in whose partition it lies. A row does not have it: the caller that reads partitions sets it.
    pub class: Option<String>,
    /// The account that it concerns; nothing for an event of the whole host.
    pub user: Option<String>,
    /// The module that reported it.
    pub source: String,
    /// The event type.
    pub kind: String,
    /// Prosody's identifier of the session.
    pub session_id: Option<String>,
    /// What kind of session it is, such as `c2s`.
    pub session_type: Option<String>,
    /// The address of the peer, or its network.
    pub ip: Option<String>,
    /// What stands for the address where a keyed hash of it is stored.
    pub ip_hash: Option<String>,
    /// The country of the address.
    pub country: Option<String>,
    /// The name of that country in English.
    pub country_name: Option<String>,
    /// The continent of the address.
    pub continent: Option<String>,
    /// The number of the autonomous system that announces the address.
    pub asn: Option<u32>,
    /// The organization behind the autonomous system.
    pub organization: Option<String>,
    /// What the client calls itself.
    pub client: Option<String>,
    /// Who did it, where that is known.
    pub actor: Option<Actor>,
    /// How many events the entry stands for, where they are several.
    pub repeated: Option<Repeated>,
    /// Where entries of an account were asked for, and this one stands for events of several: what it says of that account.
    pub mention: Option<Mention>,
    /// What its link can be compared by, see [`anchor`]. `None` if it is not linked.
    pub anchor: Option<String>,
    /// Everything else that was recorded.
    pub details: Vec<Element>,
    /// The entry as it is stored, as in the [`Row`].
    pub xml: String,
    /// The same as an element, as in the [`Row`].
    pub element: Vec<u8>,
}

/// What an entry says of the events that it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// How many there were.
    pub count: u64,
    /// When the first happened (XEP-0082).
    pub first: Option<String>,
    /// When the last happened (XEP-0082).
    pub last: Option<String>,
    /// How many accounts they were about.
    pub accounts: Option<u64>,
    /// How many networks they came from.
    pub networks: Option<u64>,
    /// Whether there may have been more: the server died while it counted.
    pub at_least: bool,
    /// Whether there may have been more accounts or networks: there were too many to tell them all apart.
    pub distinct_at_least: bool,
    /// How many actors caused them.
    pub actors: Option<u64>,
    /// A few of them, and the accounts, networks and actors that came most often.
    pub samples: Vec<Element>,
    /// Accounts that are not named.
    pub others: Others,
}

/// The accounts that an entry which stands for several events does not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// It does not say, but by the number of accounts.
    #[default]
    Unsaid,
    /// Those of a set, which may have been much smaller.
    Set(Names),
    /// Any.
    Any,
}

/// What an entry that stands for events of several accounts says of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// It names the account: how often it came at least, where that is said.
    Named {
        /// The account.
        user: String,
        /// How often it came at least.
        count: Option<u64>,
    },
    /// The account may be among those that it does not name.
    MayInclude {
        /// The account, or a pattern, as it was asked for.
        user: String,
    },
}

impl StoredEvent {
    /// Reads one row of a store.
    ///
    /// # Errors
    ///
    /// [`EventError`] where the row is no audit event.
    pub fn read(row: &Row) -> Result<Self, EventError> {
        let mut root = row.tree()?;
        if root.name != ROOT {
            return Err(EventError::Root(root.name));
        }
        let session = root.take_child("session").unwrap_or_default();
        let location = session.child("location");
        let of_location = |name| location.and_then(|location| text_of(location, name));
        let with = row.with.as_deref().filter(|with| !with.is_empty() && *with != HOST_WIDE);
        let time = root.attribute("occurred").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        #[allow(clippy::cast_precision_loss)] // A time in seconds is far below 2^53.
        let time = time.map_or(row.when, |time| time.timestamp() as f64);
        let mut event = Self {
            time,
            stored: row.when,
            id: text_of(&root, "id"),
            class: None,
            user: text_of(&root, "user").or_else(|| with.map(ToOwned::to_owned)),
            source: text_of(&root, "source").unwrap_or_default(),
            kind: text_of(&root, "type").unwrap_or_default(),
            session_id: text_of(&session, "id"),
            session_type: text_of(&session, "type"),
            ip: text_in(&session, "remote-ip"),
            ip_hash: text_in(&session, "ip-hash"),
            country: of_location("country"),
            country_name: text_in(&session, "location"),
            continent: of_location("continent"),
            asn: session.child("asn").and_then(|asn| asn.attribute("number")?.parse().ok()),
            organization: text_in(&session, "asn"),
            client: text_in(&session, "client"),
            actor: root.take_child("actor").map(|actor| Actor::read(&actor)),
            repeated: root.take_child("repeated").map(Repeated::read),
            mention: None,
            anchor: anchor::take(&mut root),
            details: Vec::new(),
            xml: row.xml.clone(),
            element: row.element.clone(),
        };
        event.details = root.into_elements().collect();
        Ok(event)
    }

    /// The entry as XML, as it is stored, but for what opens the commitments of its link.
    #[must_use]
    pub fn xml(&self) -> Cow<'_, str> {
        if self.element.is_empty() {
            anchor::without_secrets(&self.xml)
        } else {
            Cow::Owned(anchor::without_secrets(&element::to_xml(&self.element).unwrap_or_default()).into_owned())
        }
    }

    /// When it happened, in UNIX milliseconds. The milliseconds are those of the id, unless the reporter gave the time.
    #[must_use]
    pub fn milliseconds(&self) -> i64 {
        let seconds = whole_seconds(self.time);
        let of_id = || {
            let id = Uuid::try_parse(self.id.as_deref()?).ok().filter(|id| id.get_version_num() == 7)?;
            let (of_id, nanoseconds) = id.get_timestamp()?.to_unix();
            (i64::try_from(of_id) == Ok(seconds)).then_some(i64::from(nanoseconds / 1_000_000))
        };
        whole_milliseconds(self.time).saturating_add(of_id().unwrap_or_default())
    }

    /// The same in the form of RFC 3339, in UTC. Without milliseconds if they are not known.
    #[must_use]
    pub fn date_time(&self) -> String {
        rfc3339_milliseconds(self.milliseconds())
    }

    /// How many events the entry stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.repeated.as_ref().map_or(1, |repeated| repeated.count)
    }

    /// What an entry that stands for events of several accounts says of those that `is_meant` means; `exact` has all ways to write
    /// the only one, if it is one. `None` if they are certainly not among them.
    pub fn mention_of(&self, exact: &[&str], is_meant: impl Fn(&str) -> bool) -> Option<Mention> {
        let repeated = self.repeated.as_ref().filter(|_| self.user.is_none())?;
        let named = || repeated.samples.iter().filter_map(|sample| Some((sample, sample.attribute("user")?)));
        // What says how often comes before what is only an example.
        let number = |sample: &Element| sample.attribute("count").and_then(|count| count.parse::<u64>().ok());
        if let Some((sample, user)) = named().filter(|(_, user)| is_meant(user)).max_by_key(|(sample, _)| number(sample)) {
            return Some(Mention::Named { user: user.to_owned(), count: number(sample) });
        }
        let may_include = match &repeated.others {
            Others::Set(names) => exact.is_empty() || exact.iter().any(|user| names.may_contain(user)),
            Others::Any => true,
            Others::Unsaid => {
                let hashed = repeated.samples.iter().filter_map(|sample| sample.attribute("name-hash"));
                let mut users: Vec<&str> = named().map(|(_, user)| user).chain(hashed).collect();
                users.sort_unstable();
                users.dedup();
                // A name that was too long was cut.
                let are_whole = users.iter().all(|user| !user.ends_with('…'));
                let all_are_named = repeated.accounts.is_some_and(|accounts| accounts <= users.len() as u64);
                !(all_are_named && are_whole) || repeated.distinct_at_least
            }
        };
        may_include.then(|| Mention::MayInclude { user: exact.first().unwrap_or(&"*").to_string() })
    }
}

impl Actor {
    fn read(element: &Element) -> Self {
        Self {
            kind: text_of(element, "kind").unwrap_or_else(|| UNKNOWN_ACTOR.to_owned()),
            jid: text_of(element, "jid"),
            ip: text_in(element, "remote-ip"),
            caused_by: text_of(element, "caused-by"),
        }
    }
}

impl Repeated {
    fn read(mut repeated: Element) -> Self {
        let others =
            repeated.take_child("names").map_or(Others::Unsaid, |names| Names::read(&names.text()).map_or(Others::Any, Others::Set));
        let number = |name| repeated.attribute(name).and_then(|number| number.parse().ok());
        Self {
            // An entry that can't say how many it stands for is one.
            count: number("count").unwrap_or(1),
            first: text_of(&repeated, "first"),
            last: text_of(&repeated, "last"),
            accounts: number("accounts"),
            networks: number("networks"),
            at_least: repeated.attribute("at-least") == Some("true"),
            distinct_at_least: repeated.attribute("distinct-at-least") == Some("true"),
            actors: number("actors"),
            others,
            samples: std::mem::take(&mut repeated).into_elements().collect(),
        }
    }
}

/// The value of an attribute. Returns `None` if it is empty.
fn text_of(element: &Element, attribute: &str) -> Option<String> {
    element.attribute(attribute).filter(|value| !value.is_empty()).map(ToOwned::to_owned)
}

/// The text of a child. Returns `None` if it is empty.
fn text_in(element: &Element, child: &str) -> Option<String> {
    element.child(child).map(Element::text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(with: Option<&str>, xml: &str) -> Row {
        Row { key: "k".to_owned(), when: 1000.0, with: with.map(ToOwned::to_owned), xml: xml.to_owned(), ..Row::default() }
    }

    #[test]
    fn an_entry_of_the_contract_is_read_whole() {
        let xml = "<audit-event source='mod_audit_auth' type='authentication-failure' user='mallory@example.com'>\
            <session xmlns='xmpp:prosody.im/audit' id='c2s5' type='c2s_unauthed'><remote-ip>203.0.113.80</remote-ip>\
            <location country='DE' continent='EU'>Germany</location><client>d4565fa7</client></session>\
            <authentication xmlns='xmpp:prosody.im/audit' mechanism='PLAIN' condition='not-authorized'>No.</authentication></audit-event>";
        let event = StoredEvent::read(&row(Some("mallory@example.com"), xml)).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!((event.time, event.id.clone(), event.user.clone()), (1000.0, None, some("mallory@example.com")));
        assert_eq!((event.source.as_str(), event.kind.as_str()), ("mod_audit_auth", "authentication-failure"));
        assert_eq!((event.ip.clone(), event.country.clone(), event.client.clone()), (some("203.0.113.80"), some("DE"), some("d4565fa7")));
        assert_eq!(event.country_name.as_deref(), Some("Germany"));
    }

    #[test]
    fn the_user_is_the_attribute_or_the_archives() {
        for (with, xml, user) in [
            (Some("@"), "<audit-event/>", None),
            (Some(""), "<audit-event/>", None),
            (None, "<audit-event/>", None),
            (None, "<audit-event user='juliet@example.com'/>", Some("juliet@example.com")),
            (Some("juliet"), "<audit-event/>", Some("juliet")),
        ] {
            assert_eq!(StoredEvent::read(&row(with, xml)).unwrap().user.as_deref(), user, "{with:?} {xml}");
        }
    }

    #[test]
    fn the_time_is_when_it_happened() {
        let xml = "<audit-event xmlns:ns1='xmpp:prosody.im/audit' ns1:occurred='1970-01-01T00:00:07Z' ns1:id='u'/>";
        let event = StoredEvent::read(&row(None, xml)).unwrap();
        assert_eq!((event.time, event.id.as_deref()), (7.0, Some("u")));
    }

    #[test]
    fn the_milliseconds_are_those_of_the_id_unless_the_reporter_gave_the_time() {
        let id = "01a20e7e-d2b8-75d1-8370-6296c154b976";
        for (time, id, expected) in [
            (1_795_539_522.0, Some(id), "2026-11-24T16:58:42.232Z"),
            (1_795_539_521.0, Some(id), "2026-11-24T16:58:41Z"),
            (1_795_539_522.0, Some("u"), "2026-11-24T16:58:42Z"),
            (1_795_539_522.0, None, "2026-11-24T16:58:42Z"),
            (f64::NAN, None, "1970-01-01T00:00:00Z"),
        ] {
            let event = StoredEvent { time, id: id.map(ToOwned::to_owned), ..StoredEvent::default() };
            assert_eq!(event.date_time(), expected, "{time} {id:?}");
        }
    }

    #[test]
    fn a_summary_stands_for_as_many_events_as_it_says() {
        let xml = "<audit-event type='authentication-failure'><repeated xmlns='xmpp:prosody.im/audit' count='17' first='2026-11-24T11:59:00Z'\
            last='2026-11-24T12:00:00Z' accounts='1' networks='3' at-least='true'><sample ip='203.0.113.7'/></repeated></audit-event>";
        let event = StoredEvent::read(&row(None, xml)).unwrap();
        assert_eq!(event.count(), 17);
        let repeated = event.repeated.unwrap();
        assert_eq!((repeated.first.as_deref(), repeated.samples.len()), (Some("2026-11-24T11:59:00Z"), 1));
        assert_eq!((repeated.accounts, repeated.networks, repeated.at_least), (Some(1), Some(3), true));
        for odd in ["<repeated/>", "<repeated count='-3'/>", "<repeated count='many'/>", ""] {
            assert_eq!(StoredEvent::read(&row(None, &format!("<audit-event>{odd}</audit-event>"))).unwrap().count(), 1, "{odd}");
        }
    }

    #[test]
    fn the_actor_is_read_whole() {
        let actor = |xml: &str| StoredEvent::read(&row(None, &format!("<audit-event>{xml}</audit-event>"))).unwrap().actor;
        let some = |text: &str| Some(text.to_owned());
        let xml = "<actor kind='adhoc' jid='a@example.com/b' caused-by='01a2'><remote-ip>203.0.113.0/24</remote-ip></actor>";
        let whole = Actor { kind: "adhoc".to_owned(), jid: some("a@example.com/b"), ip: some("203.0.113.0/24"), caused_by: some("01a2") };
        assert_eq!(actor(xml), Some(whole));
        assert_eq!(actor("<actor/>"), Some(Actor { kind: "unknown".to_owned(), ..Actor::default() }));
        assert_eq!(actor(""), None);
    }

    #[test]
    fn what_is_no_audit_event_is_an_error() {
        for xml in ["<message/>", "<audit-event", ""] {
            assert!(StoredEvent::read(&row(None, xml)).is_err(), "{xml}");
        }
    }
}
