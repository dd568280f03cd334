//! Entries for the tests of renderers: a few realistic ones, and random ones.

use proptest::prelude::*;

use crate::entry::xml::{Element, Node};
use crate::entry::{Actor, Repeated, Row, StoredEvent};

/// Noon of a day.
pub(crate) const NOON: f64 = 1_795_521_600.0;

/// The entry that a store returns for `xml`, in class `class`.
pub(crate) fn event(ago: f64, class: &str, with: Option<&str>, xml: &str) -> StoredEvent {
    let row = Row { key: "k".to_owned(), when: NOON - ago, with: with.map(ToOwned::to_owned), xml: xml.to_owned(), ..Row::default() };
    StoredEvent { class: Some(class.to_owned()), ..StoredEvent::read(&row).unwrap() }
}

/// One entry of each kind that formats treat differently.
pub(crate) fn events() -> Vec<StoredEvent> {
    let juliet = Some("juliet@example.com");
    let ns = "xmlns='xmpp:prosody.im/audit'";
    let session = |address: &str| {
        format!(
            "<session {ns} id='c2s1' type='c2s'><remote-ip>{address}</remote-ip><location country='DE' continent='EU'>Germany</location><asn number='64500'>Example Net</asn>\
             <client>d4565fa7</client></session>"
        )
    };
    vec![
        event(
            0.0,
            "events",
            juliet,
            &format!(
                "<audit-event source='mod_audit_auth' type='authentication-success' user='juliet@example.com' xmlns:ns1='xmpp:prosody.im/audit' \
                 ns1:id='01a20e7e-d2b8-75d1-8370-6296c154b976'>{}<authentication {ns} mechanism='SCRAM-SHA-1-PLUS'/>\
                 <tls {ns} version='TLSv1.3' cipher='TLS_AES_256_GCM_SHA384'/></audit-event>",
                session("203.0.113.7")
            ),
        ),
        event(
            9.0,
            "failures",
            Some("mallory@example.com"),
            &format!(
                "<audit-event source='mod_audit_auth' type='authentication-failure' user='mallory@example.com'>{}\
                 <authentication {ns} mechanism='PLAIN' condition='not-authorized'>=2+5|a\\b \"c\" ]x</authentication>\
                 <repeated {ns} count='17' first='2026-11-24T11:59:00Z' last='2026-11-24T12:00:00Z' accounts='1' networks='3' at-least='true'>\
                 <sample ip='198.51.100.7'/></repeated></audit-event>",
                session("198.51.100.0/24")
            ),
        ),
        event(
            70.0,
            "accounts",
            juliet,
            &format!(
                "<audit-event source='mod_audit_user_accounts' type='user-password-changed' user='juliet@example.com' \
                 xmlns:ns1='xmpp:prosody.im/audit' ns1:occurred='2026-11-24T11:00:00Z'>\
                 <actor {ns} kind='adhoc' jid='admin@example.com/desk' caused-by='0193'><remote-ip>2001:db8::1</remote-ip></actor></audit-event>"
            ),
        ),
        event(
            80.0,
            "events",
            Some("@"),
            "<audit-event source='mod_audit_status' type='server-stopped'><note>Received SIGTERM\nbye</note></audit-event>",
        ),
        event(90.0, "events", Some("@"), "<audit-event source='mod_elsewhere' type='thing-happened'><thing colour='red'/></audit-event>"),
    ]
}

/// Text as it may come from outside: anything that XML can contain.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,12}",
        "[\\n\\r\\t]{1,2}",
        "[=+@|\\\\\"\\]',;<>&-]{1,4}",
        "\\PC{0,6}",
        prop::sample::select(vec!["\u{9b}", "\u{85}", "\u{2028}", "\u{202e}", "\u{feff}", "\u{7f}", "\u{e0041}", "</script>", "]]>"])
            .prop_map(ToOwned::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn any_element() -> impl Strategy<Value = Element> {
    ("[a-z-]{1,8}", prop::collection::btree_map("[a-z-]{1,8}", hostile(), 0..3), hostile()).prop_map(|(name, attributes, text)| Element {
        name,
        attributes: attributes.into_iter().collect(),
        children: vec![Node::Text(text)],
    })
}

fn any_actor() -> impl Strategy<Value = Actor> {
    (hostile(), some(hostile()), some(hostile()), some(hostile())).prop_map(|(kind, jid, ip, caused_by)| Actor { kind, jid, ip, caused_by })
}

fn any_repeated() -> impl Strategy<Value = Repeated> {
    (0u64..1_000_000_000, some(hostile()), some(any::<u64>()), any::<bool>(), prop::collection::vec(any_element(), 0..3)).prop_map(
        |(count, first, accounts, at_least, samples)| Repeated { count, first, accounts, at_least, samples, ..Repeated::default() },
    )
}

/// Any entry, with hostile text everywhere.
pub(crate) fn any_event() -> impl Strategy<Value = StoredEvent> {
    let kind = prop_oneof![
        prop::sample::select(vec!["authentication-failure", "user-disabled", "server-started", "room-created"]).prop_map(ToOwned::to_owned),
        hostile()
    ];
    let words = (some(hostile()), some(hostile()), hostile(), kind, some(hostile()));
    let address = (prop_oneof![some(hostile()), some("192\\.0\\.2\\.[0-9]")], some("[A-Z]{2}"), some(hostile()));
    let rest = (some(any_actor()), some(any_repeated()), prop::collection::vec(any_element(), 0..4), 0u32..2_000_000_000, 0u32..100);
    (words, address, rest).prop_map(
        |((id, user, source, kind, session_id), (ip, country, client), (actor, repeated, details, time, late))| StoredEvent {
            time: f64::from(time),
            stored: f64::from(time) + f64::from(late),
            id,
            user,
            source,
            kind,
            session_id,
            ip,
            country,
            client,
            actor,
            repeated,
            details,
            ..StoredEvent::default()
        },
    )
}

/// A connection with another server, `remote.example`.
pub(crate) fn link(kind: &str, direction: &str, ip: Option<&str>) -> StoredEvent {
    let s2s = Element::parse(&format!("<s2s direction='{direction}' remote='remote.example' mechanism='dialback'/>")).unwrap();
    StoredEvent { kind: kind.to_owned(), ip: ip.map(ToOwned::to_owned), details: vec![s2s], ..StoredEvent::default() }
}

fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(strategy)
}
