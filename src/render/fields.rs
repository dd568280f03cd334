//! The registry of fields: one table that drives JSON, CSV, syslog, the schema and its documentation.
//!
//! Names are flat and never change. What modules add to an entry beyond these fields is flattened by one rule, see [`details`].

use std::borrow::Cow;
use std::net::IpAddr;

use crate::entry::xml::Element;
use crate::entry::{Actor, Mention, Repeated, StoredEvent};
use crate::time::rfc3339;

/// The version of the names and types of fields, and of the rule for details. It changes only if earlier output would be misread,
/// not if a field is added.
pub const SCHEMA_VERSION: u64 = 1;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Count(u64),
    /// Yes or no.
    Flag(bool),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// A text.
    Text,
    /// A time in the form of RFC 3339, in UTC.
    Time,
    /// A number.
    Count,
    /// Yes or no.
    Flag,
}

/// A field of entries.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: FieldType,
    /// Whether every entry has it.
    pub always: bool,
    /// Its meaning.
    pub meaning: &'static str,
    /// Its value in an entry of a host. Returns `None` if the entry does not have it.
    pub of: for<'a> fn(&'a StoredEvent, &'a str) -> Option<FieldValue<'a>>,
}

/// Every field, in the order of output.
pub const FIELDS: &[Field] = &[
    always("schema", FieldType::Count, "the version of this schema", |_, _| Some(FieldValue::Count(SCHEMA_VERSION))),
    field("id", FieldType::Text, "the entry's own identifier, a UUID; entries of the community's modules have none", |event, _| {
        text(&event.id)
    }),
    always("time", FieldType::Time, "when it happened", |event, _| Some(FieldValue::Text(event.date_time().into()))),
    field("stored", FieldType::Time, "when it was stored, if that is not when it happened", |event, _| stored(event)),
    always("host", FieldType::Text, "the host whose log it is", |_, host| Some(FieldValue::Text(host.into()))),
    field("class", FieldType::Text, "the retention class that it is kept in", |event, _| text(&event.class)),
    always("type", FieldType::Text, "the event type", |event, _| Some(FieldValue::Text(event.kind.as_str().into()))),
    field("user", FieldType::Text, "the account that it is about; an event of the whole host has none", |event, _| text(&event.user)),
    always("source", FieldType::Text, "the module that recorded it", |event, _| Some(FieldValue::Text(event.source.as_str().into()))),
    field("session.id", FieldType::Text, "Prosody's identifier of the session", |event, _| text(&event.session_id)),
    field("session.type", FieldType::Text, "the type of the session", |event, _| text(&event.session_type)),
    field("ip", FieldType::Text, "the address of the peer", |event, _| address(&event.ip)),
    field("network", FieldType::Text, "the network of the peer, if only that is stored", |event, _| network(&event.ip)),
    field("ip_hash", FieldType::Text, "the keyed hash of the address, if that is stored instead", |event, _| text(&event.ip_hash)),
    field("country", FieldType::Text, "the country of the address, as ISO 3166-1 alpha-2", |event, _| text(&event.country)),
    field("continent", FieldType::Text, "the continent of the address, as two letters", |event, _| text(&event.continent)),
    field("asn", FieldType::Count, "the number of the autonomous system that announces the address", |event, _| {
        event.asn.map(|asn| FieldValue::Count(asn.into()))
    }),
    field("as_organization", FieldType::Text, "the organization behind the autonomous system", |event, _| text(&event.organization)),
    field("client", FieldType::Text, "what the client calls itself", |event, _| text(&event.client)),
    field("actor.kind", FieldType::Text, "the kind of actor", |event, _| {
        actor(event, |actor| Some(FieldValue::Text(actor.kind.as_str().into())))
    }),
    field("actor.jid", FieldType::Text, "who did it", |event, _| actor(event, |actor| text(&actor.jid))),
    field("actor.ip", FieldType::Text, "the address of the actor", |event, _| actor(event, |actor| address(&actor.ip))),
    field("actor.network", FieldType::Text, "the network of the actor, if only that is stored", |event, _| {
        actor(event, |actor| network(&actor.ip))
    }),
    field("actor.caused_by", FieldType::Text, "the identifier of the entry that led to this one", |event, _| {
        actor(event, |actor| text(&actor.caused_by))
    }),
    field("repeated.count", FieldType::Count, "how many events the entry stands for, if there are several", |event, _| {
        repeated(event, |repeated| Some(FieldValue::Count(repeated.count)))
    }),
    field("repeated.first", FieldType::Text, "when the first of them happened", |event, _| {
        repeated(event, |repeated| text(&repeated.first))
    }),
    field("repeated.last", FieldType::Text, "when the last of them happened", |event, _| repeated(event, |repeated| text(&repeated.last))),
    field("repeated.accounts", FieldType::Count, "how many accounts they are about", |event, _| {
        repeated(event, |repeated| repeated.accounts.map(FieldValue::Count))
    }),
    field("repeated.networks", FieldType::Count, "how many networks they came from", |event, _| {
        repeated(event, |repeated| repeated.networks.map(FieldValue::Count))
    }),
    field("repeated.actors", FieldType::Count, "how many actors caused them", |event, _| {
        repeated(event, |repeated| repeated.actors.map(FieldValue::Count))
    }),
    field("repeated.match", FieldType::Text, MATCH, |event, _| {
        event
            .mention
            .as_ref()
            .map(|mention| FieldValue::Text(if matches!(mention, Mention::Named { .. }) { "named" } else { "may-include" }.into()))
    }),
    field("repeated.at_least", FieldType::Flag, "true if there may have been more", |event, _| {
        repeated(event, |repeated| repeated.at_least.then_some(FieldValue::Flag(true)))
    }),
    field("repeated.distinct_at_least", FieldType::Flag, "true if there may have been more accounts or networks", |event, _| {
        repeated(event, |repeated| repeated.distinct_at_least.then_some(FieldValue::Flag(true)))
    }),
    field("anchor", FieldType::Text, "what its link can be compared by later: the chain, the run, the number and the hash", |event, _| {
        text(&event.anchor)
    }),
];

