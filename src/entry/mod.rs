//! An audit event as it is read back from a store.

pub mod names;
pub mod text;
pub mod xml;

use std::fmt::Write as _;

use chrono::DateTime;
use thiserror::Error;

use crate::catalogue::UNKNOWN_ACTOR;
use crate::entry::names::Names;
use crate::entry::xml::{Element, XmlError};
use crate::time::zone::Zone;

/// The archive's `with` of an event that concerns a whole host.
pub const HOST_WIDE: &str = "@";

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredEvent {
    /// When it happened, in UNIX seconds.
    pub time: f64,
    /// When it was stored, in UNIX seconds: for nearly all entries the same.
    pub stored: f64,
    /// The entry's own identifier; entries of the community's modules have none.
    pub id: Option<String>,
    /// The retention class in whose partition it lies. A row does not say so: whoever reads partitions fills it in.
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
    /// Everything else that was recorded.
    pub details: Vec<Element>,
    /// The entry as it is stored.
    pub xml: String,
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
        let mut root = Element::parse(&row.xml)?;
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
            continent: of_location("continent"),
            asn: session.child("asn").and_then(|asn| asn.attribute("number")?.parse().ok()),
            organization: text_in(&session, "asn"),
            client: text_in(&session, "client"),
            actor: root.take_child("actor").map(|actor| Actor::read(&actor)),
            repeated: root.take_child("repeated").map(Repeated::read),
            mention: None,
            details: Vec::new(),
            xml: row.xml.clone(),
        };
        event.details = root.into_elements().collect();
        Ok(event)
    }

    /// How many events the entry stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.repeated.as_ref().map_or(1, |repeated| repeated.count)
    }

    /// What was recorded beyond who, what and where, in one line.
    #[must_use]
    pub fn note(&self) -> String {
        self.with_details(self.repeated.as_ref().map(|repeated| repeated.describe(None)))
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

    /// The same for somebody who reads times of that zone beside it.
    #[must_use]
    pub fn note_in(&self, zone: Zone) -> String {
        self.with_details(self.repeated.as_ref().map(|repeated| format!("repeated {}", repeated.describe(Some(zone)))))
    }

    fn with_details(&self, repeated: Option<String>) -> String {
        let actor = self.actor.as_ref().map(Actor::note);
        let details = self.details.iter().map(describe);
        let mention = self.mention.as_ref().map(Mention::note);
        mention.into_iter().chain(repeated).chain(details).chain(actor).filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Mention {
    fn note(&self) -> String {
        match self {
            Self::Named { user, count: Some(count) } => format!("{user} at least {count} {}", if *count == 1 { "time" } else { "times" }),
            Self::Named { user, count: None } => format!("{user} among others"),
            Self::MayInclude { user } if user == "*" => "may include such accounts".to_owned(),
            Self::MayInclude { user } => format!("may include {user}"),
        }
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

    fn describe(&self, zone: Option<Zone>) -> String {
        let at_least = |is_so: bool| if is_so { "at least " } else { "" };
        let mut words = format!("{}{} {}", at_least(self.at_least), self.count, if self.count == 1 { "time" } else { "times" });
        if let Some(span) = zone.and_then(|zone| self.span(zone)) {
            let _ = write!(words, ", {span}");
        }
        for (count, one, many) in [(self.accounts, "account", "accounts"), (self.networks, "network", "networks")] {
            if let Some(count) = count {
                let _ = write!(words, ", {}{count} {}", at_least(self.distinct_at_least), if count == 1 { one } else { many });
            }
        }
        // Where it is one account the entry itself says which.
        let several = self.accounts.is_some_and(|accounts| accounts > 1);
        let often = self.samples.iter().filter(|sample| several && sample.name == "often" && sample.attribute("user").is_some());
        let count = |sample: &Element| sample.attribute("count").and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
        // One that exists comes before names that may be noise.
        let most = often.max_by_key(|sample| (sample.attribute("exists") == Some("true"), count(sample))).filter(|most| count(most) > 1);
        if let Some((user, most)) = most.and_then(|most| Some((most.attribute("user")?, most))) {
            let _ = write!(words, ", {} of them for {user}", count(most));
        }
        words
    }

    /// From when to when: times of day, where that is one day.
    fn span(&self, zone: Zone) -> Option<String> {
        #[allow(clippy::cast_precision_loss)] // A time in seconds is far below 2^53.
        let shown =
            |time: &Option<String>| DateTime::parse_from_rfc3339(time.as_deref()?).ok().map(|time| zone.show(time.timestamp() as f64).0);
        let (first, last) = (shown(&self.first)?, shown(&self.last)?);
        Some(match (first.split_once(' '), last.split_once(' ')) {
            (Some((a, from)), Some((b, to))) if a == b && from == to => from.to_owned(),
            (Some((a, from)), Some((b, to))) if a == b => format!("{from}-{to}"),
            _ => format!("{first} to {last}"),
        })
    }
}

/// The value of an attribute; nothing where it is empty.
fn text_of(element: &Element, attribute: &str) -> Option<String> {
    element.attribute(attribute).filter(|value| !value.is_empty()).map(ToOwned::to_owned)
}

/// The text of a child; nothing where it is empty.
fn text_in(element: &Element, child: &str) -> Option<String> {
    element.child(child).map(Element::text).filter(|text| !text.is_empty())
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
        "command" => describe_command(detail, text),
        "options" => describe_options(detail),
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

/// A line of the shell as it is; of an ad-hoc command the end of its node's name, what came of it, and its fields.
fn describe_command(command: &Element, line: &str) -> String {
    let node = command.attribute("node").unwrap_or_default();
    let node = node.rsplit_once('/').map_or(node, |(_, name)| name);
    let words = [Some(node), command.attribute("outcome"), command.attribute("condition")];
    let mut words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
    words.extend(Some(line.to_owned()).filter(|line| !line.is_empty()));
    words.extend(command.elements().filter(|field| field.name == "field").map(|field| {
        let name = field.attribute("var").unwrap_or_default();
        let values: Vec<String> = field.elements().map(Element::text).collect();
        if values.is_empty() { name.to_owned() } else { format!("{name}={}", values.join(",")) }
    }));
    words.join(" ")
}

/// The names of options, by what became of them.
fn describe_options(options: &Element) -> String {
    let said = ["changed", "added", "removed"].iter().filter_map(|change| {
        let of_change = options.elements().filter(|option| option.attribute("change") == Some(change));
        let names: Vec<&str> = of_change.filter_map(|option| option.attribute("name")).collect();
        if names.is_empty() { None } else { Some(format!("{change} {}", names.join(", "))) }
    });
    let said = said.collect::<Vec<_>>().join("; ");
    if said.is_empty() { "nothing changed".to_owned() } else { said }
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
    fn a_summary_stands_for_as_many_events_as_it_says() {
        let xml = "<audit-event type='authentication-failure'><repeated xmlns='xmpp:prosody.im/audit' count='17' first='2026-11-24T11:59:00Z'\
            last='2026-11-24T12:00:00Z' accounts='1' networks='3' at-least='true'><sample ip='203.0.113.7'/></repeated></audit-event>";
        let event = StoredEvent::read(&row(None, xml)).unwrap();
        assert_eq!((event.count(), event.note().as_str()), (17, "at least 17 times, 1 account, 3 networks"));
        let repeated = event.repeated.unwrap();
        assert_eq!((repeated.first.as_deref(), repeated.samples.len()), (Some("2026-11-24T11:59:00Z"), 1));
        for odd in ["<repeated/>", "<repeated count='-3'/>", "<repeated count='many'/>", ""] {
            assert_eq!(StoredEvent::read(&row(None, &format!("<audit-event>{odd}</audit-event>"))).unwrap().count(), 1, "{odd}");
        }
    }

    #[test]
    fn a_summary_reads_well() {
        let note = |attributes: &str| {
            let xml = format!(
                "<audit-event><repeated {attributes}><sample user='a'/></repeated><authentication mechanism='PLAIN'/></audit-event>"
            );
            StoredEvent::read(&row(None, &xml)).unwrap().note_in(Zone::Utc)
        };
        for (attributes, expected) in [
            (
                "count='994' first='2026-11-24T18:02:12Z' last='2026-11-24T18:03:11Z' accounts='1' networks='1'",
                "repeated 994 times, 18:02:12-18:03:11, 1 account, 1 network; PLAIN",
            ),
            (
                "count='7' first='2026-11-24T23:59:59Z' last='2026-11-25T00:00:01Z' accounts='3' networks='2' at-least='true'",
                "repeated at least 7 times, 2026-11-24 23:59:59 to 2026-11-25 00:00:01, 3 accounts, 2 networks; PLAIN",
            ),
            (
                "count='90000' accounts='16384' networks='0' distinct-at-least='true'",
                "repeated 90000 times, at least 16384 accounts, at least 0 networks; PLAIN",
            ),
            ("count='1' first='2026-11-24T18:02:12Z' last='2026-11-24T18:02:12Z'", "repeated 1 time, 18:02:12; PLAIN"),
            ("count='2' first='x' last='2026-11-24T18:02:12Z'", "repeated 2 times; PLAIN"),
        ] {
            assert_eq!(note(attributes), expected);
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

    #[test]
    fn notes_say_what_was_recorded() {
        for (detail, note) in [
            ("<note>restarted by root</note>", "restarted by root"),
            ("<invite-used token='abc'/>", "invite-used: token=abc"),
            ("<disabled reason='spam' when='1'><comment>bye</comment></disabled>", "disabled: reason=spam when=1 comment: bye"),
            ("<authentication mechanism='SCRAM-SHA-1'/><tls version='TLSv1.3' cipher='x'/>", "SCRAM-SHA-1; TLSv1.3"),
            ("<authentication condition='malformed-request'/><tls/>", "malformed-request; TLS"),
            ("<command>user:create(&quot;a@b&quot;, ***)</command>", "user:create(\"a@b\", ***)"),
            (
                "<command node='http://jabber.org/protocol/admin#delete-user' action='complete' outcome='completed'>\
                 <field var='accountjids'><value>a@b</value><value>c@d</value></field><field var='password'/></command>",
                "admin#delete-user completed accountjids=a@b,c@d password",
            ),
            ("<command node='ping' outcome='refused' condition='forbidden'/>", "ping refused forbidden"),
            (
                "<options><option name='a' change='changed'/><option name='b' change='added'/><option name='c' change='changed'/></options>",
                "changed a, c; added b",
            ),
            ("<options/>", "nothing changed"),
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
