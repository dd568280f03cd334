//! The laws of the chain: the canonical form does not depend on the store, groups can be removed, and every edit is found.

use proptest::prelude::*;
use proptest::sample::Index;

use super::chains::Progress;
use super::hash::{BEGINNING, Bytes, Hash};
use super::head::Head;
use super::link::{Chain, Cut, Link};
use super::rules::Removed;
use super::verdict::{Fault, Verdict};
use super::verify::Verifier;
use crate::archive::partition::Partition;
use crate::entry::canon::removal::without;
use crate::entry::canon::{Canon, Draft};
use crate::entry::details::Details;
use crate::entry::event::{self, Root};
use crate::entry::payload;
use crate::entry::personal::{Aspect, Group, Role};
use crate::entry::text::TextKind;
use crate::entry::xml::{Element, Node};
use crate::entry::{StoredEvent, ascii, element};
use crate::time::day;

mod edits;
mod erased;
mod exported;

const AT: u64 = 1_795_643_208_512;

fn chain() -> Chain {
    Chain { host: "example.com".to_owned(), class: "events".to_owned(), id: Bytes([1; 16]) }
}

/// An event as modules report it.
#[derive(Clone, Debug)]
struct Given {
    user: Option<String>,
    ip: Option<String>,
    client: Option<String>,
    actor: Option<String>,
    details: Vec<Tree>,
}

#[derive(Clone, Debug)]
struct Tree {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Result<Tree, String>>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9@. <>&'\"/-]{0,12}",
        1 => ".{0,6}",
        1 => Just(String::new()),
        1 => Just("203.0.113.7".to_owned()),
        1 => Just("e\u{301}\r\n\t\\u{e9}é".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let known = ["authentication", "tls", "repeated", "sample", "often", "client-info", "session", "actor", "query", "note", "remote-ip"];
    let attributes = ["mechanism", "condition", "count", "user", "network", "ip", "filter", "jid", "id"];
    prop_oneof![
        4 => prop::sample::select(known.iter().chain(&attributes).map(|name| (*name).to_owned()).collect::<Vec<_>>()),
        1 => "[a-z]{1,3}",
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let attributes = || prop::collection::vec((prop_oneof![5 => name(), 1 => Just("urn:x\u{1}y".to_owned())], text()), 0..4);
    let namespace = || prop_oneof![4 => Just(Some(crate::NAMESPACE)), 1 => Just(Some("urn:other")), 1 => Just(None)];
    let with_namespace = |attributes: Vec<(String, String)>, namespace: Option<&str>| {
        let own = namespace.map(|namespace| ("xmlns".to_owned(), namespace.to_owned()));
        let mut all: Vec<(String, String)> = own.into_iter().chain(attributes).collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|(name, _)| seen.insert(name.clone()));
        all
    };
    let leaf =
        (name(), attributes(), namespace(), prop::collection::vec(text(), 0..2)).prop_map(move |(name, attributes, namespace, texts)| {
            Tree { name, attributes: with_namespace(attributes, namespace), children: texts.into_iter().map(Err).collect() }
        });
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let child = prop_oneof![3 => inner.prop_map(Ok), 1 => text().prop_map(Err)];
        (name(), attributes(), namespace(), prop::collection::vec(child, 0..4)).prop_map(move |(name, attributes, namespace, children)| {
            Tree { name, attributes: with_namespace(attributes, namespace), children }
        })
    })
}

fn given() -> impl Strategy<Value = Given> {
    let user = prop_oneof![3 => "[a-d]@example\\.com".prop_map(Some), 1 => Just(None)];
    let ip = prop_oneof![
        2 => any::<[u8; 4]>().prop_map(|ip| Some(std::net::Ipv4Addr::from(ip).to_string())),
        1 => any::<[u8; 16]>().prop_map(|ip| Some(std::net::Ipv6Addr::from(ip).to_string())),
        1 => Just(Some("198.51.100.0/24".to_owned())),
        1 => Just(None),
    ];
    let client = prop_oneof![Just(None), text().prop_map(Some)];
    let actor = prop_oneof![Just(None), text().prop_map(Some)];
    (user, ip, client, actor, prop::collection::vec(tree(), 0..3)).prop_map(|(user, ip, client, actor, details)| Given {
        user,
        ip,
        client,
        actor,
        details,
    })
}

