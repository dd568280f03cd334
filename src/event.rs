//! An audit event as it is read back from a store.

use chrono::DateTime;
use thiserror::Error;

use crate::catalogue::UNKNOWN_ACTOR;
use crate::recorder::HOST_WIDE;
use crate::xml::{Element, XmlError};

/// What a store gives back for one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The archive's key.
    pub key: String,
    /// The time under which it was appended, in UNIX seconds.
    pub when: f64,
    /// The archive's `with`; drivers give nothing or an empty string where there is none.
    pub with: Option<String>,
    /// The entry.
    pub xml: String,
}

/// The root element of every entry.
const ROOT: &str = "audit-event";

/// Why a row of a store is no audit event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// It is no XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
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
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// When it happened, in UNIX seconds.
    pub time: f64,
    /// The entry's own identifier; entries of the community's modules have none.
    pub id: Option<String>,
    /// The account that it concerns; nothing for an event of the whole host.
    pub user: Option<String>,
    /// The module that reported it.
    pub source: String,
    /// The event type.
    pub kind: String,
    /// The address of the peer, or its network.
    pub ip: Option<String>,
    /// The country of the address.
    pub country: Option<String>,
    /// What the client calls itself.
    pub client: Option<String>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// Everything else that was recorded.
    pub details: Vec<Element>,
}

impl StoredEvent {
    /// Reads one row of a store.
    ///
    /// # Errors
    ///
    /// [`EventError`] where the row is no audit event.
    pub fn read(row: &Row) -> Result<Self, EventError> {
        let root = Element::parse(&row.xml)?;
        if root.name != ROOT {
            return Err(EventError::Root(root.name));
        }
        let text = |name: &str| root.attribute(name).filter(|value| !value.is_empty()).map(ToOwned::to_owned);
        let session = root.child("session");
        let of_session = |name: &str| session.and_then(|session| session.child(name)).map(Element::text).filter(|text| !text.is_empty());
        let with = row.with.as_deref().filter(|with| !with.is_empty() && *with != HOST_WIDE);
        let time = root.attribute("occurred").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        #[allow(clippy::cast_precision_loss)] // A time in seconds is far below 2^53.
        let time = time.map_or(row.when, |time| time.timestamp() as f64);
        Ok(Self {
            time,
            id: text("id"),
            user: text("user").or_else(|| with.map(ToOwned::to_owned)),
            source: text("source").unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            ip: of_session("remote-ip"),
            country: session
                .and_then(|session| session.child("location"))
                .and_then(|location| location.attribute("country"))
                .map(ToOwned::to_owned),
            client: of_session("client"),
            actor: root.child("actor").map(Actor::read),
            details: root.elements().filter(|element| !matches!(element.name.as_str(), "session" | "actor")).cloned().collect(),
        })
    }

    /// What was recorded beyond who, what and where, in one line.
    #[must_use]
    pub fn note(&self) -> String {
        let details = self.details.iter().map(describe).chain(self.actor.as_ref().map(Actor::note));
        details.filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Actor {
    fn read(element: &Element) -> Self {
        let attribute = |name: &str| element.attribute(name).filter(|value| !value.is_empty()).map(ToOwned::to_owned);
        Self {
            kind: attribute("kind").unwrap_or_else(|| UNKNOWN_ACTOR.to_owned()),
            jid: attribute("jid"),
            ip: element.child("remote-ip").map(Element::text).filter(|text| !text.is_empty()),
            caused_by: attribute("caused-by"),
        }
    }

    /// Who it was, in words: "by admin@example.com/phone (adhoc) at 203.0.113.7".
    #[must_use]
    pub fn note(&self) -> String {
        let mut note = match &self.jid {
            Some(jid) if self.kind == "user" => format!("by {jid}"),
            Some(jid) => format!("by {jid} ({})", self.kind),
            None => format!("by {}", self.kind),
        };
        if let Some(ip) = &self.ip {
            note.push_str(" at ");
            note.push_str(ip);
        }
        note
    }
}

/// A detail in words. What nearly every entry has is as short as can be; everything else names itself.
fn describe(detail: &Element) -> String {
    let text = detail.text();
    let text = text.trim();
    match detail.name.as_str() {
        "note" => text.to_owned(),
        "authentication" => {
            let words: Vec<&str> = ["mechanism", "condition"].iter().filter_map(|name| detail.attribute(name)).collect();
            if text.is_empty() { words.join(" ") } else { format!("{} ({text})", words.join(" ")) }
        }
        "tls" => detail.attribute("version").unwrap_or("TLS").to_owned(),
        name => {
            let mut words: Vec<String> = detail.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            // Prosody keeps attributes in a table, which has no order.
            words.sort_unstable();
            words.extend(Some(text.to_owned()).filter(|text| !text.is_empty()));
            words.extend(detail.elements().map(describe).filter(|words| !words.is_empty()));
            if words.is_empty() { name.to_owned() } else { format!("{name}: {}", words.join(" ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(with: Option<&str>, xml: &str) -> Row {
        Row { key: "k".to_owned(), when: 1000.0, with: with.map(ToOwned::to_owned), xml: xml.to_owned() }
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
        assert_eq!(event.note(), "PLAIN not-authorized (No.)");
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

    #[test]
    fn notes_say_what_was_recorded() {
        for (detail, note) in [
            ("<note>restarted by root</note>", "restarted by root"),
            ("<invite-used token='abc'/>", "invite-used: token=abc"),
            ("<disabled reason='spam' when='1'><comment>bye</comment></disabled>", "disabled: reason=spam when=1 comment: bye"),
            ("<authentication mechanism='SCRAM-SHA-1'/><tls version='TLSv1.3' cipher='x'/>", "SCRAM-SHA-1; TLSv1.3"),
            ("<authentication condition='malformed-request'/><tls/>", "malformed-request; TLS"),
            ("<empty/>", "empty"),
            ("<actor kind='adhoc' jid='admin@example.com'/>", "by admin@example.com (adhoc)"),
            ("<actor kind='user' jid='a@example.com/b'><remote-ip>203.0.113.7</remote-ip></actor>", "by a@example.com/b at 203.0.113.7"),
            ("<actor kind='admin-shell' caused-by='01a2'/><note>x</note>", "x; by admin-shell"),
            ("<actor/>", "by unknown"),
            ("", ""),
        ] {
            let event = StoredEvent::read(&row(None, &format!("<audit-event>{detail}</audit-event>"))).unwrap();
            assert_eq!(event.note(), note, "{detail}");
        }
    }
}