const MATCH: &str = "if entries of a user were asked for: `named` if the entry names the user, `may-include` if the user may be among \
    those that it does not name";

type Of = for<'a> fn(&'a StoredEvent, &'a str) -> Option<FieldValue<'a>>;

const fn field(name: &'static str, kind: FieldType, meaning: &'static str, of: Of) -> Field {
    Field { name, kind, always: false, meaning, of }
}

const fn always(name: &'static str, kind: FieldType, meaning: &'static str, of: Of) -> Field {
    Field { name, kind, always: true, meaning, of }
}

/// What modules added to an entry, flattened: the attribute `mechanism` of `<authentication/>` becomes `authentication.mechanism`,
/// and the element's text becomes `authentication.text`. The name of a nested element follows that of its parent. A second element
/// of the same name is `name.2`. Every name contains a point, and no name occurs twice.
#[must_use]
pub fn details(event: &StoredEvent) -> Vec<(String, &str)> {
    let mut flat = Vec::new();
    if let Some(repeated) = &event.repeated {
        flatten_all("repeated.", repeated.samples.iter(), &mut flat);
    }
    flatten_all("", event.details.iter(), &mut flat);
    make_unique(&mut flat);
    flat
}

fn flatten_all<'a>(prefix: &str, elements: impl Iterator<Item = &'a Element>, flat: &mut Vec<(String, &'a str)>) {
    let mut met: Vec<(&str, usize)> = Vec::new();
    for element in elements {
        let number = match met.iter_mut().find(|(name, _)| *name == element.name) {
            Some((_, number)) => {
                *number = number.saturating_add(1);
                *number
            }
            None => {
                met.push((&element.name, 1));
                1
            }
        };
        let name = plain(&element.name);
        let prefix = if number == 1 { format!("{prefix}{name}.") } else { format!("{prefix}{name}.{number}.") };
        flatten(&prefix, element, flat);
    }
}

fn flatten<'a>(prefix: &str, element: &'a Element, flat: &mut Vec<(String, &'a str)>) {
    let before = flat.len();
    // Prosody keeps attributes in a table without an order.
    let mut attributes: Vec<&(String, String)> = element.attributes.iter().collect();
    attributes.sort_unstable();
    flat.extend(attributes.into_iter().map(|(name, value)| (format!("{prefix}{}", plain(name)), value.as_str())));
    for text in element.texts().filter(|text| !text.trim().is_empty()) {
        flat.push((format!("{prefix}text"), text));
    }
    flatten_all(prefix, element.elements(), flat);
    if flat.len() == before {
        flat.push((format!("{prefix}text"), ""));
    }
}

/// A name without points, as a point separates names.
fn plain(name: &str) -> Cow<'_, str> {
    if name.contains('.') { name.replace('.', "_").into() } else { name.into() }
}

/// Numbers names that occur again, or that are fields of the registry.
fn make_unique(flat: &mut [(String, &str)]) {
    for index in 0..flat.len() {
        let (before, rest) = flat.split_at_mut(index);
        let Some((name, _)) = rest.first_mut() else { return };
        let taken = |name: &str| before.iter().any(|(other, _)| other == name) || FIELDS.iter().any(|field| field.name == name);
        if taken(name) {
            let free = (2_u32..).map(|number| format!("{name}.{number}")).find(|name| !taken(name));
            *name = free.unwrap_or_default();
        }
    }
}