fn add(details: &mut Details, tree: &Tree) {
    details.open(tree.name.as_bytes());
    for (name, value) in &tree.attributes {
        details.attribute(name.as_bytes(), value.as_bytes());
    }
    for child in &tree.children {
        match child {
            Ok(child) => add(details, child),
            Err(text) => details.text(text.as_bytes()),
        }
    }
    details.close();
}

/// The payload of an entry, whose root is still open.
fn open_payload(given: &Given, at: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    let user = given.user.as_deref().map(str::as_bytes);
    #[allow(clippy::cast_precision_loss)]
    let time = at as f64 / 1000.0;
    event::begin(&mut payload, time, &Root { id: b"7", source: b"mod_test", kind: b"test", user, occurred: None });
    event::open(&mut payload, b"session");
    event::attribute(&mut payload, b"type", b"c2s");
    if let Some(ip) = &given.ip {
        event::leaf(&mut payload, b"remote-ip", ip.as_bytes(), TextKind::Attribute);
    }
    if let Some(client) = &given.client {
        event::leaf(&mut payload, b"client", client.as_bytes(), TextKind::Attribute);
    }
    payload::close(&mut payload);
    if let Some(jid) = &given.actor {
        event::open(&mut payload, b"actor");
        event::attribute(&mut payload, b"kind", b"user");
        event::attribute(&mut payload, b"jid", jid.as_bytes());
        payload::close(&mut payload);
    }
    let mut details = Details::default();
    given.details.iter().for_each(|tree| add(&mut details, tree));
    details.write(&mut payload);
    payload
}

fn draft_of(payload: &[u8]) -> Draft {
    Draft::of_payload(payload).unwrap()
}

/// The entry as a store returns it.
fn xml_of(mut payload: Vec<u8>) -> String {
    event::end(&mut payload);
    element::to_xml(&payload[payload::begin_of(&payload)..]).unwrap()
}

/// The same entry as another driver returns it: each element says its namespace, and attributes are in another order.
fn as_parsed(xml: &str) -> String {
    fn write(element: &mut String, xml: &str) {
        let mut reader = quick_xml::NsReader::from_str(xml);
        loop {
            use quick_xml::events::Event;
            use quick_xml::name::ResolveResult;
            let event = reader.read_event().unwrap();
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    let (namespace, local) = reader.resolver().resolve_element(start.name());
                    let namespace = match namespace {
                        ResolveResult::Bound(namespace) => String::from_utf8(namespace.as_ref().to_vec()).unwrap(),
                        _ => String::new(),
                    };
                    element.push('<');
                    element.push_str(std::str::from_utf8(local.as_ref()).unwrap());
                    let mut number = 0;
                    let attributes: Vec<_> = start.attributes().map(Result::unwrap).collect();
                    for attribute in attributes.iter().rev() {
                        let key = std::str::from_utf8(attribute.key.as_ref()).unwrap().to_owned();
                        if key == "xmlns" || key.starts_with("xmlns:") {
                            continue;
                        }
                        let value = std::str::from_utf8(&attribute.value).unwrap();
                        match reader.resolver().resolve_attribute(attribute.key) {
                            (ResolveResult::Bound(namespace), local) if !key.starts_with("xml:") => {
                                number += 1;
                                let (namespace, local) =
                                    (std::str::from_utf8(namespace.as_ref()).unwrap(), std::str::from_utf8(local.as_ref()).unwrap());
                                element.push_str(&format!(" xmlns:p{number}='{namespace}' p{number}:{local}='{value}'"));
                            }
                            _ => element.push_str(&format!(" {key}='{value}'")),
                        }
                    }
                    element.push_str(&format!(" xmlns='{namespace}'>"));
                    if matches!(event, Event::Empty(_)) {
                        element.push_str(&format!("</{}>", std::str::from_utf8(local.as_ref()).unwrap()));
                    }
                }
                Event::End(end) => element.push_str(&format!("</{}>", std::str::from_utf8(end.local_name().as_ref()).unwrap())),
                Event::Text(text) => element.push_str(std::str::from_utf8(text).unwrap()),
                Event::GeneralRef(reference) => element.push_str(&format!("&{};", std::str::from_utf8(reference).unwrap())),
                Event::Eof => break,
                _ => {}
            }
        }
    }
    let mut element = String::new();
    write(&mut element, xml);
    element
}

/// An entry in the store.
#[derive(Clone, Debug)]
struct Row {
    key: String,
    when: f64,
    with: String,
    xml: String,
}

/// A log of these events, a second after each other.
fn log(events: &[Given]) -> (Vec<Row>, Head) {
    let mut head = Head::new(chain(), Bytes([2; 16]));
    let rows = events.iter().enumerate().map(|(number, given)| {
        let at = AT + 1000 * number as u64;
        let mut payload = open_payload(given, at);
        let link = head.next(at, Cut::default(), Bytes([number as u8; 16]), draft_of(&payload));
        link.write(&mut payload);
        head.advance(&link);
        #[allow(clippy::cast_precision_loss)]
        let when = (at / 1000) as f64;
        Row { key: number.to_string(), when, with: given.user.clone().unwrap_or_else(|| "@".to_owned()), xml: xml_of(payload) }
    });
    (rows.collect(), head)
}

/// Where the chain has got to, by the journal.
fn progress(head: &Head) -> Progress {
    let (Chain { class, id, .. }, n, hash) = (chain(), head.n(), *head.hash());
    Progress { id, class, n, hash, since: AT, until: None, removed: vec![], rules: vec![] }
}

fn stored(row: &Row) -> crate::entry::Row {
    let Row { key, when, with, xml } = row.clone();
    crate::entry::Row { key, when, with: Some(with), xml, element: vec![] }
}

fn today() -> Partition {
    format!("@events.{}", day(AT as f64 / 1000.0)).parse().unwrap()
}

fn verified(rows: &[Row], progress: Progress) -> Verdict {
    let mut verifier = Verifier::new("example.com", [progress]);
    verifier.begin(Some(today()));
    rows.iter().for_each(|row| verifier.feed(&stored(row)));
    verifier.finish()
}

/// What a query shows of a row: everything but the link.
fn shown(row: &Row) -> Option<StoredEvent> {
    let row =
        crate::entry::Row { key: String::new(), when: row.when, with: Some(row.with.clone()), xml: row.xml.clone(), ..Default::default() };
    let mut event = StoredEvent::read(&row).ok()?;
    event.anchor = None;
    event.details.iter_mut().for_each(drop_empty);
    if let Some(repeated) = &mut event.repeated {
        repeated.samples.iter_mut().for_each(drop_empty);
    }
    event.xml = String::new();
    Some(event)
}

/// An empty attribute or text says nothing.
fn drop_empty(element: &mut Element) {
    element.attributes.retain(|(_, value)| !value.is_empty());
    element.children.retain(|child| !matches!(child, Node::Text(text) if text.is_empty()));
    element.children.iter_mut().for_each(|child| {
        if let Node::Element(child) = child {
            drop_empty(child)
        }
    });
}

/// Removes what belongs to a group, as an eraser does, by the public tree.
fn without_address(xml: &str, cut: Cut) -> String {
    let Some((before, rest)) = xml.split_once("<remote-ip>") else { return xml.to_owned() };
    let (address, after) = rest.split_once("</remote-ip>").unwrap();
    format!("{before}<remote-ip>{}</remote-ip>{after}", cut.narrow(address).unwrap())
}