fn text(value: &Option<String>) -> Option<FieldValue<'_>> {
    value.as_deref().map(|value| FieldValue::Text(value.into()))
}

fn stored(event: &StoredEvent) -> Option<FieldValue<'_>> {
    (event.stored.floor().total_cmp(&event.time.floor()).is_ne()).then(|| FieldValue::Text(rfc3339(event.stored).into()))
}

fn address(ip: &Option<String>) -> Option<FieldValue<'_>> {
    ip.as_deref().filter(|ip| !ip.contains('/')).map(|ip| FieldValue::Text(ip.into()))
}

fn network(ip: &Option<String>) -> Option<FieldValue<'_>> {
    ip.as_deref().filter(|ip| ip.contains('/')).map(|ip| FieldValue::Text(ip.into()))
}

/// The other end of a connection between servers, and who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The other server's host name.
    pub remote: &'a str,
    /// Whether this server opened the connection.
    pub is_outgoing: bool,
}

impl<'a> Link<'a> {
    /// The connection that an event is about. Returns `None` if there is none, or its other end is not known.
    #[must_use]
    pub fn of(event: &'a StoredEvent) -> Option<Self> {
        let s2s = event.details.iter().find(|detail| detail.name == "s2s")?;
        let is_outgoing = s2s.attribute("direction") == Some("outgoing");
        s2s.attribute("remote").map(|remote| Self { remote, is_outgoing })
    }
}

/// The stored address. Returns `None` if a network is stored.
#[must_use]
pub fn plain_address(ip: &str) -> Option<IpAddr> {
    ip.parse().ok()
}

fn actor<'a>(event: &'a StoredEvent, of: impl Fn(&'a Actor) -> Option<FieldValue<'a>>) -> Option<FieldValue<'a>> {
    event.actor.as_ref().and_then(of)
}

fn repeated<'a>(event: &'a StoredEvent, of: impl Fn(&'a Repeated) -> Option<FieldValue<'a>>) -> Option<FieldValue<'a>> {
    event.repeated.as_ref().and_then(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Row;
    use expect_test::expect;
    use proptest::prelude::*;

    fn flat(details: &str) -> String {
        let row = Row { xml: format!("<audit-event>{details}</audit-event>"), ..Row::default() };
        let event = StoredEvent::read(&row).unwrap();
        super::details(&event).iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    #[test]
    fn details_are_flattened_by_one_rule() {
        expect![[r#"
            repeated.sample.ip=a
            repeated.sample.2.ip=b
            authentication.condition=not-authorized
            authentication.mechanism=PLAIN
            authentication.text=No.
            lost.count=3
            lost.type.name=a
            lost.type.2.name=b
            note.text=one
            note.2.text=two
            truncated.text=
            od_d.x_y=1
            actor.kind.2=second
        "#]]
        .assert_eq(&flat(
            "<session/><actor/><repeated><sample ip='a'/><sample ip='b'/></repeated>\
             <authentication mechanism='PLAIN' condition='not-authorized'>No.</authentication>\
             <lost count='3'><type name='a'/>\n<type name='b'/></lost><note>one</note><note>two</note><truncated/>\
             <od.d x.y='1'/><actor kind='second'/>",
        ));
    }

    #[test]
    fn names_of_fields_are_there_once() {
        let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }

    fn element() -> impl Strategy<Value = Element> {
        let leaf = ("[a-c.]{1,3}|text|2", prop::collection::vec(("[a-c.]{1,3}|text|2", "[a-z]{0,3}"), 0..4))
            .prop_map(|(name, attributes)| Element { name, attributes, children: Vec::new() });
        leaf.prop_recursive(3, 12, 4, |inner| {
            ("[a-c]", prop::collection::vec(inner, 0..4)).prop_map(|(name, children)| Element {
                name,
                attributes: Vec::new(),
                children: children.into_iter().map(crate::entry::xml::Node::Element).collect(),
            })
        })
    }

    proptest! {
        #[test]
        fn no_name_comes_twice_or_is_a_fields(details in prop::collection::vec(element(), 0..6)) {
            let event = StoredEvent { details, ..StoredEvent::default() };
            let mut names: Vec<String> = super::details(&event).into_iter().map(|(name, _)| name).collect();
            prop_assert!(names.iter().all(|name| name.contains('.') && FIELDS.iter().all(|field| field.name != name)));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), count);
        }
    }
}