fn relinked(xml: &str, link: &Link) -> String {
    let (before, rest) = xml.rsplit_once("<chain ").unwrap();
    let (_, after) = rest.split_once("/>").unwrap();
    let attributes: String = link.attributes().iter().map(|(name, value)| format!(" {name}='{value}'")).collect();
    format!("{before}<chain xmlns='{}'{attributes}/>{after}", crate::NAMESPACE)
}

fn canon_of(xml: &str) -> (Link, Canon) {
    Link::read(Draft::of_xml(xml).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn the_canonical_form_does_not_depend_on_the_store(given in given()) {
        let payload = open_payload(&given, AT);
        let narrow = |text: &str| Cut::default().narrow(text);
        let written = draft_of(&payload).finish(narrow);
        let xml = xml_of(payload);
        prop_assert_eq!(&Draft::of_xml(&xml).unwrap().finish(narrow), &written, "{}", xml);
        let parsed = as_parsed(&xml);
        prop_assert_eq!(&Draft::of_xml(&parsed).unwrap().finish(narrow), &written, "{} {}", xml, parsed);
    }

    #[test]
    fn an_entry_in_ascii_proves_what_it_was(given in given()) {
        let mut head = Head::new(chain(), Bytes([2; 16]));
        let mut payload = open_payload(&given, AT);
        let link = head.next(AT, Cut::default(), Bytes([5; 16]), draft_of(&payload));
        link.write(&mut payload);
        head.advance(&link);
        event::end(&mut payload);
        let plain = ascii::encode(&payload).unwrap();
        prop_assert!(plain.is_ascii());
        let (read, canon) = Link::read(Draft::of_payload(&plain).unwrap()).unwrap();
        prop_assert_eq!(&Link { is_ascii: false, ..read.clone() }, &link);
        prop_assert_eq!(read.leaf("example.com", "events", &canon).map(|leaf| read.follows(&BEGINNING, &leaf)), Ok(link.hash));
        // As another driver returns it.
        if let Some(xml) = element::to_xml(&plain[payload::begin_of(&plain)..]) {
            if let Ok(draft) = Draft::of_xml(&xml) {
                let (_, parsed) = Link::read(draft).unwrap();
                prop_assert_eq!(read.leaf("example.com", "events", &parsed), read.leaf("example.com", "events", &canon));
            }
        }
    }

    #[test]
    fn an_untouched_log_verifies(events in prop::collection::vec(given(), 0..8), order in any::<bool>()) {
        let (mut rows, head) = log(&events);
        if order {
            // A clock that went back has stored the chain out of order: each entry in a partition of its own.
            rows.reverse();
            for row in &mut rows { row.key.push('r'); }
            let mut verifier = Verifier::new("example.com", [progress(&head)]);
            for row in &rows {
                verifier.begin(None);
                verifier.feed(&stored(row));
            }
            prop_assert_eq!(verifier.finish().findings, vec![]);
        } else {
            let verdict = verified(&rows, progress(&head));
            prop_assert_eq!(&verdict.findings, &vec![]);
            prop_assert_eq!(verdict.verified, rows.len() as u64);
            // Without the last entry, or with a head that was not recorded.
            if let Some((_, rest)) = rows.split_last() {
                prop_assert_eq!(verified(rest, progress(&head)).findings[0].fault, Fault::Missing { upto: head.n() });
                let other = Progress { hash: BEGINNING, ..progress(&head) };
                prop_assert_eq!(verified(&rows, other).findings[0].fault, Fault::Altered);
            }
        }
    }

    #[test]
    fn every_edit_is_found_or_changes_nothing_that_is_shown(
        events in prop::collection::vec(given(), 3..6), at in any::<Index>(), place in any::<Index>(), byte in b' '..=b'~', how in 0..6_u8
    ) {
        let (before, head) = log(&events);
        let mut rows = before.clone();
        let at = at.index(rows.len());
        match how {
            0 => {
                let mut bytes = rows[at].xml.clone().into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = byte;
                let Ok(xml) = String::from_utf8(bytes) else { return Ok(()) };
                rows[at].xml = xml;
            }
            1 => rows[at].when += 1.0,
            2 => rows[at].with.push('x'),
            3 => { rows.remove(at); }
            4 => { let row = rows[at].clone(); rows.push(row); }
            _ => {
                let other = (at + 1) % rows.len();
                let xml = rows[at].xml.clone();
                rows[at].xml = std::mem::replace(&mut rows[other].xml, xml);
                prop_assume!(rows[at].xml != rows[other].xml);
            }
        }
        let verdict = verified(&rows, progress(&head));
        let is_shown_alike = rows.len() == before.len() && rows.iter().zip(&before).all(|(a, b)| shown(a) == shown(b));
        prop_assert!(!verdict.findings.is_empty() || is_shown_alike || verdict.unprotected > 0, "{:?} {}", how, rows[at].xml);
    }

    #[test]
    fn an_address_can_expire_before_its_entry(events in prop::collection::vec(given(), 1..5)) {
        // Details may hold addresses, too.
        let events: Vec<Given> = events.into_iter().map(|given| Given { details: Vec::new(), ..given }).collect();
        let (mut rows, head) = log(&events);
        for row in &mut rows {
            let (link, canon) = canon_of(&row.xml);
            let address = Group::Person(Role::Account, Aspect::Address);
            if canon.group(address).is_some() {
                let left = link.without(&canon, &canon.to_remove(|group| group == address));
                row.xml = relinked(&without_address(&row.xml, left.cut), &left);
                // Without the link that says so, it is an edit.
                let forged = Row { xml: relinked(&row.xml, &link), ..row.clone() };
                prop_assert_ne!(verified(&[forged], Progress { n: 1, ..progress(&head) }).findings, vec![]);
            }
        }
        prop_assert_eq!(&verified(&rows, progress(&head)).findings, &vec![], "{:?}", rows);
    }
}

proptest! {
    #[test]
    fn any_groups_can_be_removed_and_the_entry_verifies(given in given(), removed in any::<u64>(), address in any::<bool>()) {
        let head = Head::new(chain(), Bytes([2; 16]));
        let mut payload = open_payload(&given, AT);
        let link = head.next(AT, Cut::default(), Bytes([5; 16]), draft_of(&payload));
        link.write(&mut payload);
        event::end(&mut payload);
        let (read, canon) = Link::read(Draft::of_payload(&payload).unwrap()).unwrap();
        prop_assert_eq!(&read, &link);
        let is_chosen = |group: Group| removed >> (group.number() % 64) & 1 == 1 || address && matches!(group, Group::Person(_, Aspect::Address));
        let removed = canon.to_remove(is_chosen);
        let left = link.without(&canon, &removed);
        let payload = without(&payload, &removed, |text| link.cut.narrow(text), |payload| left.write(payload)).unwrap();
        let (read, rest) = Link::read(Draft::of_payload(&payload).unwrap()).unwrap();
        prop_assert_eq!(&read, &left);
        prop_assert!(rest.groups.iter().all(|(group, _)| !removed.contains(group)), "{:?}", rest);
        prop_assert_eq!(&rest.public, &canon.public);
        let leaf = read.leaf("example.com", "events", &rest);
        prop_assert_eq!(leaf.map(|leaf| read.follows(head.hash(), &leaf)), Ok(link.hash));
        // And once more.
        let none = without(&payload, &rest.to_remove(|_| true), |_| None, |_| {}).unwrap();
        prop_assert_eq!(Draft::of_payload(&none).unwrap().finish(|_| None).groups, vec![]);
    }
}

fn plain(user: &str) -> Given {
    Given { user: Some(user.to_owned()), ip: Some("203.0.113.7".to_owned()), client: None, actor: None, details: vec![] }
}

#[test]
fn what_a_rule_removed_is_not_missing() {
    let events: Vec<Given> = (0..6).map(|_| plain("a@example.com")).collect();
    let (rows, head) = log(&events);
    let hash = |n: usize| canon_of(&rows[n].xml).0.hash;
    let of = |rows: &[Row], removed: &[(u64, u64, Hash)]| {
        let removed = removed.iter().map(|(from, upto, hash)| Removed { from: *from, upto: *upto, hash: *hash, at: 0, when: 0 }).collect();
        let verdict = verified(rows, Progress { removed, ..progress(&head) });
        (verdict.removed, verdict.findings.first().map(|finding| (finding.fault, finding.n)))
    };
    assert_eq!(of(&rows[3..], &[(1, 3, hash(2))]), (3, None));
    assert_eq!(of(&[&rows[..2], &rows[4..]].concat(), &[(3, 4, hash(3))]), (2, None));
    assert_eq!(of(&rows[..4], &[(5, 6, hash(5))]), (2, None));
    assert_eq!(of(&[], &[(1, 6, hash(5))]), (6, None));
    // Not all of it was removed, as a crash came in between.
    assert_eq!(of(&rows[1..], &[(1, 3, hash(2))]), (1, None));
    // A hash of something else, or fewer than are missing.
    assert_eq!(of(&rows[3..], &[(1, 3, hash(1))]).1, Some((Fault::Altered, Some(4))));
    assert_eq!(of(&rows[4..], &[(1, 3, hash(2))]), (3, Some((Fault::Missing { upto: 4 }, Some(4)))));
    assert_eq!(of(&rows[3..], &[]).1, Some((Fault::Missing { upto: 3 }, Some(1))));
    assert_eq!(of(&rows[..4], &[]).1, Some((Fault::Missing { upto: 6 }, Some(5))));
}

#[test]
fn each_attack_has_its_name() {
    let events: Vec<Given> = ["a", "b", "c", "d"].iter().map(|user| plain(&format!("{user}@example.com"))).collect();
    let (rows, head) = log(&events);
    let edited = |edit: &dyn Fn(&mut Vec<Row>)| {
        let mut rows = rows.clone();
        edit(&mut rows);
        let verdict = verified(&rows, progress(&head));
        let mut found: Vec<_> = verdict.findings.iter().map(|finding| (finding.fault, finding.n)).collect();
        found.sort_by_key(|(_, n)| *n);
        found
    };
    let altered = edited(&|rows| rows[1].xml = rows[1].xml.replace("mod_test", "mod_best"));
    assert_eq!(altered, [(Fault::Altered, Some(2))]);
    // If the hash is computed anew, the next entry does not fit.
    let relinked = edited(&|rows| {
        let (link, _) = canon_of(&rows[0].xml);
        let head = Head::after(chain(), link.run, 1, link.hash);
        let mut payload = open_payload(&plain("x@example.com"), AT + 1000);
        head.next(AT + 1000, Cut::default(), Bytes([9; 16]), draft_of(&payload)).write(&mut payload);
        rows[1].xml = xml_of(payload);
        rows[1].with = "x@example.com".to_owned();
    });
    assert_eq!(relinked, [(Fault::Altered, Some(3))]);
    assert_eq!(edited(&|rows| drop(rows.remove(1))), [(Fault::Missing { upto: 2 }, Some(2))]);
    assert_eq!(edited(&|rows| rows.push(rows[1].clone())).iter().filter(|(fault, _)| *fault == Fault::Twice).count(), 1);
    assert_eq!(edited(&|rows| rows[2].when += 60.0), [(Fault::Misplaced, Some(3)), (Fault::Misplaced, Some(4))]);
    assert_eq!(edited(&|rows| rows[2].with = "@".to_owned()), [(Fault::Misplaced, Some(3))]);
    // The same numbers and hashes, but without a link, on another host, or in another chain.
    assert_eq!(edited(&|rows| rows[3].xml = "<audit-event type='test'/>".to_owned()).last(), Some(&(Fault::Missing { upto: 4 }, Some(4))));
    let first = |host: &str, progress: Progress| {
        let mut verifier = Verifier::new(host, [progress]);
        verifier.begin(Some(today()));
        verifier.feed(&stored(&rows[0]));
        verifier.finish().findings[0].clone()
    };
    assert_eq!(first("example.net", progress(&head)).fault, Fault::Altered);
    let foreign = first("example.com", Progress { id: Bytes([5; 16]), ..progress(&head) });
    assert_eq!(foreign.to_string(), "events 1 (key 0): inserted: this server does not know its chain");
}

#[test]
fn what_a_kill_left_of_an_append_is_no_sign_of_a_change() {
    let (rows, head) = log(&[plain("a@example.com"), plain("b@example.com")]);
    let verdict = |rows: &[Row]| {
        let mut verifier = Verifier::new("example.com", [progress(&head)]);
        verifier.begin(Some(today()));
        rows.iter().for_each(|row| verifier.feed(&stored(row)));
        verifier.damaged(1);
        verifier.finish()
    };
    assert_eq!((verdict(&rows).status(), verdict(&rows).unreadable), (0, 1));
    // If it was an entry, that is missing.
    assert_eq!(verdict(&rows[..1]).status(), 3);
}

#[test]
fn an_entry_without_a_link_is_inserted_only_where_all_have_one() {
    let (rows, head) = log(&[plain("a@example.com")]);
    let unlinked = |seconds: f64, partition: Option<Partition>, progress: Progress| {
        let mut verifier = Verifier::new("example.com", [progress]);
        verifier.begin(partition);
        let linked = stored(&rows[0]);
        let row = Row { when: rows[0].when + seconds, xml: "<audit-event type='test'/>".to_owned(), ..rows[0].clone() };
        let mut rows = [linked, stored(&row)];
        rows.sort_by(|a, b| a.when.total_cmp(&b.when));
        rows.iter().for_each(|row| verifier.feed(row));
        let verdict = verifier.finish();
        (verdict.unprotected, verdict.findings.first().map(|finding| finding.fault))
    };
    let ended = || Progress { until: Some(AT + 3000), ..progress(&head) };
    assert_eq!(unlinked(2.0, Some(today()), progress(&head)), (0, Some(Fault::Inserted)));
    assert_eq!(unlinked(-2.0, Some(today()), progress(&head)), (1, None));
    assert_eq!(unlinked(0.0, Some(today()), progress(&head)), (0, Some(Fault::Inserted)), "in the second in which the chain began");
    assert_eq!(unlinked(5.0, Some(today()), ended()), (1, None));
    assert_eq!(unlinked(2.0, Some(today()), ended()), (0, Some(Fault::Inserted)));
    // The log of the community's modules.
    assert_eq!(unlinked(2.0, None, progress(&head)), (1, None));
}

#[test]
fn a_verdict_is_said_in_lines() {
    let (rows, head) = log(&[plain("a@example.com"), plain("b@example.com")]);
    let all = verified(&rows, progress(&head));
    assert_eq!((all.lines("example.com"), all.status()), (vec!["example.com: intact: 2 entries verified in 1 chain".to_owned()], 0));
    let some = verified(&rows[..1], progress(&head));
    let lines = ["example.com: TAMPERED: 1 entry verified in 1 chain", "events 2: removed: no rule has removed it"];
    assert_eq!((some.lines("example.com"), some.status()), (lines.map(ToOwned::to_owned).to_vec(), 3));
}

#[test]
fn a_link_without_its_entry_proves_nothing_of_a_person() {
    // Two entries that differ in the account alone have the same public form.
    let of = |user: &str| draft_of(&open_payload(&plain(user), AT)).finish(|text| Cut::default().narrow(text));
    let (one, two) = (of("a@example.com"), of("b@example.com"));
    assert_eq!(one.public, two.public);
    assert_ne!(one.groups, two.groups);
    let text = String::from_utf8_lossy(&one.public).into_owned();
    assert!(!text.contains("example.com") && !text.contains("203.0.113"), "{text}");
}
